package tasks

import (
	"context"
	"time"

	"github.com/wispanel/wptk/wp"
)

var themeActivateSpec = Spec{
	Kind:     "theme.activate",
	Class:    Interactive,
	Deadline: 10 * time.Minute,
	New:      func() Task { return new(ThemeActivate) },
}

// ThemeActivate switches a site to a theme that is there. When the site does not come up with
// it, it is switched back.
type ThemeActivate struct {
	Theme  Names `json:"theme" example:"\"twentytwentyfour\"" doc:"Slug of one theme."`
	DryRun bool  `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "theme.activate".
func (*ThemeActivate) Kind() string { return themeActivateSpec.Kind }

func (p *ThemeActivate) selection() selection { return selection{family: themeFamily, names: p.Theme} }

// Validate names every problem.
func (p *ThemeActivate) Validate() []Problem { return oneTheme(p.selection()) }

// oneTheme is the problems of a selection that is one theme.
func oneTheme(s selection) problems {
	found := s.problems()
	if len(s.names) > 1 {
		found.add(themeFamily.word, "must be one theme; a site has one active theme only")
	}
	return found
}

// Steps switches the theme.
func (p *ThemeActivate) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *ThemeActivate) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, doing: "Activating"}
	x.decide = func(_ context.Context, _ *extensionOp, have wp.Extensions, ref reference) (itemChange, error) {
		a, there := themeFamily.find(have, ref.slug, "")
		switch {
		case !there:
			return itemChange{}, notInstalled(themeFamily, ref.slug)
		case a.Status == wp.AddonActive:
			return unchanged(a), nil
		}
		return switchTo(a)
	}
	return x
}

// switchTo is the change that makes a theme the active one. It may well be what repairs a
// site, so it is made on one that does not come up, too.
func switchTo(a wp.Addon) (itemChange, error) {
	if a.Error != "" {
		return itemChange{}, refuse(CodeUnusable, "WordPress cannot use the theme "+a.Slug+": "+a.Error,
			"Install what it needs, or choose another theme.")
	}
	c := stay(a)
	c.Want = wp.AddonActive
	return c, nil
}
