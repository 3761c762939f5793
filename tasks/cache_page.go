package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

// pageCacher switches the page cache on or off: a drop-in of ours, and the constant of
// wp-config.php that has WordPress load it.
type pageCacher struct {
	cacher
	on bool
}

func (p *pageCacher) steps() []Step {
	putBack := func(ctx context.Context) error { return p.putBack(ctx, keyDropIn) }
	look := Step{Name: "look", Message: "Looking at the site", Weight: 2, Do: p.look}
	config := Step{Name: "config", Message: "Changing wp-config.php", Weight: 2, Do: p.changeConfig, Undo: p.undoConfig}
	verify := Step{Name: "verify", Message: "Checking the site", Weight: 4, Verify: p.verify}
	finish := Step{Name: "finish", Message: "Finishing", Commit: true, Do: p.finish}
	if p.on {
		return []Step{look, {Name: "drop_in", Message: "Switching the cache on", Do: p.place, Undo: putBack}, config, verify, finish}
	}
	return []Step{look, config, {Name: "drop_in", Message: "Switching the cache off", Do: p.take, Undo: putBack}, verify, finish}
}

const keyContent = "content" // the directory

// look refuses what cannot be done before anything is.
func (p *pageCacher) look(ctx context.Context) error {
	site, content, err := p.content(ctx)
	if err != nil {
		return err
	}
	_, owner, name, err := p.Host.Files.PageDropIn(ctx, site, content)
	switch {
	case err != nil:
		return err
	case owner == wp.DropInForeign:
		return foreignPageCache(name)
	}
	if p.on && owner == wp.DropInNone {
		provider, err := p.Host.CLI.PageProvider(ctx, site)
		switch {
		case errors.Is(err, wp.ErrFatal):
			return siteDown(wp.Health{Reason: "PHP ends with a fatal error"})
		case err != nil:
			return fmt.Errorf("asking for page caches: %w", err)
		case provider != "":
			return foreignPageCache(provider)
		}
		if err := p.forget(ctx, site, content); err != nil { // of an earlier time, and whether its place is one
			return err
		}
	}
	if vital := p.Host.Web.Vital(ctx, site); vital != nil {
		encoded, err := json.Marshal(vital)
		if err != nil {
			return fmt.Errorf("encoding answers of the site: %w", err)
		}
		if err := p.Set(keyVital, string(encoded)); err != nil {
			return err
		}
	}
	if _, err := p.Recall(keyHadDropIn, func() (string, error) { return yesNo(owner == wp.DropInOurs), nil }); err != nil {
		return err
	}
	return p.Set(keyContent, content)
}

func (c *cacher) content(ctx context.Context) (wp.Site, string, error) {
	site, objectCache, _, err := c.site(ctx)
	return site, filepath.Dir(objectCache), err
}

func foreignPageCache(name string) error {
	whose := "somebody else's"
	if name != "" {
		whose = name
	}
	return refuse(CodeConflict, "The site has a page cache already: "+whose+".",
		"Two page caches keep each other's old pages. Remove that one in the site first; it is never overwritten. Its pages can be flushed and purged here.")
}

func (c *cacher) forget(ctx context.Context, site wp.Site, content string) error {
	return pagesError(c.Host.Files.ForgetPages(ctx, site, content))
}

// pagesError: what is not the tenant's to write does not become so by trying again.
func pagesError(err error) error {
	if f := FailureOf(err); err != nil && f.Code == CodePermission {
		return refuse(CodePermission, "The place of the page cache, cache/wptk-page in the content directory, cannot be written.",
			"It has to be a directory of the account, inside of the domain's directory, and no link to somewhere else.")
	}
	return err
}

// place writes the drop-in. One that is ours already keeps its secret, and with it its pages.
func (p *pageCacher) place(ctx context.Context) error {
	site, content, err := p.content(ctx)
	if err != nil {
		return err
	}
	had, owner, name, err := p.Host.Files.PageDropIn(ctx, site, content) // again: a plugin may have put one there since
	switch {
	case err != nil:
		return err
	case owner == wp.DropInForeign:
		return foreignPageCache(name)
	}
	secret := wp.PageSecretOf(had)
	if secret == "" {
		secret = wp.NewPageSecret()
	}
	code := secret.DropIn()
	if bytes.Equal(code, had) {
		return nil
	}
	file := filepath.Join(content, wp.PageCacheFile)
	if err := p.Set(keyDropIn, file); err != nil {
		return err
	}
	if _, err := p.Host.Files.Keep(ctx, site, file, p.stage()); err != nil {
		return fmt.Errorf("keeping the drop-in that was there: %w", err)
	}
	if err := p.Host.Files.WriteFile(ctx, site, relative(site, file), code, configMode); err != nil {
		return fmt.Errorf("writing drop-in: %w", err)
	}
	return nil
}

func (p *pageCacher) take(ctx context.Context) error {
	site, content, err := p.content(ctx)
	if err != nil {
		return err
	}
	_, owner, name, err := p.Host.Files.PageDropIn(ctx, site, content)
	switch {
	case err != nil:
		return err
	case owner == wp.DropInForeign:
		return foreignPageCache(name)
	case owner == wp.DropInNone:
		return nil // or an earlier attempt has taken it
	}
	file := filepath.Join(content, wp.PageCacheFile)
	if err := p.Set(keyDropIn, file); err != nil {
		return err
	}
	if err := p.Host.Files.TakeAway(ctx, site, file, p.stage()); err != nil {
		return fmt.Errorf("taking the drop-in away: %w", err)
	}
	return nil
}

func (p *pageCacher) changeConfig(ctx context.Context) error {
	site, err := p.existing()
	if err != nil {
		return err
	}
	doc, err := p.Host.Measures.Load(p.Op.Site.ID)
	if err != nil {
		return err
	}
	if !p.on && p.Get(keyHadDropIn) != yes && doc.Pages == nil {
		return nil // never ours: WP_CACHE is somebody else's
	}
	return hardeningError(p.Host.ChangeConfig(ctx, site, func(src []byte) ([]byte, error) {
		next, changes, err := wp.SetPageCache(src, p.on, doc.Pages)
		if err != nil || bytes.Equal(next, src) {
			return next, err
		}
		encoded, err := json.Marshal(changes)
		if err != nil {
			return nil, fmt.Errorf("encoding changes: %w", err)
		}
		return next, p.Set(keyChanges, string(encoded))
	}))
}

func (p *pageCacher) changes() (changes []wp.ConfigChange, err error) {
	if text := p.Get(keyChanges); text != "" {
		if err := json.Unmarshal([]byte(text), &changes); err != nil {
			return nil, fmt.Errorf("reading changes: %w", err)
		}
	}
	return changes, nil
}

func (p *pageCacher) undoConfig(ctx context.Context) error {
	if p.Get(keyChanges) == "" || p.Missing != nil {
		return nil
	}
	changes, err := p.changes()
	if err != nil {
		return err
	}
	doc, err := p.Host.Measures.Load(p.Op.Site.ID)
	if err != nil {
		return err
	}
	return hardeningError(p.Host.ChangeConfig(ctx, p.Site, func(src []byte) ([]byte, error) {
		next, err := wp.RevertConfig(src, changes)
		if err == nil && doc.Pages != nil {
			next, _, err = wp.SetPageCache(next, true, nil)
		}
		return next, err
	}))
}

// verify has the drop-in keep a page, and, where the node knows its web server, looks whether
// that loads the drop-in.
func (p *pageCacher) verify(ctx context.Context) error {
	site, _, err := p.content(ctx)
	if err != nil {
		return err
	}
	if !p.on {
		return p.verifyWeb(ctx, site)
	}
	switch got, err := p.Host.CLI.Constants(ctx, site, wp.PageCacheConst); {
	case err != nil:
		return fmt.Errorf("reading constants: %w", err)
	case got[wp.PageCacheConst] != "1":
		return pageCacheBad("PHP sees another value of " + wp.PageCacheConst + " than wp-config.php was given.")
	}
	wrong, err := p.Host.CLI.TestPageCache(ctx, site)
	if err != nil {
		return fmt.Errorf("trying the page cache: %w", err)
	}
	if wrong != "" {
		return pageCacheBad("The site cannot use the page cache: " + wrong + ".")
	}
	return p.verifyWeb(ctx, site)
}

func (p *pageCacher) verifyWeb(ctx context.Context, site wp.Site) error {
	if p.Host.Web.Probe == "" || p.Get(keyDropIn)+p.Get(keyChanges) == "" {
		return nil
	}
	if err := p.Host.Web.Settle(ctx, time.Now()); err != nil {
		return err
	}
	var before map[string]int
	if err := json.Unmarshal([]byte(p.Get(keyVital)), &before); err != nil {
		return fmt.Errorf("reading answers of the site: %w", err)
	}
	if worse := wp.Worse(before, p.Host.Web.Vital(ctx, site)); len(worse) > 0 {
		return pageCacheBad("The site does not answer as it did: " + strings.Join(worse, "; ") + ".")
	}
	front := p.Host.Web.Ask(ctx, site, "")
	switch said := front.Header.Get(wp.PageCacheHeader); {
	case p.on && front.Status == 200 && said == "":
		return pageCacheBad("The web server's PHP does not load the drop-in.")
	case !p.on && said != "":
		return pageCacheBad("The web server's PHP still loads the drop-in.")
	}
	return nil
}

func pageCacheBad(message string) error {
	return refuse(CodeVerifyFailed, message, "The site is as it was before. Look at the modes of its content directory, and at its wp-config.php.")
}

func (p *pageCacher) finish(ctx context.Context) error {
	site, err := p.existing()
	if err != nil {
		return err
	}
	doc, err := p.Host.Measures.Load(p.Op.Site.ID)
	if err != nil {
		return err
	}
	result := CacheResult{Type: CachePage, Enabled: p.on, Changed: p.Get(keyDropIn)+p.Get(keyChanges) != "", Lasting: true}
	if p.on {
		result.Provider = wp.PageCacheName
		err = p.remember(site, &doc)
	} else {
		doc.Pages, err = nil, pagesError(p.Host.Files.DropPages(ctx, site, p.Get(keyContent)))
	}
	if err != nil {
		return err
	}
	if err := errors.Join(p.Host.Measures.Save(p.Op.Site.ID, doc), p.Host.Files.Remove(ctx, site, p.stage())); err != nil {
		return err
	}
	return p.SetResult(result)
}

// remember notes what it takes to switch the cache off. Asked for again, what the first time
// has changed stays what is to be taken back.
func (p *pageCacher) remember(site wp.Site, doc *wp.Hardening) error {
	changes, err := p.changes()
	if err != nil {
		return err
	}
	if doc.Pages != nil && len(changes) == 0 {
		changes = doc.Pages.Config
	}
	content, err := filepath.Rel(site.Home, p.Get(keyContent))
	if err != nil {
		return fmt.Errorf("naming the content directory: %w", err)
	}
	doc.Account, doc.Domain, doc.Path = p.Op.Site.Account, p.Op.Site.Domain, p.Op.Site.Path
	doc.Pages = &wp.PageCacheMemory{Op: p.Op.ID, Content: content, Config: changes}
	return nil
}

// ownPages flushes or purges our page cache; done is false when it is not in place.
func (f *cacheFlusher) ownPages(ctx context.Context, site wp.Site, content string) (done bool, err error) {
	code, owner, _, err := f.Host.Files.PageDropIn(ctx, site, content)
	if err != nil || owner != wp.DropInOurs {
		return false, err
	}
	if secret := wp.PageSecretOf(code); len(f.urls) > 0 && secret != "" {
		return true, pagesError(f.Host.Files.PurgePages(ctx, site, content, secret, f.urls))
	}
	return true, f.forget(ctx, site, content)
}

// outdating are the kinds after which pages may look different. What people change in
// WordPress itself the drop-in sees; WP-CLI does not load it.
var outdating = []string{"core.", "plugin.", "theme.", "search.replace", "restore", "push", "security."}

const forgetTime = 20 * time.Second

// outdate has the page cache forget what an op may have made old, or had while it was under
// way. A cache that cannot be emptied is no failure of the op: its pages end by themselves.
func (x *execution) outdate(ctx context.Context) {
	r := x.Run
	if r.Host == nil || r.Missing != nil || r.Site.Home == "" {
		return
	}
	for _, kind := range outdating {
		if !strings.HasPrefix(x.Op.Kind, kind) {
			continue
		}
		content := filepath.Join(r.Site.Docroot, "wp-content")
		if r.Host.Measures != nil {
			if doc, err := r.Host.Measures.Load(x.Op.Site.ID); err == nil && doc.Pages != nil {
				content = filepath.Join(r.Site.Home, doc.Pages.Content)
			}
		}
		ctx, cancel := context.WithTimeout(ctx, forgetTime)
		defer cancel()
		if err := r.Host.Files.ForgetPages(ctx, r.Site, content); err != nil {
			x.log.Warn("emptying the page cache", "err", err)
		}
		return
	}
}
