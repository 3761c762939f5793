package tasks

import (
	"context"
	"time"

	"github.com/wispanel/wptk/wp"
)

var pluginInstallSpec = Spec{
	Kind:     "plugin.install",
	Class:    Interactive,
	Deadline: 15 * time.Minute,
	New:      func() Task { return new(PluginInstall) },
}

// PluginInstall puts plugins from the package source into a site. One that is there already
// is left as it is, unless a version is asked for.
type PluginInstall struct {
	Plugin   Names  `json:"plugin" example:"\"wordfence\"" doc:"Slug or list of slugs; a version may follow an @."`
	Version  string `json:"version,omitempty" maxLength:"40" example:"5.3" doc:"Of the only plugin; the newest by default. Replaces another version."`
	Activate bool   `json:"activate,omitempty" doc:"Also activate them."`
	Network  bool   `json:"network,omitempty" doc:"Activate for the whole network of a multisite install."`
	DryRun   bool   `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "plugin.install".
func (*PluginInstall) Kind() string { return pluginInstallSpec.Kind }

func (p *PluginInstall) selection() selection {
	return selection{family: pluginFamily, names: p.Plugin, version: p.Version, versions: true}
}

// Validate names every problem.
func (p *PluginInstall) Validate() []Problem {
	found := p.selection().problems()
	if p.Network && !p.Activate {
		found.add("network", "is about activation; set activate as well")
	}
	return found
}

// Steps installs one plugin after the other.
func (p *PluginInstall) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *PluginInstall) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, doing: "Installing"}
	x.decide = func(ctx context.Context, x *extensionOp, have wp.Extensions, ref reference) (itemChange, error) {
		if !p.Activate {
			return x.decideInstall(ctx, have, ref, "")
		}
		activity, err := activityOf(have, p.Network)
		if err != nil {
			return itemChange{}, err
		}
		return x.decideInstall(ctx, have, ref, activity)
	}
	return x
}

// activityOf is what an activated plugin is.
func activityOf(have wp.Extensions, network bool) (string, error) {
	switch {
	case !network:
		return wp.AddonActive, nil
	case !have.Multisite:
		return "", invalidPayload(Problem{"network", "is for multisite installs, and this is none"})
	}
	return wp.AddonNetwork, nil
}
