package wp

import (
	"archive/zip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wispanel/wptk/wp/wptest"
)

func TestPluginIsNamedByItsFileOrItsSlug(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		slug string
		file bool
	}{
		"akismet": {"akismet", false}, "akismet/akismet.php": {"akismet", true}, "hello.php": {"hello", true},
		"hello-dolly/hello.php": {"hello-dolly", true}, "x.phps": {"x.phps", false}, ".php": {".php", false}, "a/b": {"a/b", false},
	} {
		if slug, file := PluginInFile(name); slug != want.slug || file != want.file {
			t.Errorf("%s: %q %t", name, slug, file)
		}
	}
}

const printed = `{"root":"/real/public_html","plugin_root":"/real/public_html/wp-content/plugins","theme_root":"/real/app/themes",
"multisite":false,"stylesheet":"plain","default":"twentytwentyfive",
"plugins":[{"slug":"akismet","file":"akismet/akismet.php","dir":"akismet","version":"5.3","status":"active","used":0},
 {"slug":"hello","file":"hello.php","dir":"hello.php","version":"1.7","status":"inactive","used":0},
 {"slug":"evil","file":"../evil.php","dir":"../../..","version":"\u001b[31m1","status":"inactive","used":0},
 {"slug":"ours","file":"ours.php","version":"","status":"must-use"}],
"themes":[{"slug":"plain","dir":"plain","root":"/real/app/themes","version":"1.0","status":"active","used":0},
 {"slug":"far","dir":"far","root":"/usr/share/themes","version":"1.0","status":"inactive","used":2}]}`

func TestFilesOfExtensionsAreFoundInsideTheDomainOnly(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	found, err := parseAddons([]byte(printed), p.site)
	must(t, err)
	paths := map[string]string{}
	for _, a := range append(found.Plugins, found.Themes...) {
		paths[a.Slug] = a.Path
		if strings.Contains(a.Version, "\x1b") {
			t.Errorf("%+v is not cleaned", a)
		}
	}
	for slug, want := range map[string]string{
		"akismet": "public_html/wp-content/plugins/akismet", "hello": "public_html/wp-content/plugins/hello.php",
		"plain": "app/themes/plain", "evil": "", "ours": "", "far": "",
	} {
		if want != "" {
			want = filepath.Join(p.home, want)
		}
		if paths[slug] != want {
			t.Errorf("%s is at %q, want %q", slug, paths[slug], want)
		}
	}
	if found.ThemeRoot != filepath.Join(p.home, "app/themes") || found.DefaultTheme != "twentytwentyfive" || !found.Plugins[0].Active() {
		t.Errorf("%+v", found)
	}
}

// Whatever a site says about where it keeps things, no path leads out of its domain.
func TestNoPathLeadsOutOfTheDomain(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	text := rapid.StringMatching(`(/|\.\.|\.|a|public_html|/real|\x00| ){0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		root := insideHome(p.site, text.Draw(t, "root"), text.Draw(t, "path"))
		a := printedExtension{Dir: text.Draw(t, "dir")}.addon(root)
		for _, path := range []string{root, a.Path} {
			if path != "" && !strings.HasPrefix(path, p.home+"/") {
				t.Fatalf("%q", path)
			}
		}
	})
}

func FuzzParseAddons(f *testing.F) {
	f.Add([]byte(printed))
	f.Add([]byte(`{"root":"/","plugins":[{"dir":"x"}],"plugin_root":"/x"}`))
	site := Site{Home: "/home/a/domains/a.test", Docroot: "/home/a/domains/a.test/public_html", checked: true}
	f.Fuzz(func(t *testing.T, out []byte) {
		found, err := parseAddons(out, site)
		if err != nil {
			return
		}
		for _, a := range append(found.Plugins, found.Themes...) {
			if a.Path != "" && !strings.HasPrefix(a.Path, site.Home+"/") {
				t.Fatalf("%q", a.Path)
			}
			if strings.ContainsFunc(a.Slug+a.File+a.Version+a.Error, isControl) {
				t.Fatalf("%+v", a)
			}
		}
	})
}

func TestArchiveHasToStayBelowItsSlug(t *testing.T) {
	t.Parallel()
	for names, ok := range map[string]bool{
		"akismet/ akismet/akismet.php akismet/views/a.php": true, "other/akismet.php": false, "akismet/a.php other/b.php": false,
		"akismet.php": false, "akismetx/a.php": false,
	} {
		file := filepath.Join(wptest.Dir(t), "1.2.zip")
		out, err := os.Create(file)
		must(t, err)
		w := zip.NewWriter(out)
		for name := range strings.FieldsSeq(names) {
			_, err := w.Create(name)
			must(t, err)
		}
		must(t, w.Close(), out.Close())
		if err := CheckRoot(file, "akismet"); (err == nil) != ok || err != nil && !errors.Is(err, ErrBadArchive) {
			t.Errorf("%s: %v", names, err)
		}
		if ArchiveVersion(file) != "1.2" {
			t.Error(ArchiveVersion(file))
		}
	}
}

func TestCommandsOfExtensions(t *testing.T) {
	t.Parallel()
	for want, cmd := range map[string]Command{
		"wp plugin activate akismet/akismet.php":           pluginSwitch("akismet/akismet.php", true, false),
		"wp plugin activate akismet/akismet.php --network": pluginSwitch("akismet/akismet.php", true, true),
		"wp plugin deactivate My Plugin/my plugin.php":     pluginSwitch("My Plugin/my plugin.php", false, false),
		"wp plugin uninstall hello.php --skip-delete":      pluginUninstall("hello.php"),
		"wp wptk extensions":                               siteExtensions(),
		"wp wptk boot":                                     siteBoot(),
	} {
		if cmd.err != nil || cmd.String() != want {
			t.Errorf("%q, want %q, %v", cmd.String(), want, cmd.err)
		}
	}
	for _, file := range []string{"", "--require=/x.php", "a\nb", strings.Repeat("x", maxValue+1)} {
		if pluginSwitch(file, true, false).err == nil || pluginUninstall(file).err == nil {
			t.Errorf("%.40q was accepted", file)
		}
	}
}
