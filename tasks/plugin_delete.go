package tasks

import (
	"context"
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp"
)

var pluginDeleteSpec = Spec{
	Kind:     "plugin.delete",
	Class:    Interactive,
	Deadline: 15 * time.Minute,
	New:      func() Task { return new(PluginDelete) },
}

// PluginDelete removes the files of plugins. What they have in the database stays, unless
// uninstall is asked for.
type PluginDelete struct {
	Plugin     Names `json:"plugin,omitempty" example:"\"hello-dolly\"" doc:"Slug or list of slugs."`
	All        bool  `json:"all,omitempty" doc:"Every plugin that is not active; with deactivate really every one."`
	Deactivate bool  `json:"deactivate,omitempty" doc:"Also those that are active, which are deactivated first."`
	Uninstall  bool  `json:"uninstall,omitempty" doc:"Have each remove its data first, as far as it does that. This cannot be taken back."`
	DryRun     bool  `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "plugin.delete".
func (*PluginDelete) Kind() string { return pluginDeleteSpec.Kind }

func (p *PluginDelete) selection() selection {
	return selection{family: pluginFamily, names: p.Plugin, all: p.All}
}

// Validate names every problem.
func (p *PluginDelete) Validate() []Problem { return p.selection().problems() }

// Steps deletes one plugin after the other.
func (p *PluginDelete) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *PluginDelete) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, doing: "Deleting"}
	x.every = func(a wp.Addon) bool { return p.Deactivate || !a.Active() }
	x.decide = func(_ context.Context, x *extensionOp, have wp.Extensions, ref reference) (itemChange, error) {
		a, there := pluginFamily.find(have, ref.slug, ref.file)
		switch {
		case !there:
			return itemChange{}, notInstalled(pluginFamily, ref.String())
		case isFixed(a):
			return itemChange{}, mustUse(a)
		case a.Path == "":
			return itemChange{}, elsewhere(pluginFamily, a.Slug)
		case a.Active() && !p.Deactivate:
			return itemChange{}, refuse(CodeInUse, fmt.Sprintf("The plugin %s is active.", a.Slug), "Deactivate it first, or set deactivate.")
		case p.Uninstall && !x.plan.Health.Up:
			return itemChange{}, siteDown(x.plan.Health)
		}
		if err := usedElsewhere(pluginFamily, a); err != nil {
			return itemChange{}, err
		}
		if err := pluginNeighbours(have, a); err != nil {
			return itemChange{}, err
		}
		c := stay(a)
		c.To, c.Want, c.Remove, c.Uninstall = "", "", true, p.Uninstall
		return c, nil
	}
	return x
}

// pluginNeighbours refuses to delete a directory in which another plugin is active.
func pluginNeighbours(have wp.Extensions, a wp.Addon) error {
	for _, other := range have.Plugins {
		if other.Path == a.Path && other.File != a.File && other.Active() {
			return refuse(CodeInUse, fmt.Sprintf("The plugin %s is active and has its files in the same directory as %s.", other.File, a.File),
				"Deactivate it first.")
		}
	}
	return nil
}
