package wp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wispanel/wptk/wp/wptest"
)

func TestBlockIsSetReplacedAndRemovedByteForByte(t *testing.T) {
	t.Parallel()
	line := rapid.SampledFrom([]string{"# BEGIN WordPress\n", "RewriteRule . /index.php [L]\r\n", "\n", "  # END WordPress\n", "text # BEGIN WPTK\n", "\xff\n", "no end"})
	rapid.Check(t, func(rt *rapid.T) {
		src := strings.Join(rapid.SliceOfN(line, 0, 6).Draw(rt, "lines"), "")
		one := ApacheBlock(func(id string) bool { return id == MeasureXMLRPC })
		two := ApacheBlock(func(string) bool { return true })
		next, err := SetBlock(src, one)
		if err == nil {
			next, err = SetBlock(next, two)
		}
		if err != nil || strings.Count(next, blockEnd) != 1 {
			rt.Fatalf("%v\n%s", err, next)
		}
		if got, err := Block(next); err != nil || got != two {
			rt.Fatalf("%v\n%s", err, got)
		}
		if back, err := SetBlock(next, ""); err != nil || back != src {
			rt.Fatalf("%v %q, was %q", err, back, src)
		}
	})
	for _, bad := range []string{"# BEGIN WPTK\n", "# END WPTK\n", "# BEGIN WPTK\n# BEGIN WPTK\n# END WPTK\n", "# BEGIN WPTK\n# END WPTK\n# END WPTK\n"} {
		if _, err := SetBlock(bad, "x"); !errors.Is(err, ErrBlock) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestModesAreNarrowedAndGivenBackExactly(t *testing.T) {
	t.Parallel()
	home := wptest.Dir(t)
	site := fileSite(t, home, "mona")
	tree := map[string]os.FileMode{
		"wp-config.php": 0o666, "index.php": 0o777, "private.php": 0o600, "wp-content": 0o777, "wp-content/a.php": 0o664,
		"shared": 0o775 | os.ModeSetgid, "other": 0o777, "other/wp-includes": 0o777, "other/wp-includes/version.php": 0o666, "tool": 0o755 | os.ModeSetuid,
	}
	for _, name := range []string{"wp-content", "shared", "other", "other/wp-includes"} {
		must(t, os.MkdirAll(filepath.Join(site.Docroot, name), 0o755))
	}
	set := func() {
		for name, mode := range tree {
			file := filepath.Join(site.Docroot, name)
			if info, err := os.Stat(file); err != nil || !info.IsDir() {
				must(t, os.WriteFile(file, nil, 0o600))
			}
			if os.Geteuid() == 0 {
				must(t, os.Lchown(file, int(site.User.UID), int(site.User.GID)))
			}
			must(t, os.Chmod(file, mode))
		}
	}
	modes := func() map[string]os.FileMode {
		got := map[string]os.FileMode{}
		for name := range tree {
			info, err := os.Lstat(filepath.Join(site.Docroot, name))
			must(t, err)
			got[name] = info.Mode() &^ os.ModeDir
		}
		return got
	}
	set()
	must(t, os.Symlink("/etc/passwd", filepath.Join(site.Docroot, "link")))
	wide, err := Files{}.WideModes(t.Context(), site)
	must(t, err)
	must(t, Files{}.SetModes(t.Context(), site, wide), Files{}.SetModes(t.Context(), site, wide)) // twice: a crash in between
	want := map[string]os.FileMode{
		"wp-config.php": 0o640, "index.php": 0o644, "private.php": 0o600, "wp-content": 0o755, "wp-content/a.php": 0o644,
		"shared": 0o755 | os.ModeSetgid, "other": 0o755, "other/wp-includes": 0o755, "other/wp-includes/version.php": 0o644, "tool": 0o644,
	}
	for _, theirs := range []string{"other", "other/wp-includes", "other/wp-includes/version.php"} {
		want[theirs] = tree[theirs] // another install
	}
	if diff := cmp.Diff(want, modes()); diff != "" {
		t.Error(diff)
	}
	if again, err := (Files{}).WideModes(t.Context(), site); err != nil || len(again) != 0 {
		t.Errorf("%v %v", again, err)
	}
	must(t, Files{}.SetModes(t.Context(), site, Reversed(wide)))
	if diff := cmp.Diff(tree, modes()); diff != "" {
		t.Error(diff)
	}
}

func TestChangeKeepsModeAndRefusesWhatIsNotAPlainFile(t *testing.T) {
	t.Parallel()
	home := wptest.Dir(t)
	site := fileSite(t, home, "chad")
	file := filepath.Join(site.Docroot, "wp-config.php")
	own := func(name string) {
		if os.Geteuid() == 0 {
			must(t, os.Lchown(name, int(site.User.UID), int(site.User.GID)))
		}
	}
	must(t, os.WriteFile(file, []byte("one"), 0o600), os.Chmod(file, 0o604))
	own(file)
	to := func(s string) func(Text) ([]byte, error) {
		return func(Text) ([]byte, error) { return []byte(s), nil }
	}
	must(t, Files{}.Change(t.Context(), site, file, 100, 0o644, to("two")))
	info, err := os.Stat(file)
	data, readErr := os.ReadFile(file)
	if must(t, err, readErr); info.Mode().Perm() != 0o604 || string(data) != "two" {
		t.Errorf("%v %q", info.Mode(), data)
	}
	link := filepath.Join(site.Docroot, "link")
	must(t, os.Symlink("wp-config.php", link))
	own(link)
	if err := (Files{}).Change(t.Context(), site, link, 100, 0o644, to("three")); !errors.Is(err, ErrFixed) {
		t.Errorf("through a link: %v", err)
	}
	hard := filepath.Join(site.Docroot, "hard")
	must(t, os.Link(file, hard))
	if err := (Files{}).Change(t.Context(), site, hard, 100, 0o644, to("three")); !errors.Is(err, ErrFixed) {
		t.Errorf("a hard link: %v", err)
	}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(site.Docroot, "foreign")
		must(t, os.WriteFile(foreign, []byte("x"), 0o644))
		if err := (Files{}).Change(t.Context(), site, foreign, 100, 0o644, to("three")); !errors.Is(err, ErrFixed) {
			t.Errorf("somebody else's: %v", err)
		}
	}
	must(t, Files{}.Change(t.Context(), site, filepath.Join(site.Docroot, "new"), 100, 0o640, to("")))
	if info, err := os.Stat(filepath.Join(site.Docroot, "new")); err != nil || info.Size() != 0 || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
	must(t, Files{}.Change(t.Context(), site, filepath.Join(site.Docroot, "new"), 100, 0o640, func(Text) ([]byte, error) { return nil, nil }))
	if _, err := os.Stat(filepath.Join(site.Docroot, "new")); !os.IsNotExist(err) {
		t.Errorf("not removed: %v", err)
	}
	if _, err := (Files{}).Load(t.Context(), site, filepath.Join(site.Home, "..", "x"), 10); err == nil {
		t.Error("a path outside of the domain's directory was read")
	}
}

func TestStoreRemembersAndForgets(t *testing.T) {
	t.Parallel()
	s, err := OpenMeasures(filepath.Join(t.TempDir(), "measures"))
	must(t, err)
	const id = "wp_00112233445566"
	was := "true"
	doc := Hardening{Account: "a", Domain: "d", Path: "p", Measures: map[string]Applied{MeasureFileEdit: {Op: "op_1", Config: []ConfigChange{{Name: "X", Was: &was, Text: "false"}}}}}
	modes := []PathMode{{"a", 0o777, 0o755}}
	must(t, s.Save(id, doc), s.SaveModes(id, modes))
	got, err := s.Load(id)
	must(t, err)
	if diff := cmp.Diff(doc, got); diff != "" {
		t.Error(diff)
	}
	list, ok, err := s.LoadModes(id)
	if must(t, err); !ok || !cmp.Equal(list, modes) {
		t.Errorf("%v %v", list, ok)
	}
	must(t, s.Forget(id))
	if got, err := s.Load(id); err != nil || len(got.Measures) != 0 {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "../x", "wp_/../../x", "wp_x/y"} {
		if _, err := s.Load(bad); err == nil {
			t.Errorf("%q is an id", bad)
		}
	}
}

// fileSite is an empty docroot of a made-up tenant.
func fileSite(t *testing.T, home, account string) Site {
	t.Helper()
	domain := account + ".test"
	docroot := filepath.Join(wptest.Domain(t, home, account, domain), "public_html")
	must(t, os.Mkdir(docroot, 0o755))
	layout, err := ParseLayout(home + "/*/domains/*")
	must(t, err)
	site, err := layout.WithUsers(wptest.Tenant).Find(account, domain, "public_html")
	must(t, err)
	if os.Geteuid() == 0 {
		must(t, os.Lchown(docroot, int(site.User.UID), int(site.User.GID)))
	}
	return site
}
