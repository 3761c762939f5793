package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/wispanel/wptk/wp"
)

// saving is the backup that an op takes: of kind backup, or a final one, or a checkpoint.
// There is one of an op at most, since its id is made of the op's.
type saving struct {
	Type, Reason, Label string
	KeepUntil           time.Time
	KeepLast            int
	Docroot             string // as the manifest has it, when the install is in a stage just now
	Nested              bool   // with the files of installs below
	Database            bool   // whether there are tables to be saved
	Expect              int64  // bytes, about, for the progress
	Original            string // JSON, for a clone
}

const (
	keyBackup = "backup" // the Backup, as stored
	keySaving = "saving" // something may be in the store
)

// save stores an install and answers its record, which is not in the catalog yet. Done again
// after a crash it begins anew: only what was remembered was stored whole, and what is in the
// store beside that is removed.
func (r *Run) save(ctx context.Context, site wp.Site, s saving) (Backup, error) {
	if text := r.Get(keyBackup); text != "" {
		var b Backup
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			return Backup{}, fmt.Errorf("reading backup: %w", err)
		}
		return b, nil
	}
	if r.Host.Backups == nil {
		return Backup{}, wp.ErrNoBackupStore
	}
	if err := r.unsave(ctx); err != nil {
		return Backup{}, err
	}
	if err := r.Set(keySaving, "begun"); err != nil {
		return Backup{}, err
	}
	b := Backup{
		ID: BackupID(r.Op.ID), Site: r.Op.Site, Op: r.Op.ID, Type: s.Type, Reason: s.Reason, Label: s.Label,
		Created: time.Now().UTC().Truncate(time.Second), KeepUntil: s.KeepUntil, KeepLast: s.KeepLast, URL: site.URL,
		Original: json.RawMessage(s.Original),
	}
	if err := r.store(ctx, site, s, &b); err != nil {
		return Backup{}, err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return Backup{}, fmt.Errorf("encoding backup: %w", err)
	}
	return b, r.Set(keyBackup, string(text))
}

func (r *Run) store(ctx context.Context, site wp.Site, s saving, b *Backup) error {
	record, err := json.Marshal(*b)
	if err != nil {
		return fmt.Errorf("encoding backup: %w", err)
	}
	what := wp.BackupSelection{Files: s.Type != BackupDatabase, Database: s.Type != BackupFiles && s.Database, Nested: s.Nested}
	m := wp.BackupManifest{
		ID: b.ID, Op: b.Op, Site: b.Site.ID, Node: b.Site.Node, Docroot: s.Docroot, URL: site.URL,
		Type: b.Type, Reason: b.Reason, Label: b.Label, Created: b.Created,
	}
	var sum wp.BackupSummary
	told := time.Time{}
	key := wp.BackupKey{Account: b.Site.Account, ID: b.ID, Site: b.Site.ID, Op: b.Op, Type: b.Type, Record: record}
	stored, err := r.Host.Backups.Save(ctx, key, func(w io.Writer) (err error) {
		sum, err = r.Host.WriteBackup(ctx, site, what, m, w, func(p wp.BackupProgress) {
			if now := time.Now(); now.Sub(told) >= time.Second/4 { // it is called for every file
				told = now
				r.Report(fraction(p.Bytes, s.Expect), saveMessage(p, s.Expect))
			}
		})
		return err
	})
	if err != nil {
		return saveError(err)
	}
	b.Snapshot, b.Bytes, b.Added = stored.Snapshot, stored.Bytes, stored.Added
	b.Files, b.Tables = sum.Files, sum.Tables
	b.WordPress, b.TablePrefix = sum.WordPress, sum.TablePrefix
	for _, name := range sum.Changed {
		r.logf("Changed while it was read: %s", name)
	}
	for _, name := range sum.Skipped {
		r.logf("Neither file nor directory, left out: %s", name)
	}
	return nil
}

// unsave removes what the op has in the store.
func (r *Run) unsave(ctx context.Context) error {
	if r.Get(keySaving) == "" || r.Host.Backups == nil {
		return nil
	}
	return r.Host.Backups.Forget(ctx, r.Op.Site.Account, r.Op.ID)
}

func fraction(done, total int64) float64 {
	if total <= 0 {
		return 0
	}
	return min(float64(done)/float64(total), 0.99)
}

func saveMessage(p wp.BackupProgress, expect int64) string {
	size := megabytes(p.Bytes)
	if expect > p.Bytes {
		size = fmt.Sprintf("%s of about %s", size, megabytes(expect))
	}
	return fmt.Sprintf("Storing the backup: %s, %d files", size, p.Files)
}

func megabytes(n int64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// saveError names what can go wrong while a backup is taken.
func saveError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return Permanent(err, noRoom)
	case errors.Is(err, wp.ErrIncompleteDump), errors.Is(err, wp.ErrConfigComputed):
		return Permanent(err, Failure{Code: CodeBackupFailed, Message: "The database of the site could not be dumped.",
			Hint: "wp-config.php has to name the database in plain words, and the site's own user has to be able to read it. type=files works without."})
	case isUnreadable(err):
		return Permanent(err, Failure{Code: CodeBackupFailed, Message: "A file of the site cannot be read by its account.",
			Hint: "The name is in the operation's log. Give the file back to the account, then try again."})
	}
	return err
}

func isUnreadable(err error) bool {
	return errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "permission denied")
}

var noRoom = Failure{Code: CodeDiskFull, Message: "There is no room for the backup.",
	Hint: "Delete old backups or have the operator give the backup store more room, then try again."}

// errNoCatalog cannot happen on a node that keeps backups.
var errNoCatalog = errors.New("the node has no list of backups")

// list puts a stored backup on the list.
func (r *Run) list(ctx context.Context, b Backup) error {
	if r.Catalog == nil {
		return errNoCatalog
	}
	return r.Catalog.PutBackup(ctx, b)
}

// unlist takes it off again; that of an op which never stored one is no error.
func (r *Run) unlist(ctx context.Context) error {
	if r.Get(keyBackup) == "" || r.Catalog == nil {
		return nil
	}
	return r.Catalog.RemoveBackup(ctx, Backup{ID: BackupID(r.Op.ID), Site: r.Op.Site})
}
