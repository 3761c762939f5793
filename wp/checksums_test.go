package wp

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wispanel/wptk/wp/wptest"
)

// tree writes files below a docroot, as the tenant's, and gives the site.
func tree(t *testing.T, account string, files map[string]string) Site {
	t.Helper()
	home := wptest.Dir(t)
	dir := wptest.Domain(t, home, account, "sums.test")
	layout, err := ParseLayout(home + "/*/domains/*")
	if err != nil {
		t.Fatal(err)
	}
	site, err := layout.WithUsers(wptest.Tenant).Find(account, "sums.test", "public_html")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		file := filepath.Join(dir, "public_html", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return site
}

func sumsOf(files map[string]string) Sums {
	sums := Sums{}
	for name, content := range files {
		sums[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	}
	return sums
}

const testVersion = "<?php\n$wp_version = '6.5.5';\n"

func corePackage() map[string]string {
	return map[string]string{
		"index.php": "<?php // index", "readme.html": "read", "wp-config-sample.php": "<?php // sample", "wp-load.php": "<?php // load",
		"wp-admin/admin.php": "<?php // admin", "wp-admin/css/a.css": "a{}", "wp-includes/version.php": testVersion, "wp-includes/js/a.js": "a()",
	}
}

func coreCompare() Compare {
	return Compare{
		Dir: ".", Sums: sumsOf(corePackage()), Closed: []string{"wp-admin", "wp-includes"}, Scripts: true,
		NoScripts: []string{"wp-content/uploads"}, Ignore: []string{"wp-admin/own/**"},
	}
}

func TestComparisonClassifiesEveryDifference(t *testing.T) {
	t.Parallel()
	files := corePackage()
	delete(files, "readme.html")
	delete(files, "wp-load.php")
	files["index.php"] = "<?php // hacked"
	files["wp-admin/css/a.css"] = "b{}"
	files["wp-admin/shell.php"], files["wp-admin/note.txt"], files["wp-includes/x/.htaccess"] = "<?php", "hi", "AddHandler"
	files["wp-admin/own/tool.php"] = "<?php"
	files["wp-config.php"], files["info.php"], files["mine/other.php"] = "<?php", "<?php phpinfo();", "<?php"
	files["wp-content/uploads/2024/cat.php"], files["wp-content/uploads/a.jpg"], files["wp-content/uploads/x.php.jpg"] = "<?php evil();", "jpg", "<?php"
	files["wp-content/uploads/2024/index.php"], files["wp-content/plugins/a/a.php"] = "<?php\n// Silence is golden.\n", "<?php"
	site := tree(t, "ada", files)
	link := filepath.Join(site.Docroot, "wp-includes/js/a.js")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	got, err := Files{}.Compare(t.Context(), site, coreCompare())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range got.Findings {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", f.Severity, f.Class, f.Path, f.Note)))
	}
	want := []string{
		"critical modified index.php",
		"critical unexpected wp-admin/shell.php",
		"critical unexpected wp-content/uploads/2024/cat.php no PHP belongs here",
		"critical unexpected wp-content/uploads/x.php.jpg no PHP belongs here",
		"critical modified wp-includes/js/a.js it is a link",
		"critical missing wp-load.php",
		"warning unexpected info.php",
		"warning modified wp-admin/css/a.css",
		"warning unexpected wp-includes/x/.htaccess",
		"notice missing readme.html",
		"notice unexpected wp-admin/note.txt",
		"none ignored wp-admin/own/tool.php",
	}
	if diff := cmp.Diff(want, lines); diff != "" || !got.Complete || got.More != 0 {
		t.Errorf("%s\n%+v", diff, got)
	}
}

func TestTranslatedPackageIsNoTampering(t *testing.T) {
	t.Parallel()
	files := corePackage()
	files["wp-includes/version.php"] += "\n$wp_local_package = 'de_DE';\n"
	files["readme.html"], files["wp-config-sample.php"] = "lesen", "<?php // Beispiel"
	got, err := Files{}.Compare(t.Context(), tree(t, "bea", files), coreCompare())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range got.Findings {
		if f.Class != Locale || f.Severity != SeverityNone {
			t.Errorf("%+v", f)
		}
	}
	if len(got.Findings) != 3 {
		t.Errorf("%+v", got)
	}
	files["wp-includes/version.php"] = strings.Replace(files["wp-includes/version.php"], "6.5.5", "6.5.4", 1)
	got, err = Files{}.Compare(t.Context(), tree(t, "bea", files), coreCompare())
	if err != nil || len(got.Findings) != 3 || got.Findings[0].Class != Modified || got.Findings[0].Path != versionFile {
		t.Errorf("%+v %v", got, err)
	}
}

// A directory that is a link would lead the comparison, or a later repair, out of the site.
func TestLinkedDirectoryIsNotEntered(t *testing.T) {
	t.Parallel()
	files := corePackage()
	site := tree(t, "cleo", files)
	real := filepath.Join(site.Docroot, "wp-admin")
	if err := os.Rename(real, real+"-old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("wp-admin-old", real); err != nil {
		t.Fatal(err)
	}
	got, err := Files{}.Compare(t.Context(), site, coreCompare())
	if err != nil || len(got.Findings) != 2 || got.Findings[0].Class != Missing || got.Findings[1].Class != Missing {
		t.Errorf("%+v %v", got, err)
	}
}

func TestFilesAsPackagedHaveNoFindings(t *testing.T) {
	t.Parallel()
	got, err := Files{}.Compare(t.Context(), tree(t, "dora", corePackage()), coreCompare())
	if err != nil || len(got.Findings) != 0 || got.Files != len(corePackage()) || !got.Complete {
		t.Errorf("%+v %v", got, err)
	}
}

func TestPatternsMatchWholePaths(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, path string
		want          bool
	}{
		{"wp-admin/x.php", "wp-admin/x.php", true},
		{"*.php", "wp-admin/x.php", false},
		{"*/x.php", "wp-admin/x.php", true},
		{"wp-admin/**", "wp-admin/a/b.php", true},
		{"wp-*/**", "wp-admin/a/b.php", true},
		{"wp-admin/**", "wp-admin", false},
		{"wp/**", "wp-admin/a", false},
		{"[", "[", false},
	} {
		if got := MatchPath(tc.pattern, tc.path); got != tc.want {
			t.Errorf("%s %s: %t", tc.pattern, tc.path, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		MatchPath(rapid.String().Draw(t, "pattern"), rapid.String().Draw(t, "path")) // ends, and does not panic
	})
}
