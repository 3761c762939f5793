package tasks

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wispanel/wptk/wp"
)

// change runs a kind on the site of a finished install, as an op of its own.
func (o *order) change(task Task) *order {
	o.t.Helper()
	payload, err := json.Marshal(task)
	must(o.t, err)
	_, spec, err := Decode(task.Kind(), payload)
	must(o.t, err)
	next := &order{t: o.t, node: o.node, op: o.op}
	next.op.ID, next.op.Kind, next.op.Payload, next.op.Attempt = NewOpID(o.node.host.Node), spec.Kind, payload, 0
	next.journal, next.dir = openJournal(o.t)
	next.cfg = o.cfg
	next.cfg.Op, next.cfg.Spec, next.cfg.Task, next.cfg.Journal, next.cfg.Report, next.cfg.Cancelled = next.op, spec, task, next, nil, nil
	return next
}

func (o *order) coreResult(out Outcome) CoreResult {
	o.t.Helper()
	var r CoreResult
	must(o.t, json.Unmarshal(out.Result, &r))
	return r
}

// running is the version that WordPress itself tells, and that of its tables.
func (o *order) running() wp.CoreState {
	o.t.Helper()
	site, err := o.node.host.Layout.Find(o.op.Site.Account, o.op.Site.Domain, o.op.Site.Path)
	must(o.t, err)
	site, err = o.node.host.Addressed(o.t.Context(), site)
	must(o.t, err)
	state, err := o.node.host.CLI.CoreState(o.t.Context(), site)
	must(o.t, err)
	return state
}

func (o *order) put(name, content string) {
	o.t.Helper()
	file := filepath.Join(o.docroot(), name)
	who, err := o.node.host.Layout.Find(o.op.Site.Account, o.op.Site.Domain, o.op.Site.Path)
	must(o.t, err)
	must(o.t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(o.t, os.WriteFile(file, []byte(content), 0o644))
	for p := file; p != o.docroot(); p = filepath.Dir(p) {
		must(o.t, os.Lchown(p, int(who.User.UID), int(who.User.GID)))
	}
}

func (o *order) has(name string) bool {
	_, err := os.Lstat(filepath.Join(o.docroot(), name))
	return err == nil
}

// unsafely is the safe of an update as it was before there were safe ones.
func unsafely() *bool { return new(bool) }

// mustBeTidy checks that no stage is left beside the docroot.
func (o *order) mustBeTidy() {
	o.t.Helper()
	for _, name := range entries(o.t, o.home()) {
		if strings.HasPrefix(name, ".wptk") {
			o.t.Errorf("%s is left", name)
		}
	}
	if o.has(".maintenance") {
		o.t.Error(".maintenance is left")
	}
}

// One site goes through all of it, since making one takes longer than changing it.
func TestCoreIsChangedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "cora", "core.test", "public_html", Install{Version: "6.2.6"})
	o.mustEnd(Succeeded)
	for name, content := range map[string]string{
		"wp-admin/.htaccess": "# mine", "wp-includes/own/tool.txt": "mine", ".htaccess": "# mine too", "wp-content/themes/mine/style.css": "mine",
		// As of a translated package, with a translation of which only the newest core has a newer one.
		versionFile: string(wp.WithLocalPackage([]byte(read(t, o, versionFile)), "de_DE")), "wp-content/languages/de_DE.mo": "",
	} {
		o.put(name, content)
	}
	must(t, os.Remove(filepath.Join(o.docroot(), "readme.html")))
	config, err := os.ReadFile(filepath.Join(o.docroot(), configFile))
	must(t, err)
	for _, part := range []struct {
		name string
		run  func(*order)
	}{
		{"a dry run changes nothing", (*order).dryUpdate},
		{"a cancelled update leaves the old files", (*order).cancelUpdate},
		{"an update that breaks the site is taken back", (*order).breakingUpdate},
		{"updates survive deaths at every boundary", (*order).dyingUpdates},
		{"the newest version stays", (*order).needlessUpdate},
		{"a downgrade needs force", (*order).downgrade},
		{"a reinstall heals what was tampered with", (*order).healing},
	} {
		if !t.Run(part.name, func(t *testing.T) { o.t = t; part.run(o) }) {
			return
		}
	}
	o.t = t
	for _, name := range []string{".htaccess", "wp-content/themes/mine/style.css", "wp-content/uploads/photo.jpg"} {
		if !o.has(name) {
			t.Errorf("%s is gone", name)
		}
	}
	if now, err := os.ReadFile(filepath.Join(o.docroot(), configFile)); err != nil || string(now) != string(config) || o.has("readme.html") {
		t.Errorf("wp-config.php has changed, or readme.html came back (%v)", err)
	}
	o.mustLogIn()
}

func (o *order) dryUpdate() {
	var preview CorePreview
	must(o.t, json.Unmarshal(o.change(&CoreUpdate{Version: "6.5", DryRun: true, Safe: unsafely()}).mustEnd(Succeeded).Result, &preview))
	if w := preview.Would; !preview.DryRun || w.From != "6.2.6" || w.To != "6.5.5" || !w.Files || !w.SiteUp || w.Before.Unexpected != 2 || w.Before.Modified != 0 {
		o.t.Errorf("%+v", preview)
	}
	o.mustRun("6.2.6")
}

// mustRun checks which version runs, and that its tables fit.
func (o *order) mustRun(version string) wp.CoreState {
	o.t.Helper()
	state := o.running()
	if state.Version != version || state.DBVersion != state.DBVersionWanted {
		o.t.Errorf("running %+v, want %s", state, version)
	}
	o.mustBeTidy()
	return state
}

func (o *order) cancelUpdate() {
	up := o.change(&CoreUpdate{Version: "6.5.5", Safe: unsafely()})
	cancelled := make(chan struct{})
	var once sync.Once
	up.cfg.Cancelled = cancelled
	up.cfg.Report = func(e Event) {
		if e.Step == "translations" {
			once.Do(func() { close(cancelled) })
		}
	}
	up.mustEnd(Cancelled)
	o.mustRun("6.2.6")
}

func (o *order) breakingUpdate() {
	const plugin = "wp-content/mu-plugins/old.php"
	o.put(plugin, `<?php if ( version_compare( $GLOBALS['wp_version'], '6.4', '>' ) ) { wptk_function_that_is_gone(); }`)
	out := o.change(&CoreUpdate{Version: "6.5.5", Safe: unsafely()}).mustEnd(RolledBack)
	if out.Error.Code != CodeVerifyFailed || !strings.Contains(out.Error.Message, "must-use old") || out.Error.Hint == "" {
		o.t.Errorf("%+v", out.Error)
	}
	o.mustRun("6.2.6")
	must(o.t, os.Remove(filepath.Join(o.docroot(), plugin)))
}

func (o *order) dyingUpdates() {
	words := []string{"kept", "updated"}
	for i, version := range []string{"6.5.5", "7.1.1"} {
		before := o.running().DBVersion
		up := o.change(&CoreUpdate{Version: version, Safe: unsafely()})
		r := &reaper{order: up, share: i, shares: 2, after: i == 1, seen: map[string]bool{}}
		up.fail = r.entry
		out, err := r.live()
		must(o.t, err)
		up.mustBe(out, Succeeded)
		got := o.coreResult(out)
		if state := o.mustRun(version); r.deaths < 4 || !got.Changed || !got.SiteUp || got.To != version || got.DBVersion != state.DBVersion || state.DBVersion <= before ||
			got.After.Modified+got.After.Missing != 0 || got.After.Unexpected != 2 || len(got.Left) != 0 ||
			got.Translations["de_DE"] != words[i] || wp.LocalPackage([]byte(read(o.t, o, versionFile))) != "de_DE" {
			o.t.Errorf("%+v, after %+v, %d deaths, running %+v", got, got.After, r.deaths, state)
		}
		for _, name := range []string{"wp-admin/.htaccess", "wp-includes/own/tool.txt"} {
			if !o.has(name) {
				o.t.Errorf("%s is gone", name)
			}
		}
	}
}

func (o *order) needlessUpdate() {
	if r := o.coreResult(o.change(&CoreUpdate{Safe: unsafely()}).mustEnd(Succeeded)); r.Changed || r.From != "7.1.1" || r.Before != nil {
		o.t.Errorf("%+v", r)
	}
}

func (o *order) downgrade() {
	if out := o.change(&CoreUpdate{Version: "6.5.5", Safe: unsafely()}).mustEnd(Failed); out.Error.Code != CodeDowngrade {
		o.t.Errorf("%+v", out.Error)
	}
	o.mustRun("7.1.1")
	o.change(&CoreUpdate{Version: "6.5.5", Force: true, Safe: unsafely()}).mustEnd(Succeeded)
	o.mustRun("6.5.5")
	if r := o.coreResult(o.change(&CoreUpdate{MinorOnly: true, Safe: unsafely()}).mustEnd(Succeeded)); r.Changed {
		o.t.Errorf("%+v", r)
	}
}

func (o *order) healing() {
	o.put("wp-includes/load.php", "<?php die( 'owned' );")
	o.put("wp-admin/shell.php", "<?php eval( $_POST['x'] );")
	o.put("wp-content/uploads/photo.jpg", "jpg")
	must(o.t, os.Remove(filepath.Join(o.docroot(), "wp-login.php")))
	extra := []string{"wp-admin/.htaccess", "wp-admin/shell.php", "wp-includes/own/tool.txt"}

	var preview CorePreview
	must(o.t, json.Unmarshal(o.change(&CoreReinstall{DryRun: true, RemoveUnexpected: true}).mustEnd(Succeeded).Result, &preview))
	if w := preview.Would; w.SiteUp || !sameSet(w.Discard, extra) || w.Before.Modified != 1 || w.Before.Missing != 1 {
		o.t.Errorf("%+v", preview)
	}
	r := o.coreResult(o.change(&CoreReinstall{}).mustEnd(Succeeded))
	if !r.SiteUp || r.To != "6.5.5" || r.Before.Modified != 1 || r.After.Modified+r.After.Missing != 0 || r.After.Unexpected != 3 || len(r.Left) != 0 {
		o.t.Errorf("%+v %+v", r, r.After)
	}
	r = o.coreResult(o.change(&CoreReinstall{RemoveUnexpected: true}).mustEnd(Succeeded))
	if o.has("wp-admin/shell.php") || !sameSet(r.Left, extra) || r.After.Unexpected != 0 {
		o.t.Errorf("%+v %+v", r, r.After)
	}
	o.mustRun("6.5.5")
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func TestTablesOfEverySiteOfANetworkAreUpgraded(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "netty", "network.test", "public_html", Install{Version: "6.2.6", Multisite: Subdirectories})
	o.mustEnd(Succeeded)
	o.put("wp-content/mu-plugins/second.php", `<?php add_action( 'init', function () {
	if ( is_main_site() && ! get_site_by_path( 'network.test', '/two/' ) ) {
		require_once ABSPATH . 'wp-admin/includes/admin.php';
		wpmu_create_blog( 'network.test', '/two/', 'Two', 1 );
	}
} );`)
	o.running()
	o.change(&CoreUpdate{Version: "6.5.5", Safe: unsafely()}).mustEnd(Succeeded)
	state := o.mustRun("6.5.5")
	site, err := n.host.Layout.Find("netty", "network.test", "public_html")
	must(t, err)
	for _, address := range []string{"http://network.test", "http://network.test/two"} {
		blog, err := site.WithURL(address)
		must(t, err)
		got, err := n.host.CLI.CoreState(t.Context(), blog)
		if err != nil || !got.Multisite || got.DBVersion != state.DBVersionWanted {
			t.Errorf("%s: %+v %v", address, got, err)
		}
	}
}
