package tasks

import (
	"context"
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp"
)

var siteInspectSpec = Spec{
	Kind:     "site.inspect",
	Class:    Interactive,
	Deadline: 3 * time.Minute,
	New:      func() Task { return new(SiteInspect) },
}

// SiteInspect reads everything about an install anew. What it finds goes to the inventory;
// the result is the short form. That a site is broken is something it finds, no failure.
type SiteInspect struct{}

// SiteInspectResult is how the install was found.
type SiteInspectResult struct {
	Status        wp.Status `json:"status"`
	Reason        string    `json:"reason"`
	Version       string    `json:"version"`
	Plugins       int       `json:"plugins"`
	Themes        int       `json:"themes"`
	Updates       int       `json:"updates"` // core, plugins and themes together
	Issues        int       `json:"issues"`
	FilesBytes    int64     `json:"files_bytes"`
	DatabaseBytes int64     `json:"database_bytes"`
	ReadAt        time.Time `json:"read_at"`
}

// Kind is "site.inspect".
func (*SiteInspect) Kind() string { return siteInspectSpec.Kind }

// Validate finds nothing: there is nothing to ask for.
func (*SiteInspect) Validate() []Problem { return nil }

// Steps reads; there is nothing to undo.
func (*SiteInspect) Steps(r *Run) []Step {
	return []Step{{Name: "inspect", Message: "Reading the site", Do: r.inspect}}
}

func (r *Run) inspect(ctx context.Context) error {
	site, err := r.existing()
	if err != nil {
		return err
	}
	d, err := r.Host.Examine(ctx, site)
	if err != nil {
		return lookError(fmt.Errorf("inspecting site: %w", err))
	}
	r.Inspected = &d
	return r.SetResult(inspectResult(d))
}

func inspectResult(d wp.Details) SiteInspectResult {
	out := SiteInspectResult{Status: d.Status, Reason: d.Reason, Issues: len(d.Issues), ReadAt: d.ReadAt}
	count := func(update string) {
		if update != "" {
			out.Updates++
		}
	}
	if d.Core != nil {
		out.Version = d.Core.Version
		count(d.Core.Update)
	}
	if d.Plugins != nil {
		out.Plugins = len(d.Plugins.List) + d.Plugins.More
		for _, p := range d.Plugins.List {
			count(p.Update)
		}
	}
	if d.Themes != nil {
		out.Themes = len(d.Themes.List) + d.Themes.More
		for _, t := range d.Themes.List {
			count(t.Update)
		}
	}
	if d.Files != nil {
		out.FilesBytes = d.Files.Bytes
	}
	if d.Database != nil {
		out.DatabaseBytes = d.Database.Bytes
	}
	return out
}
