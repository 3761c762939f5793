package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// browser is a headless Chromium that is spoken to over a pair of pipes: messages of the
// DevTools protocol (https://chromedevtools.github.io/devtools-protocol/), each ended by
// a zero byte. It has no port that others on the machine could use.
type browser struct {
	process *process
	to      *os.File

	mu      sync.Mutex
	last    int
	waiting map[int]chan devtoolsAnswer
}

type devtoolsAnswer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// startBrowser starts Chromium as a user of its own, which has nothing to do with the sites.
func (e *e2e) startBrowser(ctx context.Context) (*browser, error) {
	path, err := program("chromium")
	if err != nil {
		return nil, fmt.Errorf("%w (deploy/setup.sh --with-browser)", err)
	}
	home := e.state.dir("browser")
	if err := makeDir(home, 0o700); err != nil {
		return nil, err
	}
	var who proc.Identity
	if e.root {
		if who, err = addUser(ctx, e.state, newUserName(), home); err != nil {
			return nil, err
		}
		if err := os.Lchown(home, int(who.UID), int(who.GID)); err != nil {
			return nil, fmt.Errorf("handing a directory to the browser: %w", err)
		}
	}
	in, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making pipe: %w", err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making pipe: %w", err), in.Close(), to.Close())
	}
	p, err := e.stack.launch("chromium", proc.Spec{
		Path: path, As: who, Dir: home, Keep: []*os.File{in, out}, Grace: 2 * time.Second,
		Args: []string{"--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900", "--user-data-dir=" + home, "about:blank"},
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + home, "LC_ALL=C.UTF-8"},
		// It brings its own sandbox, and reserves more address space than a tenant may have.
		Trusted: true,
	})
	err = errors.Join(err, in.Close(), out.Close())
	if err != nil {
		return nil, errors.Join(err, to.Close(), from.Close())
	}
	b := &browser{process: p, to: to, waiting: map[int]chan devtoolsAnswer{}}
	go b.listen(from)
	return b, nil
}

// listen hands answers to whom they are for; events are not used. It ends with the browser.
func (b *browser) listen(from *os.File) {
	defer from.Close()
	r := bufio.NewReader(from)
	for {
		raw, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var a devtoolsAnswer
		if json.Unmarshal(raw[:len(raw)-1], &a) != nil || a.ID == 0 {
			continue
		}
		b.mu.Lock()
		answered := b.waiting[a.ID]
		delete(b.waiting, a.ID)
		b.mu.Unlock()
		if answered != nil {
			answered <- a
		}
	}
}

// call sends a command, to a tab's session if there is one, and waits for the answer.
func (b *browser) call(ctx context.Context, session, method string, params, into any) error {
	answered := make(chan devtoolsAnswer, 1)
	b.mu.Lock()
	b.last++
	message := map[string]any{"id": b.last, "method": method, "params": params}
	if session != "" {
		message["sessionId"] = session
	}
	b.waiting[b.last] = answered
	raw, err := json.Marshal(message)
	if err == nil {
		_, err = b.to.Write(append(raw, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("speaking to the browser: %w", err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting for the browser (%s): %w", method, ctx.Err())
	case <-b.process.Done():
		return errors.New("the browser ended by itself")
	case a := <-answered:
		if a.Error != nil {
			return fmt.Errorf("the browser refuses %s: %s", method, a.Error.Message)
		}
		return decode(a.Result, into)
	}
}

func (b *browser) close() { b.to.Close() } // the process is stopped with all others

// tab is a page with cookies of its own.
type tab struct {
	*browser
	session string
}

// browse opens a tab that knows nothing of the site yet.
func (x *exam) browse(visit func(*tab) error) {
	if x.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(x.ctx, time.Minute)
	defer cancel()
	b, err := x.e2e.theBrowser(ctx)
	if err != nil {
		x.note(err)
		return
	}
	var context struct{ BrowserContextID string }
	var target struct{ TargetID string }
	var session struct{ SessionID string }
	err = b.call(ctx, "", "Target.createBrowserContext", map[string]any{}, &context)
	if err == nil {
		err = b.call(ctx, "", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": context.BrowserContextID}, &target)
	}
	if err == nil {
		err = b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	}
	if err == nil {
		err = visit(&tab{b, session.SessionID})
	}
	if err == nil {
		err = b.call(ctx, "", "Target.disposeBrowserContext", map[string]any{"browserContextId": context.BrowserContextID}, nil)
	}
	if err != nil {
		x.fail("in Chromium: %w", err)
	}
}

// theBrowser is started when the first row needs it.
func (e *e2e) theBrowser(ctx context.Context) (b *browser, err error) {
	e.browserMu.Lock()
	defer e.browserMu.Unlock()
	if e.browser == nil {
		e.browser, err = e.startBrowser(ctx)
	}
	return e.browser, err
}

// open goes to an address and waits until the page is what it should be.
func (t *tab) open(ctx context.Context, address, is string) error {
	if err := t.call(ctx, t.session, "Page.navigate", map[string]any{"url": address}, nil); err != nil {
		return err
	}
	return t.until(ctx, is)
}

// click clicks and waits for what that leads to.
func (t *tab) click(ctx context.Context, selector, is string) error {
	if _, err := t.run(ctx, fmt.Sprintf("document.querySelector(%q).click()", selector)); err != nil {
		return err
	}
	return t.until(ctx, is)
}

// fill fills in a form; names and values take turns.
func (t *tab) fill(ctx context.Context, pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if _, err := t.run(ctx, fmt.Sprintf("document.querySelector(%q).value = %q", pairs[i], pairs[i+1])); err != nil {
			return err
		}
	}
	return nil
}

// until waits for an expression to hold on a page that is complete.
func (t *tab) until(ctx context.Context, is string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		// A page that is just being replaced has no answer; the next one will.
		holds, err := t.run(ctx, "document.readyState === 'complete' && !!("+is+")")
		if err == nil && holds == true {
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			where, last := t.run(context.WithoutCancel(ctx), "location.href + ' ' + document.title")
			return errors.Join(fmt.Errorf("the page %v never was %s", where, is), err, last)
		}
	}
}

func (t *tab) run(ctx context.Context, expression string) (any, error) {
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := t.call(ctx, t.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &got)
	if err == nil && got.ExceptionDetails != nil {
		err = fmt.Errorf("%s: %s", expression, got.ExceptionDetails.Exception.Description)
	}
	return got.Result.Value, err
}

// screenshot keeps what there is to see.
func (t *tab) screenshot(ctx context.Context, dir, name string) error {
	var got struct{ Data string }
	if err := t.call(ctx, t.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &got); err != nil {
		return err
	}
	png, err := base64.StdEncoding.DecodeString(got.Data)
	if err != nil {
		return fmt.Errorf("reading screenshot: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		return fmt.Errorf("keeping screenshot: %w", err)
	}
	return nil
}
