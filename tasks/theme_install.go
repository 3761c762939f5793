package tasks

import (
	"context"
	"time"

	"github.com/wispanel/wptk/wp"
)

var themeInstallSpec = Spec{
	Kind:     "theme.install",
	Class:    Interactive,
	Deadline: 15 * time.Minute,
	New:      func() Task { return new(ThemeInstall) },
}

// ThemeInstall puts themes from the package source into a site. One that is there already is
// left as it is, unless a version is asked for.
type ThemeInstall struct {
	Theme    Names  `json:"theme" example:"\"twentytwentyfour\"" doc:"Slug or list of slugs; a version may follow an @."`
	Version  string `json:"version,omitempty" maxLength:"40" example:"1.1" doc:"Of the only theme; the newest by default. Replaces another version."`
	Activate bool   `json:"activate,omitempty" doc:"Also switch to it; for one theme only."`
	DryRun   bool   `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "theme.install".
func (*ThemeInstall) Kind() string { return themeInstallSpec.Kind }

func (p *ThemeInstall) selection() selection {
	return selection{family: themeFamily, names: p.Theme, version: p.Version, versions: true}
}

// Validate names every problem.
func (p *ThemeInstall) Validate() []Problem {
	found := p.selection().problems()
	if p.Activate && len(p.Theme) > 1 {
		found.add("activate", "is for one theme; a site has one active theme only")
	}
	return found
}

// Steps installs one theme after the other.
func (p *ThemeInstall) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *ThemeInstall) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, doing: "Installing"}
	x.decide = func(ctx context.Context, x *extensionOp, have wp.Extensions, ref reference) (itemChange, error) {
		activity := ""
		if p.Activate && ref.slug != have.Stylesheet {
			activity = wp.AddonActive
		}
		return x.decideInstall(ctx, have, ref, activity)
	}
	return x
}
