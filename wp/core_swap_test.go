package wp

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// failer is a test, of rapid or not.
type failer interface {
	Helper()
	Fatal(...any)
}

// coreTree writes a package as a directory of ours and gives its path.
func coreTree(t failer, dir string, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents reads a tree: path to content, "->target" for a link.
func contents(t failer, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			got[rel] = "->" + target
			return err
		}
		data, err := os.ReadFile(p)
		got[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func oldSite() map[string]string {
	return map[string]string{
		"index.php": "old index", "wp-load.php": "old load", "wp-old.php": "old", "readme.html": "old read", ".htaccess": "mine",
		"wp-admin/a.php": "old a", "wp-admin/.htaccess": "deny", "wp-includes/version.php": "old version", "wp-includes/gone.php": "gone",
		"wp-content/themes/t/style.css": "mine", "wp-config.php": "secret",
	}
}

func newCore() map[string]string {
	return map[string]string{
		"index.php": "new index", "wp-load.php": "new load", "wp-new.php": "new", "readme.html": "new read", "license.txt": "new license",
		"wp-admin/a.php": "new a", "wp-includes/version.php": "new version", "wp-includes/fresh.php": "fresh", "wp-content/index.php": "not taken",
	}
}

// updatedSite is oldSite with newCore. The license that the owner had removed stays away.
func updatedSite() map[string]string {
	return map[string]string{
		"index.php": "new index", "wp-load.php": "new load", "wp-new.php": "new", "readme.html": "new read", ".htaccess": "mine",
		"wp-admin/a.php": "new a", "wp-admin/.htaccess": "deny", "wp-includes/version.php": "new version", "wp-includes/fresh.php": "fresh",
		"wp-content/themes/t/style.css": "mine", "wp-config.php": "secret",
	}
}

func TestCoreIsExchangedAndPutBackWhole(t *testing.T) {
	t.Parallel()
	site := tree(t, "erik", oldSite())
	core := coreTree(t, filepath.Join(t.TempDir(), "core"), newCore())
	if err := os.Chmod(filepath.Dir(filepath.Dir(core)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(core), 0o755); err != nil {
		t.Fatal(err)
	}
	own(t, site)
	ctx, f, stage := t.Context(), Files{}, StageName("op_swap")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stageIt := func() {
		t.Helper()
		must(f.StageNewCore(ctx, site, core, stage, nil))
		left, err := f.CarryOver(ctx, site, stage, []string{"wp-admin/.htaccess", "wp-admin/none", "../x", "wp-content/index.php"})
		if err != nil || len(left) != 3 {
			t.Errorf("%q %v", left, err)
		}
		must(f.SwapCore(ctx, site, core, stage, []string{"wp-old.php"}))
	}
	stageIt()
	must(f.SwapCore(ctx, site, core, stage, []string{"wp-old.php"})) // again
	if diff := cmp.Diff(updatedSite(), contents(t, site.Docroot)); diff != "" {
		t.Error(diff)
	}
	if err := f.DropStage(ctx, site, stage); err == nil {
		t.Error("the old files were dropped while they were the only ones")
	}
	must(f.SwapBack(ctx, site, stage))
	must(f.SwapBack(ctx, site, stage))
	if diff := cmp.Diff(oldSite(), contents(t, site.Docroot)); diff != "" {
		t.Error(diff)
	}
	must(f.DropStage(ctx, site, stage))
	stageIt()
	must(f.DropCore(ctx, site, stage))
	if diff := cmp.Diff(updatedSite(), contents(t, site.Docroot)); diff != "" {
		t.Error(diff)
	}
	if entries, err := os.ReadDir(site.Home); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}

// own gives the whole domain to its account.
func own(t *testing.T, site Site) {
	t.Helper()
	err := filepath.WalkDir(site.Home, func(p string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(p, int(site.User.UID), int(site.User.GID)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCoreThatIsALinkIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	files := oldSite()
	delete(files, "wp-includes/version.php")
	delete(files, "wp-includes/gone.php")
	site := tree(t, "fay", files)
	if err := os.Symlink("/usr/share/wordpress/wp-includes", filepath.Join(site.Docroot, "wp-includes")); err != nil {
		t.Fatal(err)
	}
	own(t, site)
	before := contents(t, site.Docroot)
	core := coreTree(t, filepath.Join(t.TempDir(), "core"), newCore())
	for _, dir := range []string{filepath.Dir(core), filepath.Dir(filepath.Dir(core))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stage := StageName("op_link")
	if err := (Files{}).StageNewCore(t.Context(), site, core, stage, nil); err != nil {
		t.Fatal(err)
	}
	if err := (Files{}).SwapCore(t.Context(), site, core, stage, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(before, contents(t, site.Docroot)); diff != "" {
		t.Error(diff)
	}
}

// staged makes a docroot and its stage in a directory of the test's own process.
func stagedSwap(t failer, dir string) *swapper {
	coreTree(t, filepath.Join(dir, "docroot"), oldSite())
	core := newCore()
	delete(core, "wp-content/index.php")
	core["wp-admin/.htaccess"] = "deny"
	coreTree(t, filepath.Join(dir, ".wptk-x"), core)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &swapper{root: root, swapRequest: swapRequest{
		Target: "docroot", Stage: ".wptk-x", Gone: []string{"wp-old.php"},
		Names: []string{"index.php", "license.txt", "readme.html", "wp-admin", "wp-includes", "wp-load.php", "wp-new.php"},
	}}
}

// An exchange that is cut short before any rename, with or without a file system that can
// exchange, is finished by the next call, or undone.
func TestExchangeThatIsCutShortIsFinishedOrUndone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "wptk-swap-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s := stagedSwap(t, dir)
		defer s.root.Close()
		record, err := s.begin()
		if err != nil {
			t.Fatal(err)
		}
		cut := rapid.IntRange(0, len(record.Entries)-1).Draw(t, "cut")
		for _, e := range record.Entries[:cut] {
			if err := s.exchange(e); err != nil {
				t.Fatal(err)
			}
		}
		e := record.Entries[cut]
		for i := range rapid.IntRange(0, 3).Draw(t, "renames of the next one") {
			from, to := [3]string{s.here(e.Name), s.staged(e.Name), s.staged(swapAside + e.Name)}, [3]string{s.staged(swapAside + e.Name), s.here(e.Name), s.staged(e.Name)}
			if err := s.root.Rename(from[i], to[i]); err != nil && e.Old != 0 {
				t.Fatal(err)
			}
		}
		want := oldSite()
		if rapid.Bool().Draw(t, "forward") {
			want = updatedSite()
			_, err = s.swap()
		} else {
			_, err = s.swapBack()
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, contents(t, filepath.Join(dir, "docroot"))); diff != "" {
			t.Fatal(diff)
		}
		if _, err = s.swapBack(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(oldSite(), contents(t, filepath.Join(dir, "docroot"))); diff != "" {
			t.Fatal(diff)
		}
	})
}

// It changes a variable of the package, so it is not parallel.
func TestFileSystemThatCannotExchangeRenamesTwice(t *testing.T) {
	exchange := renameExchange
	defer func() { renameExchange = exchange }()
	renameExchange = func(int, string, int, string) error { return syscall.EINVAL }
	dir := t.TempDir()
	s := stagedSwap(t, dir)
	defer s.root.Close()
	if _, err := s.swap(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(updatedSite(), contents(t, filepath.Join(dir, "docroot"))); diff != "" {
		t.Fatal(diff)
	}
	got := contents(t, filepath.Join(dir, ".wptk-x"))
	if got["wp-includes/gone.php"] != "gone" || strings.Contains(strings.Join(keysOf(got), " "), swapAside) {
		t.Fatal(got)
	}
}

func keysOf(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

func TestMaintenanceSignOfSomebodyElseStays(t *testing.T) {
	t.Parallel()
	files := oldSite()
	files[".maintenance"] = "<?php $upgrading = 1;"
	dir := t.TempDir()
	coreTree(t, filepath.Join(dir, "docroot"), files)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s := &swapper{root: root, swapRequest: swapRequest{Target: "docroot", Stage: ".wptk-x"}}
	open, err := s.close()
	if err := errors.Join(err, open()); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, filepath.Join(dir, "docroot"))[".maintenance"]; got != "<?php $upgrading = 1;" {
		t.Errorf("%q", got)
	}
	if err := root.Remove("docroot/.maintenance"); err != nil {
		t.Fatal(err)
	}
	open, err = s.close()
	if err != nil || !strings.Contains(contents(t, filepath.Join(dir, "docroot"))[".maintenance"], "$upgrading") {
		t.Error(err)
	}
	if err := open(); err != nil || contents(t, filepath.Join(dir, "docroot"))[".maintenance"] != "" {
		t.Error(err)
	}
}
