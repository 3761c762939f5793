package main

import (
	"archive/zip"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// zipOf makes an archive and gives its path.
func zipOf(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(out)
	for name, content := range files {
		entry, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestMirrorIsFilledAndServesNodes(t *testing.T) {
	t.Parallel()
	source, dir := devstack.CacheT(t), filepath.Join(wptest.Dir(t), "mirror")
	packages := func(status int, args ...string) ran {
		t.Helper()
		got := runIn(t.Context(), t, nil, append([]string{"packages", "--dir", dir}, args...)...)
		if got.status != status {
			t.Fatalf("%v: exit status %d: %s", args, got.status, got.err)
		}
		return got
	}
	sync := []string{"sync", "--from", source, "--core", "latest", "--core", "6.5", "--locale", "de_DE", "--plugin", "akismet", "--theme", "twentytwentyfour@1.1"}
	if got := runIn(t.Context(), t, nil, append([]string{"packages", "--dir", dir}, sync...)...); got.status != exitFailed || !strings.Contains(got.err, "de_DE") {
		t.Fatalf("6.5 has no translation in the source: %d %s", got.status, got.err)
	}
	sync = slices.DeleteFunc(sync, func(s string) bool { return s == "6.5" })
	sync = slices.Delete(sync, 5, 6)
	mustContain(t, packages(exitOK, sync...).out, "is there", "WordPress 7.1.1", "(de_DE)", "added", "plugin akismet 5.7.2", "theme twentytwentyfour 1.1")
	mustNotContain(t, packages(exitOK, "sync", "--from", source, "--plugin", "akismet@5.7.2", "--theme", "twentytwentyfour@1.1").out, "added")

	own := zipOf(t, "own.zip", map[string]string{"own/own.php": "<?php\n/*\n * Plugin Name: Own\n * Version: 1.2\n */\n", "own/style.css": "a{}"})
	mustContain(t, packages(exitOK, "add", own).out, "added", "plugin own 1.2")
	mustContain(t, packages(exitOK, "add", zipOf(t, "t.zip", map[string]string{"t/style.css": "/*\nTheme Name: T\nVersion: 2\n*/"})).out, "theme t 2")
	other := zipOf(t, "own.zip", map[string]string{"own/own.php": "<?php\n/* Plugin Name: Own\nVersion: 1.2 */ changed();"})
	mustContain(t, packages(exitFailed, "add", other).err, "plugin own 1.2", "other content")
	for name, files := range map[string]map[string]string{
		"two directories": {"a/a.php": "<?php /* Plugin Name: A\nVersion: 1 */", "b/b.php": "<?php"},
		"no header":       {"a/a.php": "<?php"},
		"no version":      {"a/a.php": "<?php /* Plugin Name: A */"},
		"leads out":       {"../a.php": "<?php /* Plugin Name: A\nVersion: 1 */"},
	} {
		if got := packages(exitFailed, "add", zipOf(t, "bad.zip", files)); got.err == "" {
			t.Errorf("%s was added: %s", name, got.out)
		}
	}
	mustContain(t, packages(exitOK, "list").out, "core", "7.1.1", "de_DE", "6.5.5", "akismet", "own", "1.2")

	// Nodes use it in place, and through a web server.
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	for _, place := range []string{dir, "internal+" + server.URL} {
		node, err := wp.OpenPackages(place, wptest.Dir(t))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := node.Core(t.Context(), "latest", "de_DE")
		if err != nil || tree.Version != "7.1.1" || !slices.Contains(tree.LanguageFiles, "de_DE.l10n.php") {
			t.Errorf("%s: %s %d %v", place, tree.Version, len(tree.LanguageFiles), err)
		}
		if file, err := node.Plugin(t.Context(), "own", ""); err != nil || filepath.Base(file) != "1.2.zip" {
			t.Errorf("%s: %s %v", place, file, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestPackagesOfANonexistentDirectoryAreNotListed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	if got := runIn(t.Context(), t, nil, "packages", "--dir", dir, "list"); got.status != exitFailed {
		t.Errorf("%d %s", got.status, got.out)
	}
	if got := runIn(t.Context(), t, nil, "packages", "--dir", dir, "sync"); got.status != exitUsage {
		t.Errorf("%d %s", got.status, got.err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory was made")
	}
}
