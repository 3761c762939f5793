package wp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/wptest"
)

// live is a node made of real parts: PHP, WP-CLI, MariaDB, and tenants of its own.
type live struct {
	home   string
	cache  string
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

// core is the directory of the newest WordPress in the package source.
func (l *live) core(t *testing.T) string {
	t.Helper()
	latest, err := os.ReadFile(filepath.Join(l.cache, "core", "LATEST"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(l.cache, "core", strings.TrimSpace(string(latest)), "wordpress")
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
		func() error { return Files{}.StageCore(ctx, site, l.core(t), stageOf, nil) },
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

func TestInstallIsRealAndReadable(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	site := l.prepare(t, "alice", "blog.test", "public_html/shop", ConfigOptions{})
	var log []string
	ctx := WithRun(t.Context(), RunHooks{Log: func(line string) { log = append(log, line) }})

	if ok, err := l.cli.CoreIsInstalled(ctx, site); ok || err != nil {
		t.Fatalf("is installed before: %v %v", ok, err)
	}
	got, err := l.cli.CoreInstall(ctx, site, InstallOptions{
		Title: `O'Brien & "Sons" <3 $1 — ☕`, AdminUser: "the boss", AdminEmail: "boss@blog.test", AdminPassword: `p ä'"\$x!{}`,
	})
	t.Logf("%+v %v\n%s", got, err, strings.Join(log, "\n"))
	if err != nil {
		t.Fatal(err)
	}
}
