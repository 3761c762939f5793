package wp

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/wptest"
)

// live is a node made of real parts: PHP, WP-CLI, MariaDB, and tenants of its own.
type live struct {
	home   string
	cache  string
	core   string // version of WordPress, the newest of the package source
	layout Layout
	cli    *CLI
	db     *devstack.Server
	admin  *Admin
}

func newLive(t *testing.T) *live {
	t.Helper()
	l := &live{home: wptest.Dir(t), cache: devstack.CacheT(t), db: devstack.SharedMariaDB(t)}
	var err error
	if l.layout, err = ParseLayout(l.home + "/*/domains/*"); err != nil {
		t.Fatal(err)
	}
	l.layout = l.layout.WithUsers(wptest.Tenant)
	if l.admin, err = NewAdmin(l.db.DSN()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.admin.Close() })
	latest, err := os.ReadFile(filepath.Join(l.cache, "core", "LATEST"))
	if err != nil {
		t.Fatal(err)
	}
	l.core = strings.TrimSpace(string(latest))
	l.cli, err = NewCLI(CLIConfig{
		PHP:      "php",
		Phar:     filepath.Join(l.cache, "wp-cli", "wp-cli.phar"),
		StateDir: wptest.Dir(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// stageOf is where live sites are built.
var stageOf = StageName("op_live")

// prepare puts WordPress files and a wp-config.php into a stage and makes the database: all
// that comes before `wp core install`. It returns the staged site.
func (l *live) prepare(t *testing.T, account, domain, path string, o ConfigOptions) Site {
	t.Helper()
	wptest.Domain(t, l.home, account, domain)
	site := l.site(t, account, domain, path)
	staged, err := site.Staged(stageOf)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	o.DBName = DatabaseName(account, domain)
	o.DBUser, o.DBPassword, o.DBHost = o.DBName, NewPassword(32), "127.0.0.1:"+port(l.db.Addr)
	config, err := RenderConfig(o)
	for _, do := range []func() error{
		func() error { return err },
		func() error { return l.admin.CreateDatabase(ctx, o.DBName) },
		func() error { return l.admin.EnsureUser(ctx, o.DBUser, "127.0.0.1", o.DBPassword) },
		func() error { return l.admin.Grant(ctx, o.DBName, o.DBUser, "127.0.0.1") },
		func() error {
			return Files{}.StageCore(ctx, site, filepath.Join(l.cache, "core", l.core, "wordpress"), stageOf, nil)
		},
		func() error { return Files{}.WriteFile(ctx, staged, "wp-config.php", config, 0o640) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	return staged
}

func (l *live) site(t *testing.T, account, domain, path string) Site {
	t.Helper()
	site, err := l.layout.Find(account, domain, path)
	if err != nil {
		t.Fatal(err)
	}
	return site
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

var recordRuns = flag.Bool("record", false, "write what the real WP-CLI does to testdata")

// versions are masked when a real run is held against its recording.
var versions = regexp.MustCompile(`\d+(\.\d+)+|"\d{5}"`)

func TestCasesHoldOnRealWordPress(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	site := l.prepare(t, "alice", "blog.test", "public_html/shop", ConfigOptions{TablePrefix: "wp_case_"})
	for _, tc := range wpCases {
		var runs []wptest.Run
		cli := *l.cli
		cli.record = func(args []string, stdin, nonce string, stdout, stderr []byte, code int) {
			stable := strings.NewReplacer("<<wptk "+nonce, "{{begin}}", "wptk>> "+nonce, "{{end}}", l.home, "/home")
			runs = append(runs, wptest.Run{
				Args: wptest.Normal(args), Stdin: stdin, Stdout: stable.Replace(string(stdout)), Stderr: stable.Replace(string(stderr)), Exit: code,
			})
		}
		got := outcome(tc.call(t.Context(), caseEnv{cli: &cli, site: site, zips: l.cache}))
		if *recordRuns {
			archive := wptest.Format(runs)
			archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
			file := caseFile(tc.name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, txtar.Format(archive), 0o644)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		archive, err := txtar.ParseFile(caseFile(tc.name))
		if err != nil {
			t.Fatal(err)
		}
		mask := func(s string) string { return versions.ReplaceAllString(s, "V") }
		if diff := cmp.Diff(mask(wanted(archive)), mask(got)); diff != "" {
			t.Errorf("%s (-recorded +real):\n%s", tc.name, diff)
		}
	}
}
