package wp

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/rewrite"
	"github.com/wispanel/wptk/wp/wptest"
)

// tenantDB is a site with a database of everything that a dump may have in it, made by its
// tenant, but for the definers.
type tenantDB struct {
	*live
	host  *Host
	site  Site
	login Login
	conn  *sql.DB // as the tenant
}

const dumpPassword = `p"a'ss #1\n \ §`

func newTenantDB(t *testing.T, account string) tenantDB {
	t.Helper()
	l := newLive(t)
	d := tenantDB{live: l}
	wptest.Domain(t, l.home, account, account+".test")
	d.site = l.site(t, account, account+".test", "public_html")
	d.login = Login{Name: DatabaseName(account, "dump"), Password: dumpPassword, Host: "127.0.0.1:" + port(l.db.Addr)}
	d.login.User = d.login.Name
	d.host = &Host{CLI: l.cli, DB: l.admin, DBHost: d.login.Host, Layout: l.layout}
	ctx := t.Context()
	must(t, l.admin.CreateDatabase(ctx, d.login.Name), l.admin.EnsureUser(ctx, d.login.User, "127.0.0.1", d.login.Password),
		l.admin.Grant(ctx, d.login.Name, d.login.User, "127.0.0.1"))
	d.conn = asTCP(t, l, d.login)
	t.Cleanup(func() {
		ctx := context.Background()
		taken, err := l.admin.schemas(ctx, schemaStem(d.login.Name))
		must(t, err, l.admin.DropDatabase(ctx, d.login.Name), l.admin.DropUser(ctx, d.login.User, "127.0.0.1"))
		for _, s := range taken {
			must(t, l.admin.DropDatabase(ctx, s.name))
		}
	})
	return d
}

func asTCP(t *testing.T, l *live, login Login) *sql.DB {
	t.Helper()
	return as(t, &Admin{net: "tcp", addr: l.db.Addr}, login.User, login.Password, login.Name)
}

func run(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// everything is what MariaDB can have in a database of a WordPress with odd plugins.
var everything = []string{
	"SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET sql_mode = ''",
	"CREATE TABLE wp_options (option_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, option_name VARCHAR(191) NOT NULL UNIQUE, option_value LONGTEXT NOT NULL) CHARSET utf8mb4 COLLATE utf8mb4_unicode_520_ci",
	`INSERT INTO wp_options (option_name, option_value) VALUES ('home','https://old.test'),('wp_user_roles','a:1:{s:3:"url";s:16:"https://old.test";}'),
		('emoji','😀 it''s \\ "x" \n \0 \Z end https://old.test/😀'),('wp_other','wp_posts is not a table here'),('empty','')`,
	"CREATE TABLE wp_old3 (a VARCHAR(50) CHARACTER SET utf8mb3, b VARCHAR(50) CHARACTER SET latin1, c CHAR(3)) ENGINE=MyISAM CHARSET latin1",
	"INSERT INTO wp_old3 VALUES ('zażółć','café','ab')",
	"CREATE TABLE wp_odd (id INT PRIMARY KEY, flag BIT(3), raw BLOB, fixed BINARY(4), doc JSON, made DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', d DATE, n DECIMAL(10,3), f DOUBLE, " +
		"twice INT GENERATED ALWAYS AS (id * 2) STORED, label VARCHAR(80) AS (CONCAT('wp_odd ', id)) VIRTUAL, e ENUM('wp_a','https://old.test'), wp_column INT COMMENT 'wp_odd of https://old.test', p POINT, u UUID, KEY wp_index (wp_column), CHECK (id > 0))",
	"INSERT INTO wp_odd (id, flag, raw, fixed, doc, d, n, f, e, wp_column, p, u) VALUES (1, b'101', 0x00ff27225c0a, 'ab', '{\"url\":\"https:\\\\/\\\\/old.test\\\\/x\"}', '0000-00-00', -1.5, 1e-300, 'https://old.test', NULL, POINT(1,2), '123e4567-e89b-12d3-a456-426614174000'), (2, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, 7, NULL, NULL)",
	"CREATE TABLE wp_parent (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO wp_parent VALUES (1),(2)",
	"CREATE TABLE wp_child (id INT PRIMARY KEY, parent INT, CONSTRAINT wp_fk FOREIGN KEY (parent) REFERENCES wp_parent (id) ON DELETE CASCADE) ENGINE=InnoDB",
	"INSERT INTO wp_child VALUES (10,1),(11,2)",
	"CREATE TABLE wp_log (what TEXT, n INT NOT NULL DEFAULT 0)",
	"CREATE TRIGGER wp_guard AFTER INSERT ON wp_child FOR EACH ROW BEGIN -- don't; stop\n INSERT INTO wp_log (what) SELECT CONCAT('it''s; ', NEW.id) FROM wp_parent WHERE wp_parent.id = NEW.parent; END",
	"CREATE VIEW wp_a_view AS SELECT p.id AS id, COUNT(c.id) AS wp_child FROM wp_parent p LEFT JOIN wp_child c ON c.parent = p.id GROUP BY p.id",
	"CREATE VIEW wp_b_view AS SELECT wp_a_view.id FROM wp_a_view WHERE wp_a_view.wp_child > 0",
	"CREATE FUNCTION double_it(n INT) RETURNS INT DETERMINISTIC RETURN n * 2",
	"CREATE PROCEDURE tidy() BEGIN DELETE FROM wp_log WHERE n > 5; END",
	"CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM wp_log",
	"CREATE SEQUENCE wp_seq START WITH 5", "SELECT NEXTVAL(wp_seq)",
}

func (d tenantDB) fill(t *testing.T) {
	t.Helper()
	d.conn.SetMaxOpenConns(1)
	run(t, d.conn, everything...)
	// What another account has defined, as after a move from another server.
	root := as(t, d.admin, "root", d.db.Password, d.login.Name)
	run(t, root, "CREATE USER IF NOT EXISTS dump_other@localhost", "GRANT ALL ON "+quoteIdent(d.login.Name)+".* TO dump_other@localhost",
		"CREATE DEFINER=dump_other@localhost TRIGGER by_other BEFORE UPDATE ON wp_log FOR EACH ROW SET NEW.n = NEW.n + 1",
		"CREATE DEFINER=dump_other@localhost SQL SECURITY DEFINER VIEW wp_c_view AS SELECT * FROM wp_log")
}

// shown is what the server says that a database is made of, definers aside.
func shown(t *testing.T, db *sql.DB, rename func(string) string) map[string]string {
	t.Helper()
	out := map[string]string{}
	list := func(query string) (names []string) {
		rows, err := db.QueryContext(t.Context(), query)
		must(t, err)
		defer rows.Close()
		for rows.Next() {
			var name string
			must(t, rows.Scan(&name))
			names = append(names, name)
		}
		must(t, rows.Err())
		return names
	}
	show := func(what, name string) {
		rows, err := db.QueryContext(t.Context(), "SHOW CREATE "+what+" "+quoteIdent(name))
		must(t, err)
		defer rows.Close()
		columns, err := rows.Columns()
		must(t, err)
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		rows.Next()
		must(t, rows.Scan(into...), rows.Err())
		text := ""
		for i, c := range columns {
			if strings.HasPrefix(c, "Create ") || c == "SQL Original Statement" || c == "sql_mode" {
				text += values[i].String + "\n"
			}
		}
		out[what+" "+rename(name)] = rename(withoutDefiner(text))
	}
	for _, name := range list("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME <> 'wptk_claim'") {
		show("TABLE", name)
	}
	for _, name := range list("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()") {
		show("TRIGGER", name)
	}
	for _, what := range []string{"FUNCTION", "PROCEDURE"} {
		for _, name := range list("SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = '" + what + "'") {
			show(what, name)
		}
	}
	for _, name := range list("SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()") {
		show("EVENT", name)
	}
	for _, name := range list("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME <> 'wptk_claim'") {
		var table string
		var sum sql.NullInt64
		must(t, db.QueryRowContext(t.Context(), "CHECKSUM TABLE "+quoteIdent(name)).Scan(&table, &sum))
		out["rows of "+rename(name)] = fmt.Sprint(sum.Int64)
	}
	return out
}

func withoutDefiner(s string) string {
	for {
		at := strings.Index(s, "DEFINER=")
		if at < 0 {
			return s
		}
		end := at + strings.IndexByte(s[at:], ' ')
		s = s[:at] + s[end+1:]
	}
}

func TestDumpOfTheSameRowsIsTheSame(t *testing.T) {
	t.Parallel()
	d := newTenantDB(t, "carl")
	d.fill(t)
	var first, second, some bytes.Buffer
	must(t, d.host.Dump(t.Context(), d.site, d.login, DumpOptions{}, &first), d.host.Dump(t.Context(), d.site, d.login, DumpOptions{}, &second),
		d.host.Dump(t.Context(), d.site, d.login, DumpOptions{Tables: []string{"wp_options"}}, &some))
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two dumps of the same rows differ")
	}
	if text := some.String(); !strings.Contains(text, "INTO `wp_options`") || strings.Contains(text, "wp_odd") || strings.Contains(text, "FUNCTION") {
		t.Error("the dump of one table has others, or lacks it")
	}
}

func TestCopiedDatabaseIsTheSameDatabase(t *testing.T) {
	t.Parallel()
	d := newTenantDB(t, "dora")
	d.fill(t)
	ctx := t.Context()
	fresh, err := d.host.FreshSchema(ctx, "op_copy", d.login.Name, d.login.User, "127.0.0.1")
	must(t, err)
	run(t, d.conn, "INSERT INTO wp_old3 SELECT seq, REPEAT('x', 40), 'y' FROM seq_1_to_20000") // more than fits into the pipes
	before := shown(t, d.conn, unchanged)
	var last, total int64
	var processes []string // while the dump waits for us
	stats, err := d.host.CopyDatabase(ctx, d.site, d.login, d.login.In(fresh), rewrite.Filter{}, func(done, all int64) {
		if last, total = done, all; processes == nil {
			processes = argumentsAndEnvironments(t)
		}
	})
	must(t, err)
	copied := asTCP(t, d.live, d.login.In(fresh))
	if diff := cmp.Diff(before, shown(t, copied, unchanged)); diff != "" {
		t.Errorf("copy (-source +copy):\n%s", diff)
	}
	if diff := cmp.Diff(before, shown(t, d.conn, unchanged)); diff != "" {
		t.Errorf("source (-before +after):\n%s", diff)
	}
	counts, err := d.host.TableCounts(ctx, d.site, d.login.In(fresh))
	must(t, err)
	for _, table := range stats.Tables {
		if counts[table.Name] != table.Rows {
			t.Errorf("%s has %d rows, the filter saw %d", table.Name, counts[table.Name], table.Rows)
		}
	}
	if last <= 0 || last > total || !stats.Complete {
		t.Errorf("progress %d of %d, complete %v", last, total, stats.Complete)
	}
	met := false
	for _, p := range processes {
		met = met || strings.Contains(p, "mariadb-dump")
		if strings.Contains(p, `a'ss`) {
			t.Errorf("password is in %q", p)
		}
	}
	if !met {
		t.Error("the dump was not seen in the process list, so nothing is proven")
	}
	// A trigger of the copy works on the copy.
	run(t, copied, "INSERT INTO wp_child VALUES (12, 2)")
	var there, here int
	must(t, copied.QueryRowContext(ctx, "SELECT COUNT(*) FROM wp_c_view").Scan(&there), d.conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM wp_c_view").Scan(&here))
	if there != here+1 {
		t.Errorf("the trigger has written %d rows in the copy, %d in the source", there, here)
	}
}

// argumentsAndEnvironments are those of every process there is.
func argumentsAndEnvironments(t *testing.T) (all []string) {
	files, err := filepath.Glob("/proc/[0-9]*/[ce][mn][dv]*")
	if err != nil {
		t.Error(err)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil { // else it is gone, or not ours
			all = append(all, string(b))
		}
	}
	return all
}

func unchanged(s string) string { return s }

func TestCopyMovesAddressAndPrefixAndNothingElse(t *testing.T) {
	t.Parallel()
	d := newTenantDB(t, "emil")
	d.fill(t)
	ctx := t.Context()
	to, err := d.host.FreshSchema(ctx, "op_move", d.login.Name, d.login.User, "127.0.0.1")
	must(t, err)
	_, err = d.host.CopyDatabase(ctx, d.site, d.login, d.login.In(to), rewrite.Filter{
		Rewriter: rewrite.New(rewrite.SiteRules(rewrite.Place{URL: "https://old.test"}, rewrite.Place{URL: "https://new-longer.test"})),
		Prefix:   [2]string{"wp_", "x9_"},
	}, nil)
	must(t, err)
	copied := asTCP(t, d.live, d.login.In(to))
	left, err := d.host.CountText(ctx, d.site, d.login.In(to), "old.test")
	if err != nil || left[0].Cells != 0 {
		t.Errorf("old host is left in %v, %v", left, err)
	}
	found, err := d.host.CountText(ctx, d.site, d.login, "https://old.test", "old.test", "nowhere.test")
	if err != nil || found[0].Cells != 4 || found[1].Cells != 4 || found[2].Cells != 0 || !slices.Contains(found[1].Where, "wp_options.option_value: 3") {
		t.Errorf("the source has %v, %v", found, err)
	}
	var roles, doc, enum string
	must(t, copied.QueryRowContext(ctx, "SELECT option_value FROM x9_options WHERE option_name = 'x9_user_roles'").Scan(&roles),
		copied.QueryRowContext(ctx, "SELECT doc, e FROM x9_odd WHERE id = 1").Scan(&doc, &enum))
	if roles != `a:1:{s:3:"url";s:23:"https://new-longer.test";}` || doc != `{"url":"https:\/\/new-longer.test\/x"}` || enum != "https://old.test" {
		t.Errorf("rewritten to %s, %s and %s", roles, doc, enum)
	}
	run(t, copied, "INSERT INTO x9_child VALUES (13, 1)", "SELECT * FROM x9_b_view", "CALL tidy()", "SELECT double_it(2)", "UPDATE x9_log SET what = ''", "SELECT NEXTVAL(x9_seq)")
}

func TestImportStopsAtTheFirstErrorWithoutShowingValues(t *testing.T) {
	t.Parallel()
	d := newTenantDB(t, "fay")
	ctx := t.Context()
	err := d.host.Import(ctx, d.site, d.login, strings.NewReader("CREATE TABLE t (a INT PRIMARY KEY);\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES ('secret' oops);\nCREATE TABLE late (a INT);\n"))
	var said *SQLError
	if !errors.As(err, &said) || said.Code != 1064 || said.Line != 3 || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "oops") {
		t.Errorf("bad statement: %v", err)
	}
	err = d.host.Import(ctx, d.site, d.login, strings.NewReader("INSERT INTO t VALUES (1);"))
	if !errors.As(err, &said) || said.Code != 1062 {
		t.Errorf("duplicate: %v", err)
	}
	if tables, err := d.admin.Tables(ctx, d.login.Name); err != nil || !slices.Equal(tables, []string{"t"}) {
		t.Errorf("tables are %v, %v", tables, err)
	}
	broken := errors.New("broken")
	if err := d.host.Import(ctx, d.site, d.login, io.MultiReader(strings.NewReader("CREATE TABLE half (a INT);\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("broken source: %v", err)
	}
	wrong := d.login
	wrong.Password = "other"
	if err := d.host.Import(ctx, d.site, wrong, strings.NewReader("")); !errors.Is(err, ErrRefusedLogin) || strings.Contains(err.Error(), wrong.User) {
		t.Errorf("wrong password: %v", err)
	}
	if err := d.host.Dump(ctx, d.site, wrong, DumpOptions{}, io.Discard); !errors.Is(err, ErrRefusedLogin) {
		t.Errorf("wrong password: %v", err)
	}
	if err := d.host.Dump(ctx, d.site, d.login, DumpOptions{Tables: []string{"none"}}, io.Discard); err == nil {
		t.Error("a table that is not there was dumped")
	}
	elsewhere := d.login
	elsewhere.Host = "db.example.org"
	if err := d.host.Import(ctx, d.site, elsewhere, strings.NewReader("")); !errors.Is(err, ErrElsewhere) {
		t.Errorf("other server: %v", err)
	}
	// Neither the client nor the server touches a file.
	for _, bad := range []string{"\\! touch /tmp/wptk-import", "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t;", "SELECT 1 INTO OUTFILE '/tmp/wptk-import';", "source /etc/passwd\n"} {
		if err := d.host.Import(ctx, d.site, d.login, strings.NewReader(bad)); err == nil {
			t.Errorf("%s went through", bad)
		}
	}
}

func TestCopyEndsWhenEitherEndFails(t *testing.T) {
	t.Parallel()
	d := newTenantDB(t, "gus")
	ctx := t.Context()
	to, err := d.host.FreshSchema(ctx, "op_fail", d.login.Name, d.login.User, "127.0.0.1")
	must(t, err)
	run(t, d.conn, "CREATE TABLE wp_big (a INT, b TEXT)", "INSERT INTO wp_big SELECT seq, REPEAT('x', 2000) FROM seq_1_to_5000")
	refused := d.login.In(to)
	refused.Password = "wrong"
	if _, err := d.host.CopyDatabase(ctx, d.site, d.login, refused, rewrite.Filter{}, nil); !errors.Is(err, ErrRefusedLogin) {
		t.Errorf("import refused: %v", err)
	}
	if _, err := d.host.CopyDatabase(ctx, d.site, refused.In(d.login.Name), d.login.In(to), rewrite.Filter{}, nil); !errors.Is(err, ErrRefusedLogin) {
		t.Errorf("dump refused: %v", err)
	}
	cut := func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "CREATE TABLE `t` (`a` int);\n")
		return err
	}
	if _, err := d.host.ImportFiltered(ctx, d.site, d.login.In(to), rewrite.Filter{}, cut); !errors.Is(err, ErrDumpTruncated) {
		t.Errorf("cut off: %v", err)
	}
	hostile := func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "DROP DATABASE x;\n")
		return err
	}
	if _, err := d.host.ImportFiltered(ctx, d.site, d.login.In(to), rewrite.Filter{}, hostile); !errors.Is(err, rewrite.ErrStatement) {
		t.Errorf("hostile: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	if _, err := d.host.CopyDatabase(cancelled, d.site, d.login, d.login.In(to), rewrite.Filter{}, func(int64, int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFreshSchemaBelongsToItsOpAlone(t *testing.T) {
	t.Parallel()
	d := newTenantDB(t, "hal")
	ctx, h := t.Context(), d.host
	one, err := h.FreshSchema(ctx, "op_one", d.login.Name, d.login.User, "127.0.0.1")
	must(t, err)
	again, err := h.FreshSchema(ctx, "op_one", d.login.Name, d.login.User, "127.0.0.1")
	must(t, err)
	two, err := h.FreshSchema(ctx, "op_two", one, d.login.User, "127.0.0.1")
	must(t, err)
	if one != d.login.Name+"_r1" || again != one || two != d.login.Name+"_r2" {
		t.Errorf("%s, again %s, for another op %s", one, again, two)
	}
	run(t, asTCP(t, d.live, d.login.In(one)), "CREATE TABLE t (a INT)")
	must(t, h.DropSchema(ctx, "op_two", one), h.DropSchema(ctx, "op_one", d.login.Name))
	for _, name := range []string{one, d.login.Name} {
		if ok, err := d.admin.DatabaseExists(ctx, name); !ok || err != nil {
			t.Errorf("%s was dropped by an op that it does not belong to, %v", name, err)
		}
	}
	if err := h.AdoptSchema(ctx, "op_two", one); err == nil {
		t.Error("adopted another op's database")
	}
	for range 2 {
		must(t, h.AdoptSchema(ctx, "op_one", one), h.DropSchema(ctx, "op_two", two))
	}
	must(t, h.DropSchema(ctx, "op_one", one))
	if tables, err := d.admin.Tables(ctx, one); err != nil || !slices.Equal(tables, []string{"t"}) {
		t.Errorf("adopted database has %v, %v", tables, err)
	}
	if err := asTCP(t, d.live, d.login.In(two)).PingContext(ctx); err == nil {
		t.Error("the dropped database opens")
	}
	if hosts, err := d.admin.onlyFor(ctx, d.login.User, two); err != nil || len(hosts) > 0 {
		t.Errorf("rights on the dropped name are left: %v, %v", hosts, err)
	}
	if _, err := h.FreshSchema(ctx, "op_three", d.login.Name, "nobody_here", "127.0.0.1"); !errors.Is(err, ErrRefusedLogin) {
		t.Errorf("for a user that is not there: %v", err)
	}
}

func TestConfigIsPointedAtAnotherDatabaseAndBack(t *testing.T) {
	t.Parallel()
	home := wptest.Dir(t)
	site := fileSite(t, home, "ida")
	ctx := t.Context()
	config := []byte("<?php\ndefine( 'DB_NAME', 'one' ); // here\ndefine('DB_USER', 'u');\n$table_prefix = 'wp_';\nrequire_once ABSPATH . 'wp-settings.php';\n")
	write := func(src []byte) { must(t, Files{}.WriteFile(ctx, site, configName, src, 0o640)) }
	write(config)
	for _, step := range []struct{ to, was string }{{"one_r1", "one"}, {"one_r1", "one_r1"}, {"one", "one_r1"}} {
		if was, err := (Files{}).PointConfig(ctx, site, step.to); was != step.was || err != nil {
			t.Errorf("pointed at %s: was %q, %v", step.to, was, err)
		}
	}
	if got, err := (Files{}).ReadFile(ctx, site, configName, 1<<16); err != nil || !bytes.Equal(got, config) {
		t.Errorf("there and back it is %q, %v", got, err)
	}
	for _, computed := range []string{"define('DB_NAME', getenv('X'));", "if ($x) { define('DB_NAME', 'a'); }", ""} {
		src := bytes.Replace(config, []byte("define( 'DB_NAME', 'one' );"), []byte(computed), 1)
		write(src)
		if _, err := (Files{}).PointConfig(ctx, site, "two"); !errors.Is(err, ErrConfigComputed) {
			t.Errorf("%s: %v", computed, err)
		}
		if err := (Files{}).CanPointConfig(ctx, site); !errors.Is(err, ErrConfigComputed) {
			t.Errorf("%s can be pointed: %v", computed, err)
		}
		if got, err := (Files{}).ReadFile(ctx, site, configName, 1<<16); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s was changed: %q, %v", computed, got, err)
		}
	}
}

func TestViewsThatDoNotWorkAreLeftOutOfADumpAndNamed(t *testing.T) {
	t.Parallel()
	d := newTenantDB(t, "kim")
	run(t, d.conn, "CREATE TABLE wp_t (a INT)", "CREATE TABLE wp_gone (a INT)", "CREATE VIEW wp_lost AS SELECT * FROM wp_gone", "CREATE VIEW wp_good AS SELECT * FROM wp_t", "DROP TABLE wp_gone")
	root := as(t, d.admin, "root", d.db.Password, d.login.Name)
	run(t, root, "CREATE DEFINER=nobody_any_more@localhost SQL SECURITY DEFINER VIEW wp_orphan AS SELECT * FROM wp_t",
		"CREATE DEFINER=nobody_any_more@localhost FUNCTION not_ours() RETURNS INT RETURN 1")
	var log []string
	var out bytes.Buffer
	ctx := WithRun(t.Context(), RunHooks{Log: func(line string) { log = append(log, line) }})
	must(t, d.host.Dump(ctx, d.site, d.login, DumpOptions{}, &out))
	text := out.String()
	if !strings.Contains(text, "VIEW `wp_good`") || !strings.Contains(text, "VIEW `wp_orphan`") || strings.Contains(text, "wp_lost") {
		t.Errorf("%s", text)
	}
	if all := strings.Join(log, "\n"); !strings.Contains(all, "wp_lost") || !strings.Contains(all, "not_ours") || strings.Contains(all, "wp_good") {
		t.Errorf("log is %q", log)
	}
}

// A server that dies in the middle is no broken dump: trying again makes sense.
func TestServerThatDiesInTheMiddleIsUnavailable(t *testing.T) {
	t.Parallel()
	d := newTenantDB(t, "lou")
	server := devstack.MariaDBT(t)
	admin, err := NewAdmin(server.DSN())
	must(t, err)
	t.Cleanup(func() { admin.Close() })
	d.host.DB, d.host.DBHost = admin, "127.0.0.1:"+port(server.Addr)
	d.login.Host = d.host.DBHost
	ctx := t.Context()
	must(t, admin.CreateDatabase(ctx, d.login.Name), admin.EnsureUser(ctx, d.login.User, "127.0.0.1", d.login.Password), admin.Grant(ctx, d.login.Name, d.login.User, "127.0.0.1"))
	rows := strings.Repeat("INSERT INTO t VALUES ('"+strings.Repeat("x", 1000)+"');\n", 3000)
	killed := &onRead{do: server.Kill}
	err = d.host.Import(ctx, d.site, d.login, io.MultiReader(strings.NewReader("CREATE TABLE t (a TEXT);\n"+rows), killed, strings.NewReader(rows)))
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("import: %v", err)
	}
	if err := d.host.Dump(ctx, d.site, d.login, DumpOptions{}, io.Discard); !errors.Is(err, ErrUnavailable) {
		t.Errorf("dump of a dead server: %v", err)
	}
	if _, err := d.host.TableCounts(ctx, d.site, d.login); !errors.Is(err, ErrUnavailable) {
		t.Errorf("counting on a dead server: %v", err)
	}
}

// onRead does something once, when it is read from.
type onRead struct{ do func() }

func (r *onRead) Read([]byte) (int, error) { r.do(); return 0, io.EOF }
