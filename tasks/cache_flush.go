package tasks

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

var cacheFlushSpec = Spec{
	Kind:     "cache.flush",
	Class:    Interactive,
	Deadline: 3 * time.Minute,
	New:      func() Task { return new(CacheFlush) },
}

// CacheFlush empties a layer.
type CacheFlush struct {
	Type string `json:"type" enum:"object,page,opcache" example:"object"`
}

// CacheFlushResult is what cache.flush and cache.purge answer.
type CacheFlushResult struct {
	Type     string   `json:"type"`
	Provider string   `json:"provider" doc:"Whose cache it is, as far as it tells."`
	Whole    bool     `json:"whole" doc:"Everything is gone, also when single pages were asked for."`
	URLs     []string `json:"urls,omitempty"`
}

// Kind is "cache.flush".
func (*CacheFlush) Kind() string { return cacheFlushSpec.Kind }

// Validate checks the layer's name.
func (p *CacheFlush) Validate() []Problem {
	var found problems
	found.add("type", validCacheType(p.Type))
	return found
}

// Steps empties the layer. There is nothing to undo.
func (p *CacheFlush) Steps(r *Run) []Step {
	f := &cacheFlusher{cacher: cacher{r}, layer: p.Type}
	return []Step{{Name: "flush", Message: "Emptying the cache", Do: f.flush}}
}

var cachePurgeSpec = Spec{
	Kind:     "cache.purge",
	Class:    Interactive,
	Deadline: 3 * time.Minute,
	New:      func() Task { return new(CachePurge) },
}

// CachePurge has the page cache forget some pages.
type CachePurge struct {
	Type string   `json:"type,omitempty" enum:"page" default:"page" doc:"Only pages have addresses."`
	URL  string   `json:"url,omitempty" maxLength:"2000" example:"https://blog.com/about/" doc:"One page."`
	URLs []string `json:"urls,omitempty" maxItems:"50" doc:"Several pages."`
}

const maxPurged = 50

// Kind is "cache.purge".
func (*CachePurge) Kind() string { return cachePurgeSpec.Kind }

// Validate checks the addresses' form.
func (p *CachePurge) Validate() []Problem {
	var found problems
	if p.Type != "" && p.Type != CachePage {
		found.add("type", "can be page only; the other layers have no addresses, and can be flushed")
	}
	found.optional("url", p.URL, validPageURL)
	for _, u := range p.URLs {
		if reason := validPageURL(u); reason != "" {
			found.add("urls", fmt.Sprintf("has the entry %q, which %s", shorten(u), reason))
			break
		}
	}
	switch n := len(p.pages()); {
	case n == 0:
		found.add("url", "is missing; name the page, or several in urls")
	case n > maxPurged:
		found.add("urls", fmt.Sprintf("has %d entries, at most %d are possible", n, maxPurged))
	}
	return found
}

func (p *CachePurge) pages() []string {
	if p.URL == "" {
		return p.URLs
	}
	return append([]string{p.URL}, p.URLs...)
}

// Steps purges. There is nothing to undo.
func (p *CachePurge) Steps(r *Run) []Step {
	f := &cacheFlusher{cacher: cacher{r}, layer: CachePage, urls: p.pages()}
	return []Step{{Name: "purge", Message: "Purging pages", Do: f.flush}}
}

type cacheFlusher struct {
	cacher
	layer string
	urls  []string // none is everything
}

func (f *cacheFlusher) flush(ctx context.Context) error {
	switch f.layer {
	case CacheObject:
		return f.objects(ctx)
	case CachePage:
		return f.pages(ctx)
	}
	return f.opcodes(ctx)
}

// opcodes has the web server's PHP forget what it has compiled of the site.
func (f *cacheFlusher) opcodes(ctx context.Context) error {
	site, err := f.installed(ctx)
	if err != nil {
		return err
	}
	state, err := f.Host.Opcache(ctx, site, f.stage(), true)
	switch {
	case errors.Is(err, wp.ErrOpcache):
		return Permanent(err, Failure{Code: CodeCacheUnavailable, Message: sentence(wp.ReasonOpcache(err)),
			Hint: "The operator tells the worker where PHP listens by --php-socket; the pool has to run as the account. PHP notices changed files by itself within seconds, unless opcache.validate_timestamps is off."})
	case err != nil:
		return fmt.Errorf("flushing opcode cache: %w", err)
	case !state.Enabled:
		return refuse(CodeCacheUnavailable, "The opcode cache is not in use: "+state.Reason+".", "There is nothing to empty.")
	}
	f.logf("PHP has forgotten %d files of the site.", state.Forgotten)
	return f.SetResult(CacheFlushResult{Type: f.layer, Provider: "Zend OPcache", Whole: true})
}

func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// objects empties the object cache, and looks whether what was in it is gone.
func (f *cacheFlusher) objects(ctx context.Context) error {
	site, file, state, err := f.site(ctx)
	if err != nil {
		return err
	}
	if !state.Using {
		return refuse(CodeCacheUnavailable, "The site has no object cache that outlives a visit.", "Switch one on first; there is nothing to empty.")
	}
	if state.Error != "" {
		return refuse(CodeCacheUnavailable, "The object cache is not in use: "+state.Error+".", "The site works without it. Have the operator look at the cache.")
	}
	if err := f.Host.CLI.NoteInCache(ctx, site, f.Op.ID); err != nil {
		return fmt.Errorf("writing into the cache: %w", err)
	}
	if state, err = f.Host.CLI.FlushCache(ctx, site); err != nil {
		return fmt.Errorf("flushing the cache: %w", err)
	}
	after, err := f.Host.CLI.Cache(ctx, site)
	if err != nil {
		return fmt.Errorf("reading from the cache: %w", err)
	}
	if !state.Flushed || after.Note != "" {
		return refuse(CodeVerifyFailed, "The cache was asked to forget everything, and has not.", "Look at the plugin that brings it.")
	}
	_, name, err := f.Host.Files.DropIn(ctx, site, file)
	if err != nil {
		return err
	}
	return f.SetResult(CacheFlushResult{Type: f.layer, Provider: name, Whole: true})
}

func (f *cacheFlusher) pages(ctx context.Context) error {
	site, content, err := f.content(ctx)
	if err != nil {
		return err
	}
	for _, page := range f.urls {
		if !ofSite(page, site.URL) {
			return invalidPayload(Problem{"urls", fmt.Sprintf("has %q, which is no page of this site: its address is %s", shorten(page), site.URL)})
		}
	}
	if own, err := f.ownPages(ctx, site, content); err != nil {
		return err
	} else if own {
		return f.SetResult(CacheFlushResult{Type: f.layer, Provider: wp.PageCacheName, Whole: len(f.urls) == 0, URLs: f.urls})
	}
	done, err := f.Host.CLI.PurgePages(ctx, site, f.urls)
	switch {
	case errors.Is(err, wp.ErrFatal):
		return siteDown(wp.Health{Reason: "PHP ends with a fatal error"})
	case err != nil:
		return fmt.Errorf("purging pages: %w", err)
	case done.Provider == "":
		return refuse(CodeCacheUnavailable, "The site has no page cache that is known here.",
			"POST /wordpress/cache/enable with type page switches one on; a caching plugin of the site will do as well.")
	case !done.Emptied:
		return refuse(CodeVerifyFailed, done.Provider+" has not emptied its cache.", "Do it in the plugin's own settings.")
	}
	return f.SetResult(CacheFlushResult{Type: f.layer, Provider: done.Provider, Whole: done.Whole, URLs: f.urls})
}

// ofSite reports whether a page is below an address, http or https.
func ofSite(page, site string) bool {
	p, errP := url.Parse(page)
	s, errS := url.Parse(site)
	return errP == nil && errS == nil && strings.EqualFold(p.Host, s.Host) && strings.HasPrefix(p.Path+"/", s.Path+"/")
}
