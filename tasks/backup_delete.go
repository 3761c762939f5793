package tasks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp"
)

var backupDeleteSpec = Spec{
	Kind:     "backup.delete",
	Class:    Standard,
	Deadline: 30 * time.Minute,
	New:      func() Task { return new(BackupDelete) },
}

// BackupDelete removes a backup. The room that it alone takes in the store is given back
// within a day.
type BackupDelete struct {
	BackupID string `json:"backup_id" maxLength:"64" example:"bk_0191f3c2-7a5b-7cc1-9d7e-3f52a10b8c4e"`
}

// Kind is "backup.delete".
func (*BackupDelete) Kind() string { return backupDeleteSpec.Kind }

// Validate reports what is wrong.
func (p *BackupDelete) Validate() []Problem { return badBackupID(p.BackupID) }

// Steps lists the removal: the store first, so that whatever is listed is there.
func (p *BackupDelete) Steps(r *Run) []Step {
	d := &backupDeleter{Run: r, id: p.BackupID}
	return []Step{
		{Name: "forget", Message: "Removing the backup from the store", Weight: 5, Do: d.forget},
		{Name: "unlist", Message: "Taking it off the list", Do: d.unlistIt},
	}
}

type backupDeleter struct {
	*Run
	id string
}

// forget needs no install: the backups of one that was deleted can be deleted, too.
func (d *backupDeleter) forget(ctx context.Context) error {
	b, err := d.ownBackup(ctx, d.id)
	if errors.Is(err, wp.ErrNoBackup) {
		return Permanent(err, noSuchBackup)
	}
	if err != nil {
		return err
	}
	return d.Host.Backups.Forget(ctx, b.Site.Account, d.id)
}

func (d *backupDeleter) unlistIt(ctx context.Context) error {
	b, err := d.ownBackup(ctx, d.id)
	if errors.Is(err, wp.ErrNoBackup) {
		return d.done() // an attempt before has taken it off
	}
	if err != nil {
		return err
	}
	if err := d.Catalog.RemoveBackup(ctx, b); err != nil {
		return fmt.Errorf("taking backup off the list: %w", err)
	}
	return d.done()
}

func (d *backupDeleter) done() error {
	return d.SetResult(struct {
		Deleted string `json:"deleted"`
	}{d.id})
}

var noSuchBackup = Failure{Code: CodeNoBackup, Message: "There is no such backup.",
	Hint: "It was deleted, or its time was over. GET /wordpress/backups lists those that are there."}
