package wp

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/wispanel/wptk/wp/wptest"
)

func caseFile(name string) string { return filepath.Join("testdata", name+".txtar") }

func TestCasesReplay(t *testing.T) {
	t.Parallel()
	for _, tc := range wpCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(caseFile(tc.name))
			if err != nil {
				t.Fatal(err)
			}
			cli, site := fakeSite(t, wptest.Parse(archive)...)
			got := outcome(tc.call(t.Context(), caseEnv{cli: cli, site: site, zips: "/packages"}))
			if diff := cmp.Diff(wanted(archive), got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func wanted(a *txtar.Archive) string {
	for _, f := range a.Files {
		if f.Name == "want" {
			return string(f.Data)
		}
	}
	return ""
}

// fakeSite is a site whose PHP answers as recorded.
func fakeSite(t *testing.T, runs ...wptest.Run) (*CLI, Site) {
	t.Helper()
	cli := fakeCLI(t, wptest.PHP(t, runs...))
	home := wptest.Dir(t)
	wptest.Domain(t, home, "alice", "blog.test")
	layout, err := ParseLayout(home + "/*/domains/*")
	if err != nil {
		t.Fatal(err)
	}
	site, err := layout.WithUsers(wptest.Tenant).Find("alice", "blog.test", "public_html/shop")
	if err != nil {
		t.Fatal(err)
	}
	staged, err := site.Staged(stageOf)
	if err != nil {
		t.Fatal(err)
	}
	return cli, staged
}

func fakeCLI(t *testing.T, php string) *CLI {
	t.Helper()
	dir := wptest.Dir(t)
	phar := filepath.Join(dir, "wp-cli.phar")
	if err := os.WriteFile(phar, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cli, err := NewCLI(CLIConfig{PHP: php, Phar: phar, StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return cli
}
