package wp

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/wp/wptest"
)

// goldenCase is an install with everything that decides what its rows are.
type goldenCase struct {
	version, url, title, login, email, locale string
}

// A database that was filled from a template is, row by row and table by table, the one that
// WP-CLI leaves when it is run in the site's own files. Excepted are what volatile names.
func TestTemplateLeavesTheRowsOfAPlainInstall(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	cases := []goldenCase{
		{l.core, "https://rows.test:8443/a/Blog_2.x", `"A" & B & C; ☕ \n é`, "The Boss.x_1@-y", "the.boss+x@mail.rows.test", ""},
		{"6.5.5", "http://rows.test/old", "Old", "old.hand", "old@rows.test", ""},
		{l.core, "http://rows.test", "Bob's <Rows>", "bob", "bob@rows.test", ""},
		{l.core, "https://rows.test", "Über uns", "bob", "bob@rows.test", "de_DE"},
	}
	if os.Getenv("WPTK_TEST_ALL") == "" { // half a minute each: make test-all
		cases = cases[:2]
	}
	for i, c := range cases {
		l.mustFillAsPlain(t, i, c)
	}
}

func (l *live) mustFillAsPlain(t *testing.T, i int, c goldenCase) {
	t.Helper()
	e, err := NewEngine(l.cli, l.admin, wptest.Dir(t), "127.0.0.1:"+port(l.db.Addr), l.cli.log)
	if err != nil {
		t.Fatal(err)
	}
	at := *l
	at.core = c.version
	core := CoreTree{Version: c.version, Dir: filepath.Join(l.cache, "core", c.version, "wordpress")}
	account := "plain" + string(rune('a'+i))
	o := InstallOptions{Title: c.title, AdminUser: c.login, AdminEmail: c.email, AdminPassword: livePassword, Locale: c.locale}
	staged, err := at.prepare(t, account, "rows.test", "public_html", ConfigOptions{TablePrefix: "wp_rows_"}).WithURL(c.url)
	if err != nil {
		t.Fatal(err)
	}
	if c.locale != "" {
		p, err := OpenPackages(l.cache, wptest.Dir(t))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := p.Core(t.Context(), c.version, c.locale)
		if err := errors.Join(err, Files{}.CopyTree(t.Context(), staged, tree.Languages, "wp-content/languages")); err != nil {
			t.Fatal(err)
		}
		core.Languages = tree.Languages
	}
	if _, err := l.cli.CoreInstall(t.Context(), staged, o); err != nil {
		t.Fatal(err)
	}

	in := EngineInstall{URL: c.url, ConfigOptions: l.emptyDatabase(t, account+"_golden"), InstallOptions: o}
	if _, err := e.Fill(t.Context(), core, in); !errors.Is(err, ErrEngineCold) {
		t.Errorf("an engine without templates says %v", err)
	}
	if err := e.prepareGolden(t.Context(), <-e.wanted); err != nil {
		t.Fatal(err)
	}
	got, err := e.Fill(t.Context(), core, in)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := os.ReadFile(filepath.Join(staged.Docroot, ".htaccess"))
	if err != nil || got.Rewrites != string(wanted) {
		t.Errorf("rewrite rules %q, plain ones are %q, %v", got.Rewrites, wanted, err)
	}
	plain, filled := DatabaseName(account, "rows.test"), in.DBName
	if diff := cmp.Diff(l.rows(t, plain), l.rows(t, filled)); diff != "" {
		t.Errorf("%s: rows (-plain +template):\n%s", c.version, diff)
	}
	if diff := cmp.Diff(l.creates(t, plain), l.creates(t, filled)); diff != "" {
		t.Errorf("%s: tables (-plain +template):\n%s", c.version, diff)
	}
	config, err := RenderConfig(in.ConfigOptions)
	if err := errors.Join(err, Files{}.WriteFile(t.Context(), staged, "wp-config.php", config, 0o640)); err != nil {
		t.Fatal(err)
	}
	door, err := l.cli.SiteDoor(t.Context(), staged, c.login, livePassword)
	if err != nil || !door.Opens || door.SiteURL != c.url {
		t.Errorf("%s: WordPress says %+v, %v", c.version, door, err)
	}
}

// emptyDatabase makes a database with a user of its own.
func (l *live) emptyDatabase(t *testing.T, name string) ConfigOptions {
	t.Helper()
	c := ConfigOptions{DBName: name, DBUser: name, DBPassword: NewPassword(32), DBHost: "127.0.0.1:" + port(l.db.Addr), TablePrefix: "wp_rows_"}
	for _, do := range []func() error{
		func() error { return l.admin.CreateDatabase(t.Context(), name) },
		func() error { return l.admin.EnsureUser(t.Context(), name, "127.0.0.1", c.DBPassword) },
		func() error { return l.admin.Grant(t.Context(), name, name, "127.0.0.1") },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// creates are the definitions of all tables.
func (l *live) creates(t *testing.T, name string) map[string]string {
	t.Helper()
	db, err := sql.Open("mysql", strings.TrimSuffix(l.db.DSN(), "/")+"/"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables, err := l.admin.Tables(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, table := range tables {
		var create string
		if err := db.QueryRowContext(t.Context(), "SHOW CREATE TABLE "+quoteIdent(table)).Scan(&table, &create); err != nil {
			t.Fatal(err)
		}
		all[table] = create
	}
	return all
}
