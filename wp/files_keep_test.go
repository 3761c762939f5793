package wp

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// keepPlot is a domain with one plugin of two files in it.
func keepPlot(t *testing.T) (p plot, plugin string) {
	t.Helper()
	p = newPlace(t, "public_html")
	p.mkdir(t, "public_html", 0o755)
	p.mkdir(t, "public_html/plugins", 0o755)
	p.mkdir(t, "public_html/plugins/akismet", 0o750)
	p.put(t, "public_html/plugins/akismet/akismet.php", "old")
	p.mkdir(t, "public_html/plugins/akismet/views", 0o755)
	p.put(t, "public_html/plugins/akismet/views/a.php", "old view")
	return p, filepath.Join(p.home, "public_html/plugins/akismet")
}

func (p plot) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.home, name))
	if err != nil {
		return ""
	}
	return string(data)
}

func TestWhatIsKeptIsPutBack(t *testing.T) {
	t.Parallel()
	p, plugin := keepPlot(t)
	for range 2 { // the first one counts
		kept, err := Files{}.Keep(t.Context(), p.site, plugin, testStage)
		if err != nil || kept != KeptTree {
			t.Fatal(kept, err)
		}
		p.put(t, "public_html/plugins/akismet/akismet.php", "new")
		p.put(t, "public_html/plugins/akismet/extra.php", "new")
	}
	for range 2 {
		must(t, Files{}.PutBack(t.Context(), p.site, plugin, testStage))
		if p.read(t, "public_html/plugins/akismet/akismet.php") != "old" || p.read(t, "public_html/plugins/akismet/views/a.php") != "old view" ||
			p.read(t, "public_html/plugins/akismet/extra.php") != "" {
			t.Errorf("it is not as before")
		}
	}
	info, err := os.Stat(plugin)
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("%v %v", info, err)
	}
	info, err = os.Stat(filepath.Join(p.home, testStage))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("what is kept can be read by others: %v %v", info, err)
	}
	must(t, Files{}.Remove(t.Context(), p.site, testStage))
}

func TestWhereNothingWasNothingIsPutBack(t *testing.T) {
	t.Parallel()
	p, _ := keepPlot(t)
	fresh := filepath.Join(p.home, "public_html/plugins/fresh")
	for range 2 {
		kept, err := Files{}.Keep(t.Context(), p.site, fresh, testStage)
		if err != nil || kept != KeptNone {
			t.Fatal(kept, err)
		}
		if p.read(t, "public_html/plugins/fresh/x.php") == "" {
			p.mkdir(t, "public_html/plugins/fresh", 0o755)
			p.put(t, "public_html/plugins/fresh/x.php", "new")
		}
	}
	for range 2 {
		must(t, Files{}.PutBack(t.Context(), p.site, fresh, testStage))
		if _, err := os.Lstat(fresh); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is left: %v", err)
		}
	}
}

func TestTakenAwayAndPutBack(t *testing.T) {
	t.Parallel()
	p, plugin := keepPlot(t)
	for range 2 {
		must(t, Files{}.TakeAway(t.Context(), p.site, plugin, testStage))
		if _, err := os.Lstat(plugin); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is left: %v", err)
		}
	}
	must(t, Files{}.PutBack(t.Context(), p.site, plugin, testStage))
	if p.read(t, "public_html/plugins/akismet/views/a.php") != "old view" {
		t.Error("it is not as before")
	}
	// After that it may go for good, and again nothing is lost that was there first.
	must(t, Files{}.TakeAway(t.Context(), p.site, plugin, testStage), Files{}.Remove(t.Context(), p.site, testStage))
	must(t, Files{}.PutBack(t.Context(), p.site, plugin, testStage))
	if _, err := os.Lstat(plugin); err == nil {
		t.Error("it came back from nowhere")
	}
}

func TestPutBackWithoutKeepDoesNothing(t *testing.T) {
	t.Parallel()
	p, plugin := keepPlot(t)
	must(t, Files{}.PutBack(t.Context(), p.site, plugin, testStage))
	if p.read(t, "public_html/plugins/akismet/akismet.php") != "old" {
		t.Error("it was touched")
	}
}

// An attempt that died while it copied leaves half a copy, which is never put back.
func TestHalfACopyIsNotKept(t *testing.T) {
	t.Parallel()
	p, plugin := keepPlot(t)
	if _, err := (Files{}).Keep(t.Context(), p.site, plugin, testStage); err != nil {
		t.Fatal(err)
	}
	stage := filepath.Join(p.home, testStage)
	list, err := os.ReadDir(stage)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	whole := filepath.Join(stage, list[0].Name())
	must(t, os.Rename(whole, whole+keepNew), os.Remove(filepath.Join(whole+keepNew, "akismet.php")))
	must(t, Files{}.PutBack(t.Context(), p.site, plugin, testStage))
	kept, err := Files{}.Keep(t.Context(), p.site, plugin, testStage)
	if err != nil || kept != KeptTree {
		t.Fatal(kept, err)
	}
	must(t, os.RemoveAll(plugin))
	must(t, Files{}.PutBack(t.Context(), p.site, plugin, testStage))
	if p.read(t, "public_html/plugins/akismet/akismet.php") != "old" {
		t.Error("it is not as before")
	}
}

func TestKeepFollowsNoLink(t *testing.T) {
	t.Parallel()
	p, plugin := keepPlot(t)
	p.link(t, p.sentinel, "public_html/plugins/akismet/way-out")
	p.link(t, filepath.Dir(p.sentinel), "public_html/plugins/linked")
	must(t, unix.Mkfifo(filepath.Join(plugin, "pipe"), 0o600))
	p.give(t, "public_html/plugins/akismet/pipe")

	linked := filepath.Join(p.home, "public_html/plugins/linked")
	if kept, err := (Files{}).Keep(t.Context(), p.site, linked, testStage); err != nil || kept != KeptLink {
		t.Errorf("%v %v", kept, err)
	}
	if kept, err := (Files{}).Keep(t.Context(), p.site, plugin, testStage); err != nil || kept != KeptTree {
		t.Fatal(kept, err)
	}
	must(t, os.RemoveAll(plugin))
	must(t, Files{}.PutBack(t.Context(), p.site, plugin, testStage))
	if to, err := os.Readlink(filepath.Join(plugin, "way-out")); err != nil || to != p.sentinel {
		t.Errorf("%q %v", to, err)
	}
	must(t, Files{}.TakeAway(t.Context(), p.site, linked, testStage), Files{}.Remove(t.Context(), p.site, testStage))
	p.safe(t)
	if list, err := os.ReadDir(filepath.Dir(p.sentinel)); err != nil || len(list) == 0 {
		t.Errorf("%v %v", list, err)
	}
	// A stage that was laid out beforehand as a link is not gone into.
	p.link(t, filepath.Dir(p.sentinel), testStage)
	must(t, Files{}.TakeAway(t.Context(), p.site, plugin, testStage))
	p.safe(t)
	if list, err := os.ReadDir(filepath.Dir(p.sentinel)); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
}

func TestOnlyWhatIsInsideTheDomainIsKept(t *testing.T) {
	t.Parallel()
	p, _ := keepPlot(t)
	for _, path := range []string{"", p.home, filepath.Dir(p.home), p.sentinel, p.home + "/../x", p.home + "x", "plugins", p.home + "/a\x00b"} {
		_, kept := Files{}.Keep(t.Context(), p.site, path, testStage)
		for _, err := range []error{kept, Files{}.TakeAway(t.Context(), p.site, path, testStage), Files{}.PutBack(t.Context(), p.site, path, testStage)} {
			if err == nil {
				t.Errorf("%q was accepted", path)
			}
		}
	}
	if list, err := os.ReadDir(p.home); err != nil || !slices.ContainsFunc(list, func(e fs.DirEntry) bool { return e.Name() == "public_html" }) {
		t.Errorf("%v %v", list, err)
	}
	p.safe(t)
}
