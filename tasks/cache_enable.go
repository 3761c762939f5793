package tasks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp"
)

var cacheEnableSpec = Spec{
	Kind:     "cache.enable",
	Class:    Interactive,
	Deadline: 3 * time.Minute,
	New:      func() Task { return new(CacheEnable) },
}

// CacheEnable switches a layer of caching on. Of the object cache that is a drop-in of ours
// with a Redis user of the install's own; it is tried from PHP before it is put in place. Of
// the page cache it is a drop-in that keeps pages as files.
type CacheEnable struct {
	Type string `json:"type" enum:"object,page,opcache" example:"object" doc:"object or page; of opcache the operation says what has to be changed where."`
}

// CacheResult is what cache.enable and cache.disable answer.
type CacheResult struct {
	Type     string `json:"type"`
	Enabled  bool   `json:"enabled"`
	Changed  bool   `json:"changed" doc:"False: it was so already."`
	Provider string `json:"provider,omitempty"`
	Prefix   string `json:"prefix,omitempty" doc:"Of the install's keys in Redis."`
	// Lasting is false when Redis keeps users in memory only.
	Lasting bool `json:"lasting" doc:"False: after a restart of Redis the site works without the cache until this operation is asked for again, since that Redis does not save its users."`
}

// Kind is "cache.enable".
func (*CacheEnable) Kind() string { return cacheEnableSpec.Kind }

// Validate checks the layer's name.
func (p *CacheEnable) Validate() []Problem {
	var found problems
	found.add("type", validCacheType(p.Type))
	return found
}

// Steps tries the cache, and puts the drop-in in place.
func (p *CacheEnable) Steps(r *Run) []Step {
	if p.Type == CachePage {
		return (&pageCacher{cacher: cacher{r}, on: true}).steps()
	}
	e := &cacheEnabler{cacher: cacher{r}, layer: p.Type}
	return []Step{
		{Name: "connect", Message: "Trying the cache", Weight: 4, Do: e.connect, Undo: e.dismiss},
		{Name: "drop_in", Message: "Switching the cache on", Weight: 2, Do: e.place, Undo: func(ctx context.Context) error { return e.putBack(ctx, keyDropIn) }},
		{Name: "verify", Message: "Checking the site", Weight: 4, Verify: e.verify},
		{Name: "finish", Message: "Finishing", Commit: true, Do: e.finish},
	}
}

type cacheEnabler struct {
	cacher
	layer string
}

const (
	keyHadDropIn = "had_drop_in"
	keyLasting   = "lasting"
	keyAdmitted  = "admitted"
	yes, no      = "yes", "no"
)

func (e *cacheEnabler) connect(ctx context.Context) error {
	if e.layer != CacheObject || e.Host.ObjectCache == nil {
		return cacheUnavailable(e.layer)
	}
	site, file, _, err := e.site(ctx)
	if err != nil {
		return err
	}
	owner, name, err := e.Host.Files.DropIn(ctx, site, file)
	if err != nil {
		return err
	}
	if owner == wp.DropInForeign {
		return foreignDropIn(name)
	}
	if _, err := e.Recall(keyHadDropIn, func() (string, error) { return yesNo(owner == wp.DropInOurs), nil }); err != nil {
		return err
	}
	if err := e.Set(keyAdmitted, yes); err != nil {
		return err
	}
	user, lasting, err := e.Host.ObjectCache.Admit(ctx, e.Op.Site.ID)
	if err != nil {
		return cacheAway(err)
	}
	if err := e.Set(keyLasting, yesNo(lasting)); err != nil {
		return err
	}
	wrong, err := e.Host.CLI.TestObjectCache(ctx, site, user)
	if err != nil {
		return fmt.Errorf("trying the object cache: %w", err)
	}
	if wrong != "" {
		return refuse(CodeCacheUnavailable, "The site's PHP cannot use the object cache: "+wrong+".",
			"Have the operator look whether the account may reach the cache's address, or whether Redis is up.")
	}
	return nil
}

func yesNo(v bool) string {
	if v {
		return yes
	}
	return no
}

func cacheAway(err error) error {
	if errors.Is(err, wp.ErrObjectCacheAway) {
		return &StepError{Err: err, Failure: Failure{Code: CodeCacheUnavailable, Message: "The node's object cache does not answer.",
			Hint: "Try again in a few minutes; the operator finds the details in the worker's log."}}
	}
	return err
}

// dismiss takes the user away again, unless the install had the cache before.
func (e *cacheEnabler) dismiss(ctx context.Context) error {
	if e.Get(keyAdmitted) == "" || e.Get(keyHadDropIn) == yes || e.Host.ObjectCache == nil {
		return nil
	}
	return e.Host.ObjectCache.Dismiss(ctx, e.Op.Site.ID)
}

func (e *cacheEnabler) place(ctx context.Context) error {
	site, file, _, err := e.site(ctx)
	if err != nil {
		return err
	}
	// Looked at again: a plugin may have put one there since.
	owner, name, err := e.Host.Files.DropIn(ctx, site, file)
	switch {
	case err != nil:
		return err
	case owner == wp.DropInForeign:
		return foreignDropIn(name)
	}
	user, _, err := e.Host.ObjectCache.Admit(ctx, e.Op.Site.ID)
	if err != nil {
		return cacheAway(err)
	}
	code, err := user.DropIn()
	if err != nil {
		return err
	}
	if err := e.Set(keyDropIn, file); err != nil {
		return err
	}
	if _, err := e.Host.Files.Keep(ctx, site, file, e.stage()); err != nil {
		return fmt.Errorf("keeping the drop-in that was there: %w", err)
	}
	if err := e.Host.Files.WriteFile(ctx, site, relative(site, file), code, configMode); err != nil {
		return fmt.Errorf("writing drop-in: %w", err)
	}
	return nil
}

// verify has one process of WordPress write and another one read.
func (e *cacheEnabler) verify(ctx context.Context) error {
	site, _, _, err := e.site(ctx)
	if err != nil {
		return err
	}
	if err := e.Host.CLI.NoteInCache(ctx, site, e.Op.ID); err != nil {
		return fmt.Errorf("writing into the cache: %w", err)
	}
	state, err := e.Host.CLI.Cache(ctx, site)
	switch {
	case err != nil:
		return fmt.Errorf("reading from the cache: %w", err)
	case !state.Ours || !state.Using:
		return cacheBad("WordPress does not load the drop-in.")
	case state.Error != "":
		return cacheBad("WordPress cannot use the cache: " + state.Error + ".")
	case state.Note != e.Op.ID:
		return cacheBad("What one visit writes into the cache another one does not find.")
	}
	return nil
}

func cacheBad(message string) error {
	return refuse(CodeVerifyFailed, message, "The site is as it was before. Try again; when it happens again, the operator has to look at the cache.")
}

func (e *cacheEnabler) finish(ctx context.Context) error {
	site, err := e.existing()
	if err != nil {
		return err
	}
	if err := e.Host.Files.Remove(ctx, site, e.stage()); err != nil {
		return err
	}
	return e.SetResult(CacheResult{
		Type: e.layer, Enabled: true, Changed: e.Get(keyHadDropIn) != yes,
		Provider: wp.ObjectCacheName, Prefix: e.Op.Site.ID, Lasting: e.Get(keyLasting) == yes,
	})
}
