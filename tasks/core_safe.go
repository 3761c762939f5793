package tasks

import (
	"context"
	"path/filepath"

	"github.com/wispanel/wptk/wp"
)

// startGuard is the part of the plan that a safe update needs beside.
func (c *coreChange) startGuard(ctx context.Context, p corePlan) error {
	site, err := c.existing()
	if err != nil {
		return err
	}
	if site, err = site.WithURL(p.URL); err != nil {
		return err
	}
	return c.guard.start(ctx, site)
}

// kept names what of the files the exchange keeps: what it replaces goes into the stage.
func (c *coreChange) kept() ([]string, error) {
	site, p, err := c.site()
	if err != nil || !p.Files {
		return nil, err
	}
	files := []string{filepath.Join(site.Docroot, "*.php")}
	for _, dir := range wp.CoreDirs() {
		files = append(files, filepath.Join(site.Docroot, dir))
	}
	return files, nil
}

// tellBack is the result of an update that was taken back.
func (c *coreChange) tellBack(report SafeReport) (any, error) {
	p, err := c.plan()
	return CoreResult{From: p.From, To: p.To, SiteUp: p.Up, Reason: p.Reason, Safe: &report}, err
}
