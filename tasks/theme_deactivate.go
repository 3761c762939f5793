package tasks

import (
	"context"
	"time"

	"github.com/wispanel/wptk/wp"
)

var themeDeactivateSpec = Spec{
	Kind:     "theme.deactivate",
	Class:    Interactive,
	Deadline: 10 * time.Minute,
	New:      func() Task { return new(ThemeDeactivate) },
}

// ThemeDeactivate switches a site away from a theme. As a site always has one, another one
// takes its place: the fallback.
type ThemeDeactivate struct {
	Theme    Names  `json:"theme" example:"\"astra\"" doc:"Slug of the active theme. Nothing is done when another one is active."`
	Fallback string `json:"fallback,omitempty" maxLength:"64" example:"twentytwentyfour" doc:"Theme to switch to; by default the newest of WordPress's own that is there."`
	DryRun   bool   `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "theme.deactivate".
func (*ThemeDeactivate) Kind() string { return themeDeactivateSpec.Kind }

func (p *ThemeDeactivate) selection() selection {
	return selection{family: themeFamily, names: p.Theme}
}

// Validate names every problem.
func (p *ThemeDeactivate) Validate() []Problem {
	found := oneTheme(p.selection())
	found.optional("fallback", p.Fallback, wp.ValidSlug)
	if p.Fallback != "" && len(p.Theme) == 1 && p.Theme[0] == p.Fallback {
		found.add("fallback", "must be another theme")
	}
	return found
}

// Steps switches to the fallback.
func (p *ThemeDeactivate) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *ThemeDeactivate) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, doing: "Deactivating"}
	x.decide = func(_ context.Context, _ *extensionOp, have wp.Extensions, ref reference) (itemChange, error) {
		a, there := themeFamily.find(have, ref.slug, "")
		switch {
		case !there && have.Stylesheet != ref.slug:
			return itemChange{}, notInstalled(themeFamily, ref.slug)
		case have.Stylesheet != ref.slug:
			return unchanged(a), nil
		}
		next, err := p.fallback(have, ref.slug)
		if err != nil {
			return itemChange{}, err
		}
		c, err := switchTo(next)
		c.Show = ref.slug
		return c, err
	}
	return x
}

// ownThemes are those that come with WordPress, the newest first. The site's WordPress knows
// its newest; this is for when that is the one to be left.
var ownThemes = []string{
	"twentytwentyfive", "twentytwentyfour", "twentytwentythree", "twentytwentytwo", "twentytwentyone", "twentytwenty",
	"twentynineteen", "twentyseventeen", "twentysixteen", "twentyfifteen", "twentyfourteen", "twentythirteen", "twentytwelve",
	"twentyeleven", "twentyten",
}

func (p *ThemeDeactivate) fallback(have wp.Extensions, leave string) (wp.Addon, error) {
	if p.Fallback != "" {
		a, there := themeFamily.find(have, p.Fallback, "")
		if !there {
			return wp.Addon{}, notInstalled(themeFamily, p.Fallback)
		}
		return a, nil
	}
	for _, slug := range append([]string{have.DefaultTheme}, ownThemes...) {
		a, there := themeFamily.find(have, slug, "")
		if there && slug != leave && a.Error == "" {
			return a, nil
		}
	}
	return wp.Addon{}, refuse(CodeNotInstalled, "There is no theme of WordPress itself to switch to.",
		"Install one, or name another theme as fallback.")
}
