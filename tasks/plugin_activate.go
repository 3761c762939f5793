package tasks

import (
	"context"
	"time"

	"github.com/wispanel/wptk/wp"
)

var pluginActivateSpec = Spec{
	Kind:     "plugin.activate",
	Class:    Interactive,
	Deadline: 15 * time.Minute,
	New:      func() Task { return new(PluginActivate) },
}

// PluginActivate activates plugins. One with which the site does not come up any more is
// deactivated again.
type PluginActivate struct {
	Plugin  Names `json:"plugin,omitempty" example:"\"akismet\"" doc:"Slug or list of slugs."`
	All     bool  `json:"all,omitempty" doc:"Every plugin that is there."`
	Network bool  `json:"network,omitempty" doc:"Activate for the whole network of a multisite install."`
	DryRun  bool  `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "plugin.activate".
func (*PluginActivate) Kind() string { return pluginActivateSpec.Kind }

func (p *PluginActivate) selection() selection {
	return selection{family: pluginFamily, names: p.Plugin, all: p.All}
}

// Validate names every problem.
func (p *PluginActivate) Validate() []Problem { return p.selection().problems() }

// Steps activates one plugin after the other.
func (p *PluginActivate) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *PluginActivate) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, doing: "Activating"}
	x.every = func(wp.Addon) bool { return true }
	x.decide = func(_ context.Context, x *extensionOp, have wp.Extensions, ref reference) (itemChange, error) {
		a, there := pluginFamily.find(have, ref.slug, ref.file)
		activity, err := activityOf(have, p.Network)
		switch {
		case err != nil:
			return itemChange{}, err
		case !there:
			return itemChange{}, notInstalled(pluginFamily, ref.String())
		case isFixed(a):
			return itemChange{}, mustUse(a)
		case a.Status == activity, a.Status == wp.AddonNetwork:
			return unchanged(a), nil
		case !x.plan.Health.Up:
			return itemChange{}, siteDown(x.plan.Health)
		}
		c := stay(a)
		c.Want = activity
		return c, nil
	}
	return x
}
