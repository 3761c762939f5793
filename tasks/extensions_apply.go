package tasks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wispanel/wptk/wp"
)

// apply does one item after the other, each of them whole or not at all: one that fails is
// taken back at once, and the next is done.
func (x *extensionOp) apply(ctx context.Context) error {
	if err := x.load(); err != nil {
		return err
	}
	for i, c := range x.plan.Items {
		if c.Status != "" || x.dryRun {
			continue
		}
		if err := x.guard.touch(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		x.Report(float64(i)/float64(len(x.plan.Items)), x.doing+" "+c.Slug)
		if !c.Begun {
			c.Begun = true
			if err := x.keep(i, c); err != nil {
				return err
			}
		}
		done, err := x.one(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Slug, err)
		}
		if err := x.keep(i, done); err != nil {
			return err
		}
	}
	return nil
}

// one does an item, or takes it back and says why. The error is about the op.
func (x *extensionOp) one(ctx context.Context, c itemChange) (itemChange, error) {
	done, err := x.make(ctx, c)
	if err == nil {
		done.Status = ItemSucceeded
		return done, nil
	}
	if !ownFault(ctx, err) {
		return c, err
	}
	var bad *badEffect
	if x.guard.on && errors.As(err, &bad) {
		return c, x.guard.broke(err, c.Slug+": "+x.health.Reason)
	}
	f := x.failureOf(err)
	x.logf("%s: %s", c.Slug, f.Message)
	if err := x.revert(ctx, c); err != nil {
		return c, fmt.Errorf("taking back %s: %w", c.Slug, err)
	}
	return c.failed(f, false), nil
}

// make has the effects of one item, as far as they are not there yet, and checks them.
func (x *extensionOp) make(ctx context.Context, c itemChange) (itemChange, error) {
	now, err := x.current(ctx, c)
	if err != nil {
		return c, err
	}
	if isOn(now.Status) && !isOn(c.Want) {
		if err := x.setActive(ctx, now, false); err != nil {
			return c, err
		}
	}
	if c.Uninstall && now.Status != "" {
		x.have = nil
		if err := x.Host.CLI.UninstallPlugin(ctx, x.site, now.File); err != nil {
			return c, err
		}
	}
	if err := x.files(ctx, c); err != nil {
		return c, err
	}
	if isOn(c.Want) {
		if now, err = x.current(ctx, c); err != nil {
			return c, err
		}
		if now.Status != "" && now.Status != c.Want {
			now.Status = c.Want // network or not
			if err := x.setActive(ctx, now, true); err != nil {
				return c, err
			}
		}
	}
	return x.check(ctx, c)
}

// current is the item as it is at the moment; without a Status when it is not there.
func (x *extensionOp) current(ctx context.Context, c itemChange) (wp.Addon, error) {
	have, err := x.look(ctx)
	if err != nil {
		return wp.Addon{}, err
	}
	a, _ := x.family.find(have, c.Slug, c.File)
	return a, nil
}

// setActive activates or deactivates. A site that does not come up is not loaded for it.
func (x *extensionOp) setActive(ctx context.Context, a wp.Addon, active bool) error {
	x.have = nil
	if x.family.word == themeFamily.word {
		return x.Host.CLI.SwitchTheme(ctx, x.site, a.Slug, x.bare())
	}
	err := x.Host.CLI.SetPluginActive(ctx, x.site, a.File, active, a.Status == wp.AddonNetwork, x.bare())
	if errors.Is(err, wp.ErrFatal) && !active {
		// Its own last words end PHP. It has to go all the same.
		err = x.Host.CLI.SetPluginActive(ctx, x.site, a.File, false, a.Status == wp.AddonNetwork, true)
	}
	return err
}

func (x *extensionOp) bare() wp.Bare { return wp.Bare(!x.plan.Health.Up) }

func (x *extensionOp) stash() string { return wp.StageName(x.Op.ID) }

// files puts the item's files in place, or takes them away. What was there is kept.
func (x *extensionOp) files(ctx context.Context, c itemChange) error {
	if c.Remove {
		x.have = nil
		return x.Host.Files.TakeAway(ctx, x.site, c.Path, x.stash())
	}
	if !c.Unpack {
		return nil
	}
	zip, err := x.fetch(ctx, c.Slug, c.To)
	if err != nil {
		return err
	}
	switch kept, err := x.Host.Files.Keep(ctx, x.site, c.Path, x.stash()); {
	case err != nil:
		return err
	case kept == wp.KeptLink:
		return Permanent(nil, linked(x.family, c.Slug))
	}
	x.have = nil
	return x.family.unpack(x.Host.CLI, ctx, x.site, zip, x.bare())
}

// check looks at what became of an item: what WP-CLI said about it does not count.
func (x *extensionOp) check(ctx context.Context, c itemChange) (itemChange, error) {
	now, err := x.current(ctx, c)
	if err != nil {
		return c, err
	}
	switch there := now.Status != ""; {
	case c.Remove && there, !c.Remove && !there:
		return c, notApplied(x.family, c, "files")
	case there && isOn(now.Status) != isOn(c.Want), isOn(c.Want) && now.Status != c.Want:
		return c, notApplied(x.family, c, "activation")
	case c.Unpack && !sameVersion(now.Version, c.To) && sameVersion(now.Version, c.From):
		return c, notApplied(x.family, c, "version")
	}
	if c.Unpack {
		c.To = now.Version // its own header may write it differently
	}
	if x.plan.Health.Up && !x.health.Up {
		return c, &badEffect{Permanent(errors.New(x.health.Reason), siteBroken(x.family, c, x.health))}
	}
	return c, nil
}

// revert makes items what they were before the op, newest first. PHP is needed for what is
// in the database only, and the site's own code, which may be what is broken, is not loaded
// for taking something out.
func (x *extensionOp) revert(ctx context.Context, items ...itemChange) error {
	x.have = nil
	have, err := x.Host.CLI.Extensions(ctx, x.site)
	if err != nil {
		return err
	}
	slices.Reverse(items)
	for _, c := range items {
		now, there := x.family.find(have, c.Slug, c.File)
		if x.family.word == pluginFamily.word && there && isOn(now.Status) && !isOn(c.Was) {
			if err := x.Host.CLI.SetPluginActive(ctx, x.site, now.File, false, now.Status == wp.AddonNetwork, true); err != nil {
				return err
			}
		}
	}
	for _, c := range items {
		if c.Unpack || c.Remove {
			if err := x.Host.Files.PutBack(ctx, x.site, c.Path, x.stash()); err != nil {
				return err
			}
		}
	}
	if have, err = x.Host.CLI.Extensions(ctx, x.site); err != nil {
		return err
	}
	return x.reactivate(ctx, have, items)
}

// reactivate is the last part of revert: what was active is active again.
func (x *extensionOp) reactivate(ctx context.Context, have wp.Extensions, items []itemChange) error {
	if x.family.word == themeFamily.word {
		before, there := themeFamily.find(have, x.plan.Theme, "")
		if have.Stylesheet == x.plan.Theme || !there {
			return nil // a theme that was not there before either cannot be switched to
		}
		x.have = nil
		return x.Host.CLI.SwitchTheme(ctx, x.site, before.Slug, true)
	}
	for _, c := range items {
		now, there := pluginFamily.find(have, c.Slug, c.File)
		if !there || !isOn(c.Was) || now.Status == c.Was {
			continue
		}
		now.Status = c.Was
		if err := x.setActive(ctx, now, true); err != nil {
			return err
		}
	}
	return nil
}

// undo takes back what the op has done when it was cancelled or could not go on. When only
// single items failed, those are taken back already and the others stay.
func (x *extensionOp) undo(ctx context.Context) error {
	if x.Get(keyPlan) == "" || errors.Is(x.Missing, wp.ErrNoDomain) {
		return nil
	}
	if err := x.load(); err != nil {
		return err
	}
	if !x.keptPart() {
		var begun []itemChange
		for _, c := range x.plan.Items {
			if c.Begun && c.Status != ItemFailed {
				begun = append(begun, c)
			}
		}
		if err := x.takeBack(ctx, begun); err != nil {
			return err
		}
	}
	return x.Host.Files.Remove(ctx, x.site, x.stash())
}

// takeBack makes items what they were. What a safe update has done to the tables is taken back
// with them, so that of an item only its files are left, for which no PHP is needed.
func (x *extensionOp) takeBack(ctx context.Context, items []itemChange) error {
	if len(items) == 0 {
		return nil
	}
	if !x.guard.on {
		return x.revert(ctx, items...)
	}
	for _, c := range slices.Backward(items) {
		if c.Unpack || c.Remove {
			if err := x.Host.Files.PutBack(ctx, x.site, c.Path, x.stash()); err != nil {
				return err
			}
		}
	}
	x.guard.changed = time.Now()
	return nil
}

// conclude makes the result. It is the last moment at which the op can fail.
func (x *extensionOp) conclude(ctx context.Context) error {
	if err := x.load(); err != nil {
		return err
	}
	result := resultOf(x.plan.Items)
	if x.dryRun {
		return x.SetResult(ExtensionPreview{DryRun: true, Would: result})
	}
	have, err := x.look(ctx)
	if err != nil {
		return err
	}
	if x.family.word == themeFamily.word {
		result.ActiveTheme = have.Stylesheet
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if result.Safe, err = x.guard.report(); err != nil {
		return err
	}
	if result.Failed > 0 {
		return errors.Join(x.keepPart(result), x.whole(result))
	}
	if err := x.SetResult(result); err != nil {
		return err
	}
	if !x.guard.on && !x.plan.Health.Up && !x.health.Up && result.Succeeded > 0 {
		return Unconfirmable(errors.New(x.health.Reason), stillBroken(x.health))
	}
	return nil
}

// whole is the failure of an op of which items failed.
func (x *extensionOp) whole(r ExtensionResult) error {
	var bad []ExtensionItem
	broke := 0
	for _, item := range r.Items {
		if item.Status == ItemFailed {
			bad = append(bad, item)
			broke += oneIf(item.Error.Code == CodeSiteBroken)
		}
	}
	f := *bad[0].Error
	if len(r.Items) > 1 {
		f = itemsFailed(x.family, bad, r)
	}
	err := Permanent(fmt.Errorf("%d of %d items failed", len(bad), len(r.Items)), f)
	if r.Succeeded == 0 && broke == len(bad) {
		return &badEffect{err}
	}
	return err
}

func oneIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func resultOf(items []itemChange) ExtensionResult {
	r := ExtensionResult{Items: []ExtensionItem{}}
	for _, c := range items {
		status := c.Status
		if status == "" {
			status = ItemPlanned
		}
		r.Succeeded += oneIf(status == ItemSucceeded)
		r.Unchanged += oneIf(status == ItemUnchanged)
		r.Failed += oneIf(status == ItemFailed)
		r.Skipped += oneIf(status == ItemSkipped)
		r.Items = append(r.Items, ExtensionItem{Slug: c.Show, From: c.From, To: c.To, Active: isOn(c.Want), Status: status, Error: c.Error})
	}
	return r
}

// finish opens the site and throws away what was kept.
func (x *extensionOp) finish(ctx context.Context) error {
	if err := x.load(); err != nil {
		return err
	}
	if err := x.guard.open(ctx); err != nil {
		return err
	}
	if err := errors.Join(x.Host.Files.Remove(ctx, x.site, x.stash()), x.guard.forget(ctx)); err != nil {
		return err
	}
	report, err := x.guard.report()
	if err != nil || report == nil {
		return err
	}
	var result ExtensionResult
	if err := x.recallJSON(resultKey, &result); err != nil {
		return err
	}
	result.Safe = report
	return x.SetResult(result)
}
