package tasks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/wp"
)

// memoryCatalog is a list of backups that a test can look into.
type memoryCatalog struct {
	mu   sync.Mutex
	list []Backup // newest last
}

func (c *memoryCatalog) PutBackup(ctx context.Context, b Backup) error {
	_ = c.RemoveBackup(ctx, b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, b)
	return nil
}

func (c *memoryCatalog) Backup(_ context.Context, id string) (Backup, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.list {
		if b.ID == id {
			return b, nil
		}
	}
	return Backup{}, ErrNoBackup
}

func (c *memoryCatalog) RemoveBackup(_ context.Context, b Backup) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, known := range c.list {
		if known.ID == b.ID {
			c.list = append(c.list[:i:i], c.list[i+1:]...)
			return nil
		}
	}
	return nil
}

func (c *memoryCatalog) SiteBackups(_ context.Context, site string) (all []Backup, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.list {
		if b.Site.ID == site {
			all = append([]Backup{b}, all...)
		}
	}
	return all, nil
}

// keepsBackups gives the node a store, and answers its parts.
func (n *node) keepsBackups(t *testing.T) (*wp.Restic, *memoryCatalog) {
	t.Helper()
	store, err := wp.NewRestic(wp.ResticConfig{URL: t.TempDir(), Key: bytes.Repeat([]byte("k"), 32), StateDir: t.TempDir()})
	must(t, err)
	catalog := &memoryCatalog{}
	n.host.Backups, n.host.BackupKeep, n.catalog = store, wp.BackupKeep{Days: 30, Last: 3}, catalog
	return store, catalog
}

func (n *node) stored(t *testing.T, store *wp.Restic, account string) int {
	t.Helper()
	keys, err := store.List(t.Context(), account)
	must(t, err)
	return len(keys)
}

func TestBackupIsStoredVerifiedAndDeleted(t *testing.T) {
	t.Parallel()
	s := newShopper(t, "bea")
	store, catalog := s.node.keepsBackups(t)
	s.exec("INSERT INTO {db}posts (post_title, post_content, post_excerpt, to_ping, pinged, post_content_filtered) VALUES ('🦊', 'ä''\\\\\"', '', '', '', '')")
	before := tree(t, s.home())

	made := answerOf[Backup](t, s.then(t, "backup", `{"label":"vor dem Umbau"}`).mustEnd(Succeeded))
	if made.Files < 1000 || made.Tables["sr_posts"] < 4 || made.Label != "vor dem Umbau" || made.Reason != BackupManual || made.KeepLast != 3 ||
		made.KeepUntil.Sub(made.Created) < 29*24*time.Hour || made.WordPress == "" || made.URL != "http://shop.test" {
		t.Errorf("%+v", made)
	}
	if rows, listed := made.Tables["sr_links"]; !listed || rows != 0 {
		t.Errorf("an empty table is not listed: %v", made.Tables)
	}
	again := answerOf[Backup](t, s.then(t, "backup", `{"keep_days":1}`).mustEnd(Succeeded))
	if again.Added > made.Bytes/100 || again.KeepLast != 0 || s.node.stored(t, store, "bea") != 2 {
		t.Errorf("the second one of %d bytes added %d", again.Bytes, again.Added)
	}
	if after := tree(t, s.home()); after != before {
		t.Error("a backup has changed the site")
	}

	// A list that was written anew from the store learns from a verification what it lacks.
	listed := made
	listed.Bytes, listed.Added, listed.Files, listed.Tables, listed.WordPress, listed.TablePrefix, listed.Incomplete = 0, 0, 0, nil, "", "", true
	must(t, catalog.PutBackup(t.Context(), listed))
	verified := answerOf[VerifyResult](t, s.then(t, "backup.verify", `{"backup_id":"`+made.ID+`"}`).mustEnd(Succeeded))
	if verified.Files != made.Files || verified.Tables["sr_posts"] != made.Tables["sr_posts"] || strings.Join(verified.Checked, " ") != "stream files rows" {
		t.Errorf("%+v", verified)
	}
	record, err := catalog.Backup(t.Context(), made.ID)
	if must(t, err); record.Verified != VerifiedOK || record.VerifiedAt.IsZero() {
		t.Errorf("%+v", record)
	}
	record.Added, record.Verified, record.VerifiedAt = made.Added, "", time.Time{} // what it grew by is lost
	if diff := cmp.Diff(made, record); diff != "" {
		t.Errorf("the list after the verification (-before it was lost +now)\n%s", diff)
	}
	if after := tree(t, s.home()); after != before || len(s.node.databases(t, "bea")) != 2 {
		t.Errorf("the test-restore has left something: %q", s.node.databases(t, "bea"))
	}

	s.then(t, "backup.delete", `{"backup_id":"`+made.ID+`"}`).mustEnd(Succeeded)
	if _, err := catalog.Backup(t.Context(), made.ID); !errors.Is(err, ErrNoBackup) || s.node.stored(t, store, "bea") != 1 {
		t.Errorf("%v, %d in the store", err, s.node.stored(t, store, "bea"))
	}
	gone := s.then(t, "backup.verify", `{"backup_id":"`+made.ID+`"}`).mustEnd(Failed)
	if gone.Error.Code != CodeNoBackup {
		t.Errorf("%+v", gone.Error)
	}
	s.mustKeepSecrets(gone)
}

func TestBackupThatIsCutShortLeavesNothingUnlisted(t *testing.T) {
	t.Parallel()
	s := newShopper(t, "ben")
	store, catalog := s.node.keepsBackups(t)
	killed := errors.New("killed")
	for _, point := range []Entry{
		{Mark: MarkSet, Key: keySaving}, {Mark: MarkSet, Key: keyBackup}, {Mark: MarkDone, Step: "store"}, {Mark: MarkDone, Step: "list"},
	} {
		o := s.then(t, "backup", `{"type":"database"}`)
		o.fail = func(e Entry) error {
			if e.Mark == point.Mark && e.Key == point.Key && e.Step == point.Step {
				return killed
			}
			return nil
		}
		if _, err := o.attempt(); err == nil {
			t.Fatalf("%+v did not end the attempt", point)
		}
		o.fail = nil
		made := answerOf[Backup](t, o.mustEnd(Succeeded))
		if n, listed := s.node.stored(t, store, "ben"), len(catalog.list); n != listed || catalog.list[listed-1].ID != made.ID {
			t.Errorf("after %+v: %d stored, %d listed", point, n, listed)
		}
	}
	// Cancelled while it is stored.
	n := len(catalog.list)
	o := s.then(t, "backup", `{}`)
	stop := make(chan struct{})
	o.cfg.Cancelled = stop
	var once sync.Once
	o.cfg.Report = func(e Event) {
		if e.Step == "store" {
			once.Do(func() { close(stop) })
		}
	}
	o.mustEnd(Cancelled)
	if got := s.node.stored(t, store, "ben"); got != n || len(catalog.list) != n {
		t.Errorf("a cancelled one left %d stored, %d listed of %d", got, len(catalog.list), n)
	}
}

func TestDamagedBackupIsFoundByItsTrial(t *testing.T) {
	t.Parallel()
	s := newShopper(t, "bertha")
	store, catalog := s.node.keepsBackups(t)
	made := answerOf[Backup](t, s.then(t, "backup", `{"type":"files"}`).mustEnd(Succeeded))
	s.node.host.Backups = spoiled{store}
	out := s.then(t, "backup.verify", `{"backup_id":"`+made.ID+`"}`).mustEnd(Failed)
	record, err := catalog.Backup(t.Context(), made.ID)
	if must(t, err); out.Error.Code != CodeBackupDamaged || record.Verified != VerifiedFailed {
		t.Errorf("%+v, %+v", out.Error, record)
	}
	if names := entries(t, s.home()); strings.Join(names, " ") != "public_html" {
		t.Errorf("the trial has left %q", names)
	}
}

// spoiled is a store that gives back one byte too few.
type spoiled struct{ wp.BackupStore }

func (s spoiled) Load(ctx context.Context, account, id string) (io.ReadCloser, error) {
	r, err := s.BackupStore.Load(ctx, account, id)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	at := bytes.Index(data, []byte("wp-settings.php"))
	return io.NopCloser(bytes.NewReader(append(data[:at:at], data[at+1:]...))), nil
}

func TestDeletedSiteLeavesAFinalBackup(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	store, catalog := d.keepsBackups(t)
	c := d.database("bess", "site")
	o := d.install("bess", "bess.test", "public_html", c)
	must(t, write(o.docroot(), "blog/wp-includes/version.php")) // goes with it, as asked for
	giveTo(t, "bess", o.home())
	out := answerOf[SiteDeleteResult](t, o.then(t, "site.delete", `{"include_nested":true}`).mustEnd(Succeeded))
	if out.Archive == nil || out.Archive.Backup == "" || out.Archive.File != "" || !out.Archive.Database || len(entries(t, d.host.Archives)) != 0 {
		t.Fatalf("%+v", out.Archive)
	}
	record, err := catalog.Backup(t.Context(), out.Archive.Backup)
	if must(t, err); record.Reason != BackupFinal || !record.KeepUntil.Equal(out.Archive.Until) || record.Tables["wp_posts"] != 1 {
		t.Errorf("%+v", record)
	}
	b, err := d.host.OpenBackup(t.Context(), "bess", record.ID)
	must(t, err)
	var dump strings.Builder
	sum, err := b.Unpack(t.Context(), wp.BackupTarget{Database: func(r io.Reader) error { _, err := io.Copy(&dump, r); return err }})
	must(t, errors.Join(err, b.Close()))
	if sum.Files != record.Files || sum.Files < 8 || !strings.Contains(dump.String(), "Größe") || b.Manifest().Docroot != o.docroot() {
		t.Errorf("%+v, %+v", sum, b.Manifest())
	}
	// Its backups can be deleted when the install is gone.
	o.then(t, "backup.delete", `{"backup_id":"`+record.ID+`"}`).mustEnd(Succeeded)
	if n := d.stored(t, store, "bess"); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestBackupWithoutAStoreOrRoomIsRefused(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	c := d.database("bill", "site")
	o := d.install("bill", "bill.test", "public_html", c)
	if out := o.then(t, "backup", `{}`).mustEnd(Failed); out.Error.Code != CodeBackupsUnavailable || out.Error.Hint == "" {
		t.Errorf("%+v", out.Error)
	}
	d.keepsBackups(t)
	// A file that takes no room, and would take all of it in a backup.
	giant, err := os.Create(filepath.Join(o.docroot(), "giant"))
	must(t, err)
	must(t, errors.Join(giant.Truncate(1<<43), giant.Close()))
	giveTo(t, "bill", o.home())
	if out := o.then(t, "backup", `{"type":"files"}`).mustEnd(Failed); out.Error.Code != CodeDiskFull || !strings.Contains(out.Error.Message, "MB") {
		t.Errorf("%+v", out.Error)
	}
}
