// Package devtools drives a headless Chromium over a pair of pipes: messages of the DevTools
// protocol (https://chromedevtools.github.io/devtools-protocol/), each ended by a zero byte.
// There is no port that others on the machine could use. It is for tests and for the
// commands that prove things, like all of deploy.
package devtools

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
)

// Browser is a running Chromium. Whoever makes one starts the process with Args and with
// Child as its descriptors 3 and 4, and calls Listen.
type Browser struct {
	to, from *os.File
	child    [2]*os.File
	gone     chan struct{} // closed when the browser has ended

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Args are the command line of a browser that keeps everything in home and asks nobody for
// anything by itself.
func Args(home string, more ...string) []string {
	return append([]string{"--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--window-size=1280,900", "--user-data-dir=" + home}, append(more, "about:blank")...)
}

// New makes the pipes for one browser.
func New() (*Browser, error) {
	in, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making pipe: %w", err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making pipe: %w", err), in.Close(), to.Close())
	}
	return &Browser{to: to, from: from, child: [2]*os.File{in, out}, gone: make(chan struct{}), waiting: map[int]chan answer{}}, nil
}

// Child are the browser's ends of the pipes.
func (b *Browser) Child() []*os.File { return b.child[:] }

// Listen begins to hear the browser, which has been started, or has failed to. The child's
// ends are closed: the pipes end with the browser.
func (b *Browser) Listen() error {
	go b.listen()
	return errors.Join(b.child[0].Close(), b.child[1].Close())
}

// listen hands answers to whom they are for; events are not used.
func (b *Browser) listen() {
	defer close(b.gone)
	defer b.from.Close()
	r := bufio.NewReader(b.from)
	for {
		raw, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var a answer
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
func (b *Browser) call(ctx context.Context, session, method string, params, into any) error {
	answered := make(chan answer, 1)
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
	case <-b.gone:
		return errors.New("the browser ended by itself")
	case a := <-answered:
		switch {
		case a.Error != nil:
			return fmt.Errorf("the browser refuses %s: %s", method, a.Error.Message)
		case into == nil:
			return nil
		}
		if err := json.Unmarshal(a.Result, into); err != nil {
			return fmt.Errorf("reading the browser's answer to %s: %w", method, err)
		}
		return nil
	}
}

// Close has the browser end.
func (b *Browser) Close() error { return b.to.Close() }
