package tasks

import (
	"context"
	"time"

	"github.com/wispanel/wptk/wp"
)

var pluginDeactivateSpec = Spec{
	Kind:     "plugin.deactivate",
	Class:    Interactive,
	Deadline: 15 * time.Minute,
	New:      func() Task { return new(PluginDeactivate) },
}

// PluginDeactivate deactivates plugins, also on a site that they have broken: their own code
// is not run there.
type PluginDeactivate struct {
	Plugin Names `json:"plugin,omitempty" example:"\"akismet\"" doc:"Slug or list of slugs."`
	All    bool  `json:"all,omitempty" doc:"Every active plugin."`
	DryRun bool  `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "plugin.deactivate".
func (*PluginDeactivate) Kind() string { return pluginDeactivateSpec.Kind }

func (p *PluginDeactivate) selection() selection {
	return selection{family: pluginFamily, names: p.Plugin, all: p.All}
}

// Validate names every problem.
func (p *PluginDeactivate) Validate() []Problem { return p.selection().problems() }

// Steps deactivates one plugin after the other.
func (p *PluginDeactivate) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *PluginDeactivate) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, doing: "Deactivating"}
	x.every = wp.Addon.Active
	x.decide = func(_ context.Context, _ *extensionOp, have wp.Extensions, ref reference) (itemChange, error) {
		a, there := pluginFamily.find(have, ref.slug, ref.file)
		switch {
		case !there:
			return itemChange{}, notInstalled(pluginFamily, ref.String())
		case isFixed(a):
			return itemChange{}, mustUse(a)
		case !a.Active():
			return unchanged(a), nil
		}
		c := stay(a)
		c.Want = wp.AddonInactive
		return c, nil
	}
	return x
}
