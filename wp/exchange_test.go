package wp

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wispanel/wptk/wp/wptest"
)

func presentSite() map[string]string {
	return map[string]string{
		"index.php": "old index", "wp-config.php": "old config", ".htaccess": "old", "wp-includes/version.php": "old version",
		"wp-content/plugins/a/a.php": "old a", "wp-content/plugins/b/b.php": "only old", "wp-content/uploads/1.jpg": "old 1",
	}
}

func savedSite() map[string]string {
	return map[string]string{
		"index.php": "saved index", "wp-config.php": "saved config", ".user.ini": "saved", "wp-includes/version.php": "saved version",
		"wp-content/plugins/a/a.php": "saved a", "wp-content/uploads/2.jpg": "saved 2", "wp-content/cache/c.html": "saved c",
	}
}

// placed is a site at a path of its domain, with what stands there and beside it.
func placed(t *testing.T, account, path string, files, beside map[string]string) Site {
	t.Helper()
	home := wptest.Dir(t)
	dir := wptest.Domain(t, home, account, "exchange.test")
	coreTree(t, filepath.Join(dir, path), files)
	coreTree(t, dir, beside)
	layout, err := ParseLayout(home + "/*/domains/*")
	if err != nil {
		t.Fatal(err)
	}
	site, err := layout.WithUsers(wptest.Tenant).Find(account, "exchange.test", path)
	if err != nil {
		t.Fatal(err)
	}
	own(t, site)
	return site
}

// stageSaved fills a stage as a restore does.
func stageSaved(t *testing.T, site Site, stage string, files map[string]string) {
	t.Helper()
	if err := (Files{}).OpenStage(t.Context(), site, stage); err != nil {
		t.Fatal(err)
	}
	coreTree(t, filepath.Join(site.Home, stage), files)
	own(t, site)
	if err := (Files{}).SealStage(t.Context(), site, stage); err != nil {
		t.Fatal(err)
	}
}

func mustSame(t failer, what string, want, got map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(what + ": " + diff)
	}
}

func TestDocrootIsExchangedInOneStepAndBack(t *testing.T) {
	t.Parallel()
	site := placed(t, "anna", "public_html", presentSite(), map[string]string{"logs/access.log": "log"})
	mode := fs.FileMode(0o751)
	if err := os.Chmod(site.Docroot, mode); err != nil {
		t.Fatal(err)
	}
	ctx, f, stage := t.Context(), Files{}, StageName("op_x")
	stageSaved(t, site, stage, savedSite())
	for range 2 {
		got, err := f.ExchangeDocroot(ctx, site, stage)
		if err != nil || !got.Whole || got.Entries != 0 {
			t.Fatalf("%+v %v", got, err)
		}
		mustSame(t, "exchanged", savedSite(), contents(t, site.Docroot))
	}
	if info, err := os.Stat(site.Docroot); err != nil || info.Mode().Perm() != mode {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if f.DropStaged(ctx, site, stage) == nil || f.OpenStage(ctx, site, stage) == nil {
		t.Error("the old files were given up while they were nowhere else")
	}
	for range 2 {
		if err := f.ExchangeBack(ctx, site, stage); err != nil {
			t.Fatal(err)
		}
		mustSame(t, "back", presentSite(), contents(t, site.Docroot))
	}
	if err := f.DropStaged(ctx, site, stage); err != nil {
		t.Error(err)
	}
	stageSaved(t, site, stage, savedSite())
	if _, err := f.ExchangeDocroot(ctx, site, stage); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.DropExchanged(ctx, site, stage); err != nil {
			t.Fatal(err)
		}
	}
	want := savedSite()
	mustSame(t, "home", map[string]string{"log": "log"}, map[string]string{"log": contents(t, site.Home)["logs/access.log"]})
	mustSame(t, "dropped", want, contents(t, site.Docroot))
	if names, err := os.ReadDir(site.Home); err != nil || len(names) != 2 {
		t.Errorf("%v %v", names, err)
	}
}

func TestInstallsBelowStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	files := presentSite()
	nested := map[string]string{
		"shop/wp-includes/version.php": "shop", "shop/index.php": "shop",
		"wp-content/staging/s/wp-includes/version.php": "staging", "wp-content/staging/note": "old note",
	}
	maps.Copy(files, nested)
	site := placed(t, "berta", "public_html", files, nil)
	ctx, f, stage := t.Context(), Files{}, StageName("op_x")
	if g, err := f.ExchangeGround(ctx, site); err != nil || strings.Join(g.Nested, " ") != "shop wp-content/staging/s" || g.Free <= 0 || g.Above || len(g.Mounts) > 0 {
		t.Errorf("%+v %v", g, err)
	}
	stageSaved(t, site, stage, savedSite())
	got, err := f.ExchangeDocroot(ctx, site, stage)
	if err != nil || got.Whole || strings.Join(got.Kept, " ") != "shop wp-content/staging/s" {
		t.Fatalf("%+v %v", got, err)
	}
	want := savedSite()
	maps.Copy(want, nested)
	delete(want, "wp-content/staging/note")
	mustSame(t, "exchanged", want, contents(t, site.Docroot))
	if err := f.ExchangeBack(ctx, site, stage); err != nil {
		t.Fatal(err)
	}
	mustSame(t, "back", files, contents(t, site.Docroot))
}

func TestDomainDirectoryKeepsWhatIsNoPartOfTheSite(t *testing.T) {
	t.Parallel()
	files := presentSite()
	maps.Copy(files, map[string]string{"mail/inbox": "mail", "logs/a": "log"})
	site := placed(t, "carl", "", files, nil)
	ctx, f, stage := t.Context(), Files{}, StageName("op_x")
	stageSaved(t, site, stage, savedSite())
	if got, err := f.ExchangeDocroot(ctx, site, stage); err != nil || got.Whole {
		t.Fatalf("%+v %v", got, err)
	}
	if err := f.DropExchanged(ctx, site, stage); err != nil {
		t.Fatal(err)
	}
	want := savedSite()
	maps.Copy(want, map[string]string{"mail/inbox": "mail", "logs/a": "log"})
	mustSame(t, "exchanged", want, contents(t, site.Docroot))
}

func TestPathsAreExchangedAlone(t *testing.T) {
	t.Parallel()
	site := placed(t, "dora", "public_html", presentSite(), nil)
	ctx, f, stage := t.Context(), Files{}, StageName("op_x")
	stageSaved(t, site, stage, savedSite())
	paths := []string{"wp-content/plugins/a", "wp-content/plugins/b", "wp-content/cache/c.html"}
	if got, err := f.ExchangePaths(ctx, site, stage, paths); err != nil || got.Entries != 3 {
		t.Fatalf("%+v %v", got, err)
	}
	want := presentSite()
	want["wp-content/plugins/a/a.php"], want["wp-content/cache/c.html"] = "saved a", "saved c"
	delete(want, "wp-content/plugins/b/b.php")
	mustSame(t, "exchanged", want, contents(t, site.Docroot))
	if err := f.ExchangeBack(ctx, site, stage); err != nil {
		t.Fatal(err)
	}
	mustSame(t, "back", presentSite(), contents(t, site.Docroot))
	if _, err := os.Stat(filepath.Join(site.Docroot, "wp-content/cache")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that was made is left: %v", err)
	}
}

func TestPathsThatLeadElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	files := presentSite()
	files["shop/wp-includes/version.php"] = "shop"
	site := placed(t, "emil", "public_html", files, nil)
	if err := os.Symlink("/etc", filepath.Join(site.Docroot, "link")); err != nil {
		t.Fatal(err)
	}
	own(t, site)
	before := contents(t, site.Docroot)
	ctx, f, stage := t.Context(), Files{}, StageName("op_x")
	stageSaved(t, site, stage, savedSite())
	for _, p := range []string{"link/passwd", "shop", "shop/index.php", "index.php/x", "../x", "/etc/passwd", "wp-content/../x", "", ".", ".wptk-op_1", ".maintenance"} {
		if _, err := f.ExchangePaths(ctx, site, stage, []string{p}); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
	mustSame(t, "refused", before, contents(t, site.Docroot))
}

func TestConfigurationAboveIsChangedByTheSameRename(t *testing.T) {
	t.Parallel()
	files := presentSite()
	delete(files, "wp-config.php")
	site := placed(t, "fred", "public_html", files, map[string]string{"wp-config.php": "old above"})
	ctx, f, stage := t.Context(), Files{}, StageName("op_x")
	if g, err := f.ExchangeGround(ctx, site); err != nil || !g.Above || g.Shared {
		t.Errorf("%+v %v", g, err)
	}
	stageSaved(t, site, stage, savedSite())
	if _, err := f.ExchangeDocroot(ctx, site, stage); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.RaiseConfig(ctx, site); err != nil {
			t.Fatal(err)
		}
	}
	want := savedSite()
	delete(want, "wp-config.php")
	mustSame(t, "docroot", want, contents(t, site.Docroot))
	if got := contents(t, site.Home)["wp-config.php"]; got != "saved config" {
		t.Errorf("%q", got)
	}
}

func TestSignOfMaintenanceBelongsToThePresent(t *testing.T) {
	t.Parallel()
	files, saved := presentSite(), savedSite()
	files[".maintenance"], saved[".maintenance"] = "closed now", "closed then"
	site := placed(t, "gert", "public_html", files, nil)
	ctx, f, stage := t.Context(), Files{}, StageName("op_x")
	stageSaved(t, site, stage, saved)
	if _, err := f.ExchangeDocroot(ctx, site, stage); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, site.Docroot)[".maintenance"]; got != "closed now" {
		t.Errorf("%q", got)
	}
}

// exchangeBench makes docroot and stage in a directory of the test's own process. An install
// below the docroot makes it go entry by entry.
func exchangeBench(t failer, dir string, nested bool) *exchanger {
	files := presentSite()
	if nested {
		files["shop/wp-includes/version.php"] = "shop"
	}
	coreTree(t, filepath.Join(dir, "docroot"), files)
	coreTree(t, filepath.Join(dir, ".wptk-x"), savedSite())
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &exchanger{ctx: context.Background(), root: root, exchangeRequest: exchangeRequest{Home: dir, Target: "docroot", Stage: ".wptk-x"}}
}

// An exchange of entries that is cut short before any rename is finished by the next call, or
// undone; then it can be undone as well.
func TestExchangeOfEntriesThatIsCutShortIsFinishedOrUndone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "wptk-exchange-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		x := exchangeBench(t, dir, true)
		defer x.root.Close()
		record, err := x.begin()
		if err != nil {
			t.Fatal(err)
		}
		cut := rapid.IntRange(0, len(record.Entries)-1).Draw(t, "cut")
		for i, e := range record.Entries[:cut] {
			if err := x.forth(i, e); err != nil {
				t.Fatal(err)
			}
		}
		cutEntry(t, x, cut, record.Entries[cut])
		old := presentSite()
		old["shop/wp-includes/version.php"] = "shop"
		want := old
		if rapid.Bool().Draw(t, "forward") {
			want = savedSite()
			want["shop/wp-includes/version.php"] = "shop"
			_, err = x.exchange()
		} else {
			_, err = x.back()
		}
		if err != nil {
			t.Fatal(err)
		}
		mustSame(t, "after the cut", want, contents(t, filepath.Join(dir, "docroot")))
		if _, err = x.back(); err != nil {
			t.Fatal(err)
		}
		mustSame(t, "back", old, contents(t, filepath.Join(dir, "docroot")))
	})
}

// cutEntry does some of the renames by which an entry changes places on a file system that
// cannot exchange.
func cutEntry(t *rapid.T, x *exchanger, i int, e swapEntry) {
	here, staged, aside := x.here(e.Name), x.staged(e.Name), x.beside("aside-"+strconv.Itoa(i))
	for n := range rapid.IntRange(0, 3).Draw(t, "renames of the next one") {
		from, to := [3]string{here, staged, aside}[n], [3]string{aside, here, staged}[n]
		if err := x.root.Rename(from, to); err != nil && e.Old != 0 && e.New != 0 {
			t.Fatal(err)
		}
	}
}

// It changes a variable of the package, so it is not parallel.
func TestFileSystemThatCannotExchangeGoesEntryByEntry(t *testing.T) {
	exchange := renameExchange
	defer func() { renameExchange = exchange }()
	renameExchange = func(int, string, int, string) error { return syscall.EINVAL }
	dir := t.TempDir()
	x := exchangeBench(t, dir, false)
	defer x.root.Close()
	got, err := x.exchange()
	if err != nil || got.(Exchanged).Whole {
		t.Fatalf("%+v %v", got, err)
	}
	mustSame(t, "exchanged", savedSite(), contents(t, filepath.Join(dir, "docroot")))
	if _, err := x.back(); err != nil {
		t.Fatal(err)
	}
	mustSame(t, "back", presentSite(), contents(t, filepath.Join(dir, "docroot")))
}
