package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wispanel/wptk/deploy/devtools"
	"github.com/wispanel/wptk/wp/proc"
)

// startBrowser starts Chromium as a user of its own, which has nothing to do with the sites.
// The process is stopped with all others.
func (e *e2e) startBrowser(ctx context.Context) (*devtools.Browser, error) {
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
	b, err := devtools.New()
	if err != nil {
		return nil, err
	}
	_, err = e.stack.launch("chromium", proc.Spec{
		Path: path, As: who, Dir: home, Keep: b.Child(), Grace: 2 * time.Second, Args: devtools.Args(home),
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + home, "LC_ALL=C.UTF-8"},
		// It brings its own sandbox, and reserves more address space than a tenant may have.
		Trusted: true,
	})
	if err = errors.Join(err, b.Listen()); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// browse opens a tab that knows nothing of the site yet.
func (x *exam) browse(visit func(*devtools.Tab) error) {
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
	if err := b.Browse(ctx, visit); err != nil {
		x.fail("in Chromium: %w", err)
	}
}

// theBrowser is started when the first row needs it.
func (e *e2e) theBrowser(ctx context.Context) (b *devtools.Browser, err error) {
	e.browserMu.Lock()
	defer e.browserMu.Unlock()
	if e.browser == nil {
		e.browser, err = e.startBrowser(ctx)
	}
	return e.browser, err
}
