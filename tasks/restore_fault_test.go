package tasks

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp"
)

// faulty is an install without PHP, which a restore needs only at its end, with a backup.
type faulty struct {
	kept
	install func() // puts its files there again
	backup  string
	before  string // files, as tree lists them
}

func newFaulty(t *testing.T, account string, server ...*devstack.Server) *faulty {
	t.Helper()
	d := newDoomed(t)
	for _, s := range server {
		d.connect(t, s)
	}
	s := newShelf()
	d.host.Backups, d.catalog = s, s
	c := d.database(account, "blog")
	f := &faulty{kept: kept{d.install(account, account+".test", "public_html", c), s, wp.Site{}}}
	f.install = func() { d.install(account, account+".test", "public_html", c) }
	var err error
	f.site, err = d.host.Find(account, account+".test", "public_html")
	must(t, err)
	f.backup = f.save(BackupFull)
	must(t, write(f.docroot(), "wp-content/uploads/later.txt"))
	giveTo(t, account, f.home())
	f.before = tree(t, f.home())
	return f
}

func (f *faulty) restore(kind string) *order {
	return f.change(&Restore{BackupID: f.backup, Type: kind, Checkpoint: noCheckpoint})
}

// mustBeUntouched: nothing has changed, nothing is left.
func (f *faulty) mustBeUntouched() {
	t := f.t
	t.Helper()
	if now := tree(t, f.home()); now != f.before {
		t.Errorf("the files are now\n%s, were\n%s", now, f.before)
	}
	if got := f.node.databases(t, f.op.Site.Account); len(got) != 2 || got[0] != f.database() {
		t.Errorf("databases and users: %q", got)
	}
}

func TestRestoreOnAFullDiskFailsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	f := newFaulty(t, "fulla")
	must(t, os.WriteFile(filepath.Join(f.docroot(), "big"), make([]byte, 8<<20), 0o644))
	giveTo(t, "fulla", f.home())
	f.backup = f.save(BackupFull)
	must(t, syscall.Mount("tmpfs", f.home(), "tmpfs", 0, "size=120m"))
	t.Cleanup(func() { must(t, syscall.Unmount(f.home(), syscall.MNT_DETACH)) })
	f.install()
	f.before = tree(t, f.home())
	hog := filepath.Join(f.home(), "hog")
	f.shelf.opened = func() { // there was room when the restore was planned
		must(t, os.WriteFile(hog, make([]byte, 115<<20), 0o600))
	}
	out := f.restore("").mustEnd(Failed)
	if out.Error.Code != CodeDiskFull || out.Error.Hint == "" {
		t.Errorf("%+v", out.Error)
	}
	must(t, os.Remove(hog))
	f.mustBeUntouched()
	must(t, os.WriteFile(hog, make([]byte, 60<<20), 0o600))
	f.shelf.opened = func() { t.Error("the backup was opened although there is no room") }
	if out := f.restore("").mustEnd(Failed); out.Error.Code != CodeDiskFull || !strings.Contains(out.Error.Message, "MB") {
		t.Errorf("%+v", out.Error)
	}
}

func TestRestoreWithoutItsDatabaseServerFailsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	server, err := devstack.MariaDB(t.Context(), devstack.MariaDBOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, server.Stop()) })
	f := newFaulty(t, "dina", server)
	var again sync.Once
	f.shelf.opened = server.Kill
	o := f.restore("")
	o.fail = func(e Entry) error {
		if e.Mark == MarkUndo {
			again.Do(func() { must(t, server.Start(t.Context())) })
		}
		return nil
	}
	out := o.mustEnd(Failed)
	if out.Error.Code != CodeDatabaseError || out.Error.Hint == "" {
		t.Errorf("%+v", out.Error)
	}
	f.mustBeUntouched()
}

func TestRestoreRefusesWhatItCannotPutInPlace(t *testing.T) {
	t.Parallel()
	f := newFaulty(t, "rita")
	t.Run("a backup of another account", func(t *testing.T) {
		f.t = t
		b, err := f.shelf.Backup(t.Context(), f.backup)
		must(t, err)
		b.ID, b.Site.Account = BackupID(NewOpID("node-1")), "somebody"
		must(t, f.shelf.PutBackup(t.Context(), b))
		if out := f.change(&Restore{BackupID: b.ID}).mustEnd(Failed); out.Error.Code != CodeNoBackup {
			t.Errorf("%+v", out.Error)
		}
	})
	t.Run("a backup of another install", func(t *testing.T) {
		f.t = t
		b, err := f.shelf.Backup(t.Context(), f.backup)
		must(t, err)
		b.ID, b.Site.ID = BackupID(NewOpID("node-1")), SiteID("node-1", "rita", "other.test", "public_html")
		must(t, f.shelf.PutBackup(t.Context(), b))
		if out := f.change(&Restore{BackupID: b.ID}).mustEnd(Failed); out.Error.Code != CodeConflict {
			t.Errorf("%+v", out.Error)
		}
	})
	t.Run("a configuration that is computed", func(t *testing.T) {
		f.t = t
		config := filepath.Join(f.docroot(), configFile)
		was, err := os.ReadFile(config)
		must(t, err)
		clever := strings.Replace(string(was), "define( 'DB_NAME'", "define( 'DB_NAME', getenv( 'DB' ) ); define( 'DB_OTHER'", 1)
		if clever == string(was) {
			t.Fatal("the configuration has another form")
		}
		must(t, os.WriteFile(config, []byte(clever), 0o600))
		giveTo(t, "rita", f.home())
		if out := f.restore(BackupDatabase).mustEnd(Failed); out.Error.Code != CodeConfigComputed || out.Error.Hint == "" {
			t.Errorf("%+v", out.Error)
		}
		must(t, os.WriteFile(config, was, 0o600))
		giveTo(t, "rita", f.home())
	})
	t.Run("a part that the backup has not", func(t *testing.T) {
		f.t = t
		files := f.save(BackupFiles)
		for _, ask := range []*Restore{
			{BackupID: files, Type: BackupDatabase}, {BackupID: files, Type: BackupFull}, {BackupID: f.backup, Tables: []string{"wp_none"}},
		} {
			if out := f.change(ask).mustEnd(Failed); out.Error.Code != CodeNotInBackup {
				t.Errorf("%+v: %+v", ask, out.Error)
			}
		}
	})
	f.t = t
	f.mustBeUntouched()
}
