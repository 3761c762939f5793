package tasks

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// doomed makes installs that are as real as a deletion needs them: files, a wp-config.php,
// tables, a database user. No PHP is asked by it.
type doomed struct {
	*node
	t *testing.T
}

func newDoomed(t *testing.T) doomed {
	t.Helper()
	n := newSlimNode(t)
	n.host.Archives = t.TempDir()
	n.host.Crontab = filepath.Join(wptest.Dir(t), "crontab")
	script := "#!/bin/sh\nf=$0.$2\n[ \"$1\" = -u ] || { f=$0.self; set -- -u self \"$1\"; }\n" +
		"case $3 in -l) [ -e \"$f\" ] || { echo no crontab >&2; exit 1; }; cat \"$f\";; -) cat >\"$f\";; esac\n"
	must(t, os.WriteFile(n.host.Crontab, []byte(script), 0o755))
	return doomed{n, t}
}

func (d doomed) crontab(account string) string {
	if os.Geteuid() != 0 {
		account = "self"
	}
	return d.host.Crontab + "." + account
}

type credentials struct{ db, user, password, prefix string }

// database makes a database with a user and the tables of one install.
func (d doomed) database(account, name string) credentials {
	d.t.Helper()
	c := credentials{wp.DatabaseName(account, name), wp.DatabaseName(account, name), wp.NewPassword(20), "wp_"}
	ctx, db := d.t.Context(), d.host.DB
	must(d.t, errors.Join(db.CreateDatabase(ctx, c.db), db.CreateUser(ctx, c.user, "127.0.0.1", c.password), db.Grant(ctx, c.db, c.user, "127.0.0.1")))
	d.tables(c)
	return c
}

func (d doomed) tables(c credentials) {
	d.t.Helper()
	for _, table := range []string{"options", "usermeta", "posts"} {
		_, err := d.sql.ExecContext(d.t.Context(), fmt.Sprintf("CREATE TABLE %s.%s%s (id INT PRIMARY KEY, v TEXT)", c.db, c.prefix, table))
		must(d.t, err)
	}
	_, err := d.sql.ExecContext(d.t.Context(), fmt.Sprintf("INSERT INTO %s.%sposts VALUES (1, 'Größe %s')", c.db, c.prefix, c.prefix))
	must(d.t, err)
}

// install puts a WordPress at a path of a domain.
func (d doomed) install(account, domain, path string, c credentials) *order {
	d.t.Helper()
	o := d.order(d.t, account, domain, path, Install{})
	for _, name := range []string{"index.php", "wp-settings.php", "wp-load.php", "wp-includes/version.php", "wp-content/uploads/2026/a.jpg", ".htaccess"} {
		must(d.t, write(o.docroot(), name))
	}
	config, err := wp.RenderConfig(wp.ConfigOptions{DBName: c.db, DBUser: c.user, DBPassword: c.password, DBHost: d.host.DBHost, TablePrefix: c.prefix})
	must(d.t, err)
	must(d.t, os.WriteFile(filepath.Join(o.docroot(), "wp-config.php"), config, 0o600))
	giveTo(d.t, account, o.home())
	return o
}

func (d doomed) has(db string) bool {
	d.t.Helper()
	exists, err := d.host.DB.DatabaseExists(d.t.Context(), db)
	must(d.t, err)
	return exists
}

func (d doomed) hasUser(user string) bool {
	d.t.Helper()
	exists, err := d.host.DB.UserExists(d.t.Context(), user, "127.0.0.1")
	must(d.t, err)
	return exists
}

// tree lists everything below a directory, with modes.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		fmt.Fprintf(&b, "%s %s\n", info.Mode(), strings.TrimPrefix(path, dir))
		return err
	}))
	return b.String()
}

func TestDeleteRemovesTheInstallAndNothingElse(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	c := d.database("anna", "blog")
	o := d.install("anna", "blog.test", "public_html", c)
	victim := t.TempDir()
	must(t, write(victim, "precious"))
	must(t, os.Symlink(victim, filepath.Join(o.docroot(), "wp-content/uploads/link")))
	must(t, write(o.home(), "logs/access.log"))
	must(t, os.Chmod(filepath.Join(o.docroot(), "wp-content"), 0o555))
	giveTo(t, "anna", o.home())
	must(t, os.Chmod(o.docroot(), 0o750|fs.ModeSetgid))
	cron := fmt.Sprintf("# keep %[1]s\nMAILTO=a@b.c\n*/5 * * * * cd %[1]s && php wp-cron.php\n0 1 * * * php %[1]s2/x.php\n@hourly curl -s http://blog.test/wp-cron.php?doing_wp_cron >/dev/null\n@hourly curl https://my.blog.test/wp-cron.php\n", o.docroot())
	must(t, os.WriteFile(d.crontab("anna"), []byte(cron), 0o600))
	before := tree(t, o.home())

	would := answerOf[SiteDeleteResult](t, o.then(t, "site.delete", `{"dry_run":true}`).mustEnd(Succeeded)).Would
	if tree(t, o.home()) != before || !d.has(c.db) || would == nil || !would.KeepsDirectory || would.Files < 10 || len(would.Cron) != 2 ||
		len(would.Database.Tables) != 3 || !would.Database.Whole || len(would.Database.Hosts) != 1 || would.Database.Kept != "" || would.Archive == nil {
		t.Fatalf("the dry run: %+v", would)
	}

	done := answerOf[SiteDeleteResult](t, o.then(t, "site.delete", `{}`).mustEnd(Succeeded))
	if got := entries(t, o.home()); !slices.Equal(got, []string{"logs", "public_html"}) || len(entries(t, o.docroot())) != 0 {
		t.Errorf("files are left: %q %q", got, entries(t, o.docroot()))
	}
	if info, err := os.Stat(o.docroot()); err != nil || info.Mode().Perm() != 0o750 || info.Mode()&fs.ModeSetgid == 0 {
		t.Errorf("the docroot is another one: %v %v", info, err)
	}
	if d.has(c.db) || d.hasUser(c.user) {
		t.Error("database or user is left")
	}
	if got := entries(t, victim); !slices.Equal(got, []string{"precious"}) {
		t.Errorf("a link was followed: %q", got)
	}
	left, err := os.ReadFile(d.crontab("anna"))
	if want := fmt.Sprintf("# keep %[1]s\nMAILTO=a@b.c\n0 1 * * * php %[1]s2/x.php\n@hourly curl https://my.blog.test/wp-cron.php\n", o.docroot()); err != nil || string(left) != want {
		t.Errorf("crontab: %q %v", left, err)
	}
	files := unpack(t, done.Archive.File)
	if !strings.Contains(files["database.sql.gz"], "Größe wp_") || !strings.Contains(files["files/wp-config.php"], c.db) || files["files/wp-content/uploads/2026/a.jpg"] == "" ||
		files["files/wp-content/uploads/link"] != victim || !done.Archive.Database {
		t.Errorf("the archive has %q: %+v", slices.Sorted(maps.Keys(files)), done.Archive)
	}
	if info, err := os.Stat(done.Archive.File); err != nil || info.Mode().Perm() != 0o600 || info.Size() != done.Archive.Bytes || len(entries(t, d.host.Archives)) != 1 {
		t.Errorf("the archive: %v %v", info, err)
	}
	if out := o.then(t, "site.delete", `{}`).mustEnd(Failed); out.Error.Code != CodeNoWordPress {
		t.Errorf("the second time: %+v", out.Error)
	}
}

// unpack reads an archive: names with contents, targets of links, the dump in plain.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	packed, err := gzip.NewReader(bytes.NewReader(data))
	must(t, err)
	out := map[string]string{}
	for r := tar.NewReader(packed); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		must(t, err)
		var content io.Reader = r
		if strings.HasSuffix(h.Name, ".gz") {
			content, err = gzip.NewReader(r)
			must(t, err)
		}
		text, err := io.ReadAll(content)
		must(t, err)
		out[h.Name] = string(text) + h.Linkname
	}
}

func TestDeleteOfAnInstallBelowAnother(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	outer, inner := d.database("beth", "outer"), d.database("beth", "inner")
	above := d.install("beth", "two.test", "public_html", outer)
	below := d.install("beth", "two.test", "public_html/shop", inner)
	out := above.then(t, "site.delete", `{}`).mustEnd(Failed)
	if out.Error.Code != CodeConflict || !strings.Contains(out.Error.Message, "shop") {
		t.Errorf("%+v", out.Error)
	}
	done := answerOf[SiteDeleteResult](t, below.then(t, "site.delete", `{"keep_backup":false}`).mustEnd(Succeeded))
	if _, err := os.Lstat(below.docroot()); !os.IsNotExist(err) || done.KeepsDirectory || done.Archive != nil || d.has(inner.db) {
		t.Errorf("%v %+v", err, done)
	}
	if !d.has(outer.db) || !slices.Contains(entries(t, above.docroot()), "wp-config.php") {
		t.Error("the install above is harmed")
	}

	d.install("beth", "two.test", "public_html/shop", outer)
	must(t, os.Remove(filepath.Join(below.docroot(), "wp-config.php"))) // a copy, as backups make them
	done = answerOf[SiteDeleteResult](t, above.then(t, "site.delete", `{"include_nested":true,"keep_database":true,"keep_backup":false}`).mustEnd(Succeeded))
	if len(entries(t, above.docroot())) != 0 || !d.has(outer.db) || !d.hasUser(outer.user) || !slices.Equal(done.Nested, []string{"shop"}) {
		t.Errorf("%+v", done)
	}
}

func TestDeleteLeavesWhatOthersUse(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	c := d.database("cleo", "shared")
	second := c
	second.prefix = "wp_two_" // begins with the other's
	d.tables(second)
	o, other := d.install("cleo", "one.test", "public_html", c), d.install("cleo", "two.test", "public_html", second)
	twin := d.install("cleo", "twin.test", "public_html", second)

	done := answerOf[SiteDeleteResult](t, twin.then(t, "site.delete", `{"keep_backup":false}`).mustEnd(Succeeded))
	if !strings.Contains(done.Database.Kept, "two.test") {
		t.Errorf("%+v", done.Database)
	}
	done = answerOf[SiteDeleteResult](t, o.then(t, "site.delete", `{"keep_backup":false}`).mustEnd(Succeeded))
	tables, err := d.host.DB.Tables(t.Context(), c.db)
	if err != nil || !slices.Equal(tables, []string{"wp_two_options", "wp_two_posts", "wp_two_usermeta"}) || done.Database.Whole || !d.hasUser(c.user) {
		t.Errorf("%q %v %+v", tables, err, done.Database)
	}
	// The last one turns the light off.
	other.then(t, "site.delete", `{"keep_backup":false}`).mustEnd(Succeeded)
	if d.has(c.db) || d.hasUser(c.user) {
		t.Error("database or user is left")
	}

	// A user that has rights elsewhere stays.
	busy := d.database("cleo", "busy")
	spare := d.database("cleo", "spare")
	must(t, d.host.DB.Grant(t.Context(), spare.db, busy.user, "127.0.0.1"))
	d.install("cleo", "three.test", "public_html", busy).then(t, "site.delete", `{"keep_backup":false}`).mustEnd(Succeeded)
	if d.has(busy.db) || !d.hasUser(busy.user) || !d.has(spare.db) {
		t.Errorf("database %v, user %v, other database %v", d.has(busy.db), d.hasUser(busy.user), d.has(spare.db))
	}
}

// A tenant writes what it likes into its wp-config.php.
func TestDeleteDropsNothingOfOtherTenants(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	victim := d.database("vera", "victim")
	for i, lie := range []func(own credentials) credentials{
		func(own credentials) credentials { own.db = victim.db; return own },
		func(own credentials) credentials { own.user = victim.user; return own },
		func(own credentials) credentials { own.db, own.user = victim.db, victim.user; return own },
		func(own credentials) credentials { own.db = "mysql"; return own },
		func(own credentials) credentials { own.user, own.password = "root", ""; return own },
		func(own credentials) credentials { own.db = "no_such_db"; return own },
	} {
		own := d.database("eve", fmt.Sprint("own", i))
		o := d.install("eve", fmt.Sprintf("evil%d.test", i), "public_html", lie(own))
		done := answerOf[SiteDeleteResult](t, o.then(t, "site.delete", `{"keep_backup":false}`).mustEnd(Succeeded))
		if done.Database.Kept == "" || !d.has(own.db) || !d.hasUser(own.user) {
			t.Errorf("%d: %+v", i, done.Database)
		}
		if !d.has(victim.db) || !d.hasUser(victim.user) {
			t.Fatalf("%d: the victim's database or user is gone", i)
		}
	}
}

func TestDeleteFindsTheConfigurationAboveTheDocroot(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	c := d.database("dora", "above")
	o := d.install("dora", "above.test", "public_html/blog", c)
	config := filepath.Join(o.home(), "public_html/wp-config.php")
	must(t, os.Rename(filepath.Join(o.docroot(), "wp-config.php"), config))
	must(t, os.Chmod(o.docroot(), 0o555)) // as some harden their sites
	before := tree(t, o.home())
	op := o.then(t, "site.delete", `{}`)
	op.cancelAt(Entry{Mark: MarkDone, Step: "archive"})
	op.mustEnd(Cancelled)
	if after := tree(t, o.home()); after != before || len(entries(t, d.host.Archives)) != 0 {
		t.Errorf("it was\n%sand is\n%s%q", before, after, entries(t, d.host.Archives))
	}
	o.then(t, "site.delete", `{}`).mustEnd(Succeeded)
	if _, err := os.Lstat(config); !os.IsNotExist(err) || d.has(c.db) {
		t.Errorf("%v, database %v", err, d.has(c.db))
	}
}

// cancelAt has somebody cancel the op as soon as an entry like this is journalled.
func (o *order) cancelAt(at Entry) {
	cancelled := make(chan struct{})
	o.cfg.Cancelled = cancelled
	o.fail = func(e Entry) error {
		if e.Mark == at.Mark && e.Step == at.Step {
			close(cancelled)
		}
		return nil
	}
}

func TestDeleteInTheDomainsOwnDirectoryTakesWordPressOnly(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	o := d.install("faye", "own.test", "", d.database("faye", "own"))
	for _, name := range []string{"logs/access.log", "mail/inbox", "notes.php", "wp-backup/x"} {
		must(t, write(o.home(), name))
	}
	giveTo(t, "faye", o.home())
	o.then(t, "site.delete", `{"keep_backup":false}`).mustEnd(Succeeded)
	if got := entries(t, o.home()); !slices.Equal(got, []string{"logs", "mail", "notes.php", "wp-backup"}) {
		t.Errorf("%q", got)
	}
}

func TestDeleteThatCannotBeArchivedDeletesNothing(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	c := d.database("gina", "closed")
	o := d.install("gina", "closed.test", "public_html", c)
	must(t, os.Chmod(filepath.Join(o.docroot(), "wp-content/uploads/2026/a.jpg"), 0)) // tar cannot read it
	before := tree(t, o.home())
	out := o.then(t, "site.delete", `{}`).mustEnd(Failed)
	if out.Error.Code != CodeBackupFailed || tree(t, o.home()) != before || !d.has(c.db) || len(entries(t, d.host.Archives)) != 0 {
		t.Errorf("%+v", out.Error)
	}
}

func TestDeleteSurvivesADeathAtEveryBoundary(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	const shares = 3
	ops := 0
	for _, after := range []bool{false, true} {
		for _, share := range some(shares) {
			ops++
			account := fmt.Sprint("dead", ops)
			c := d.database(account, "wp")
			path := []string{"public_html", "public_html/blog"}[ops%2]
			o := d.install(account, "dead.test", path, c)
			op := o.then(t, "site.delete", `{}`)
			r := &reaper{order: op, share: share, shares: shares, after: after, seen: map[string]bool{}}
			op.fail = r.entry
			out, err := r.live()
			must(t, err)
			op.mustBe(out, Succeeded)
			if d.has(c.db) || d.hasUser(c.user) || len(entries(t, o.docroot())) != 0 || len(entries(t, o.home())) != 1 || r.deaths < 4 {
				t.Errorf("after=%t share %d: %d deaths, left %q", after, share, r.deaths, entries(t, o.home()))
			}
			if r := answerOf[SiteDeleteResult](t, out); unpack(t, r.Archive.File)["database.sql.gz"] == "" {
				t.Errorf("after=%t share %d: no dump in the archive", after, share)
			}
		}
	}
}

func TestDeletedWordPressIsGone(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "hera", "real.test", "public_html", Install{})
	r := o.result(o.mustEnd(Succeeded))
	config, err := os.ReadFile(filepath.Join(o.docroot(), configFile))
	must(t, err)
	parsed, err := wp.ParseConfig(config)
	must(t, err)
	op := o.then(t, "site.delete", `{"keep_backup":false}`)
	out := op.mustEnd(Succeeded)
	o.mustBeGone([]string{"public_html"})
	if done := answerOf[SiteDeleteResult](t, out); len(done.Database.Tables) != coreTables || done.Database.Name != r.DBName || done.Files < 1000 {
		t.Errorf("%+v", done)
	}
	// The password of the database goes nowhere.
	journal, err := os.ReadFile(filepath.Join(op.dir, op.op.ID+".jsonl"))
	must(t, err)
	if said := string(journal) + strings.Join(op.log, "\n") + strings.Join(op.slogs, ""); parsed.DBPassword == "" || strings.Contains(said, parsed.DBPassword) {
		t.Error("the database's password is in the journal or the log")
	}
}
