package tasks

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp"
)

// visit asks the site for a page, and gives the status.
func (o *order) visit(addr, path string) (int, string) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, "http://"+addr+path, nil)
	must(o.t, err)
	req.Host = o.op.Site.Domain
	res, err := http.DefaultTransport.RoundTrip(req)
	must(o.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(o.t, err)
	return res.StatusCode, string(body)
}

func (o *order) cacheState() wp.CacheState {
	o.t.Helper()
	site, err := o.node.host.Layout.Find(o.op.Site.Account, o.op.Site.Domain, o.op.Site.Path)
	must(o.t, err)
	site, err = o.node.host.Addressed(o.t.Context(), site)
	must(o.t, err)
	state, err := o.node.host.CLI.Cache(o.t.Context(), site)
	must(o.t, err)
	return state
}

func (o *order) refused(code string, task Task) {
	o.t.Helper()
	if out := o.change(task).mustEnd(Failed); out.Error.Code != code || out.Error.Hint == "" {
		o.t.Errorf("%+v, want %s", out.Error, code)
	}
}

func TestObjectCacheIsUsedAndMayGoAway(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "casey", "cache.test", "public_html", Install{})
	o.mustEnd(Succeeded)
	o.refused(CodeCacheUnavailable, &CacheEnable{Type: CacheObject}) // the node has none
	server := devstack.RedisT(t, devstack.RedisOptions{AppendFsync: "off"})
	var err error
	n.host.ObjectCache, err = wp.NewObjectCache("redis://"+server.Addr+"/1", server.Password)
	must(t, err)
	admin := redis.NewClient(&redis.Options{Addr: server.Addr, DB: 1, Password: server.Password, MaxRetries: -1})
	defer admin.Close()
	file := filepath.Join(o.docroot(), "wp-content", wp.ObjectCacheFile)

	o.refused(CodeCacheUnavailable, &CacheFlush{Type: CacheObject})
	o.put("wp-content/object-cache.php", "<?php\n/* Plugin Name: Someone's Cache */\nrequire_once ABSPATH . WPINC . '/cache.php';\n")
	for _, task := range []Task{&CacheEnable{Type: CacheObject}, &CacheDisable{Type: CacheObject}} {
		o.refused(CodeConflict, task)
	}
	must(t, os.Remove(file))

	op := o.change(&CacheEnable{Type: CacheObject})
	var r CacheResult
	must(t, json.Unmarshal(op.mustEnd(Succeeded).Result, &r))
	if r.Prefix != o.op.Site.ID || !r.Changed || !r.Enabled || r.Lasting {
		t.Errorf("%+v", r)
	}
	op.mustBeTidy()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != configMode {
		t.Errorf("drop-in: %v %v", info, err)
	}
	addr := o.serve()
	for range 2 {
		if status, body := o.visit(addr, "/"); status != 200 || !strings.Contains(body, "</html>") {
			t.Fatalf("status %d: %.300s", status, body)
		}
	}
	keys, err := admin.Keys(t.Context(), "*").Result()
	must(t, err)
	for _, key := range keys {
		if !strings.HasPrefix(key, o.op.Site.ID+":") {
			t.Errorf("key %s", key)
		}
	}
	if len(keys) < 20 {
		t.Errorf("%d keys", len(keys))
	}
	before := hits(t, admin)
	o.visit(addr, "/")
	if after := hits(t, admin); after <= before {
		t.Errorf("hits: %s, then %s", before, after)
	}
	// What is changed in one process is seen by the next.
	o.put("wp-content/mu-plugins/title.php", `<?php if ( isset( $_GET['rename'] ) ) { add_action( 'init', function () { update_option( 'blogname', 'Renamed ' . $_GET['rename'] ); } ); }`)
	for _, name := range []string{"once", "twice"} {
		o.visit(addr, "/?rename="+name)
		if _, body := o.visit(addr, "/"); !strings.Contains(body, "Renamed "+name) {
			t.Errorf("the name of the site is stale")
		}
	}
	must(t, json.Unmarshal(o.change(&CacheEnable{Type: CacheObject}).mustEnd(Succeeded).Result, &r))
	if r.Changed {
		t.Error("it was on already")
	}
	o.change(&CacheFlush{Type: CacheObject}).mustEnd(Succeeded)

	server.Kill()
	if status, body := o.visit(addr, "/"); status != 200 || !strings.Contains(body, "Renamed twice") || strings.Contains(body, "Warning") {
		t.Errorf("without Redis: status %d: %.300s", status, body)
	}
	if state := o.cacheState(); state.Error == "" || !state.Ours {
		t.Errorf("%+v", state)
	}
	o.refused(CodeCacheUnavailable, &CacheFlush{Type: CacheObject})
	o.refused(CodeCacheUnavailable, &CacheEnable{Type: CacheObject}) // and the drop-in stays, as it was there before
	if state := o.cacheState(); !state.Ours {
		t.Errorf("%+v", state)
	}
	must(t, server.Restart(t.Context()))
	o.change(&CacheEnable{Type: CacheObject}).mustEnd(Succeeded) // its users were in memory only
	if state := o.cacheState(); state.Error != "" {
		t.Errorf("%+v", state)
	}

	off := o.change(&CacheDisable{Type: CacheObject})
	must(t, json.Unmarshal(off.mustEnd(Succeeded).Result, &r))
	off.mustBeTidy()
	if n, err := admin.DBSize(t.Context()).Result(); err != nil || n != 0 || !r.Changed || r.Enabled || o.has("wp-content/object-cache.php") || o.cacheState().Using {
		t.Errorf("%+v, %d keys are left, %v", r, n, err)
	}
	must(t, json.Unmarshal(o.change(&CacheDisable{Type: CacheObject}).mustEnd(Succeeded).Result, &r))
	if r.Changed {
		t.Error("it was off already")
	}
	o.pagesAndOpcache()
}

func hits(t *testing.T, rdb *redis.Client) string {
	t.Helper()
	info, err := rdb.Info(t.Context(), "stats").Result()
	must(t, err)
	_, rest, _ := strings.Cut(info, "keyspace_hits:")
	value, _, _ := strings.Cut(rest, "\r\n")
	return strings.Repeat(" ", max(0, 12-len(value))) + value // as text they compare as numbers
}

// pagesAndOpcache: what is not there is said, and a plugin's page cache is emptied.
func (o *order) pagesAndOpcache() {
	o.t.Helper()
	for _, task := range []Task{&CacheEnable{Type: CacheOpcache}, &CacheDisable{Type: CacheOpcache}, &CacheFlush{Type: CacheOpcache}, &CacheFlush{Type: CachePage}} {
		o.refused(CodeCacheUnavailable, task)
	}
	o.put("wp-content/mu-plugins/pages.php", `<?php
function wp_cache_clear_cache() { update_option( 'purged', 'all' ); }
function wpsc_delete_url_cache( $url ) { update_option( 'purged', $url ); }`)
	site, err := o.node.host.Layout.Find(o.op.Site.Account, o.op.Site.Domain, o.op.Site.Path)
	must(o.t, err)
	site, err = site.WithURL("http://cache.test")
	must(o.t, err)
	for _, c := range []struct {
		task Task
		want string
	}{{&CacheFlush{Type: CachePage}, "all"}, {&CachePurge{URL: "http://cache.test/about/"}, "http://cache.test/about/"}} {
		var r CacheFlushResult
		must(o.t, json.Unmarshal(o.change(c.task).mustEnd(Succeeded).Result, &r))
		got, err := o.node.host.CLI.OptionString(o.t.Context(), site, "purged")
		if err != nil || got != c.want || r.Provider != "WP Super Cache" || r.Whole != (c.want == "all") {
			o.t.Errorf("%+v: purged %q, %v", r, got, err)
		}
	}
	o.refused(CodeInvalidPayload, &CachePurge{URL: "http://elsewhere.test/"})
	o.refused(CodeConflict, &CacheEnable{Type: CachePage}) // beside a plugin's
}

func TestPurgeNeedsAddresses(t *testing.T) {
	t.Parallel()
	for _, task := range []*CachePurge{
		{}, {URL: "/about"}, {URL: "ftp://x/"}, {URL: "http://u:p@x/"}, {URLs: []string{"http://x/", "y"}}, {Type: CacheObject, URL: "http://x/"}, {URLs: make([]string, 51)},
	} {
		if len(task.Validate()) == 0 {
			t.Errorf("%+v was accepted", task)
		}
	}
	if found := (&CachePurge{URL: "http://x/", URLs: []string{"https://x/y?z=1"}}).Validate(); len(found) > 0 {
		t.Error(found)
	}
}
