package tasks

import (
	"context"
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp"
)

var themeDeleteSpec = Spec{
	Kind:     "theme.delete",
	Class:    Interactive,
	Deadline: 15 * time.Minute,
	New:      func() Task { return new(ThemeDelete) },
}

// ThemeDelete removes the files of themes. The active theme and its parent are refused.
type ThemeDelete struct {
	Theme  Names `json:"theme,omitempty" example:"\"twentytwentythree\"" doc:"Slug or list of slugs."`
	All    bool  `json:"all,omitempty" doc:"Every theme but the active one and its parent."`
	DryRun bool  `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "theme.delete".
func (*ThemeDelete) Kind() string { return themeDeleteSpec.Kind }

func (p *ThemeDelete) selection() selection {
	return selection{family: themeFamily, names: p.Theme, all: p.All}
}

// Validate names every problem.
func (p *ThemeDelete) Validate() []Problem { return p.selection().problems() }

// Steps deletes one theme after the other.
func (p *ThemeDelete) Steps(r *Run) []Step {
	return p.op(r).steps()
}

func (p *ThemeDelete) op(r *Run) *extensionOp {
	x := &extensionOp{Run: r, selection: p.selection(), dryRun: p.DryRun, doing: "Deleting"}
	x.every = func(a wp.Addon) bool { return !a.Active() }
	x.decide = func(_ context.Context, _ *extensionOp, have wp.Extensions, ref reference) (itemChange, error) {
		a, there := themeFamily.find(have, ref.slug, "")
		switch {
		case !there:
			return itemChange{}, notInstalled(themeFamily, ref.slug)
		case a.Path == "":
			return itemChange{}, elsewhere(themeFamily, a.Slug)
		case a.Status == wp.AddonParent:
			return itemChange{}, refuse(CodeInUse, fmt.Sprintf("The active theme %s is built on the theme %s.", have.Stylesheet, a.Slug),
				"Switch to another theme first.")
		case a.Active():
			return itemChange{}, refuse(CodeInUse, fmt.Sprintf("The theme %s is active.", a.Slug), "Switch to another theme first.")
		}
		if err := usedElsewhere(themeFamily, a); err != nil {
			return itemChange{}, err
		}
		c := stay(a)
		c.To, c.Want, c.Remove = "", "", true
		return c, nil
	}
	return x
}
