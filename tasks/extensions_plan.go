package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/wispanel/wptk/wp"
)

// itemChange is what an op wants one plugin or theme to become. It is decided once, before the
// first effect, and says all that is needed to take it back.
type itemChange struct {
	Show string `json:"show"` // slug in the result
	Slug string `json:"slug"`
	File string `json:"file,omitempty"`
	Path string `json:"path,omitempty"` // of its files

	From string `json:"from,omitempty"` // version; "" is not there
	To   string `json:"to,omitempty"`
	Was  string `json:"was,omitempty"` // activity, as wp.Addon.Status; "" is not there
	Want string `json:"want,omitempty"`

	Unpack    bool `json:"unpack,omitempty"`    // put the package's files in place
	Remove    bool `json:"remove,omitempty"`    // take the files away
	Uninstall bool `json:"uninstall,omitempty"` // have it remove its data

	Status ItemStatus `json:"status,omitempty"` // "" is still to be done
	Error  *Failure   `json:"error,omitempty"`
	Begun  bool       `json:"begun,omitempty"` // it may have had an effect
}

// isOn reports whether an activity means that the site loads it.
func isOn(activity string) bool { return wp.Addon{Status: activity}.Active() }

// stay is the change that leaves a plugin or theme as it is.
func stay(a wp.Addon) itemChange {
	return itemChange{Show: a.Slug, Slug: a.Slug, File: a.File, Path: a.Path, From: a.Version, To: a.Version, Was: a.Status, Want: a.Status}
}

// unchanged is stay, done.
func unchanged(a wp.Addon) itemChange {
	c := stay(a)
	c.Status = ItemUnchanged
	return c
}

// extensionPlan is what the first step decides. It is in the op's journal.
type extensionPlan struct {
	URL    string       `json:"url"` // the site's own address
	Health wp.Health    `json:"health"`
	Theme  string       `json:"theme"` // slug of the active one
	Items  []itemChange `json:"items"`
}

// decider says what becomes of one plugin or theme. have is all there is; found is false
// when the one that was asked for is not among it. A *StepError is about this one only.
type decider func(ctx context.Context, x *extensionOp, have wp.Extensions, ref reference) (itemChange, error)

// extensionOp is one op on plugins or themes at work. The kinds differ in how they decide;
// how it is done, checked and taken back is the same for all of them.
type extensionOp struct {
	*Run
	selection
	dryRun bool
	safe   bool                  // with snapshot, probe and rollback of the whole
	doing  string                // "Updating", before a slug
	every  func(a wp.Addon) bool // which ones all stands for
	decide decider

	have   *wp.Extensions // as last seen; nil after a change
	health wp.Health      // at the same time
	site   wp.Site
	plan   *extensionPlan
	guard  *safeguard
}

const (
	keyPlan = "plan"
	keyItem = "item." // and the index: the change as it stands
)

func (x *extensionOp) steps() []Step {
	x.guard = x.guarded(x.safe && !x.dryRun, keyPlan)
	x.guard.idle, x.guard.tellBack = x.idle, x.tellBack
	return x.guard.only([]Step{
		{Name: "plan", Message: "Looking at the site", Weight: 15, Do: x.prepare},
		x.guard.baseline(),
		x.guard.closing(),
		x.guard.snapshot(x.kept),
		{Name: "apply", Message: x.doing + " " + x.family.word + "s", Weight: 80, Do: x.apply, Undo: x.undo},
		x.guard.probe(),
		{Name: "result", Message: "Checking the site", Weight: 10, Do: x.conclude},
		{Name: "finish", Message: "Finishing", Weight: 2, Commit: true, Do: x.finish},
	})
}

// prepare decides about every item, fetches what is needed, and changes nothing.
func (x *extensionOp) prepare(ctx context.Context) error {
	site, err := x.existing()
	if err != nil {
		return err
	}
	if site, err = x.Host.Addressed(ctx, site); err != nil {
		return lookError(err)
	}
	x.site = site
	have, err := x.look(ctx)
	if err != nil {
		return fmt.Errorf("listing plugins and themes: %w", err)
	}
	p := &extensionPlan{URL: site.URL, Health: x.health, Theme: have.Stylesheet}
	x.plan = p
	refs := x.references()
	if x.all {
		refs = x.everyOne(have)
	}
	for i, ref := range refs {
		x.Report(float64(i)/float64(len(refs)), "")
		c, err := x.decideOne(ctx, have, ref)
		if err != nil {
			return err
		}
		p.Items = append(p.Items, c)
	}
	if !p.idle() {
		if err := x.guard.start(ctx, site); err != nil {
			return err
		}
	} else if x.guard.on {
		if err := x.Set(keySafe, nothingToGuard); err != nil {
			return err
		}
	}
	return x.save(p)
}

func (x *extensionOp) everyOne(have wp.Extensions) []reference {
	var refs []reference
	for _, a := range x.family.list(have) {
		if a.Status != wp.AddonMustUse && a.Status != wp.AddonDropIn && x.every(a) {
			refs = append(refs, reference{slug: a.Slug, file: a.File})
		}
	}
	return refs
}

// decideOne turns what is wrong with one item into its outcome. An error it gives back is
// about the op.
func (x *extensionOp) decideOne(ctx context.Context, have wp.Extensions, ref reference) (itemChange, error) {
	c, err := x.decide(ctx, x, have, ref)
	if err == nil {
		return c, nil
	}
	if !ownFault(ctx, err) {
		return itemChange{}, err
	}
	x.logf("%s: %s", ref, FailureOf(err).Message)
	a, _ := x.family.find(have, ref.slug, ref.file)
	c = stay(a)
	c.Show, c.Slug = ref.slug, ref.slug
	return c.failed(x.failureOf(err), x.all), nil
}

// failed is the change as one that did not come about. Of all, what cannot be done is left
// out; what was named has failed.
func (c itemChange) failed(f Failure, skip bool) itemChange {
	c.To, c.Want, c.Error, c.Status = c.From, c.Was, &f, ItemFailed
	if skip {
		c.Status = ItemSkipped
	}
	return c
}

// ownFault reports an error that is about one item and would stay; the others can be done.
func ownFault(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	return lasting(err) || errors.Is(err, wp.ErrBadArchive) || errors.Is(err, wp.ErrFatal) || errors.Is(err, wp.ErrOutput) ||
		errors.Is(err, wp.ErrOutputTooLong) || errors.Is(err, context.DeadlineExceeded)
}

func (x *extensionOp) save(p *extensionPlan) error {
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding plan: %w", err)
	}
	x.plan = p
	return x.Set(keyPlan, string(b))
}

// keep journals how an item stands.
func (x *extensionOp) keep(i int, c itemChange) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding item: %w", err)
	}
	x.plan.Items[i] = c
	return x.Set(keyItem+strconv.Itoa(i), string(b))
}

// load makes the op ready for a step after the first: the plan, what became of it so far,
// and the site under its own address.
func (x *extensionOp) load() error {
	if x.plan != nil && x.site.Docroot != "" {
		return nil
	}
	p := new(extensionPlan)
	if err := json.Unmarshal([]byte(x.Get(keyPlan)), p); err != nil {
		return fmt.Errorf("reading plan: %w", err)
	}
	for i := range p.Items {
		if b := x.Get(keyItem + strconv.Itoa(i)); b != "" {
			p.Items[i] = itemChange{}
			if err := json.Unmarshal([]byte(b), &p.Items[i]); err != nil {
				return fmt.Errorf("reading item %d: %w", i, err)
			}
		}
	}
	site, err := x.existing()
	if err != nil {
		return err
	}
	if x.site, err = site.WithURL(p.URL); err != nil {
		return fmt.Errorf("reading plan: %w", err)
	}
	x.plan = p
	return nil
}

// look lists what there is and whether the site comes up, from memory when nothing was
// changed since.
func (x *extensionOp) look(ctx context.Context) (wp.Extensions, error) {
	if x.have != nil {
		return *x.have, nil
	}
	have, health, err := x.Host.Survey(ctx, x.site)
	if err != nil {
		return wp.Extensions{}, err
	}
	x.have, x.health = &have, health
	return have, nil
}
