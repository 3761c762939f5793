package tasks

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/wispanel/wptk/wp"
)

// The layers of caching.
const (
	CacheObject  = "object"  // what WordPress has computed, in Redis
	CachePage    = "page"    // whole pages, as files or by a plugin of the site
	CacheOpcache = "opcache" // PHP's own, in the web server's PHP
)

func validCacheType(layer string, also ...string) string {
	for _, l := range append([]string{CacheObject, CachePage, CacheOpcache}, also...) {
		if layer == l {
			return ""
		}
	}
	return "must be object, page or opcache"
}

func cacheUnavailable(layer string) error {
	if layer == CacheOpcache {
		// A script, .htaccess and .user.ini can switch it off for a request, and never on.
		return refuse(CodeCacheUnavailable, "PHP's opcode cache is switched on and off by the configuration of the web server's PHP alone.",
			"Have the operator set php_admin_flag[opcache.enable] in the account's pool, or opcache.enable in php.ini, and reload PHP. It can be flushed here.")
	}
	return refuse(CodeCacheUnavailable, "The node has no object cache to offer.", "Have the operator configure one (--object-cache-url of the worker).")
}

// cacher is what the kinds about caches have in common.
type cacher struct{ *Run }

// site is the install under its own address, and its content directory.
func (c *cacher) site(ctx context.Context) (wp.Site, string, wp.CacheState, error) {
	fail := func(err error) (wp.Site, string, wp.CacheState, error) { return wp.Site{}, "", wp.CacheState{}, err }
	site, err := c.existing()
	if err != nil {
		return fail(err)
	}
	if site, err = c.Host.Addressed(ctx, site); err != nil {
		return fail(lookError(err))
	}
	state, err := c.Host.CLI.Cache(ctx, site)
	switch {
	case errors.Is(err, wp.ErrFatal):
		return fail(siteDown(wp.Health{Reason: "PHP ends with a fatal error"}))
	case err != nil:
		return fail(fmt.Errorf("asking for the object cache: %w", err))
	case state.Content == "" || !filepath.IsLocal(relative(site, state.Content)):
		return fail(refuse(CodePermission, "The content directory of the site is outside of its document root.", "Its drop-ins have to be changed by hand."))
	}
	return site, filepath.Join(state.Content, wp.ObjectCacheFile), state, nil
}

func relative(site wp.Site, path string) string {
	rel, err := filepath.Rel(site.Docroot, path)
	if err != nil {
		return ".."
	}
	return rel
}

func (c *cacher) stage() string { return wp.StageName(c.Op.ID) }

func foreignDropIn(name string) error {
	whose := "somebody else"
	if name != "" {
		whose = name
	}
	return refuse(CodeConflict, "The site has an object cache already: its drop-in is of "+whose+".",
		"Switch it off in the plugin that brought it, then try again. It is never overwritten.")
}

// putBack undoes what Keep or TakeAway came before, as far as the domain is still there.
func (c *cacher) putBack(ctx context.Context, key string) error {
	if errors.Is(c.Missing, wp.ErrNoDomain) || c.Get(key) == "" {
		return nil
	}
	site, err := c.existing()
	if err != nil {
		return err
	}
	if err := c.Host.Files.PutBack(ctx, site, c.Get(key), c.stage()); err != nil {
		return err
	}
	return c.Host.Files.Remove(ctx, site, c.stage())
}

const keyDropIn = "drop_in" // its path, once it is about to be changed

// validPageURL checks an address of a page to be purged; that it is of the site, the node
// knows.
func validPageURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || validText(s, 2000) != "" || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "must be an http or https address"
	}
	return ""
}
