package tasks

import (
	"time"

	"github.com/wispanel/wptk/wp"
)

var themeUpdateSpec = Spec{
	Kind:     "theme.update",
	Class:    Standard,
	Deadline: time.Hour, // the tables are copied in it
	New:      func() Task { return new(ThemeUpdate) },
}

// ThemeUpdate replaces themes by a newer version from the package source. One with which the
// site does not come up any more gets its old files back.
type ThemeUpdate struct {
	Theme   Names  `json:"theme,omitempty" example:"\"twentytwentyfour\"" doc:"Slug or list of slugs; a version may follow an @."`
	All     bool   `json:"all,omitempty" doc:"Every theme of which the package source has a newer version."`
	Version string `json:"version,omitempty" maxLength:"40" example:"1.1" doc:"Of the only theme, and may be older; the newest by default."`
	Safe    *bool  `json:"safe,omitempty" default:"true" doc:"Copy the tables before, compare the pages of the site afterwards, and take everything back when it is worse. True when left out."`
	DryRun  bool   `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "theme.update".
func (*ThemeUpdate) Kind() string { return themeUpdateSpec.Kind }

func (p *ThemeUpdate) selection() selection {
	return selection{family: themeFamily, names: p.Theme, all: p.All, version: p.Version, versions: true}
}

// Validate names every problem.
func (p *ThemeUpdate) Validate() []Problem { return p.selection().problems() }

// Steps updates one theme after the other.
func (p *ThemeUpdate) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *ThemeUpdate) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, safe: asksSafe(p.Safe), doing: "Updating", decide: decideUpdate}
	x.every = func(wp.Addon) bool { return true }
	return x
}
