package main

import (
	"fmt"

	"github.com/wispanel/wptk/deploy/devtools"
)

// checkConsole opens the operations console by a link, finds the site there by the keyboard,
// and sees an operation that begins afterwards end among those of the site.
func checkConsole(x *exam) {
	if x.err != nil {
		return
	}
	var made struct{ Code string }
	if _, err := x.e2e.stack.client.post(x.ctx, "/console/links", nil, &made); err != nil {
		x.note(err)
		return
	}
	const live = "document.body.dataset.view === 'console' && document.querySelector('#link').textContent === 'live'"
	x.browse(func(b *devtools.Tab) error {
		if err := b.Open(x.ctx, x.e2e.stack.apiURL()+"/console#"+made.Code, live); err != nil {
			return err
		}
		if err := x.findInConsole(b); err != nil {
			return err
		}
		took := x.submit("/verify-checksums", nil)
		if err := b.Until(x.ctx, "document.querySelector('#install-ops .row[data-state=succeeded]') && "+
			fmt.Sprintf("document.querySelector('#install-ops li[data-key=%s] .row[data-state=succeeded]')", took.OperationID)); err != nil {
			return err
		}
		return b.Screenshot(x.ctx, x.e2e.artefacts, "console-"+x.version)
	})
}

// findInConsole types the site's domain; its title is shown as it is, ampersand and all.
func (x *exam) findInConsole(b *devtools.Tab) error {
	keys := []string{"/"}
	for _, c := range x.domain {
		keys = append(keys, string(c))
	}
	for _, key := range keys {
		if err := b.Press(x.ctx, key); err != nil {
			return err
		}
	}
	if err := b.Until(x.ctx, fmt.Sprintf("document.querySelector('#results .row')?.innerText.includes(%q)", x.title)); err != nil {
		return err
	}
	if err := b.Press(x.ctx, "Enter"); err != nil {
		return err
	}
	return b.Until(x.ctx, fmt.Sprintf("document.querySelector('#install-facts').innerText.includes(%q) && document.querySelector('#install-ops .row')", x.id))
}
