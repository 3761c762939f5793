package tasks

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// cached asks the site for a page and tells what its cache has done, and the page.
func (o *order) cached(addr, path string, with ...string) (what, body string) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, "http://"+addr+path, nil)
	must(o.t, err)
	req.Host = o.op.Site.Domain
	for i := 0; i+1 < len(with); i += 2 {
		switch with[i] {
		case "method":
			req.Method = with[i+1]
		case "Host":
			req.Host = with[i+1]
		default:
			req.Header.Set(with[i], with[i+1])
		}
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	must(o.t, err)
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	must(o.t, err)
	return res.Header.Get(wp.PageCacheHeader), string(page)
}

// says wants the cache to have done something.
func (o *order) says(want, addr, path string, with ...string) (body string) {
	o.t.Helper()
	got, body := o.cached(addr, path, with...)
	if got != want {
		o.t.Errorf("%s %q: the cache says %q, want %q", path, with, got, want)
	}
	return body
}

// keptPages counts the pages in the cache.
func (o *order) keptPages() int {
	o.t.Helper()
	files, err := filepath.Glob(filepath.Join(o.docroot(), "wp-content/cache/wptk-page/*/*.html"))
	must(o.t, err)
	n := 0
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			n++
		}
	}
	return n
}

// pageNode is a node with a site whose owner writes posts through its address.
func pageNode(t *testing.T, account, domain string) *order {
	t.Helper()
	n := newNode(t)
	var err error
	n.host.Measures, err = wp.OpenMeasures(filepath.Join(wptest.Dir(t), "measures"))
	must(t, err)
	o := n.order(t, account, domain, "public_html", Install{})
	o.mustEnd(Succeeded)
	o.put("wp-content/mu-plugins/editor.php", `<?php
add_action( 'init', function () {
	if ( isset( $_GET['links'] ) ) { $GLOBALS['wp_rewrite']->set_permalink_structure( '/%postname%/' ); flush_rewrite_rules( false ); }
	if ( isset( $_GET['post'] ) ) { wp_update_post( array( 'ID' => 1, 'post_title' => $_GET['post'] ) ); }
	if ( isset( $_GET['comment'] ) ) { wp_insert_comment( array( 'comment_post_ID' => 1, 'comment_content' => $_GET['comment'], 'comment_approved' => 1 ) ); wp_update_comment_count_now( 1 ); }
} );
add_filter( 'the_title', function ( $title ) { return isset( $_SERVER['HTTP_X_SPY'] ) ? $_SERVER['HTTP_X_SPY'] : $title; } );`)
	return o
}

func TestPageCacheKeepsPagesForStrangersOnly(t *testing.T) {
	t.Parallel()
	o := pageNode(t, "paige", "pages.test")
	addr := o.serve()
	o.cached(addr, "/?links=1")
	config, err := os.ReadFile(filepath.Join(o.docroot(), "wp-config.php"))
	must(t, err)
	o.says("", addr, "/")

	var r CacheResult
	on := o.change(&CacheEnable{Type: CachePage})
	must(t, json.Unmarshal(on.mustEnd(Succeeded).Result, &r))
	on.mustBeTidy()
	if !r.Enabled || !r.Changed || r.Provider != wp.PageCacheName {
		t.Errorf("%+v", r)
	}
	first := o.says("miss", addr, "/hello-world/")
	if again := o.says("hit", addr, "/hello-world/"); again != first || !strings.Contains(first, "Hello world!") {
		t.Errorf("%d bytes became %d", len(first), len(again))
	}
	o.says("hit", addr, "/hello-world/", "Cookie", "_ga=1; wordpress_test_cookie=1")
	o.bypasses(addr)
	o.poison(addr)

	// What changes the site outdates its pages.
	o.says("hit", addr, "/hello-world/")
	o.cached(addr, "/?post=Edited")
	if body := o.says("miss", addr, "/hello-world/"); !strings.Contains(body, "Edited") {
		t.Error("after an edit the old page is shown")
	}
	o.says("hit", addr, "/hello-world/")
	o.cached(addr, "/?comment=Fresh+words")
	if body := o.says("miss", addr, "/hello-world/"); !strings.Contains(body, "Fresh words") {
		t.Error("after a comment the old page is shown")
	}
	o.purges(addr)

	must(t, json.Unmarshal(o.change(&CacheEnable{Type: CachePage}).mustEnd(Succeeded).Result, &r))
	if r.Changed {
		t.Error("it was on already")
	}
	off := o.change(&CacheDisable{Type: CachePage})
	must(t, json.Unmarshal(off.mustEnd(Succeeded).Result, &r))
	off.mustBeTidy()
	now, err := os.ReadFile(filepath.Join(o.docroot(), "wp-config.php"))
	must(t, err)
	if r.Enabled || !r.Changed || string(now) != string(config) || o.has("wp-content/advanced-cache.php") || o.has("wp-content/cache/wptk-page") {
		t.Errorf("switched off: %+v, wp-config.php is the same: %t", r, string(now) == string(config))
	}
	o.says("", addr, "/hello-world/")
	must(t, json.Unmarshal(o.change(&CacheDisable{Type: CachePage}).mustEnd(Succeeded).Result, &r))
	if r.Changed {
		t.Error("it was off already")
	}
	o.refused(CodeCacheUnavailable, &CacheFlush{Type: CachePage})
}

// bypasses: what may be somebody's own is neither kept nor answered from the cache.
func (o *order) bypasses(addr string) {
	o.t.Helper()
	had := o.keptPages()
	for _, with := range [][]string{
		{"Cookie", "wordpress_logged_in_abc=x"}, {"Cookie", "wp-postpass_abc=x"}, {"Cookie", "comment_author_abc=x"},
		{"Cookie", "woocommerce_items_in_cart=1"}, {"Cookie", "wp_woocommerce_session_abc=1"}, {"Cookie", "language=de"},
		{"Authorization", "Basic YTpi"}, {"method", "POST"}, {"method", "HEAD"},
		{"X-Forwarded-Host", "evil.test"}, {"X-Original-URL", "/wp-admin/"}, {"X-Forwarded-Proto", "gopher"},
	} {
		o.says("bypass", addr, "/hello-world/", with...)
	}
	for _, path := range []string{"/hello-world/?x=1", "/hello-world/?", "/?s=hello", "/feed/", "/no-such-page/", "/wp-json/", "/index.php/hello-world/"} {
		o.says("bypass", addr, path)
	}
	for _, path := range []string{"/wp-login.php", "/wp-cron.php", "/wp-admin/admin-ajax.php"} {
		o.says("", addr, path)
	}
	if now := o.keptPages(); now != had {
		o.t.Errorf("%d pages became %d", had, now)
	}
}

// poison: nobody gets another one's host, address or header into a page that is kept.
func (o *order) poison(addr string) {
	o.t.Helper()
	// The address of the site is whatever the visitor says: some wp-config.php have it so.
	was, err := os.ReadFile(filepath.Join(o.docroot(), "wp-config.php"))
	must(o.t, err)
	o.put("wp-config.php", strings.Replace(string(was), "<?php", "<?php\ndefine( 'WP_HOME', 'http://' . $_SERVER['HTTP_HOST'] ); define( 'WP_SITEURL', WP_HOME );", 1))
	for range 2 {
		o.says("bypass", addr, "/hello-world/", "Host", "evil.test")
	}
	o.put("wp-config.php", string(was))
	if body := o.says("hit", addr, "/hello-world/"); strings.Contains(body, "evil.test") {
		o.t.Error("a page has another one's host")
	}
	// A link in the place of the directory is not followed.
	dir := filepath.Join(o.docroot(), "wp-content/cache/wptk-page")
	away := wptest.Dir(o.t)
	must(o.t, os.Chmod(away, 0o777))
	must(o.t, os.Rename(dir, dir+"-was"))
	must(o.t, os.Symlink(away, dir))
	o.says("bypass", addr, "/hello-world/")
	o.refused(CodePermission, &CacheFlush{Type: CachePage})
	o.refused(CodePermission, &CachePurge{URL: "http://pages.test/hello-world/"})
	if found, err := os.ReadDir(away); err != nil || len(found) > 0 {
		o.t.Errorf("written through a link: %v %v", found, err)
	}
	must(o.t, os.Remove(dir))
	must(o.t, os.Rename(dir+"-was", dir))
	o.says("hit", addr, "/hello-world/")
}

// purges: one page, all pages, and those that an op has made old.
func (o *order) purges(addr string) {
	o.t.Helper()
	for _, path := range []string{"/", "/sample-page/", "/hello-world/"} {
		o.cached(addr, path)
		o.says("hit", addr, path)
	}
	o.says("miss", addr, "/sample-page/", "User-Agent", "Mobile")
	var r CacheFlushResult
	must(o.t, json.Unmarshal(o.change(&CachePurge{URL: "https://PAGES.test/sample-page"}).mustEnd(Succeeded).Result, &r))
	if r.Provider != wp.PageCacheName || r.Whole {
		o.t.Errorf("%+v", r)
	}
	o.says("hit", addr, "/hello-world/")
	// What was purged within this second is not kept in it: it may have been begun before.
	if what, _ := o.cached(addr, "/sample-page/"); what == "hit" {
		o.t.Error("a purged page is shown")
	}
	if what, _ := o.cached(addr, "/sample-page/", "User-Agent", "Mobile"); what == "hit" {
		o.t.Error("a purged page is shown to phones")
	}
	o.change(&CacheFlush{Type: CachePage}).mustEnd(Succeeded)
	if n := o.keptPages(); n != 0 {
		o.t.Errorf("%d pages are left", n)
	}
	o.says("miss", addr, "/")
	o.says("hit", addr, "/")
	o.change(&SearchReplace{Search: "Sample Page", Replace: "Another Page"}).mustEnd(Succeeded)
	o.says("miss", addr, "/")
}

// Foreign page caches stay what they are.
func TestPageCacheOfSomebodyElseIsNeverTouched(t *testing.T) {
	t.Parallel()
	o := pageNode(t, "percy", "pages-foreign.test")
	const theirs = "<?php\n/* WP Someone's Cache */\n"
	o.put("wp-content/advanced-cache.php", theirs)
	config, err := os.ReadFile(filepath.Join(o.docroot(), "wp-config.php"))
	must(t, err)
	for _, task := range []Task{&CacheEnable{Type: CachePage}, &CacheDisable{Type: CachePage}} {
		o.refused(CodeConflict, task)
	}
	must(t, os.Remove(filepath.Join(o.docroot(), "wp-content/advanced-cache.php")))
	// A place that is no directory of the account's: nothing is switched on.
	o.put("wp-content/cache/index.html", "")
	must(t, os.Symlink("/etc", filepath.Join(o.docroot(), "wp-content/cache/wptk-page")))
	o.refused(CodePermission, &CacheEnable{Type: CachePage})
	must(t, os.Remove(filepath.Join(o.docroot(), "wp-content/cache/wptk-page")))
	must(t, os.Chmod(filepath.Join(o.docroot(), "wp-content/cache"), 0o500))
	if out := o.change(&CacheEnable{Type: CachePage}).mustEnd(RolledBack); out.Error.Code != CodeVerifyFailed {
		t.Errorf("%+v", out.Error)
	}
	o.mustBeTidy()
	now, err := os.ReadFile(filepath.Join(o.docroot(), "wp-config.php"))
	must(t, err)
	if string(now) != string(config) || o.has("wp-content/advanced-cache.php") {
		t.Error("what was refused has changed the site")
	}
}
