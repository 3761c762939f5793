package wp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/wptest"
)

func configFor(t *testing.T, db string) string {
	t.Helper()
	src, err := RenderConfig(ConfigOptions{DBName: db, DBUser: "u", DBPassword: "p", TablePrefix: "wp_"})
	must(t, err)
	return string(src)
}

// install lays out the two files that make a WordPress for the scan.
func (p plot) install(t *testing.T, dir, config string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(p.home, dir, "wp-includes"), 0o755))
	p.put(t, dir+"/wp-includes/version.php", "<?php\n/** version */\n$wp_version = '6.5.2';\n$wp_db_version = 1;")
	if config != "" {
		p.put(t, dir+"/wp-config.php", config)
	}
}

func (p plot) census(t *testing.T) []DomainDir {
	t.Helper()
	c, err := p.layout.Census()
	must(t, err)
	return c.Domains
}

func (p plot) scan(t *testing.T) ScanReport {
	t.Helper()
	return Files{}.Scan(t.Context(), p.census(t))
}

func paths(r ScanReport) map[string]Found {
	out := map[string]Found{}
	for _, f := range r.Found {
		out[f.Site.Path] = f
	}
	return out
}

func TestScanFindsInstallsWhereverTheyAre(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	p.install(t, "public_html", configFor(t, "main"))
	p.install(t, "public_html/blog/de", configFor(t, "blog"))
	p.install(t, "above/core", "") // its configuration is one directory up
	p.put(t, "above/wp-config.php", configFor(t, "above"))
	p.install(t, "not_installed", "")                                              // no configuration anywhere
	p.install(t, "public_html/wp-content/uploads/backup", configFor(t, "skipped")) // never looked into
	p.install(t, "public_html/.wptk-op_x", configFor(t, "skipped"))                // a stage
	p.install(t, "a/b/c/d", configFor(t, "deep"))                                  // too deep
	must(t, os.MkdirAll(filepath.Join(p.home, "half"), 0o755))
	p.put(t, "half/wp-config.php", configFor(t, "half")) // the core is gone
	p.install(t, "odd name", configFor(t, "odd"))        // a path that we do not handle

	r := p.scan(t)
	got := paths(r)
	for path, db := range map[string]string{"public_html": "main", "public_html/blog/de": "blog", "above/core": "above", "half": "half"} {
		if f, ok := got[path]; !ok || f.Config.DBName != db || !f.Config.Simple {
			t.Errorf("%s: found %v, database %q", path, ok, f.Config.DBName)
		}
	}
	if len(r.Found) != 4 || len(r.Incomplete) != 0 || len(r.Errs) != 1 {
		t.Errorf("found %v, incomplete %v, errors %v", got, r.Incomplete, r.Errs)
	}
	if f := got["public_html"]; f.Version != "6.5.2" || f.Site.check() != nil || f.Site.URL != "https://alice.example" {
		t.Errorf("%+v", f)
	}
	if f := got["half"]; f.Version != "" || len(f.Problems) != 1 {
		t.Errorf("half: %+v", f)
	}
}

func TestScanIsNotLedAstray(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(wptest.Dir(t), "wp-config.php")
	must(t, os.WriteFile(secret, []byte(configFor(t, "stolen")), 0o644))
	for name, lay := range map[string]func(plot){
		"configuration is a link outside": func(p plot) { p.install(t, "w", ""); p.link(t, secret, "w/wp-config.php") },
		"directory is a link outside":     func(p plot) { p.link(t, filepath.Dir(secret), "w") },
		"link to itself":                  func(p plot) { p.link(t, ".", "w") },
		"fifo": func(p plot) {
			p.install(t, "w", "")
			must(t, unix.Mkfifo(filepath.Join(p.home, "w/wp-config.php"), 0o666))
		},
		"huge":    func(p plot) { p.install(t, "w", "<?php "+strings.Repeat(" ", MaxConfigSize)) },
		"rubbish": func(p plot) { p.install(t, "w", "<?php \"\x1b[31m{$") },
		"closed":  func(p plot) { p.install(t, "w", "x"); must(t, os.Chmod(filepath.Join(p.home, "w"), 0)) },
		"dir":     func(p plot) { p.install(t, "w", ""); p.mkdir(t, "w/wp-config.php", 0o755) },
		"is a dir": func(p plot) {
			p.mkdir(t, "w", 0o755)
			p.mkdir(t, "w/wp-includes", 0o755)
			p.mkdir(t, "w/wp-includes/version.php", 0o755)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "public_html")
			p.install(t, "good", configFor(t, "good"))
			lay(p)
			got := paths(p.scan(t))
			if name == "closed" { // so that it can be removed
				must(t, os.Chmod(filepath.Join(p.home, "w"), 0o755))
			}
			if got["good"].Config.DBName != "good" {
				t.Errorf("the good one is lost: %v", got)
			}
			if f := got["w"]; f.Config.DBName != "" || f.Config.Simple {
				t.Errorf("read %+v", f)
			}
		})
	}
}

func TestScanOfAHugeTreeIsBoundedAndSaysSo(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	dir := filepath.Join(p.home, "many")
	must(t, os.Mkdir(dir, 0o755))
	for i := range scanEntries + 1000 {
		must(t, os.Symlink("x", filepath.Join(dir, fmt.Sprint(i))))
	}
	r := p.scan(t)
	if len(r.Incomplete) != 1 || r.Incomplete[0].Domain != "alice.example" || len(r.Errs) != 1 {
		t.Errorf("incomplete %v, errors %v", r.Incomplete, r.Errs)
	}
}

func TestScanSeparatesAccounts(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	p.install(t, "public_html", configFor(t, "alices"))
	base := filepath.Dir(filepath.Dir(filepath.Dir(p.home)))
	bob := plot{home: wptest.Domain(t, base, "bob", "bob.example"), layout: p.layout}
	site, err := p.layout.Find("bob", "bob.example", "x")
	must(t, err)
	bob.site = site
	bob.install(t, "public_html", configFor(t, "bobs"))
	byAccount := map[string]string{}
	for _, f := range p.scan(t).Found {
		byAccount[f.Site.Account] = f.Config.DBName
	}
	if byAccount["alice"] != "alices" || byAccount["bob"] != "bobs" {
		t.Errorf("%v", byAccount)
	}
}

// What a child answers is the tenant's word.
func TestAnswerOfAHostileChildIsCheckedAndCleaned(t *testing.T) {
	t.Parallel()
	domains := newPlace(t, "public_html").census(t)
	for _, bad := range []found{{Dir: -1, Path: "x"}, {Dir: 1, Path: "x"}, {Path: "../bob"}, {Path: "/etc"}, {Path: "a\nb"}, {Path: "-x"}} {
		if site, err := bad.site(domains); err == nil {
			t.Errorf("%+v became %+v", bad, site)
		}
	}
	good := found{Path: "x", Version: "6.5\n", Config: Config{DBName: "a\nb\x1b[31m", Home: strings.Repeat("x", 9999)}, Problems: []string{"a\r\nb"}}
	site, err := good.site(domains)
	must(t, err)
	f := good.of(site)
	if f.Version != "" || strings.ContainsAny(f.Config.DBName+f.Problems[0], "\n\r\x1b") || len(f.Config.Home) > 3000 {
		t.Errorf("%+v", f)
	}
}

func TestLookReadsOneInstall(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	if _, err := (Files{}).Look(t.Context(), p.site); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	p.install(t, "public_html", configFor(t, "main"))
	f, err := Files{}.Look(t.Context(), p.site)
	if err != nil || f.Config.DBName != "main" || f.Config.DBPassword != "p" || f.Version != "6.5.2" {
		t.Errorf("%+v %v", f, err)
	}
}
