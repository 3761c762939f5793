package wp

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/deploy/devstack"
)

// siteDB makes a database with an options table and its user.
func siteDB(t *testing.T, a *Admin, options map[string]string) (name string) {
	t.Helper()
	ctx := t.Context()
	name = DatabaseName("inspect", "")
	must(t, a.CreateDatabase(ctx, name), a.CreateUser(ctx, name, "localhost", "pw"), a.Grant(ctx, name, name, "localhost"))
	t.Cleanup(func() {
		must(t, a.DropDatabase(context.Background(), name), a.DropUser(context.Background(), name, "localhost"))
	})
	tenant := as(t, a, name, "pw", name)
	_, err := tenant.ExecContext(ctx, "CREATE TABLE wp_options (option_name VARCHAR(191), option_value LONGTEXT)")
	must(t, err)
	for k, v := range options {
		_, err := tenant.ExecContext(ctx, "INSERT INTO wp_options VALUES (?, ?)", k, v)
		must(t, err)
	}
	return name
}

func inspectHost(t *testing.T) *Host {
	t.Helper()
	return &Host{DB: testAdmin(t), DBHost: "localhost:" + devstack.SharedMariaDB(t).Socket}
}

func (p plot) found(db string, h *Host) Found {
	return Found{Site: p.site, Version: "6.5.2", Config: Config{DBName: db, DBUser: db, DBPassword: "pw", DBHost: h.DBHost, TablePrefix: "wp_", Simple: true}}
}

func inspectOne(t *testing.T, h *Host, in Found) Facts {
	t.Helper()
	facts, err := Inspect(t.Context(), h, in)
	must(t, err)
	return facts[0]
}

func TestInspectReadsTitleAndAddresses(t *testing.T) {
	t.Parallel()
	h, p := inspectHost(t), newPlace(t, "public_html")
	db := siteDB(t, h.DB, map[string]string{"blogname": "Tom &amp; Jerry\n\x1b[31m", "home": "https://alice.example/", "siteurl": "https://alice.example/wp"})
	got := inspectOne(t, h, p.found(db, h))
	want := Facts{Status: StatusOK, Version: "6.5.2", Title: "Tom & Jerry", URL: "https://alice.example", AdminURL: "https://alice.example/wp/wp-admin/",
		DBName: db, DBUser: db, DBHost: h.DBHost, TablePrefix: "wp_", Simple: true, Source: "scan"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	in := p.found(db, h)
	in.Config.Home, in.Config.SiteURL = "https://constant.example", "https://constant.example/core"
	if got := inspectOne(t, h, in); got.URL != "https://constant.example" || got.AdminURL != "https://constant.example/core/wp-admin/" {
		t.Errorf("constants do not win: %+v", got)
	}
}

func TestInspectSaysWhatIsBroken(t *testing.T) {
	t.Parallel()
	h, p := inspectHost(t), newPlace(t, "public_html")
	db := siteDB(t, h.DB, map[string]string{"home": "https://alice.example"})
	empty := siteDB(t, h.DB, nil)
	for name, c := range map[string]struct {
		spoil  func(*Found)
		status Status
		reason string
	}{
		"password":      {func(f *Found) { f.Config.DBPassword = "wrong" }, StatusBroken, "refuses the user or password"},
		"database":      {func(f *Found) { f.Config.DBName = "other_tenant" }, StatusBroken, "refuses the user or password"},
		"prefix":        {func(f *Found) { f.Config.TablePrefix = "x_" }, StatusBroken, "tables do not exist"},
		"unfinished":    {func(f *Found) { f.Config.DBName, f.Config.DBUser = empty, empty }, StatusBroken, "not finished"},
		"injection":     {func(f *Found) { f.Config.TablePrefix = "a`b" }, StatusUnreadable, "does not tell the database"},
		"no core":       {func(f *Found) { f.Version = ""; f.Problems = []string{"version.php cannot be read"} }, StatusBroken, "version.php"},
		"computed":      {func(f *Found) { f.Config = Config{Why: "DB_NAME is not a plain value"} }, StatusUnreadable, "DB_NAME is not a plain value"},
		"other server":  {func(f *Found) { f.Config.DBHost = "db.example.com" }, StatusUnreadable, "another server"},
		"other port":    {func(f *Found) { f.Config.DBHost = "127.0.0.1:1" }, StatusUnreadable, "another server"},
		"other socket":  {func(f *Found) { f.Config.DBHost = "localhost:/tmp/evil.sock" }, StatusUnreadable, "another server"},
		"metadata host": {func(f *Found) { f.Config.DBHost = "169.254.169.254:80" }, StatusUnreadable, "another server"},
	} {
		in := p.found(db, h)
		c.spoil(&in)
		if got := inspectOne(t, h, in); got.Status != c.status || !strings.Contains(got.Reason, c.reason) {
			t.Errorf("%s: %s %q, want %s with %q", name, got.Status, got.Reason, c.status, c.reason)
		}
	}
}

// MariaDB lets root in by the user id at the other end of its socket. A tenant that
// writes root into its configuration must not profit from the id of the worker.
func TestInspectOfATenantThatCallsItselfRootGetsNothing(t *testing.T) {
	t.Parallel()
	server := devstack.MariaDBT(t)
	a, err := NewAdmin(server.DSN())
	must(t, err)
	defer a.Close()
	h, p, ctx := &Host{DB: a, DBHost: "localhost:" + server.Socket}, newPlace(t, "public_html"), t.Context()
	must(t, a.CreateDatabase(ctx, "victim"))
	for _, statement := range []string{
		"CREATE TABLE victim.wp_options AS SELECT 'home' AS option_name, 'https://victim.example' AS option_value",
		"ALTER USER root@localhost IDENTIFIED VIA unix_socket", // as on a distribution's server
	} {
		_, err := a.db.ExecContext(ctx, statement)
		must(t, err)
	}
	if err := as(t, a, "root", "", "victim").PingContext(ctx); os.Geteuid() == 0 && err != nil {
		t.Errorf("the trap is not set: %v", err)
	}
	for _, user := range []string{"root", "mysql", "mariadb.sys", "x"} {
		in := p.found("victim", h)
		in.Config.DBUser, in.Config.DBPassword = user, ""
		if got := inspectOne(t, h, in); got.Status != StatusBroken || got.URL == "https://victim.example" {
			t.Errorf("as %q: %+v", user, got)
		}
	}
}

func TestDeadDatabaseDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	h, p := inspectHost(t), newPlace(t, "public_html")
	slow := siteDB(t, h.DB, nil)
	tenant := as(t, h.DB, slow, "pw", slow)
	_, err := tenant.ExecContext(t.Context(), "DROP TABLE wp_options")
	must(t, err)
	_, err = tenant.ExecContext(t.Context(), "CREATE VIEW wp_options AS SELECT 'home' AS option_name, SLEEP(600) AS option_value")
	must(t, err)
	good := siteDB(t, h.DB, map[string]string{"home": "https://alice.example"})
	facts, err := Inspect(t.Context(), h, p.found(slow, h), p.found(good, h), p.found(slow, h))
	must(t, err)
	if facts[0].Status != StatusBroken || !strings.Contains(facts[0].Reason, "in time") || facts[1].Status != StatusOK || facts[2].Status != StatusBroken {
		t.Errorf("%+v", facts)
	}
}

func TestServerThatDoesNotAnswerIsBroken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close() // accepts nothing, says nothing
	a, err := NewAdmin("x:y@tcp(" + l.Addr().String() + ")/")
	must(t, err)
	defer a.Close()
	h, p := &Host{DB: a, DBHost: l.Addr().String()}, newPlace(t, "public_html")
	if got := inspectOne(t, h, p.found("db", h)); got.Status != StatusBroken {
		t.Errorf("%+v", got)
	}
}

func TestDBHostOfThisServerIsKnownInItsSpellings(t *testing.T) {
	t.Parallel()
	tcp := &Admin{net: "tcp", addr: "127.0.0.1:3306"}
	odd := &Admin{net: "tcp", addr: "127.0.0.1:3307"}
	sock := &Admin{net: "unix", addr: "/run/mysqld/mysqld.sock"}
	remote := &Admin{net: "tcp", addr: "db.internal:3306"}
	for _, c := range []struct {
		host, ours string
		admin      *Admin
		want       bool
	}{
		{"localhost", "localhost", tcp, true}, {"127.0.0.1", "localhost", tcp, true}, {"127.0.0.1:3306", "localhost", sock, true}, {"::1", "localhost", tcp, true},
		{"[::1]:3306", "localhost", tcp, true}, {"LOCALHOST", "localhost", tcp, true}, {"", "localhost", tcp, true},
		{"localhost:/run/mysqld/mysqld.sock", "localhost", sock, true}, {"localhost:/tmp/x", "localhost", sock, false}, {"localhost:/run/mysqld/mysqld.sock", "localhost", tcp, false},
		{"localhost:3307", "localhost", tcp, false}, {"localhost", "127.0.0.1:3307", odd, false}, {"localhost:3307", "127.0.0.1:3307", odd, true}, {"localhost:3307", "x", odd, true},
		{"db.internal", "db.internal", remote, true}, {"localhost", "db.internal", remote, false}, {"db.internal.evil", "db.internal", remote, false}, {"127.0.0.2", "localhost", tcp, false},
	} {
		if got := sameServer(c.host, c.ours, c.admin); got != c.want {
			t.Errorf("%q is %q (%s): %v, want %v", c.host, c.ours, c.admin.addr, got, c.want)
		}
	}
}

func TestAddressOfASiteIsPlainOrNothing(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://a.example/": "https://a.example", " http://a.example:8080/x ": "http://a.example:8080/x", "javascript:alert(1)": "", "https://u:p@a.example": "",
		"//a.example": "", "https://": "", "https://a.example/\nX": "", "": "", "https://a/" + strings.Repeat("x", 3000): "", "file:///etc/passwd": "",
	} {
		if got := cleanURL(in); got != want {
			t.Errorf("%.60q became %q, want %q", in, got, want)
		}
	}
}
