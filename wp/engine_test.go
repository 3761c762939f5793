package wp

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/wptest"
)

// engine is one that has prepared the newest WordPress.
func (l *live) engine(t *testing.T) (*Engine, CoreTree) {
	t.Helper()
	core := CoreTree{Version: l.core, Dir: filepath.Join(l.cache, "core", l.core, "wordpress")}
	e, err := NewEngine(l.cli, l.admin, wptest.Dir(t), "127.0.0.1:"+port(l.db.Addr), l.cli.log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Install(t.Context(), core, EngineInstall{}); !errors.Is(err, ErrEngineCold) {
		t.Errorf("an engine that has prepared nothing says %v", err)
	}
	if err := e.prepare(t.Context(), <-e.asked); err != nil {
		t.Fatal(err)
	}
	return e, core
}

// What the engine leaves in a database is, row by row, what WP-CLI leaves in it when it is
// run in the site's own files.
func TestEngineLeavesTheRowsOfAPlainInstall(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	e, core := l.engine(t)
	const url = "http://rows.test/blog"
	o := InstallOptions{Title: "Bob's <Rows>", AdminUser: "bob", AdminEmail: "bob@rows.test", AdminPassword: livePassword}
	staged, err := l.prepare(t, "plain", "rows.test", "public_html", ConfigOptions{TablePrefix: "wp_rows_"}).WithURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.cli.CoreInstall(t.Context(), staged, o); err != nil {
		t.Fatal(err)
	}
	config := ConfigOptions{DBName: "engine_rows", DBUser: "engine_rows", DBPassword: NewPassword(32), DBHost: e.dbHost, TablePrefix: "wp_rows_"}
	for _, do := range []func() error{
		func() error { return l.admin.CreateDatabase(t.Context(), config.DBName) },
		func() error { return l.admin.EnsureUser(t.Context(), config.DBUser, "127.0.0.1", config.DBPassword) },
		func() error { return l.admin.Grant(t.Context(), config.DBName, config.DBUser, "127.0.0.1") },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	before := treeOf(t, core.Dir)
	got, err := e.Install(t.Context(), core, EngineInstall{URL: url, ConfigOptions: config, InstallOptions: o})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, treeOf(t, core.Dir)); diff != "" {
		t.Errorf("the node's own copy has changed:\n%s", diff)
	}
	wanted, err := os.ReadFile(filepath.Join(staged.Docroot, ".htaccess"))
	if err != nil || got.Rewrites != string(wanted) {
		t.Errorf("rewrite rules %q, plain ones are %q, %v", got.Rewrites, wanted, err)
	}
	plain := l.rows(t, DatabaseName("plain", "rows.test"))
	if len(plain) != coreTables || len(plain["wp_rows_options"]) < 100 {
		t.Fatalf("the plain install has %d tables", len(plain))
	}
	if diff := cmp.Diff(plain, l.rows(t, config.DBName)); diff != "" {
		t.Errorf("rows (-plain +engine):\n%s", diff)
	}
	if left, err := l.admin.DatabaseExists(t.Context(), rehearsalName(e.dir)); left || err != nil {
		t.Errorf("the rehearsal's database is left: %t %v", left, err)
	}
}

// volatile are what differs between any two installs: points in time and password hashes.
var volatile = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\b1[789]\d{8}(\.\d+)?\b|\$(wp\$2y|P)\$[^|]*|"[0-9a-f]{32}"|\b[0-9a-f]{32}\b`)

// rows are all rows of all tables, each as one line.
func (l *live) rows(t *testing.T, name string) map[string][]string {
	t.Helper()
	db, err := sql.Open("mysql", strings.TrimSuffix(l.db.DSN(), "/")+"/"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	names, err := l.admin.Tables(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, table := range names {
		found, err := db.QueryContext(t.Context(), "SELECT * FROM `"+table+"`")
		if err != nil {
			t.Fatal(err)
		}
		defer found.Close()
		all[table] = []string{}
		columns, err := found.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for found.Next() {
			cells, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
			for i := range cells {
				into[i] = &cells[i]
			}
			if err := found.Scan(into...); err != nil {
				t.Fatal(err)
			}
			var line []string
			for _, c := range cells {
				line = append(line, volatile.ReplaceAllString(c.String, "*"))
			}
			all[table] = append(all[table], strings.Join(line, "|"))
		}
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(all[table])
	}
	return all
}

// treeOf is every path of a tree with its time of change.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Who could write an opcode would decide what all tenants run; who could open one could lock
// it and have all installs wait.
func TestOpcodesAreOutOfReachOfTenants(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	e, core := l.engine(t)
	warm := e.warm[core.Dir]
	var st unix.Stat_t
	if err := unix.Lstat(warm.opcodes, &st); err != nil {
		t.Fatal(err)
	}
	if st.Uid != uint32(os.Geteuid()) || st.Mode&0o027 != 0 {
		t.Errorf("opcodes have mode %o and uid %d", st.Mode, st.Uid)
	}
	files := 0
	err := filepath.WalkDir(warm.opcodes, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Uid != uint32(os.Geteuid()) || st.Mode&0o022 != 0 {
			t.Errorf("%s has mode %o and uid %d", path, st.Mode, st.Uid)
		}
		if d.Type().IsRegular() {
			files++
		}
		return nil
	})
	if err != nil || files < 300 {
		t.Errorf("%d opcode files, %v", files, err)
	}
	if os.Geteuid() == 0 {
		a, b := e.identity(), e.identity()
		if a.UID == b.UID || a.UID <= engineUIDs || a.GID != engineGID || st.Gid != engineGID {
			t.Errorf("runs are %+v and %+v, opcodes have group %d", a, b, st.Gid)
		}
	}
}

// PHP that was replaced or configured otherwise does not understand the opcodes.
func TestEngineGoesColdWhenPHPChanges(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	e, core := l.engine(t)
	warm := e.warm[core.Dir]
	warm.stamp = strings.Replace(warm.stamp, `"Size":`, `"Size":1`, 1)
	e.warm[core.Dir] = warm
	if _, err := e.Install(t.Context(), core, EngineInstall{}); !errors.Is(err, ErrEngineCold) {
		t.Errorf("it says %v", err)
	}
	if len(e.asked) != 1 || len(e.warm) != 0 {
		t.Error("it is not prepared anew")
	}
}

// A WordPress that somebody else may change is not run for all.
func TestEngineRefusesAWordPressThatOthersCanWrite(t *testing.T) {
	t.Parallel()
	dir := wptest.Dir(t)
	file := filepath.Join(dir, "index.php")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), onlyOursWrite(dir), os.Chmod(file, 0o666)); err != nil {
		t.Fatal(err)
	}
	if err := onlyOursWrite(dir); err == nil {
		t.Error("a file that all may write was taken")
	}
	if err := errors.Join(os.Chmod(file, 0o644), os.Symlink("/etc/passwd", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if err := onlyOursWrite(dir); err == nil {
		t.Error("a link was taken")
	}
}
