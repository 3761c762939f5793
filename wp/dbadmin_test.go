package wp

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"pgregory.net/rapid"

	"github.com/wispanel/wptk/deploy/devstack"
)

func testAdmin(t *testing.T) *Admin {
	t.Helper()
	a, err := NewAdmin(devstack.SharedMariaDB(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// as opens a connection with a tenant's credentials.
func as(t *testing.T, a *Admin, user, password, db string) *sql.DB {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = a.net, a.addr, user, password, db
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn := sql.OpenDB(connector)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestDatabaseLivesAndDies(t *testing.T) {
	t.Parallel()
	a, ctx := testAdmin(t), t.Context()
	name := DatabaseName("alice", "")
	must(t, a.CreateDatabase(ctx, name), a.CreateUser(ctx, name, "localhost", `p'w\`), a.Grant(ctx, name, name, "localhost"))
	if err := a.CreateDatabase(ctx, name); !errors.Is(err, ErrExists) {
		t.Errorf("second CreateDatabase: %v, want ErrExists", err)
	}
	if err := a.CreateUser(ctx, name, "localhost", "other"); !errors.Is(err, ErrExists) {
		t.Errorf("second CreateUser: %v, want ErrExists", err)
	}
	if err := a.SetPassword(ctx, "nobody_here", "localhost", "x"); err == nil || errors.Is(err, ErrExists) {
		t.Errorf("SetPassword of nobody: %v", err)
	}
	if _, err := as(t, a, name, `p'w\`, name).ExecContext(ctx, "CREATE TABLE t (id INT)"); err != nil {
		t.Errorf("tenant cannot make a table: %v", err)
	}
	if tables, err := a.Tables(ctx, name); err != nil || len(tables) != 1 || tables[0] != "t" {
		t.Errorf("tables %v, %v", tables, err)
	}
	must(t, a.EnsureUser(ctx, name, "localhost", "new"))
	if err := as(t, a, name, "new", name).PingContext(ctx); err != nil {
		t.Errorf("new password: %v", err)
	}
	if err := as(t, a, name, `p'w\`, name).PingContext(ctx); err == nil {
		t.Error("the old password still opens")
	}
	for range 2 { // the second time nothing is there
		must(t, a.DropUser(ctx, name, "localhost"), a.DropDatabase(ctx, name))
	}
	db, err := a.DatabaseExists(ctx, name)
	user, err2 := a.UserExists(ctx, name, "localhost")
	if db || user || err != nil || err2 != nil {
		t.Errorf("left over: database %v, user %v, %v %v", db, user, err, err2)
	}
}

// An unescaped grant on a_wp also opens axwp: _ is a wildcard in a GRANT.
func TestGrantWithUnderscoreOpensOneDatabaseOnly(t *testing.T) {
	t.Parallel()
	a, ctx := testAdmin(t), t.Context()
	for _, db := range []string{"ga_wp", "gaxwp"} {
		must(t, a.CreateDatabase(ctx, db))
		defer a.DropDatabase(context.WithoutCancel(ctx), db)
	}
	must(t, a.CreateUser(ctx, "ga_wp", "localhost", "pw"), a.Grant(ctx, "ga_wp", "ga_wp", "localhost"))
	defer a.DropUser(context.WithoutCancel(ctx), "ga_wp", "localhost")
	if err := as(t, a, "ga_wp", "pw", "ga_wp").PingContext(ctx); err != nil {
		t.Errorf("own database: %v", err)
	}
	if err := as(t, a, "ga_wp", "pw", "gaxwp").PingContext(ctx); err == nil {
		t.Error("the database of another tenant opens")
	}
}

func TestTenantHasNothingButItsDatabase(t *testing.T) {
	t.Parallel()
	a, ctx := testAdmin(t), t.Context()
	name := DatabaseName("bob", "")
	must(t, a.CreateDatabase(ctx, name), a.CreateUser(ctx, name, "localhost", "pw"), a.Grant(ctx, name, name, "localhost"))
	defer a.DropDatabase(context.WithoutCancel(ctx), name)
	defer a.DropUser(context.WithoutCancel(ctx), name, "localhost")
	tenant := as(t, a, name, "pw", name)
	for _, forbidden := range []string{
		"SELECT * FROM mysql.user", "SELECT 1 INTO OUTFILE '/tmp/wptk-outfile'", "SELECT LOAD_FILE('/etc/passwd') IS NOT NULL AND 1/0",
		"CREATE DATABASE other_db", "CREATE USER x@localhost", "SET GLOBAL general_log = 1",
		"GRANT ALL ON " + quoteGrant(name) + ".* TO CURRENT_USER()", "SHUTDOWN",
	} {
		if _, err := tenant.ExecContext(ctx, forbidden); err == nil && !strings.Contains(forbidden, "LOAD_FILE") {
			t.Errorf("tenant may %s", forbidden)
		}
	}
	var grants []string
	rows, err := tenant.QueryContext(ctx, "SHOW GRANTS")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var g string
		must(t, rows.Scan(&g))
		grants = append(grants, g)
	}
	must(t, rows.Err())
	if all := strings.Join(grants, "\n"); len(grants) != 2 || !strings.Contains(all, "GRANT USAGE ON *.*") || strings.Contains(all, "GRANT OPTION") {
		t.Errorf("grants are %q", grants)
	}
}

func TestNamesThatAreNoneNeverReachTheServer(t *testing.T) {
	t.Parallel()
	a, err := NewAdmin("u:p@tcp(127.0.0.1:1)/") // nobody listens: reaching it would be ErrUnavailable
	must(t, err)
	defer a.Close()
	ctx := t.Context()
	for _, bad := range []string{"", "a`b", "a'b", "a b", "A", "a%", "a\\", "a\x00", "a-b", strings.Repeat("a", 65), "wp; DROP"} {
		for what, err := range map[string]error{
			"CreateDatabase": a.CreateDatabase(ctx, bad), "DropDatabase": a.DropDatabase(ctx, bad), "CreateUser": a.CreateUser(ctx, bad, "localhost", "p"),
			"DropUser": a.DropUser(ctx, bad, "localhost"), "Grant db": a.Grant(ctx, bad, "u", "localhost"), "Grant user": a.Grant(ctx, "d", bad, "localhost"),
		} {
			if err == nil || errors.Is(err, ErrUnavailable) {
				t.Errorf("%s(%q): %v", what, bad, err)
			}
		}
	}
	for _, host := range []string{"", "%", "10.%", "a'b", "_", "a`b"} {
		if err := a.CreateUser(ctx, "u", host, "p"); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("host %q: %v", host, err)
		}
	}
}

func TestServerAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	l.Close()
	for _, dsn := range []string{"root:secret@tcp(" + addr + ")/", "root:secret@unix(/nonexistent/socket)/"} {
		a, err := NewAdmin(dsn)
		must(t, err)
		defer a.Close()
		err = a.CreateDatabase(t.Context(), "d")
		if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want ErrUnavailable", dsn, err)
		}
	}
}

func TestServerThatDiesAndComesBackIsUsedAgain(t *testing.T) {
	t.Parallel()
	server := devstack.MariaDBT(t)
	a, err := NewAdmin(server.DSN())
	must(t, err)
	defer a.Close()
	must(t, a.CreateDatabase(t.Context(), "before"))
	server.Kill()
	if err := a.CreateDatabase(t.Context(), "while_away"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("while it was away: %v, want ErrUnavailable", err)
	}
	must(t, server.Restart(t.Context()), a.CreateDatabase(t.Context(), "after"))
	if ok, err := a.DatabaseExists(t.Context(), "before"); !ok || err != nil {
		t.Errorf("database from before: %v %v", ok, err)
	}
}

func TestDangerousDSNIsRefusedWithoutShowingIt(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"root:hunter2@tcp(x)/?multiStatements=true", "root:hunter2@tcp(x)/?allowAllFiles=true", "root:hunter2@tcp(x", "root:hunter2@bogus(x)/?tls=nosuch"} {
		if a, err := NewAdmin(dsn); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("NewAdmin(%q) = %v, %v", dsn, a, err)
		}
	}
}

func TestDatabaseNamesFitAndDoNotMeet(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z][a-z0-9_]{4,31}$`)
	rapid.Check(t, func(t *rapid.T) {
		account := rapid.OneOf(rapid.StringMatching(`[a-z_][a-z0-9_-]{0,31}`), rapid.String()).Draw(t, "account")
		asked := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_]{1,64}`), rapid.StringN(1, -1, -1)).Draw(t, "asked")
		name := DatabaseName(account, asked)
		if !form.MatchString(name) {
			t.Fatalf("%q", name)
		}
		if name != DatabaseName(account, asked) {
			t.Fatal("not the same twice")
		}
		if other := account + "x"; DatabaseName(other, asked) == name {
			t.Fatalf("%q and %q meet", account, other)
		}
	})
	if first, second := DatabaseName("a", ""), DatabaseName("a", ""); first == second {
		t.Error("two random names are the same")
	}
	if DatabaseName("a_b", "c") == DatabaseName("a", "b_c") {
		t.Error("the separator can be shifted")
	}
}

func TestCancelledCallIsNotUnavailable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if err := testAdmin(t).Ping(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
}
