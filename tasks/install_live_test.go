package tasks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

func TestInstallEndsInASiteThatOpens(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "alice", "blog.test", "public_html", Install{DBName: "blog_wp"})
	last := -1
	o.cfg.Report = func(e Event) {
		if e.Progress < last {
			t.Errorf("progress %d after %d", e.Progress, last)
		}
		last = e.Progress
	}
	out := o.mustEnd(Succeeded)
	r := o.mustBeWhole(out)
	if r.SiteURL != "http://blog.test" || r.AdminURL != "http://blog.test/wp-admin/" || r.Path != o.docroot() ||
		!strings.HasPrefix(r.DBName, "alice_blog_wp_") || r.Version == "" || r.ID != o.op.Site.ID || last < 90 {
		t.Errorf("%+v, progress %d", r, last)
	}
	tables, err := n.host.DB.Tables(t.Context(), r.DBName)
	if err != nil || len(tables) != coreTables {
		t.Errorf("tables %q, %v", tables, err)
	}
	o.mustLogIn()
	again := o.mustEnd(Succeeded) // delivered twice
	if string(again.Result) != string(out.Result) {
		t.Errorf("the second answer differs: %s", again.Result)
	}
}

func TestInstallOfEverythingThatCanBeAskedFor(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ssl := true
	o := n.order(t, "bob", "net.test", "public_html/shop", Install{
		AdminUser: "the boss", Version: "6.5", TablePrefix: "x_", SSL: &ssl,
		Plugins: []string{"hello-dolly", "akismet"}, Theme: "twentytwentyfour", Multisite: Subdirectories,
	})
	r := o.mustBeWhole(o.mustEnd(Succeeded))
	if r.SiteURL != "https://net.test/shop" || r.TablePrefix != "x_" || !r.Multisite || !strings.HasPrefix(r.Version, "6.5") {
		t.Errorf("%+v", r)
	}
	site, err := n.host.Layout.Find("bob", "net.test", "public_html/shop")
	must(t, err)
	site, err = site.WithURL(r.SiteURL)
	must(t, err)
	for _, list := range []func() ([]wp.Extension, error){
		func() ([]wp.Extension, error) { return n.host.CLI.PluginList(t.Context(), site) },
		func() ([]wp.Extension, error) { return n.host.CLI.ThemeList(t.Context(), site) },
	} {
		have, err := list()
		must(t, err)
		for _, slug := range []string{"hello-dolly", "akismet", "twentytwentyfour"} {
			for _, e := range have {
				if e.Slug == slug && !e.Active() {
					t.Errorf("%s is %s", slug, e.Status)
				}
			}
		}
	}
}

// errDead is what the journal answers to a worker that has been killed: Execute
// returns at once, as if its process had ended at that very point.
var errDead = errors.New("the worker is dead")

// reaper ends the worker at every share-th of the journal's entries, before or
// after the entry is kept, the first time that the entry comes.
type reaper struct {
	order         *order
	share, shares int
	after         bool
	seen          map[string]bool
	dead          bool
	deaths        int
}

func (r *reaper) entry(e Entry) error {
	if r.dead {
		return errDead
	}
	id := fmt.Sprint(e.Mark, e.Step, e.Key)
	if r.seen[id] {
		return nil
	}
	r.seen[id] = true
	if len(r.seen)%r.shares != r.share {
		return nil
	}
	r.dead = true
	r.deaths++
	if r.after {
		if err := r.order.journal.Append(r.order.op.ID, e); err != nil {
			return err
		}
	}
	return errDead
}

// live attempts the op until the worker lives to see its end.
func (r *reaper) live() (Outcome, error) {
	for {
		r.dead = false
		out, err := r.order.attempt()
		if !errors.Is(err, errDead) {
			return out, err
		}
	}
}

// some is the first of n shares of the boundaries that a test has workers die at. All of them
// take their time: make test-all.
func some(n int) []int {
	if os.Getenv("WPTK_TEST_ALL") == "" {
		n = 1
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestInstallSurvivesADeathAtEveryBoundary(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const shares = 3 // an op that dies three times in one step is given up on purpose
	ops := 0
	for _, after := range []bool{false, true} {
		for _, share := range some(shares) {
			ops++
			o := n.order(t, fmt.Sprint("die", ops), "crash.test", "public_html", Install{DBName: "wp", Version: "6.2"})
			r := &reaper{order: o, share: share, shares: shares, after: after, seen: map[string]bool{}}
			o.fail = r.entry
			out, err := r.live()
			must(t, err)
			o.mustBe(out, Succeeded)
			o.mustBeWhole(out)
			if r.deaths < 5 {
				t.Errorf("after=%t share %d: %d deaths only", after, share, r.deaths)
			}
		}
	}
}

// A worker that dies while it takes things back goes on taking them back.
func TestUndoSurvivesADeathAtEveryBoundary(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	const shares = 3
	ops := 0
	for _, after := range []bool{false, true} {
		for _, share := range some(shares) {
			ops++
			o := n.order(t, fmt.Sprint("und", ops), "undo.test", "public_html", Install{DBName: "wp"})
			r := &reaper{order: o, share: share, shares: shares, after: after, seen: map[string]bool{}}
			o.fail = r.entry
			out, err := r.live()
			must(t, err)
			o.mustBe(out, Failed)
			if out.Error.Code != CodeWPCLI {
				t.Errorf("%+v", out.Error)
			}
			o.mustBeGone(nil)
		}
	}
}

func TestFailureUndoesExactlyWhatTheOpMade(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	o := n.order(t, "carol", "undo.test", "public_html", Install{DBName: "wp"})
	// What was there before and must stay: an empty docroot, other files, a
	// database of the same account.
	must(t, os.Mkdir(o.docroot(), 0o750))
	must(t, os.WriteFile(filepath.Join(o.home(), "notes.txt"), []byte("mine"), 0o600))
	who, err := wptest.Tenant("carol")
	must(t, err)
	must(t, os.Lchown(o.docroot(), int(who.UID), int(who.GID)))
	must(t, n.host.DB.CreateDatabase(t.Context(), "carol_other"))

	out := o.mustEnd(Failed)
	if out.Error.Code != CodeWPCLI || out.Error.Hint == "" {
		t.Errorf("%+v", out.Error)
	}
	if got := n.databases(t, "carol"); !slices.Equal(got, []string{"carol_other"}) {
		t.Errorf("databases and users: %q", got)
	}
	if got := entries(t, o.home()); !slices.Equal(got, []string{"notes.txt", "public_html"}) {
		t.Errorf("the domain's directory has %q", got)
	}
	info, err := os.Stat(o.docroot())
	if err != nil || info.Mode().Perm() != 0o750 || len(entries(t, o.docroot())) != 0 {
		t.Errorf("docroot: %v %v", info, err)
	}
}

func TestCancelDuringTheInstallLeavesNothing(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	for i, step := range []string{"target", "core_files", "database", "config", "install"} {
		o := n.order(t, fmt.Sprint("stop", i), "cancel.test", "public_html", Install{})
		cancelled := make(chan struct{})
		var once sync.Once
		o.cfg.Cancelled = cancelled
		o.cfg.Report = func(e Event) {
			if e.Step == step {
				once.Do(func() { close(cancelled) })
			}
		}
		if out := o.mustEnd(Cancelled); out.Error.Code != CodeCancelled {
			t.Errorf("%s: %+v", step, out.Error)
		}
		o.mustBeGone(nil)
	}
}

// Behind the publication the site is there for everybody, and goes away as a whole.
func TestCancelAfterThePublicationTakesTheSiteBack(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "late", "late.test", "public_html/blog", Install{})
	cancelled := make(chan struct{})
	o.cfg.Cancelled = cancelled
	o.cfg.Report = func(e Event) {
		if e.Step == "verify" && e.Message == "Checking the new site" {
			if got := entries(t, o.docroot()); len(got) < 10 {
				t.Errorf("the site is not in place yet: %q", got)
			}
			close(cancelled)
		}
	}
	o.mustEnd(Cancelled)
	o.mustBeGone(nil)
}

func TestDatabaseServerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	server := devstack.MariaDBT(t)
	n.connect(t, server)
	o := n.order(t, "frank", "away.test", "public_html", Install{})
	var stop, start sync.Once
	o.cfg.Report = func(e Event) {
		if e.Step == "database" {
			stop.Do(server.Kill)
		}
	}
	waits := 0
	o.cfg.Wait = func(ctx context.Context, _ time.Duration) error {
		waits++
		start.Do(func() { must(t, server.Restart(t.Context())) })
		return ctx.Err()
	}
	// The install step fails for want of a PHP: the database step has not.
	if out := o.mustEnd(Failed); out.Error.Code != CodeWPCLI || waits == 0 {
		t.Errorf("%+v after %d waits", out.Error, waits)
	}
	o.mustBeGone(nil)
}

func TestDatabaseServerThatStaysAwayFailsTheOp(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	server := devstack.MariaDBT(t)
	n.connect(t, server)
	o := n.order(t, "grace", "away.test", "public_html", Install{})
	var stop sync.Once
	o.cfg.Report = func(e Event) {
		if e.Step == "config" { // database and user are there, and cannot be dropped
			stop.Do(server.Kill)
		}
	}
	out := o.mustEnd(Failed)
	if out.Error.Code != CodeDatabaseError || !strings.Contains(out.Error.Hint, "database") {
		t.Errorf("%+v", out.Error)
	}
	if got := entries(t, o.home()); len(got) != 0 {
		t.Errorf("files are left: %q", got)
	}
}

// Two ops of one account ask for the same database. The first dies between its
// intent and the creation; when it comes back, the database is the other's.
func TestDatabaseOfAnotherOpIsNeitherSharedNorDropped(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	first := n.order(t, "dave", "one.test", "public_html", Install{DBName: "wp"})
	second := n.order(t, "dave", "two.test", "public_html", Install{DBName: "wp"})
	dead := false
	first.fail = func(e Entry) error {
		if dead {
			return errDead
		}
		if e.Mark == MarkSet && e.Key == keyDBIntent {
			dead = true
			return errors.Join(first.journal.Append(first.op.ID, e), errDead)
		}
		return nil
	}
	if _, err := first.attempt(); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	out := second.mustEnd(Succeeded)
	first.fail = nil
	if failed := first.mustEnd(Failed); failed.Error.Code != CodeDatabaseExists {
		t.Errorf("%+v", failed.Error)
	}
	second.mustBeWhole(out)
	if got := entries(t, first.home()); len(got) != 0 {
		t.Errorf("the first op left %q", got)
	}
}

func TestUnavailablePackagesAreNamedBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, task := range []Install{ // nothing is copied, so the real source costs no time
		{Version: "1.5"}, {Locale: "tlh"}, {Plugins: []string{"no-such-plugin"}}, {Theme: "no-such-theme"}, {Plugins: []string{"akismet@99"}},
	} {
		o := n.order(t, "erin", "pkg.test", "public_html", task)
		if out := o.mustEnd(Failed); out.Error.Code != CodePackageUnavailable || out.Error.Hint == "" {
			t.Errorf("%+v", out.Error)
		}
		o.mustBeGone(nil)
	}
}
