package tasks

import (
	"context"
	"fmt"

	"github.com/wispanel/wptk/wp"
)

// fetch provides the archive of a version; "" is the newest.
func (x *extensionOp) fetch(ctx context.Context, slug, version string) (string, error) {
	zip, err := x.family.fetch(x.Host.Packages, ctx, slug, version)
	if err != nil {
		return "", fmt.Errorf("fetching %s %s: %w", x.family.word, slug, err)
	}
	if err := wp.CheckRoot(zip, slug); err != nil {
		return "", fmt.Errorf("checking the package of %s: %w", slug, err)
	}
	return zip, nil
}

// decideInstall puts a new one there. One that is there already stays unless a version was
// asked for.
func (x *extensionOp) decideInstall(ctx context.Context, have wp.Extensions, ref reference, activity string) (itemChange, error) {
	a, there := x.family.find(have, ref.slug, ref.file)
	if isFixed(a) {
		return itemChange{}, mustUse(a)
	}
	c := stay(a)
	if !there {
		root := x.family.root(have)
		if root == "" {
			return itemChange{}, elsewhere(x.family, ref.slug)
		}
		c = itemChange{Show: ref.slug, Slug: ref.slug, Path: root + "/" + ref.slug, Want: wp.AddonInactive}
	}
	if !there || ref.version != "" {
		if err := x.replace(ctx, &c, ref, there); err != nil {
			return itemChange{}, err
		}
	}
	if activity != "" && !isOn(c.Was) {
		if !x.plan.Health.Up {
			return itemChange{}, siteDown(x.plan.Health)
		}
		c.Want = activity
	}
	if !c.Unpack && c.Want == c.Was {
		c.Status = ItemUnchanged
	}
	return c, nil
}

// replace has the files of an item come from a package, unless they are that version.
func (x *extensionOp) replace(ctx context.Context, c *itemChange, ref reference, there bool) error {
	switch {
	case c.Path == "":
		return elsewhere(x.family, c.Slug)
	case there && c.File != "" && c.File == c.Slug+".php":
		return refuse(CodeUnusable, fmt.Sprintf("The plugin %s is a single file, which a package does not replace.", c.File),
			"Delete it, then install the package.")
	}
	zip, err := x.fetch(ctx, c.Slug, ref.version)
	if err != nil {
		return err
	}
	c.To = wp.ArchiveVersion(zip)
	c.Unpack = !there || !sameVersion(c.To, c.From)
	if !c.Unpack {
		c.To = c.From
	}
	return nil
}

// decideUpdate replaces one by the newest version of the package source, or by the one that
// was asked for, which may be older.
func decideUpdate(ctx context.Context, x *extensionOp, have wp.Extensions, ref reference) (itemChange, error) {
	a, there := x.family.find(have, ref.slug, ref.file)
	switch {
	case !there:
		return itemChange{}, notInstalled(x.family, ref.String())
	case isFixed(a):
		return itemChange{}, mustUse(a)
	}
	c := stay(a)
	if err := x.replace(ctx, &c, ref, true); err != nil {
		return itemChange{}, err
	}
	wished := ref.version != "" && ref.version != "latest"
	if !c.Unpack || !wished && newer(c.From, c.To) {
		return unchanged(a), nil
	}
	return c, nil
}

// isFixed reports what WordPress loads whatever anybody says.
func isFixed(a wp.Addon) bool { return a.Status == wp.AddonMustUse || a.Status == wp.AddonDropIn }

// sameVersion compares as versions where both are some, else as text.
func sameVersion(a, b string) bool {
	va, errA := wp.ParseVersion(a)
	vb, errB := wp.ParseVersion(b)
	if errA != nil || errB != nil {
		return a == b
	}
	return va.Compare(vb) == 0
}

// newer reports that a is a later version than b, as far as both are versions.
func newer(a, b string) bool {
	va, errA := wp.ParseVersion(a)
	vb, errB := wp.ParseVersion(b)
	return errA == nil && errB == nil && va.Compare(vb) > 0
}

// usedElsewhere refuses to take away what other sites of the network use.
func usedElsewhere(f family, a wp.Addon) error {
	switch {
	case a.Used > 0:
		return refuse(CodeInUse, fmt.Sprintf("The %s %s is in use on %d other sites of the network.", f.word, a.Slug, a.Used),
			"Deactivate it there first.")
	case a.Used < 0:
		return refuse(CodeInUse, fmt.Sprintf("The network has too many sites to find out whether one of them uses the %s %s.", f.word, a.Slug),
			"Delete it in the network's own dashboard.")
	}
	return nil
}
