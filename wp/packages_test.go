package wp

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/egress"
	"github.com/wispanel/wptk/wp/wptest"
)

// layoutDir is a small package source: WordPress 6.4.5, 6.5, 6.5.2 and 7.0-RC1, one
// plugin, one translation.
func layoutDir(t *testing.T) string {
	t.Helper()
	dir := wptest.Dir(t)
	for _, v := range []string{"6.4.5", "6.5", "6.5.2", "7.0-RC1"} {
		core := filepath.Join(dir, "core", v)
		must(t, os.MkdirAll(core, 0o755), os.CopyFS(filepath.Join(core, "wordpress"), os.DirFS(miniCore(t))))
		must(t, writeManifest(filepath.Join(core, "wordpress"), filepath.Join(core, "SHA256SUMS")))
	}
	languages := filepath.Join(dir, "core/6.5.2/languages")
	must(t, os.Mkdir(languages, 0o755), os.WriteFile(filepath.Join(dir, "core/6.5.2/LOCALES"), []byte("de_DE\nfr_FR\n"), 0o644))
	for _, name := range []string{"de_DE.mo", "admin-de_DE.l10n.php", "de_DE-0123456789abcdef0123456789abcdef.json", "de_DE_formal.mo", "fr_FR.mo"} {
		must(t, os.WriteFile(filepath.Join(languages, name), []byte(name), 0o644))
	}
	must(t, writeManifest(languages, filepath.Join(dir, "core/6.5.2/LANGUAGES.SHA256SUMS")))
	plugin := filepath.Join(dir, "plugins", "hello")
	must(t, os.MkdirAll(plugin, 0o755))
	for _, v := range []string{"1.2", "1.10"} {
		must(t, os.WriteFile(filepath.Join(plugin, v+".zip"), zipOf(t, entry{"hello/hello.php", "<?php", 0o644}), 0o644))
	}
	return dir
}

type entry struct {
	name, content string
	mode          fs.FileMode
}

func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// flip damages one byte.
func flip(data []byte, at int) []byte {
	data[at] ^= 1
	return data
}

func openTest(t *testing.T, source string) *Packages {
	t.Helper()
	p, err := OpenPackages(source, wptest.Dir(t))
	must(t, err)
	return p
}

// mirrorOf serves a layout as a web server would, with the VERSIONS files of a mirror.
func mirrorOf(t *testing.T, dir string) (*httptest.Server, string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "core/VERSIONS"), []byte("6.4.5\n6.5\n6.5.2\n7.0-RC1\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "plugins/hello/VERSIONS"), []byte("1.2\n1.10\n"), 0o644))
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return s, "internal+" + s.URL
}

func TestVersionIsChosenAsAsked(t *testing.T) {
	t.Parallel()
	dir := layoutDir(t)
	_, mirror := mirrorOf(t, layoutDir(t))
	for _, source := range []string{dir, mirror} {
		p := openTest(t, source)
		for request, want := range map[string]string{"latest": "6.5.2", "": "6.5.2", "6.5": "6.5.2", "6.5.0": "6.5", "6.4": "6.4.5", "6.5.2": "6.5.2", "7.0-RC1": "7.0-RC1"} {
			tree, err := p.Core(t.Context(), request, "")
			if err != nil || tree.Version != want {
				t.Errorf("%s: Core(%q) = %v, %v, want %s", source, request, tree, err, want)
				continue
			}
			if _, err := os.Stat(filepath.Join(tree.Dir, "wp-includes/version.php")); err != nil {
				t.Error(err)
			}
		}
		for _, request := range []string{"6.6", "7.0", "6.5.9", "../6.5", "x", "6.5\n"} {
			if _, err := p.Core(t.Context(), request, ""); !errors.Is(err, ErrPackageUnavailable) || !strings.Contains(err.Error(), "6.5.2") {
				t.Errorf("%s: Core(%q): %v", source, request, err)
			}
		}
	}
}

func TestTrustedDirectoryIsUsedInPlaceOthersAreCopied(t *testing.T) {
	t.Parallel()
	dir := layoutDir(t)
	tree, err := openTest(t, dir).Core(t.Context(), "6.5.2", "")
	if err != nil || !strings.HasPrefix(tree.Dir, dir) {
		t.Errorf("in place: %v %v", tree, err)
	}
	must(t, os.Chmod(dir, 0o777))
	p := openTest(t, dir)
	tree, err = p.Core(t.Context(), "6.5.2", "")
	if err != nil || !strings.HasPrefix(tree.Dir, p.store) {
		t.Errorf("copied: %v %v", tree, err)
	}
	// What changes in the source later is of no effect.
	must(t, os.WriteFile(filepath.Join(dir, "core/6.5.2/wordpress/index.php"), []byte("evil"), 0o644))
	tree, err = p.Core(t.Context(), "6.5.2", "")
	if data, _ := os.ReadFile(filepath.Join(tree.Dir, "index.php")); err != nil || string(data) != "<?php" {
		t.Errorf("index.php %q, %v", data, err)
	}
}

func TestTreeThatDiffersFromItsManifestIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(tree string) error{
		"changed":  func(tree string) error { return os.WriteFile(filepath.Join(tree, "index.php"), []byte("<?PHP"), 0o644) },
		"added":    func(tree string) error { return os.WriteFile(filepath.Join(tree, "wp-admin/x.php"), nil, 0o644) },
		"missing":  func(tree string) error { return os.Remove(filepath.Join(tree, "index.php")) },
		"link":     func(tree string) error { return os.Symlink("/etc/passwd", filepath.Join(tree, "x")) },
		"writable": func(tree string) error { return os.Chmod(filepath.Join(tree, "index.php"), 0o666) },
		"manifest with a way out": func(tree string) error {
			return os.WriteFile(filepath.Join(tree, "../SHA256SUMS"), []byte(strings.Repeat("a", 64)+"  ../../x\n"), 0o644)
		},
	} {
		dir := layoutDir(t)
		must(t, spoil(filepath.Join(dir, "core/6.5.2/wordpress")))
		if tree, err := openTest(t, dir).Core(t.Context(), "6.5.2", ""); err == nil {
			t.Errorf("%s: taken in place as %v", name, tree)
		}
		must(t, os.Chmod(dir, 0o777))
		p := openTest(t, dir)
		tree, err := p.Core(t.Context(), "6.5.2", "")
		if copied := name == "added" || name == "link" || name == "writable"; copied != (err == nil) {
			t.Errorf("%s: copied as %v, %v", name, tree, err) // what is not in the manifest is not copied
		}
		if left, _ := filepath.Glob(p.store + "/core/.stage-*"); len(left) != 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func TestTranslationIsItsOwnFilesOnly(t *testing.T) {
	t.Parallel()
	p := openTest(t, layoutDir(t))
	tree, err := p.Core(t.Context(), "6.5.2", "de_DE")
	must(t, err)
	want := []string{"admin-de_DE.l10n.php", "de_DE-0123456789abcdef0123456789abcdef.json", "de_DE.mo"}
	if slices.Sort(tree.LanguageFiles); !slices.Equal(tree.LanguageFiles, want) {
		t.Errorf("files %v", tree.LanguageFiles)
	}
	if _, err := p.Core(t.Context(), "6.5.2", "xx_XX"); !errors.Is(err, ErrPackageUnavailable) || !strings.Contains(err.Error(), "fr_FR") {
		t.Errorf("unknown locale: %v", err)
	}
	if tree, err := p.Core(t.Context(), "6.5.2", "en_US"); err != nil || tree.Languages != "" {
		t.Errorf("English: %v %v", tree, err)
	}
}

func TestArchiveOfPluginIsChecked(t *testing.T) {
	t.Parallel()
	dir := layoutDir(t)
	p := openTest(t, dir)
	file, err := p.Plugin(t.Context(), "hello", "")
	if err != nil || filepath.Base(file) != "1.10.zip" {
		t.Errorf("latest: %s %v", file, err)
	}
	if _, err := p.Plugin(t.Context(), "hello", "1.2"); err != nil {
		t.Error(err)
	}
	for _, slug := range []string{"nothing", "../core", "-x", "a/b"} {
		if _, err := p.Plugin(t.Context(), slug, ""); err == nil {
			t.Errorf("plugin %q", slug)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "plugins/hello/1.2.zip"), zipOf(t, entry{"../x", "", 0o644}), 0o644))
	if _, err := p.Plugin(t.Context(), "hello", "1.2"); !errors.Is(err, errBadZip) {
		t.Errorf("spoilt archive: %v", err)
	}
}

func TestMirrorThatIsAwayLeavesWhatIsInTheStore(t *testing.T) {
	t.Parallel()
	server, mirror := mirrorOf(t, layoutDir(t))
	store := wptest.Dir(t)
	p, err := OpenPackages(mirror, store)
	must(t, err)
	_, err = p.Core(t.Context(), "6.4", "")
	must(t, err)
	server.Close()
	again, err := OpenPackages(mirror, store)
	must(t, err)
	if tree, err := again.Core(t.Context(), "latest", ""); err != nil || tree.Version != "6.4.5" {
		t.Errorf("%v %v", tree, err)
	}
	if _, err := again.Core(t.Context(), "6.5.2", ""); !errors.Is(err, ErrPackageUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestMirrorThatLiesIsRefused(t *testing.T) {
	t.Parallel()
	dir := layoutDir(t)
	_, mirror := mirrorOf(t, dir)
	must(t, os.WriteFile(filepath.Join(dir, "core/6.5.2/wordpress/index.php"), []byte("evil"), 0o644))
	p := openTest(t, mirror)
	if tree, err := p.Core(t.Context(), "6.5.2", ""); err == nil {
		t.Errorf("taken: %v", tree)
	}
	if left, _ := os.ReadDir(filepath.Join(p.store, "core")); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}

func TestManyAskAtOnceOneFetches(t *testing.T) {
	t.Parallel()
	dir := layoutDir(t)
	_, mirror := mirrorOf(t, dir)
	p := openTest(t, mirror)
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := p.Core(context.Background(), "6.5.2", "de_DE")
			errs <- err
		}()
	}
	for range 8 {
		must(t, <-errs)
	}
}

// TestWordPressOrgIsFetchedAndChecked plays wordpress.org.
func TestWordPressOrgIsFetchedAndChecked(t *testing.T) {
	t.Parallel()
	core := zipOf(t, entry{"wordpress/", "", fs.ModeDir | 0o755}, entry{"wordpress/index.php", "<?php", 0o644}, entry{"wordpress/wp-includes/version.php", "<?php $wp_version='6.5.2';", 0o644})
	sum := sha1.Sum(core)
	published := hex.EncodeToString(sum[:])
	answers := map[string]string{
		"/core/stable-check/1.0/":           `{"6.5.1":"insecure","6.5.2":"latest","6.4.3":"outdated"}`,
		"/release/wordpress-6.5.2.zip":      string(core),
		"/release/wordpress-6.5.2.zip.sha1": published + "\n",
		"/release/wordpress-6.4.3.zip":      string(core),
		"/release/wordpress-6.4.3.zip.sha1": strings.Repeat("0", 40),
		"/translation/core/6.5.2/de_DE.zip": string(zipOf(t, entry{"de_DE.mo", "x", 0o644})),
		"/plugins/info/1.2/":                `{"version":"5.7","versions":{"5.6":"u","5.7":"u","trunk":"u"}}`,
		"/themes/info/1.2/":                 `{"version":"1.5","versions":[]}`,
		"/plugin/akismet.5.6.zip":           string(zipOf(t, entry{"akismet/a.php", "x", 0o644})),
		"/theme/twentytwentyfive.1.5.zip":   string(zipOf(t, entry{"twentytwentyfive/style.css", "x", 0o644})),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := answers[r.URL.Path]; ok {
			fmt.Fprint(w, body)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	p := openTest(t, WordPressOrg)
	p.source = wordPressOrg{client: internalClient("http"), api: server.URL, downloads: server.URL}
	ctx := t.Context()
	tree, err := p.Core(ctx, "latest", "de_DE")
	if err != nil || tree.Version != "6.5.2" || !slices.Equal(tree.LanguageFiles, []string{"de_DE.mo"}) {
		t.Errorf("%+v, %v", tree, err)
	}
	if _, err := p.Core(ctx, "6.4", ""); err == nil {
		t.Error("a core with another sha1 was taken")
	}
	if file, err := p.Plugin(ctx, "akismet", "5.6"); err != nil {
		t.Errorf("%s %v", file, err)
	}
	if file, err := p.Theme(ctx, "twentytwentyfive", "latest"); err != nil {
		t.Errorf("%s %v", file, err)
	}
	if _, err := p.Plugin(ctx, "akismet", "9.9"); !errors.Is(err, ErrPackageUnavailable) || !strings.Contains(err.Error(), "5.7, 5.6") {
		t.Errorf("%v", err)
	}
}

func TestPublicClientDoesNotReachInside(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	if _, err := publicClient().get(t.Context(), server.URL); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("loopback: %v", err)
	}
}

func TestRedirectsStayOnTheScheme(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"ftp://x/", "https://x.example/", "http://user:pw@x.example/", "/loop"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }))
		if body, err := internalClient("http").get(t.Context(), server.URL); err == nil {
			t.Errorf("followed to %s", to)
			body.Close()
		}
		server.Close()
	}
}

func TestSourceThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"http://mirror.example", "ftp://x", "relative/dir", "https://user:pw@x", "https://", "/nonexistent", "internal+ftp://x"} {
		if _, err := OpenPackages(source, wptest.Dir(t)); err == nil {
			t.Errorf("%s was taken", source)
		}
	}
}

func TestArchiveThatIsDangerousIsRefused(t *testing.T) {
	t.Parallel()
	plain := entry{"a/b.php", "<?php", 0o644}
	for name, data := range map[string][]byte{
		"way out":      zipOf(t, entry{"../x", "", 0o644}),
		"absolute":     zipOf(t, entry{"/etc/x", "", 0o644}),
		"backslash":    zipOf(t, entry{`..\x`, "", 0o644}),
		"link":         zipOf(t, entry{"a", "/etc", fs.ModeSymlink | 0o777}),
		"device":       zipOf(t, entry{"a", "", fs.ModeDevice | 0o666}),
		"setuid":       zipOf(t, entry{"a", "", fs.ModeSetuid | 0o755}),
		"twice":        zipOf(t, plain, plain),
		"case variant": zipOf(t, plain, entry{"A/B.php", "", 0o644}),
		"bomb":         zipOf(t, entry{"a", strings.Repeat("\x00", 4<<20), 0o644}),
		"long name":    zipOf(t, entry{strings.Repeat("a", 256), "", 0o644}),
		"line break":   zipOf(t, entry{"a\nb", "", 0o644}),
		"no zip":       []byte("PK"),
		"cut short":    zipOf(t, plain)[:60],
		"damaged":      flip(zipOf(t, entry{"a", "hello hello hello", 0o644}), 34),
	} {
		file := write(t, "x.zip", string(data))
		if err := checkZip(file); !errors.Is(err, errBadZip) {
			t.Errorf("%s: %v", name, err)
		}
		if err := unzip(file, filepath.Join(t.TempDir(), "out")); err == nil {
			t.Errorf("%s was unpacked", name)
		}
	}
	if err := checkZip(write(t, "x.zip", string(zipOf(t, plain, entry{"a/c/", "", fs.ModeDir | 0o755})))); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestVersionsAreOrdered(t *testing.T) {
	t.Parallel()
	order := []string{"5.0", "5.0.1", "5.9.10", "6.0-alpha-1", "6.0-alpha-53000", "6.0-beta1", "6.0-RC1", "6.0-RC2", "6.0", "6.0.1", "6.9", "6.10", "10.0", "2024.1"}
	for i := range order {
		for j := range order {
			a, err := ParseVersion(order[i])
			must(t, err)
			b, err := ParseVersion(order[j])
			must(t, err)
			if got, want := a.Compare(b), cmpInt(i, j); got != want {
				t.Errorf("%s <=> %s is %d, want %d", a, b, got, want)
			}
		}
	}
	for _, bad := range []string{"", "latest", "6.", ".6", "6..1", "-6", "6.5-", "6.5-foo", "6.5 ", "6.5\n", "v6.5", "../6", "6/5", "1.2.3.4.5.6.7", "999999999"} {
		if v, err := ParseVersion(bad); err == nil {
			t.Errorf("%q was read as %v", bad, v)
		}
	}
}

func cmpInt(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestVersionComparisonIsAnOrder(t *testing.T) {
	t.Parallel()
	version := rapid.Custom(func(t *rapid.T) Version {
		v, err := ParseVersion(rapid.StringMatching(`[0-9]{1,2}(\.[0-9]{1,2}){0,3}(-(alpha|beta|RC)[0-9]?)?`).Draw(t, "v"))
		if err != nil {
			t.Fatal(err)
		}
		return v
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := version.Draw(t, "a"), version.Draw(t, "b"), version.Draw(t, "c")
		if a.Compare(b) != -b.Compare(a) {
			t.Fatal("not antisymmetric")
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatal("not transitive")
		}
		again, err := ParseVersion(a.String())
		if err != nil || again.Compare(a) != 0 {
			t.Fatal("does not survive its text")
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 64) + "  a/b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := parseManifest(data)
		if (err == nil) != (sums != nil) {
			t.Fatal(err)
		}
		for name := range sums {
			if !filepath.IsLocal(name) {
				t.Errorf("%q leads out", name)
			}
		}
	})
}

func FuzzZip(f *testing.F) {
	f.Add(zipOf(f, entry{"a/b", "x", 0o644}))
	f.Add(zipOf(f, entry{"../b", "x", 0o644}))
	f.Fuzz(func(t *testing.T, data []byte) {
		total := int64(0)
		_ = walkZip(bytes.NewReader(data), int64(len(data)), func(f *zip.File, in io.Reader) error {
			if !filepath.IsLocal(f.Name) {
				t.Errorf("%q leads out", f.Name)
			}
			n, err := io.Copy(io.Discard, in)
			total += n
			return err
		})
		if total > int64(max(len(data), 1<<10)+1)*maxZipRatio {
			t.Errorf("%d bytes out of %d", total, len(data))
		}
	})
}

// TestRealPackagesAreComplete goes over the package source of this machine.
func TestRealPackagesAreComplete(t *testing.T) {
	t.Parallel()
	p := openTest(t, devstack.CacheT(t))
	versions, err := p.CoreVersions(t.Context())
	must(t, err)
	if len(versions) < 2 || p.WPCLI() == "" {
		t.Fatalf("versions %v, wp-cli %q", versions, p.WPCLI())
	}
	tree, err := p.Core(t.Context(), "latest", "")
	must(t, err)
	src, err := os.ReadFile(filepath.Join(tree.Dir, "wp-includes/version.php"))
	if got := CoreVersionOf(src); err != nil || got != tree.Version || got != versions[0] {
		t.Errorf("version.php says %q, the tree is %q, newest of %v", got, tree.Version, versions)
	}
	_, err = p.Plugin(t.Context(), "akismet", "")
	must(t, err)
}
