package tasks

import (
	"time"

	"github.com/wispanel/wptk/wp"
)

var pluginUpdateSpec = Spec{
	Kind:     "plugin.update",
	Class:    Standard,
	Deadline: time.Hour, // the tables are copied in it
	New:      func() Task { return new(PluginUpdate) },
}

// PluginUpdate replaces plugins by a newer version from the package source; WordPress asks
// nobody itself. One with which the site does not come up any more gets its old files back.
type PluginUpdate struct {
	Plugin  Names  `json:"plugin,omitempty" example:"\"akismet\"" doc:"Slug or list of slugs; a version may follow an @."`
	All     bool   `json:"all,omitempty" doc:"Every plugin of which the package source has a newer version."`
	Version string `json:"version,omitempty" maxLength:"40" example:"5.3" doc:"Of the only plugin, and may be older; the newest by default."`
	Safe    *bool  `json:"safe,omitempty" default:"true" doc:"Copy the tables before, compare the pages of the site afterwards, and take everything back when it is worse. True when left out."`
	DryRun  bool   `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "plugin.update".
func (*PluginUpdate) Kind() string { return pluginUpdateSpec.Kind }

func (p *PluginUpdate) selection() selection {
	return selection{family: pluginFamily, names: p.Plugin, all: p.All, version: p.Version, versions: true}
}

// Validate names every problem.
func (p *PluginUpdate) Validate() []Problem { return p.selection().problems() }

// Steps updates one plugin after the other.
func (p *PluginUpdate) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *PluginUpdate) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, safe: asksSafe(p.Safe), doing: "Updating", decide: decideUpdate}
	x.every = func(wp.Addon) bool { return true }
	return x
}
