package wp

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/wptest"
)

// plot is a tenant with one domain, and a sentinel that nobody may touch.
type plot struct {
	home     string // the domain's directory
	site     Site
	layout   Layout
	sentinel string // a file of root's, outside
}

const testStage = ".wptk-op_test"

func newPlace(t *testing.T, path string) plot {
	t.Helper()
	base := wptest.Dir(t)
	p := plot{home: wptest.Domain(t, base, "alice", "alice.example"), sentinel: filepath.Join(wptest.Dir(t), "sentinel")}
	must(t, os.WriteFile(p.sentinel, []byte("untouched"), 0o644))
	layout, err := ParseLayout(base + "/*/domains/*")
	must(t, err)
	p.layout = layout.WithUsers(wptest.Tenant)
	p.site, err = p.layout.Find("alice", "alice.example", path)
	must(t, err)
	return p
}

// give makes what the test has put into the tenant's tree the tenant's.
func (p plot) give(t *testing.T, names ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	for _, name := range names {
		must(t, os.Lchown(filepath.Join(p.home, name), int(p.site.User.UID), int(p.site.User.GID)))
	}
}

func (p plot) put(t *testing.T, name, content string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(p.home, name), []byte(content), 0o644))
	p.give(t, name)
}

func (p plot) mkdir(t *testing.T, name string, mode fs.FileMode) {
	t.Helper()
	must(t, os.Mkdir(filepath.Join(p.home, name), 0o755), os.Chmod(filepath.Join(p.home, name), mode))
	p.give(t, name)
}

func (p plot) link(t *testing.T, to, name string) {
	t.Helper()
	must(t, os.Symlink(to, filepath.Join(p.home, name)))
	p.give(t, name)
}

// safe fails the test when the sentinel was touched.
func (p plot) safe(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(p.sentinel)
	info, err2 := os.Stat(p.sentinel)
	if err != nil || err2 != nil || string(data) != "untouched" || info.Mode().Perm() != 0o644 {
		t.Errorf("the file outside is now %q %v, %v", data, info, errors.Join(err, err2))
	}
}

// miniCore is a core tree small enough for unit tests.
func miniCore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(wptest.Dir(t), "wordpress")
	for name, content := range map[string]string{
		"index.php": "<?php", "wp-settings.php": "<?php", "wp-admin/css/a.css": strings.Repeat("a", 5000), "wp-content/index.php": "<?php",
		"wp-includes/version.php": "<?php $wp_version = '6.5.2';", "wp-includes/deep/er/x.php": "<?php //x",
	} {
		file := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644))
	}
	return dir
}

func state(t *testing.T, site Site) DirState {
	t.Helper()
	s, err := Files{}.State(t.Context(), site)
	must(t, err)
	return s
}

func TestStateTellsWhatIsThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func(plot)
		kind DirKind
	}{
		"nothing":           {func(plot) {}, DirAbsent},
		"empty":             {func(p plot) { p.mkdir(t, "public_html", 0o755) }, DirEmpty},
		"a file inside":     {func(p plot) { p.mkdir(t, "public_html", 0o755); p.put(t, "public_html/a", "") }, DirOccupied},
		"configuration":     {func(p plot) { p.mkdir(t, "public_html", 0o755); p.put(t, "public_html/wp-config.php", "") }, DirWordPress},
		"a file instead":    {func(p plot) { p.put(t, "public_html", "") }, DirOccupied},
		"link to /etc":      {func(p plot) { p.link(t, "/etc", "public_html") }, DirOccupied},
		"dangling link":     {func(p plot) { p.link(t, "/nowhere", "public_html") }, DirOccupied},
		"link inside":       {func(p plot) { p.mkdir(t, "other", 0o755); p.link(t, "other", "public_html") }, DirOccupied},
		"hidden file alone": {func(p plot) { p.mkdir(t, "public_html", 0o755); p.put(t, "public_html/.x", "") }, DirOccupied},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "public_html")
			c.make(p)
			if got := state(t, p.site); got.Kind != c.kind {
				t.Errorf("state %+v, want %s", got, c.kind)
			}
		})
	}
}

func TestStateBelowALinkThatLeadsOutIsAnError(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html/ssl")
	p.link(t, "/etc", "public_html")
	if s, err := (Files{}).State(t.Context(), p.site); err == nil {
		t.Errorf("state %+v of a path through /etc", s)
	}
}

func TestPublishedTreeIsTheCoreAndTheTenants(t *testing.T) {
	t.Parallel()
	p, core, ctx := newPlace(t, "public_html/blog"), miniCore(t), t.Context()
	var last [2]int64
	must(t, Files{}.StageCore(ctx, p.site, core, testStage, func(done, total int64) {
		if done < last[0] || total < done {
			t.Errorf("progress %d of %d after %v", done, total, last)
		}
		last = [2]int64{done, total}
	}))
	if last[0] != last[1] || last[1] == 0 {
		t.Errorf("progress ended at %v", last)
	}
	for range 2 {
		must(t, Files{}.Publish(ctx, p.site, testStage))
	}
	if s := state(t, p.site); s.Kind != DirWordPress || s.Stage != testStage {
		t.Errorf("published state %+v", s)
	}
	for range 2 {
		must(t, Files{}.Commit(ctx, p.site, testStage))
	}
	if s := state(t, p.site); s.Stage != "" {
		t.Errorf("state after Commit %+v", s)
	}
	must(t, Files{}.Unpublish(ctx, p.site, testStage)) // committed: not ours any more
	err := filepath.WalkDir(core, func(from string, d fs.DirEntry, err error) error {
		must(t, err)
		rel, _ := filepath.Rel(core, from)
		info, err := os.Lstat(filepath.Join(p.site.Docroot, rel))
		must(t, err)
		want := fs.FileMode(0o644)
		if d.IsDir() {
			want = 0o755
		}
		if st := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != want || st.Uid != p.site.User.UID {
			t.Errorf("%s has mode %v uid %d", rel, info.Mode(), st.Uid)
		}
		return nil
	})
	must(t, err)
	if names, _ := os.ReadDir(p.home); len(names) != 1 {
		t.Errorf("left in the domain: %v", names)
	}
}

func TestStagingAgainCompletesWhatIsThere(t *testing.T) {
	t.Parallel()
	p, core, ctx := newPlace(t, "public_html"), miniCore(t), t.Context()
	must(t, Files{}.StageCore(ctx, p.site, core, testStage, nil))
	stage := filepath.Join(p.home, testStage)
	kept, err := os.Stat(filepath.Join(stage, "index.php"))
	must(t, err)
	must(t, os.Truncate(filepath.Join(stage, "wp-admin/css/a.css"), 10), os.Remove(filepath.Join(stage, "wp-includes/deep/er/x.php")))
	must(t, Files{}.StageCore(ctx, p.site, core, testStage, nil))
	again, err := os.Stat(filepath.Join(stage, "index.php"))
	must(t, err)
	if !os.SameFile(kept, again) {
		t.Error("a complete file was copied again")
	}
	must(t, os.CopyFS(filepath.Join(t.TempDir(), "x"), os.DirFS(stage)))
	for name, size := range map[string]int64{"wp-admin/css/a.css": 5000, "wp-includes/deep/er/x.php": 9} {
		if info, err := os.Stat(filepath.Join(stage, name)); err != nil || info.Size() != size {
			t.Errorf("%s after the second time: %v %v", name, info, err)
		}
	}
}

func TestStageLaidOutBeforehandIsNotFollowed(t *testing.T) {
	t.Parallel()
	outside := wptest.Dir(t)
	for name, lay := range map[string]func(plot){
		"link outside":  func(p plot) { p.link(t, outside, testStage) },
		"link to file":  func(p plot) { p.link(t, p.sentinel, testStage) },
		"dangling link": func(p plot) { p.link(t, filepath.Join(outside, "new"), testStage) },
		"file":          func(p plot) { p.put(t, testStage, "x") },
		"closed":        func(p plot) { p.mkdir(t, testStage, 0) },
		"foreign tree": func(p plot) {
			p.mkdir(t, testStage, 0o755)
			p.link(t, p.sentinel, testStage+"/index.php")
			p.link(t, outside, testStage+"/wp-admin")
		},
		"marked, with links": func(p plot) {
			must(t, Files{}.StageCore(t.Context(), p.site, miniCore(t), testStage, nil))
			must(t, os.Remove(filepath.Join(p.home, testStage, "index.php")))
			p.link(t, p.sentinel, testStage+"/index.php")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "public_html")
			lay(p)
			must(t, Files{}.StageCore(t.Context(), p.site, miniCore(t), testStage, nil))
			if info, err := os.Lstat(filepath.Join(p.home, testStage, "index.php")); err != nil || !info.Mode().IsRegular() {
				t.Errorf("index.php is %v, %v", info, err)
			}
			p.safe(t)
			if names, _ := os.ReadDir(outside); len(names) != 0 {
				t.Errorf("written outside: %v", names)
			}
		})
	}
}

func TestPublishNeverOverwrites(t *testing.T) {
	t.Parallel()
	for name, lay := range map[string]func(plot){
		"file":             func(p plot) { p.put(t, "public_html", "mine") },
		"link":             func(p plot) { p.link(t, "/etc", "public_html") },
		"directory in use": func(p plot) { p.mkdir(t, "public_html", 0o755); p.put(t, "public_html/index.html", "mine") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "public_html")
			must(t, Files{}.StageCore(t.Context(), p.site, miniCore(t), testStage, nil))
			lay(p)
			if err := (Files{}).Publish(t.Context(), p.site, testStage); !errors.Is(err, fs.ErrExist) {
				t.Errorf("Publish: %v, want ErrExist", err)
			}
			must(t, Files{}.Unpublish(t.Context(), p.site, testStage), Files{}.Remove(t.Context(), p.site, testStage))
			if s := state(t, p.site); s.Kind != DirOccupied {
				t.Errorf("what was there is gone: %+v", s)
			}
		})
	}
}

func TestUnpublishRestoresWhatWasThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path string
		lay  func(plot)
		want DirKind
		mode fs.FileMode
	}{
		"nothing":           {"public_html", func(plot) {}, DirAbsent, 0},
		"parents":           {"public_html/a/b", func(plot) {}, DirAbsent, 0},
		"empty directory":   {"public_html", func(p plot) { p.mkdir(t, "public_html", 0o750) }, DirEmpty, 0o750},
		"setgid to be kept": {"public_html", func(p plot) { p.mkdir(t, "public_html", 0o750|fs.ModeSetgid) }, DirEmpty, 0o750 | fs.ModeSetgid},
	} {
		t.Run(name, func(t *testing.T) {
			p, ctx := newPlace(t, c.path), t.Context()
			c.lay(p)
			before, _ := os.Lstat(p.site.Docroot)
			must(t, Files{}.StageCore(ctx, p.site, miniCore(t), testStage, nil))
			for range 2 {
				must(t, Files{}.Publish(ctx, p.site, testStage))
			}
			if info, err := os.Lstat(p.site.Docroot); err != nil || before != nil && info.Mode() != before.Mode() {
				t.Errorf("published as %v, %v; was %v", info, err, before)
			}
			if s := state(t, p.site); s.Kind != DirWordPress {
				t.Errorf("published state %+v", s)
			}
			for range 2 {
				must(t, Files{}.Unpublish(ctx, p.site, testStage))
			}
			if s := state(t, p.site); s.Kind != c.want {
				t.Errorf("state %+v, want %s", s, c.want)
			}
			after, _ := os.Lstat(p.site.Docroot)
			if before != nil && after.Mode() != before.Mode() {
				t.Errorf("mode %v, was %v", after.Mode(), before.Mode())
			}
			if names, _ := os.ReadDir(p.home); c.want == DirAbsent && len(names) != 0 {
				t.Errorf("left in the domain: %v", names)
			}
		})
	}
}

func TestPublishIntoKeptDirectoryEndsWhereItStopped(t *testing.T) {
	t.Parallel()
	p, ctx := newPlace(t, "public_html"), t.Context()
	p.mkdir(t, "public_html", 0o755|fs.ModeSetgid)
	must(t, Files{}.StageCore(ctx, p.site, miniCore(t), testStage, nil))
	must(t, Files{}.Publish(ctx, p.site, testStage))
	// As after a crash in the middle: some entries are back in the stage.
	stage := filepath.Join(p.home, testStage)
	must(t, os.Mkdir(stage, 0o755), os.Link(filepath.Join(p.site.Docroot, Marker), filepath.Join(stage, Marker)))
	for _, name := range []string{"wp-admin", "index.php"} {
		must(t, os.Rename(filepath.Join(p.site.Docroot, name), filepath.Join(stage, name)))
	}
	p.give(t, testStage)
	must(t, Files{}.Publish(ctx, p.site, testStage))
	for _, name := range []string{"wp-admin/css/a.css", "index.php", "wp-includes/version.php"} {
		if _, err := os.Stat(filepath.Join(p.site.Docroot, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(stage); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stage is left: %v", err)
	}
}

func TestWriteFileReplacesLinksInsteadOfFollowing(t *testing.T) {
	t.Parallel()
	for name, lay := range map[string]func(plot){
		"nothing":       func(plot) {},
		"file":          func(p plot) { p.put(t, "public_html/wp-config.php", "old") },
		"link outside":  func(p plot) { p.link(t, p.sentinel, "public_html/wp-config.php") },
		"dangling link": func(p plot) { p.link(t, p.sentinel+".new", "public_html/wp-config.php") },
		"hard link": func(p plot) {
			p.put(t, "elsewhere", "kept")
			must(t, os.Link(filepath.Join(p.home, "elsewhere"), filepath.Join(p.home, "public_html/wp-config.php")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "public_html")
			p.mkdir(t, "public_html", 0o755)
			lay(p)
			must(t, Files{}.WriteFile(t.Context(), p.site, "wp-config.php", []byte("new"), 0o640))
			info, err := os.Lstat(filepath.Join(p.site.Docroot, "wp-config.php"))
			if err != nil || info.Mode() != 0o640 {
				t.Errorf("written as %v, %v", info, err)
			}
			if got, err := (Files{}).ReadFile(t.Context(), p.site, "wp-config.php", 100); err != nil || string(got) != "new" {
				t.Errorf("read back %q, %v", got, err)
			}
			if data, err := os.ReadFile(filepath.Join(p.home, "elsewhere")); err == nil && string(data) != "kept" {
				t.Errorf("the other name of the file has %q", data)
			}
			if names, _ := os.ReadDir(p.site.Docroot); len(names) != 1 {
				t.Errorf("left beside it: %v", names)
			}
			p.safe(t)
		})
	}
}

// A write that was killed leaves its file beside the target; under that name a web server
// would show a wp-config.php as text. The write is done again after a crash.
func TestWriteFileRemovesWhatAKilledWriteLeft(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.put(t, ".wptk-new-wp-config.php-abc", "DB_PASSWORD")
	p.put(t, ".wptk-new-other.php-abc", "of a write of another file, which may be under way")
	must(t, Files{}.WriteFile(t.Context(), p.site, "wp-config.php", []byte("<?php\n"), 0o640))
	entries, err := os.ReadDir(p.home)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != ".wptk-new-other.php-abc wp-config.php" {
		t.Error(got)
	}
}

func TestReadFileTakesOnlySmallRegularFilesOfTheTenant(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	p.mkdir(t, "public_html", 0o755)
	p.link(t, p.sentinel, "public_html/out")
	p.put(t, "public_html/big", "12345")
	must(t, unix.Mkfifo(filepath.Join(p.site.Docroot, "fifo"), 0o666))
	for _, name := range []string{"out", "big", "fifo", "missing", "."} {
		if data, err := (Files{}).ReadFile(t.Context(), p.site, name, 4); err == nil {
			t.Errorf("%s was read: %q", name, data)
		}
	}
	for _, name := range []string{"../x", "/etc/passwd", "a/../../x", "", "a/", "a\x00"} {
		if _, err := (Files{}).ReadFile(t.Context(), p.site, name, 4); err == nil {
			t.Errorf("path %q was taken", name)
		}
	}
}

func TestRemoveTakesLinksNotWhatTheyLeadTo(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	p.mkdir(t, "public_html", 0o755)
	p.mkdir(t, "public_html/closed", 0o755)
	p.put(t, "public_html/closed/-rf", "")
	p.put(t, "public_html/closed/a\nb", "")
	p.link(t, filepath.Dir(p.sentinel), "public_html/out")
	p.link(t, "/", "public_html/closed/root")
	must(t, os.Chmod(filepath.Join(p.site.Docroot, "closed"), 0))
	for range 2 {
		must(t, Files{}.RemoveTree(t.Context(), p.site, "."))
	}
	if s := state(t, p.site); s.Kind != DirAbsent {
		t.Errorf("left: %+v", s)
	}
	p.safe(t)
}

func TestUncheckedSiteIsRefused(t *testing.T) {
	t.Parallel()
	site := Site{Account: "x", Domain: "x.example", Home: "/", Docroot: "/etc"}
	if err := (Files{}).RemoveTree(t.Context(), site, "."); !errors.Is(err, ErrUncheckedSite) {
		t.Errorf("%v", err)
	}
}

func TestStageNameThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	for _, stage := range []string{"public_html", "..", ".wptk-", ".wptk-../x", ".wptk-a/b", "/etc", ".wptk-a\x00"} {
		if err := (Files{}).Remove(t.Context(), p.site, stage); err == nil {
			t.Errorf("stage %q was taken", stage)
		}
	}
}

func TestFullDiskIsTold(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	if err := unix.Mount("tmpfs", p.home, "tmpfs", 0, "size=64k,mode=0755"); errors.Is(err, unix.EPERM) {
		t.Log("a small file system cannot be mounted here; proc's tests cover the codes that cross")
		return
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(p.home, unix.MNT_DETACH)) })
	must(t, os.Chown(p.home, int(p.site.User.UID), int(p.site.User.GID)))
	big := filepath.Join(wptest.Dir(t), "wordpress")
	must(t, os.Mkdir(big, 0o755), os.WriteFile(filepath.Join(big, "big"), make([]byte, 1<<20), 0o644))
	if err := (Files{}).StageCore(t.Context(), p.site, big, testStage, nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v, want ENOSPC", err)
	}
	must(t, Files{}.Remove(context.WithoutCancel(t.Context()), p.site, testStage))
}
