package devtools

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Tab is a page with cookies and storage of its own.
type Tab struct {
	*Browser
	session string
}

// Browse opens a tab that knows nothing yet, and forgets all about it afterwards.
func (b *Browser) Browse(ctx context.Context, visit func(*Tab) error) error {
	var profile struct{ BrowserContextID string }
	var target struct{ TargetID string }
	var session struct{ SessionID string }
	err := b.call(ctx, "", "Target.createBrowserContext", map[string]any{}, &profile)
	if err == nil {
		err = b.call(ctx, "", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": profile.BrowserContextID}, &target)
	}
	if err == nil {
		err = b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	}
	if err == nil {
		err = visit(&Tab{b, session.SessionID})
	}
	if err == nil {
		err = b.call(ctx, "", "Target.disposeBrowserContext", map[string]any{"browserContextId": profile.BrowserContextID}, nil)
	}
	return err
}

// Open goes to an address and waits until the page is what it should be.
func (t *Tab) Open(ctx context.Context, address, is string) error {
	if err := t.call(ctx, t.session, "Page.navigate", map[string]any{"url": address}, nil); err != nil {
		return err
	}
	return t.Until(ctx, is)
}

// Click clicks and waits for what that leads to.
func (t *Tab) Click(ctx context.Context, selector, is string) error {
	if _, err := t.Run(ctx, fmt.Sprintf("document.querySelector(%q).click()", selector)); err != nil {
		return err
	}
	return t.Until(ctx, is)
}

// Fill fills in a form; selectors and values take turns.
func (t *Tab) Fill(ctx context.Context, pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if _, err := t.Run(ctx, fmt.Sprintf("document.querySelector(%q).value = %q", pairs[i], pairs[i+1])); err != nil {
			return err
		}
	}
	return nil
}

// Press presses one key as a person does: a character, or a name such as Enter.
func (t *Tab) Press(ctx context.Context, key string) error {
	down := map[string]any{"type": "keyDown", "key": key}
	switch {
	case len(key) == 1:
		down["text"] = key
	case key == "Enter":
		down["text"], down["windowsVirtualKeyCode"] = "\r", 13
	case key == "Escape":
		down["windowsVirtualKeyCode"] = 27
	}
	err := t.call(ctx, t.session, "Input.dispatchKeyEvent", down, nil)
	if err == nil {
		err = t.call(ctx, t.session, "Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key}, nil)
	}
	return err
}

// Scheme is what the page is told that its reader prefers: light or dark.
func (t *Tab) Scheme(ctx context.Context, scheme string) error {
	return t.call(ctx, t.session, "Emulation.setEmulatedMedia",
		map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Size is that of the page's window, in CSS pixels.
func (t *Tab) Size(ctx context.Context, width, height int) error {
	return t.call(ctx, t.session, "Emulation.setDeviceMetricsOverride",
		map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// Until waits for an expression to hold on a page that is complete.
func (t *Tab) Until(ctx context.Context, is string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// A page that is just being replaced has no answer; the next one will.
		holds, err := t.Run(ctx, "document.readyState === 'complete' && !!("+is+")")
		if err == nil && holds == true {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			where, last := t.Run(context.WithoutCancel(ctx), "location.pathname + ' ' + document.title")
			return errors.Join(fmt.Errorf("the page %v never was %s", where, is), err, last)
		}
	}
}

// Run evaluates an expression in the page. A promise is waited for.
func (t *Tab) Run(ctx context.Context, expression string) (any, error) {
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := t.call(ctx, t.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &got)
	if err == nil && got.ExceptionDetails != nil {
		err = fmt.Errorf("%s: %s", expression, got.ExceptionDetails.Exception.Description)
	}
	return got.Result.Value, err
}

// Screenshot keeps what there is to see, as dir/name.png.
func (t *Tab) Screenshot(ctx context.Context, dir, name string) error {
	var got struct{ Data string }
	if err := t.call(ctx, t.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &got); err != nil {
		return err
	}
	seen, err := png.Decode(base64.NewDecoder(base64.StdEncoding, strings.NewReader(got.Data)))
	if err != nil {
		return fmt.Errorf("reading screenshot: %w", err)
	}
	file, err := os.Create(filepath.Join(dir, name+".png"))
	if err != nil {
		return fmt.Errorf("keeping screenshot: %w", err)
	}
	// Half as large as the browser makes it, which is in a hurry.
	if err := errors.Join((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(file, seen), file.Close()); err != nil {
		return fmt.Errorf("keeping screenshot: %w", err)
	}
	return nil
}
