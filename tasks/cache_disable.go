package tasks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp"
)

var cacheDisableSpec = Spec{
	Kind:     "cache.disable",
	Class:    Interactive,
	Deadline: 3 * time.Minute,
	New:      func() Task { return new(CacheDisable) },
}

// CacheDisable switches off what CacheEnable has switched on. What somebody else has put
// there stays.
type CacheDisable struct {
	Type string `json:"type" enum:"object,page,opcache" example:"object"`
}

// Kind is "cache.disable".
func (*CacheDisable) Kind() string { return cacheDisableSpec.Kind }

// Validate checks the layer's name.
func (p *CacheDisable) Validate() []Problem {
	var found problems
	found.add("type", validCacheType(p.Type))
	return found
}

// Steps takes the drop-in away, and then what the cache holds of the install.
func (p *CacheDisable) Steps(r *Run) []Step {
	if p.Type == CachePage {
		return (&pageCacher{cacher: cacher{r}}).steps()
	}
	d := &cacheDisabler{cacher: cacher{r}, layer: p.Type}
	return []Step{
		{Name: "drop_in", Message: "Switching the cache off", Weight: 2, Do: d.take, Undo: func(ctx context.Context) error { return d.putBack(ctx, keyDropIn) }},
		{Name: "verify", Message: "Checking the site", Weight: 2, Verify: d.verify},
		{Name: "finish", Message: "Emptying the cache", Commit: true, Do: d.finish},
	}
}

type cacheDisabler struct {
	cacher
	layer string
}

func (d *cacheDisabler) take(ctx context.Context) error {
	if d.layer != CacheObject {
		return cacheUnavailable(d.layer)
	}
	site, file, _, err := d.site(ctx)
	if err != nil {
		return err
	}
	owner, name, err := d.Host.Files.DropIn(ctx, site, file)
	switch {
	case err != nil:
		return err
	case owner == wp.DropInForeign:
		return foreignDropIn(name)
	case owner == wp.DropInNone:
		return nil // or an earlier attempt has taken it
	}
	if err := d.Set(keyDropIn, file); err != nil {
		return err
	}
	if err := d.Host.Files.TakeAway(ctx, site, file, d.stage()); err != nil {
		return fmt.Errorf("taking the drop-in away: %w", err)
	}
	return nil
}

func (d *cacheDisabler) verify(ctx context.Context) error {
	_, _, state, err := d.site(ctx)
	if err != nil {
		return err
	}
	if state.Ours {
		return cacheBad("WordPress still loads the drop-in.")
	}
	return nil
}

func (d *cacheDisabler) finish(ctx context.Context) error {
	site, err := d.existing()
	if err != nil {
		return err
	}
	if err := d.Host.Files.Remove(ctx, site, d.stage()); err != nil {
		return err
	}
	if d.Host.ObjectCache != nil {
		err := d.Host.ObjectCache.Dismiss(ctx, d.Op.Site.ID)
		switch {
		case errors.Is(err, wp.ErrObjectCacheAway):
			d.logf("The cache does not answer; what it holds of the site goes away by itself.")
		case err != nil:
			return err
		}
	}
	return d.SetResult(CacheResult{Type: d.layer, Changed: d.Get(keyDropIn) != ""})
}
