//go:build browser

package tasks

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// chromium is a real browser, with one tab, driven over a pipe by the DevTools protocol
// (chromedevtools.github.io/devtools-protocol): messages are JSON, each ended by a NUL.
type chromium struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	session string
	last    int
}

type devtoolsMessage struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Message string }
}

// browse starts a browser for which every host is the server at addr.
func browse(t *testing.T, addr string) *chromium {
	t.Helper()
	toChild, in, err := os.Pipe()
	must(t, err)
	out, fromChild, err := os.Pipe()
	must(t, err)
	said := &strings.Builder{}
	cmd := exec.CommandContext(t.Context(), program(t, "chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
		"--disable-dev-shm-usage", "--user-data-dir="+t.TempDir(), "--window-size=1280,800", "--host-resolver-rules=MAP * "+addr,
		"--remote-debugging-pipe")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{toChild, fromChild}, said
	must(t, cmd.Start())
	must(t, toChild.Close())
	must(t, fromChild.Close())
	c := &chromium{t: t, in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		_ = in.Close() // the browser ends when nobody is at the pipe
		_ = cmd.Wait()
		_ = out.Close()
		if t.Failed() {
			t.Logf("chromium said: %.2000s", said)
		}
	})
	var tab struct{ TargetID string }
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &tab)
	var attached struct{ SessionID string }
	c.call("Target.attachToTarget", map[string]any{"targetId": tab.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	c.call("Page.enable", nil, nil)
	return c
}

func (c *chromium) send(method string, params any) int {
	c.t.Helper()
	c.last++
	message := map[string]any{"id": c.last, "method": method}
	if params != nil {
		message["params"] = params
	}
	if c.session != "" {
		message["sessionId"] = c.session
	}
	b, err := json.Marshal(message)
	must(c.t, err)
	_, err = c.in.Write(append(b, 0))
	must(c.t, err)
	return c.last
}

func (c *chromium) next() devtoolsMessage {
	c.t.Helper()
	line, err := c.out.ReadBytes(0)
	must(c.t, err)
	var m devtoolsMessage
	must(c.t, json.Unmarshal(line[:len(line)-1], &m))
	return m
}

// call sends a command and reads up to its answer.
func (c *chromium) call(method string, params, answer any) {
	c.t.Helper()
	id := c.send(method, params)
	for {
		m := c.next()
		if m.ID != id {
			continue
		}
		if m.Error != nil {
			c.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if answer != nil {
			must(c.t, json.Unmarshal(m.Result, answer))
		}
		return
	}
}

// loads does what makes the tab load a page, and waits until it is there.
func (c *chromium) loads(method string, params any) {
	c.t.Helper()
	c.send(method, params)
	for {
		switch m := c.next(); {
		case m.Error != nil:
			c.t.Fatalf("%s: %s", method, m.Error.Message)
		case m.Method == "Page.loadEventFired":
			return
		}
	}
}

func (c *chromium) open(url string) {
	c.t.Helper()
	c.loads("Page.navigate", map[string]any{"url": url})
}

// press runs JavaScript that leads to another page.
func (c *chromium) press(script string) {
	c.t.Helper()
	c.loads("Runtime.evaluate", map[string]any{"expression": script, "userGesture": true})
}

// text evaluates JavaScript to a text.
func (c *chromium) text(script string) string {
	c.t.Helper()
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	c.call("Runtime.evaluate", map[string]any{"expression": script}, &answer)
	if answer.ExceptionDetails != nil {
		c.t.Fatalf("%s: %s", script, answer.ExceptionDetails.Text)
	}
	return fmt.Sprint(answer.Result.Value)
}

// picture keeps what the tab shows: go test -artifacts.
func (c *chromium) picture(name string) {
	c.t.Helper()
	var shot struct{ Data string }
	c.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	must(c.t, err)
	if len(png) < 1000 {
		c.t.Errorf("%s is empty", name)
	}
	must(c.t, os.WriteFile(filepath.Join(c.t.ArtifactDir(), name+".png"), png, 0o644))
}
