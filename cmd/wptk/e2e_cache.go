package main

import (
	"net/http"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

// cached writes into the object cache in one PHP, and another one reads.
const (
	cacheWrite = `return wp_cache_set( 'e2e', $args[0], 'e2e' );`
	cacheRead  = `return array( wp_using_ext_object_cache(), wp_cache_get( 'e2e', 'e2e' ) );`
)

// keys are the keys of the node's cache, seen past everything.
func (x *exam) keys() (mine int) {
	if x.err != nil {
		return 0
	}
	rdb := redis.NewClient(&redis.Options{Addr: x.e2e.cache.Addr, Password: x.e2e.cache.Password})
	defer rdb.Close() //nolint:errcheck // only read from
	all, err := rdb.Keys(x.ctx, "*").Result()
	x.note(err)
	for _, key := range all {
		if strings.HasPrefix(key, x.id+":") {
			mine++
		}
	}
	return mine
}

func checkCacheEnable(x *exam) {
	x.wordpress([]any{false, false}, `return array( (bool) wp_using_ext_object_cache(), wp_cache_get( 'e2e', 'e2e' ) );`)
	x.refused(tasks.CodeCacheUnavailable, "/cache/enable", fields{"type": "opcache"})
	x.ownPages(func(post string) {
		x.cache("hit", post)
		x.cache("bypass", post+"?x=1")
		x.check(x.has("wp-content/advanced-cache.php"), "there is no drop-in")
		v, in := x.logsIn("/wp-login.php", e2eAdmin, x.password)
		x.check(x.err != nil || in, "the administrator cannot log in")
		x.cacheFor(v, "bypass", post)
		x.cache("", "/wp-login.php")
		x.ask(nil, `wp_update_post( array( 'ID' => 1, 'post_title' => 'Edited and kept' ) );`)
		page := x.cache("miss", post)
		x.check(x.err != nil || strings.Contains(page, "Edited and kept"), "after an edit the old page is shown")
		x.ask(nil, `wp_update_post( array( 'ID' => 1, 'post_title' => 'Hello world!' ) );`)
		x.refused(tasks.CodeCacheUnavailable, "/cache/disable", fields{"type": "opcache"})
	})
	x.change("/cache/enable", fields{"type": "object"}, nil)
	x.ask(nil, cacheWrite, "from another process")
	x.wordpress([]any{true, "from another process"}, cacheRead)
	x.answers(http.StatusOK, "/")
	keys := x.keys()
	x.check(keys > 5, "the site has %d keys in the cache", keys)
}

func checkCache(x *exam) {
	var state struct {
		Layers []struct {
			Type, Reason       string
			Enabled, Available bool
		}
	}
	x.read("/cache", &state)
	said := map[string][]bool{}
	for _, l := range state.Layers {
		said[l.Type] = []bool{l.Enabled, l.Available}
		x.check(l.Available || l.Reason != "", "%s is not available, and nothing says why", l.Type)
	}
	x.wordpress(true, `return (bool) wp_using_ext_object_cache();`)
	x.check(x.err != nil || alike(said["object"], []bool{true, true}) && alike(said["page"], []bool{false, true}) && said["opcache"] != nil, "the layers are %s", inJSON(state))
}

func checkCacheFlush(x *exam) {
	x.ask(nil, cacheWrite, "to be forgotten")
	x.wordpress([]any{true, "to be forgotten"}, cacheRead)
	x.change("/cache/flush", fields{"type": "object"}, nil)
	x.wordpress([]any{true, false}, cacheRead)
	x.opcodes()
	x.ownPages(func(post string) {
		x.change("/cache/flush", fields{"type": "page"}, nil)
		x.cache("miss", post)
	})
	x.pageCache(func() {
		x.change("/cache/flush", fields{"type": "page"}, nil)
		x.wordpress("all", `return get_option( 'e2e_purged' );`)
	})
}

func checkCachePurge(x *exam) {
	page := x.url() + "/hello-world/"
	x.refused(tasks.CodeCacheUnavailable, "/cache/purge", fields{"url": page})
	x.ownPages(func(post string) {
		x.cache("miss", "/")
		x.change("/cache/purge", fields{"type": "page", "url": x.url() + post}, nil)
		x.cache("hit", "/")
		said, _ := x.cacheSays(x.visitor(), post) // a miss, or within the second of the purge a bypass
		x.check(said != "hit", "a purged page is shown")
	})
	x.pageCache(func() {
		x.change("/cache/purge", fields{"type": "page", "url": page}, nil)
		x.wordpress(page, `return get_option( 'e2e_purged' );`)
	})
}

// ownPages switches the toolkit's page cache on, has it keep a post, and switches it off:
// then the site's files are what they were.
func (x *exam) ownPages(check func(post string)) {
	config := x.file(e2eConfig)
	var post string
	x.ask(&post, `global $wp_rewrite; $was = get_option( 'permalink_structure' ); $wp_rewrite->set_permalink_structure( '/%postname%/' ); flush_rewrite_rules( false ); update_option( 'e2e_links', $was ); return wp_parse_url( get_permalink( 1 ), PHP_URL_PATH );`)
	x.undo(func() {
		x.ask(nil, `global $wp_rewrite; $wp_rewrite->set_permalink_structure( get_option( 'e2e_links' ) ); flush_rewrite_rules( false ); delete_option( 'e2e_links' );`)
	})
	x.cache("", post)
	x.change("/cache/enable", fields{"type": "page"}, nil)
	x.cache("miss", post)
	check(post)
	x.change("/cache/disable", fields{"type": "page"}, nil)
	x.cache("", post)
	x.check(x.err != nil || x.file(e2eConfig) == config && !x.has("wp-content/advanced-cache.php") && !x.has("wp-content/cache/wptk-page"), "the page cache has left something")
}

// cache wants the page cache to have done something for a visitor without cookies.
func (x *exam) cache(want, path string) (page string) { return x.cacheFor(x.visitor(), want, path) }

func (x *exam) cacheFor(v *visitor, want, path string) (page string) {
	said, page := x.cacheSays(v, path)
	if want == "miss" { // nothing is kept in the second in which the cache was emptied
		x.until("the page cache keeps pages", func() (bool, error) {
			if said == "bypass" {
				said, page = x.cacheSays(v, path)
			}
			return said != "bypass", nil
		})
	}
	x.check(x.err != nil || said == want, "the page cache says %q to %s, want %q", said, path, want)
	return page
}

func (x *exam) cacheSays(v *visitor, path string) (said, page string) {
	if x.err != nil {
		return "", ""
	}
	res, page, err := v.visit(x.ctx, path, nil) //nolint:bodyclose // visit has read and closed it
	if err != nil {
		x.note(err)
		return "", ""
	}
	return res.Header.Get(wp.PageCacheHeader), page
}

// pageCache gives the site the two doors of a caching plugin, which note who came.
func (x *exam) pageCache(check func()) {
	const file = "wp-content/mu-plugins/e2e-pages.php"
	x.undo(func() {
		x.drop(file)
		x.ask(nil, `delete_option( 'e2e_purged' );`)
	})
	x.put(file, `<?php
function wp_cache_clear_cache() { update_option( 'e2e_purged', 'all' ); }
function wpsc_delete_url_cache( $url ) { update_option( 'e2e_purged', $url ); }
`)
	check()
}

func checkCacheDisable(x *exam) {
	x.ask(nil, cacheWrite, "to go with the cache")
	x.wordpress([]any{true, "to go with the cache"}, cacheRead)
	x.change("/cache/disable", fields{"type": "object"}, nil)
	x.wordpress([]any{false, false}, `return array( (bool) wp_using_ext_object_cache(), wp_cache_get( 'e2e', 'e2e' ) );`)
	keys := x.keys()
	x.check(keys == 0 && !x.has("wp-content/object-cache.php"), "%d keys are left, the drop-in: %t", keys, x.has("wp-content/object-cache.php"))
	x.answers(http.StatusOK, "/")
}
