package tasks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// newServed is a site whose own web server the node asks, and packages for it. Nothing that
// looks at it writes: WordPress's cron is off.
func newServed(t *testing.T, account string, task Install) (*visited, shop) {
	t.Helper()
	n := newNode(t)
	v := n.open(t, account, "safe.test", "public_html", task)
	n.host.Web = wp.Web{Probe: "http://" + v.addr}
	v.define(t, "define( 'DISABLE_WP_CRON', true );")
	s := shop{v.order, newParts(t)}
	s.parts.fill()
	s.parts.plugin("steady", "3.0", breaksPages)
	return v, s
}

// breaksPages breaks a page, where no start of WordPress sees it.
const breaksPages = "add_action( 'template_redirect', function () { update_option( 'steady', '3.0' ); no_such_function(); } );\n"

// packaged has the node take plugins and themes from the test's own source.
func (s shop) packaged(t *testing.T) {
	t.Helper()
	var err error
	s.node.host.Packages, err = wp.OpenPackages(s.parts.dir, wptest.Dir(t))
	must(t, err)
}

// print is what a rollback has to bring back: every file but for the name of the database in
// wp-config.php, and every table.
func (v *visited) print(t *testing.T) (map[string]string, string) {
	t.Helper()
	out := map[string]string{}
	config, err := os.ReadFile(filepath.Join(v.docroot(), configFile))
	must(t, err)
	parsed, err := wp.ParseConfig(config)
	must(t, err)
	must(t, filepath.WalkDir(v.docroot(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if filepath.Base(path) == configFile {
			content = []byte(strings.Replace(string(content), "'DB_NAME', '"+parsed.DBName+"'", "'DB_NAME', ''", 1))
		}
		info, statErr := d.Info()
		sum := sha256.Sum256(content)
		rel, _ := filepath.Rel(v.docroot(), path)
		out[rel] = fmt.Sprint(hex.EncodeToString(sum[:8]), info.Mode())
		return errors.Join(err, statErr)
	}))
	tables, err := v.node.host.DB.Tables(t.Context(), parsed.DBName)
	must(t, err)
	for _, table := range tables {
		var name, sum string
		must(t, v.node.sql.QueryRowContext(t.Context(), "CHECKSUM TABLE `"+parsed.DBName+"`.`"+table+"`").Scan(&name, &sum))
		out["table "+table] = sum
	}
	return out, parsed.DBName
}

// visit is what anybody gets for a page.
func (v *visited) visit(t *testing.T, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+v.addr+path, nil)
	must(t, err)
	req.Host = "safe.test"
	res, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer res.Body.Close()
	return res.StatusCode
}

// mustBeSettled checks that nothing of a safe update is left but the site with one database.
func (v *visited) mustBeSettled(t *testing.T, db string) {
	t.Helper()
	v.order.t = t
	v.mustBeTidy()
	want := []string{db, v.DBUser + "@127.0.0.1"}
	if got := v.node.databases(t, v.op.Site.Account); !slices.Equal(got, want) {
		t.Errorf("databases and users: %q, want %q", got, want)
	}
	if left, err := v.node.host.Snapshots.All(); err != nil || len(left) > 0 {
		t.Errorf("records of snapshots are left: %q %v", left, err)
	}
	if code := v.visit(t, "/"); code != http.StatusOK {
		t.Errorf("the front page answers %d", code)
	}
}

func safeOf(t *testing.T, out Outcome) SafeReport {
	t.Helper()
	r := answerOf[struct{ Safe *SafeReport }](t, out)
	if r.Safe == nil {
		t.Fatalf("the result tells nothing of the snapshot: %s", out.Result)
	}
	return *r.Safe
}

// stateOfCore answers, quickly, which WordPress and which tables a visitor gets.
const stateOfCore = `<?php
define( 'SHORTINIT', true );
require __DIR__ . '/wp-load.php';
echo $GLOBALS['wp_version'], ' ', str_replace( 'http://', '', $wpdb->get_var( "SELECT option_value FROM {$wpdb->options} WHERE option_name = 'siteurl'" ) ), ' end';
`

// closed is what a visitor of a closed site gets: the page that says so, or, in the moment in which
// directories of the core are exchanged, nothing at all.
var closed = regexp.MustCompile(`^(503 |500 $)`)

// A plugin turns fatal on the new core, in pages only: WordPress itself comes up.
func TestCoreUpdateThatBreaksPagesIsTakenBackByteForByte(t *testing.T) {
	t.Parallel()
	v, _ := newServed(t, "selma", Install{Version: "6.2.6"})
	const plugin = "wp-content/plugins/old/old.php"
	v.order.put(plugin, `<?php
/* Plugin Name: Old */
add_action( 'wp_head', function () { if ( version_compare( $GLOBALS['wp_version'], '6.4', '>' ) ) { function_that_is_gone(); } } );`)
	v.order.put("wp-content/languages/de_DE.mo", "")
	v.does(t, "plugin.activate", `{"plugin":"old"}`, Succeeded)
	v.order.put("state.php", stateOfCore)
	v.visit(t, "/")
	before, db := v.print(t)

	p := newPoller(t, v.addr)
	up := v.order.change(&CoreUpdate{})
	got := 0
	up.cfg.Report = func(e Event) {
		if e.Step == "tables" && got == 0 {
			got = v.visit(t, "/")
		}
	}
	out := up.dies(t, RolledBack, 20) // at every boundary, on its way there and back
	if p.mustHaveSeen(closed, "6.2.6 safe.test") == 0 {
		t.Error("the site was closed all the time")
	}
	after, now := v.print(t)
	if diff := cmp.Diff(before, after); diff != "" || now == db {
		t.Errorf("in %s: %s", now, diff)
	}
	r := safeOf(t, out)
	if out.Error.Code != CodeUpdateBrokeSite || !strings.Contains(out.Error.Message, "is cut off in the middle") || got != http.StatusServiceUnavailable ||
		!r.RolledBack || r.AsBefore == nil || !*r.AsBefore || r.ProbedBy != wp.SightWeb || len(r.Pages) < 6 || r.Snapshot.Database != now || !r.Snapshot.Removed ||
		r.Snapshot.Rows == 0 || r.Snapshot.Tables != coreTables || len(r.Snapshot.Files) == 0 {
		t.Errorf("%+v\n%+v\n%+v, visitors got %d", out.Error, r, r.Snapshot, got)
	}
	v.mustBeSettled(t, now)

	must(t, os.RemoveAll(filepath.Dir(filepath.Join(v.docroot(), plugin))))
	p = newPoller(t, v.addr)
	r = safeOf(t, v.order.change(&CoreUpdate{}).mustEnd(Succeeded))
	p.mustHaveSeen(closed, "6.2.6 safe.test", "7.1.1 safe.test")
	if r.RolledBack || r.AsBefore != nil || len(r.Regressions) > 0 || !r.Snapshot.Removed || r.Pages[0].After == nil || *r.Pages[0].After != http.StatusOK {
		t.Errorf("%+v %+v", r, r.Snapshot)
	}
	v.mustBeSettled(t, now)
	v.order.t = t
	v.mustRun("7.1.1")
	if out := v.order.change(&CoreUpdate{}).mustEnd(Succeeded); answerOf[CoreResult](t, out).Safe != nil {
		t.Errorf("nothing was to be done: %s", out.Result)
	}
}

func TestSafePluginUpdates(t *testing.T) {
	t.Parallel()
	v, s := newServed(t, "petra", Install{})
	s.packaged(t)
	s.ends(t, Succeeded, "plugin.install", `{"plugin":["steady@1.0","pair"],"activate":true}`)
	v.visit(t, "/")
	for _, part := range []struct {
		name string
		run  func(*testing.T, *visited, shop)
	}{
		{"one that breaks a page is taken back with what it wrote", brokenPage},
		{"one that breaks WordPress is taken back with those that did not", brokenBoot},
		{"deaths at every boundary leave the old or the new", dyingPluginUpdates},
		{"a site that was broken before is not made worse", brokenBefore},
		{"without a web server the front page is rendered", withoutWeb},
		{"a marker of before comes back", closedBefore},
		{"a cancelled one leaves nothing", cancelledSafe},
		{"a configuration that computes its database is refused", computedConfig},
	} {
		if !t.Run(part.name, func(t *testing.T) { v.order.t = t; part.run(t, v, s) }) {
			return
		}
	}
}

const steady3 = `{"plugin":"steady","version":"3.0"}`

func brokenPage(t *testing.T, v *visited, s shop) {
	before, _ := v.print(t)
	out, items := s.ends(t, RolledBack, "plugin.update", steady3)
	after, now := v.print(t)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	if r := safeOf(t, out); out.Error.Code != CodeUpdateBrokeSite || len(r.Regressions) == 0 || items["steady"].Status != ItemFailed || items["steady"].To != "1.0" {
		t.Errorf("%+v %+v", out.Error, r)
	}
	v.mustBeSettled(t, now)
}

func brokenBoot(t *testing.T, v *visited, s shop) {
	s.parts.plugin("pair", "2.0", "")
	before, _ := v.print(t)
	out, items := s.ends(t, RolledBack, "plugin.update", `{"plugin":["pair@2.0","steady@2.0"]}`)
	after, now := v.print(t)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	if out.Error.Code != CodeUpdateBrokeSite || items["pair"].Status != ItemFailed || items["pair"].To != "1.0" {
		t.Errorf("%+v %+v", out.Error, items)
	}
	v.mustBeSettled(t, now)
}

// boundaryKiller ends the worker twice in every step, there and back: right behind its
// beginning, and when all is done but not written down. A third time would be given up.
type boundaryKiller struct {
	order  *order
	seen   map[string]bool
	every  int // only at each so many boundaries
	dead   bool
	deaths int
}

func (k *boundaryKiller) entry(e Entry) error {
	at := fmt.Sprint(e.Mark, e.Step)
	switch {
	case k.dead:
		return errDead
	case k.seen[at]:
		return nil
	}
	k.seen[at] = true
	if len(k.seen)%k.every != 0 {
		return nil
	}
	switch e.Mark {
	case MarkBegin, MarkUndo:
		k.dead = true
		k.deaths++
		return errors.Join(k.order.journal.Append(k.order.op.ID, e), errDead)
	case MarkDone, MarkUndone, MarkRollback:
		k.dead = true
		k.deaths++
		return errDead
	}
	return nil
}

// dies runs an op to its end.
func (o *order) dies(t *testing.T, want State, atLeast int) Outcome {
	t.Helper()
	k := &boundaryKiller{order: o, seen: map[string]bool{}, every: 4 - len(some(3))}
	if k.every > 1 {
		atLeast /= 6
	}
	o.fail = k.entry
	for {
		k.dead = false
		out, err := o.attempt()
		if errors.Is(err, errDead) {
			continue
		}
		must(t, err)
		o.mustBe(out, want)
		if k.deaths < atLeast {
			t.Errorf("%d deaths only", k.deaths)
		}
		return out
	}
}

func dyingPluginUpdates(t *testing.T, v *visited, s shop) {
	v.visit(t, "/")
	before, _ := v.print(t)
	s.then(t, "plugin.update", steady3).dies(t, RolledBack, 18)
	after, now := v.print(t)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	v.mustBeSettled(t, now)
	s.then(t, "plugin.update", `{"plugin":"pair"}`).dies(t, Succeeded, 16)
	v.mustBeSettled(t, now)
}

func brokenBefore(t *testing.T, v *visited, s shop) {
	file := v.put(t, "mu-plugins/bad.php", "<?php\nif ( ! defined( 'WP_CLI' ) ) { no_such_function_here(); }\n")
	defer func() { must(t, os.Remove(file)) }()
	out, _ := s.ends(t, Succeeded, "plugin.update", `{"plugin":"steady","version":"1.1"}`)
	if r := safeOf(t, out); len(r.Notes) == 0 || r.RolledBack || r.Pages[0].Before != http.StatusInternalServerError {
		t.Errorf("%+v", r)
	}
}

func withoutWeb(t *testing.T, v *visited, s shop) {
	web := v.node.host.Web
	defer func() { v.node.host.Web = web }()
	v.node.host.Web = wp.Web{}
	out, _ := s.ends(t, RolledBack, "plugin.update", steady3)
	if r := safeOf(t, out); r.ProbedBy != wp.SightCLI || len(r.Pages) != 1 || out.Error.Code != CodeUpdateBrokeSite {
		t.Errorf("%+v %+v", r, out.Error)
	}
	v.node.host.Web = wp.Web{Probe: "http://127.0.0.1:1"} // nobody is there
	out, _ = s.ends(t, Succeeded, "plugin.update", `{"plugin":"steady","version":"1.0"}`)
	if r := safeOf(t, out); r.ProbedBy != wp.SightCLI || *r.Pages[0].After != http.StatusOK {
		t.Errorf("%+v", r)
	}
}

func closedBefore(t *testing.T, v *visited, s shop) {
	s.then(t, "maintenance", `{"enabled":true}`).mustEnd(Succeeded)
	marker, err := os.ReadFile(filepath.Join(v.docroot(), wp.MaintenanceFile))
	must(t, err)
	for payload, want := range map[string]State{steady3: RolledBack, `{"plugin":"steady","version":"1.1"}`: Succeeded} {
		out := s.then(t, "plugin.update", payload).mustEnd(want)
		if r := safeOf(t, out); r.Pages[0].Before != http.StatusOK {
			t.Errorf("%+v", r)
		}
		if now, err := os.ReadFile(filepath.Join(v.docroot(), wp.MaintenanceFile)); err != nil || string(now) != string(marker) {
			t.Errorf("%s: the marker is %q (%v)", payload, now, err)
		}
	}
	s.then(t, "maintenance", `{"enabled":false}`).mustEnd(Succeeded)
	// WordPress itself is at it.
	v.order.put(wp.MaintenanceFile, fmt.Sprintf("<?php $upgrading = %d; ?>", time.Now().Unix()))
	if out := s.then(t, "plugin.update", steady3).mustEnd(Failed); out.Error.Code != CodeConflict {
		t.Errorf("%+v", out.Error)
	}
	must(t, os.Remove(filepath.Join(v.docroot(), wp.MaintenanceFile)))
}

func cancelledSafe(t *testing.T, v *visited, s shop) {
	before, _ := v.print(t)
	for _, step := range []string{"snapshot", "probe"} {
		up := s.then(t, "plugin.update", `{"plugin":"steady","version":"1.0"}`)
		cancelled := make(chan struct{})
		var once sync.Once
		up.cfg.Cancelled = cancelled
		up.cfg.Report = func(e Event) {
			if e.Step == step {
				once.Do(func() { close(cancelled) })
			}
		}
		up.mustEnd(Cancelled)
		after, now := v.print(t)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: %s", step, diff)
		}
		v.mustBeSettled(t, now)
	}
}

func computedConfig(t *testing.T, v *visited, s shop) {
	file := filepath.Join(v.docroot(), configFile)
	was, err := os.ReadFile(file)
	must(t, err)
	defer func() { must(t, os.WriteFile(file, was, configMode)) }()
	_, db := v.print(t)
	computed := strings.Replace(string(was), "'"+db+"'", "trim( '"+db+"' )", 1)
	must(t, os.WriteFile(file, []byte(computed), configMode))
	out, _ := s.ends(t, Failed, "plugin.update", `{"plugin":"steady","version":"1.0"}`)
	if out.Error.Code != CodeSnapshotImpossible || !strings.Contains(out.Error.Hint, "safe=false") {
		t.Errorf("%+v", out.Error)
	}
}

// A database server that goes away in the middle, or a disk that is full, takes nothing with it:
// what has to be put back is put back without it, and what cannot be removed is removed later.
func TestSafeUpdateOutlivesItsDatabaseServerAndItsDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	n := newNode(t)
	disk := smallDisk(t, n.home, 300)
	server := devstack.MariaDBT(t)
	n.connect(t, server)
	v := n.open(t, "dora", "safe.test", "public_html", Install{})
	n.host.Web = wp.Web{Probe: "http://" + v.addr}
	v.define(t, "define( 'DISABLE_WP_CRON', true );")
	s := shop{v.order, newParts(t)}
	s.parts.fill()
	s.parts.plugin("steady", "3.0", breaksPages)
	s.packaged(t)
	s.ends(t, Succeeded, "plugin.install", `{"plugin":"steady@1.0","activate":true}`)
	v.visit(t, "/")
	for _, fault := range []struct {
		dies  bool // the server; else the disk is full to the last byte
		step  string
		to    string // 3.0 breaks pages
		state State
		code  string
	}{
		{true, "snapshot", "1.1", Failed, CodeDatabaseError},
		{true, "probe", "1.1", Failed, CodeDatabaseError},
		{false, "close", "1.1", Failed, CodeDiskFull},
		{false, "apply", "1.1", Failed, CodeDiskFull},
		{false, "probe", "3.0", RolledBack, CodeUpdateBrokeSite},
	} {
		before, _ := v.print(t)
		up := s.then(t, "plugin.update", `{"plugin":"steady","version":"`+fault.to+`"}`)
		var once sync.Once
		up.cfg.Report = func(e Event) {
			if e.Step == fault.step {
				once.Do(func() {
					if fault.dies {
						server.Kill()
					} else {
						disk.eat(0)
					}
				})
			}
		}
		up.cfg.Wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
		out := up.mustEnd(fault.state)
		if out.Error.Code != fault.code || out.Error.Hint == "" {
			t.Errorf("%s: %+v", fault.step, out.Error)
		}
		if fault.dies {
			must(t, server.Restart(t.Context()))
		} else {
			disk.leave()
		}
		for _, op := range mustAll(t, n.host.Snapshots) { // as the worker does
			snap, err := n.host.Snapshots.Get(op)
			must(t, err)
			site, err := n.host.Find("dora", "safe.test", "public_html")
			must(t, err)
			must(t, n.host.EndSnapshot(t.Context(), site, snap))
		}
		after, now := v.print(t)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s, %s: %s", fault.step, fault.code, diff)
		}
		v.mustBeSettled(t, now)
	}
}

func mustAll(t *testing.T, s *wp.SnapshotStore) []string {
	t.Helper()
	ops, err := s.All()
	must(t, err)
	return ops
}
