package main

import (
	"net/http"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/tasks"
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
	for _, layer := range []string{"page", "opcache"} {
		x.refused(tasks.CodeCacheUnavailable, "/cache/enable", fields{"type": layer})
	}
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
	x.check(x.err != nil || alike(said["object"], []bool{true, true}) && alike(said["page"], []bool{false, false}) && said["opcache"] != nil, "the layers are %s", inJSON(state))
}

func checkCacheFlush(x *exam) {
	x.ask(nil, cacheWrite, "to be forgotten")
	x.wordpress([]any{true, "to be forgotten"}, cacheRead)
	x.change("/cache/flush", fields{"type": "object"}, nil)
	x.wordpress([]any{true, false}, cacheRead)
	x.refused(tasks.CodeCacheUnavailable, "/cache/flush", fields{"type": "opcache"})
	x.pageCache(func() {
		x.change("/cache/flush", fields{"type": "page"}, nil)
		x.wordpress("all", `return get_option( 'e2e_purged' );`)
	})
}

func checkCachePurge(x *exam) {
	page := x.url() + "/hello-world/"
	x.refused(tasks.CodeCacheUnavailable, "/cache/purge", fields{"url": page})
	x.pageCache(func() {
		x.change("/cache/purge", fields{"type": "page", "url": page}, nil)
		x.wordpress(page, `return get_option( 'e2e_purged' );`)
	})
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
