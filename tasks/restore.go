package tasks

import (
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp"
)

var restoreSpec = Spec{
	Kind:     "restore",
	Class:    Standard,
	Deadline: 4 * time.Hour,
	New:      func() Task { return new(Restore) },
}

// Restore brings back what a backup has of an install: all of it, its files or its database,
// or only some paths and tables. The saved state is built beside the present one and checked
// there; then they change places in one step, and back when the site does not come up.
type Restore struct {
	BackupID string `json:"backup_id" maxLength:"64" example:"bk_0191f3c2-7a5b-7cc1-9d7e-3f52a10b8c4e" doc:"The backup."`
	Type     string `json:"type,omitempty" enum:"full,files,database" doc:"Which part of it; what the backup has when left out, or what tables and paths say."`
	// Tables and Paths narrow the restore down.
	Tables []string `json:"tables,omitempty" maxItems:"200" doc:"Only these tables, by their names in the backup. All others stay as they are now."`
	Paths  []string `json:"paths,omitempty" maxItems:"100" doc:"Only these files and directories, relative to the docroot. A directory becomes what it was, files that are newer go."`

	Checkpoint *bool `json:"checkpoint,omitempty" doc:"Make a backup of the present first; true when left out. A site that is too broken to be backed up needs false."`
	OtherSite  bool  `json:"other_site,omitempty" doc:"The backup is of another install of the account. Addresses and paths in it are rewritten to those of this one."`
	DryRun     bool  `json:"dry_run,omitempty" doc:"Only tell what would be restored."`
}

// RestoreResult is what was restored, and what is kept of the state before.
type RestoreResult struct {
	Backup     string    `json:"backup_id"`
	Created    time.Time `json:"created_at" doc:"Of the backup."`
	Type       string    `json:"type"`
	Checkpoint string    `json:"checkpoint,omitempty" doc:"The backup of the state before."`

	Files     int64         `json:"files" doc:"Regular files that were brought back."`
	Bytes     int64         `json:"bytes"`
	Exchanged *wp.Exchanged `json:"exchanged,omitempty" doc:"How the files changed places."`
	Database  string        `json:"database,omitempty" doc:"The database that the site uses now."`
	Tables    int           `json:"tables"`
	Rows      int64         `json:"rows"`
	Rewritten int64         `json:"rewritten,omitempty" doc:"Values in which an address or a path was replaced."`
	SiteUp    bool          `json:"site_up"`
	UpBefore  bool          `json:"up_before" doc:"The site came up before the restore."`
	URL       string        `json:"url" doc:"The address that the site gives itself now."`
	Leftover  string        `json:"leftover,omitempty" doc:"A directory of the domain with old files that do not belong to the account, which could not remove them."`
	OldTables string        `json:"old_database,omitempty" doc:"The database of before, when it could not be removed."`
	Would     *RestoreWould `json:"would,omitempty" doc:"Of a dry run: what would be restored."`
	DryRun    bool          `json:"dry_run,omitempty"`
}

// RestoreWould is what a dry run has found.
type RestoreWould struct {
	Files    bool             `json:"files"`
	Database bool             `json:"database"`
	OneStep  bool             `json:"one_step" doc:"Files and database change in one rename. Else the site is closed for the moment in which they do."`
	Nested   []string         `json:"nested,omitempty" doc:"Other installs below this one, which stay as they are."`
	Rows     map[string]int64 `json:"rows,omitempty" doc:"By table, as the backup's list has them."`
	From     string           `json:"from_url,omitempty" doc:"The address that is rewritten, of a backup of another install."`
}

// Kind is "restore".
func (*Restore) Kind() string { return restoreSpec.Kind }

const maxRestoredPaths, maxRestoredTables = 100, 200

// Validate reports what is wrong with the request.
func (p *Restore) Validate() []Problem {
	var found problems
	if !IsBackupID(p.BackupID) {
		found.add("backup_id", "must be the id of a backup: bk_ and what follows")
	}
	switch p.Type {
	case "", BackupFull, BackupFiles, BackupDatabase:
	default:
		found.add("type", "must be full, files or database")
	}
	if p.Type == BackupFiles && len(p.Tables) > 0 {
		found.add("tables", "makes no sense with type=files")
	}
	if p.Type == BackupDatabase && len(p.Paths) > 0 {
		found.add("paths", "makes no sense with type=database")
	}
	if len(p.Paths) > maxRestoredPaths {
		found.add("paths", fmt.Sprintf("has %d entries, at most %d are possible", len(p.Paths), maxRestoredPaths))
	}
	if len(p.Tables) > maxRestoredTables {
		found.add("tables", fmt.Sprintf("has %d entries, at most %d are possible", len(p.Tables), maxRestoredTables))
	}
	for _, path := range p.Paths {
		if reason := wp.ExchangeablePath(path); reason != "" {
			found.add("paths", fmt.Sprintf("has %q, which %s", shorten(path), reason))
		}
	}
	for i, path := range p.Paths {
		for _, other := range p.Paths[:i] {
			if path == other || inside(path, other) || inside(other, path) {
				found.add("paths", fmt.Sprintf("has %q twice, or something that contains it", shorten(path)))
			}
		}
	}
	for _, table := range p.Tables {
		if !tablePattern.MatchString(table) {
			found.add("tables", fmt.Sprintf("has %q, which is no table name that WordPress can have", shorten(table)))
		}
	}
	return found
}

// inside reports whether path is below dir.
func inside(path, dir string) bool {
	return len(path) > len(dir) && path[:len(dir)] == dir && path[len(dir)] == '/'
}

func (p *Restore) checkpoints() bool { return p.Checkpoint == nil || *p.Checkpoint }

// parts says what of a backup of a type is wanted. Neither, when the backup has nothing of it.
func (p *Restore) parts(saved string) (files, database bool) {
	want := p.Type
	switch {
	case want != "":
	case len(p.Paths) > 0 && len(p.Tables) > 0:
		want = BackupFull
	case len(p.Paths) > 0:
		want = BackupFiles
	case len(p.Tables) > 0:
		want = BackupDatabase
	default:
		want = saved
	}
	has := func(part string) bool { return saved == BackupFull || saved == part }
	files, database = want != BackupDatabase, want != BackupFiles
	if files && !has(BackupFiles) || database && !has(BackupDatabase) {
		return false, false
	}
	return files, database
}

// Steps lists the restore. Visitors see the present until the switch, which is one rename, and
// the saved state from then on.
func (p *Restore) Steps(r *Run) []Step {
	return p.stepsOf(&restorer{Run: r, ask: p})
}

func (p *Restore) stepsOf(c *restorer) []Step {
	steps := []Step{{Name: "plan", Message: "Looking at the backup and the site", Weight: 3, Do: c.plan}}
	if p.DryRun {
		return steps
	}
	if p.checkpoints() {
		steps = append(steps, Step{Name: "checkpoint", Message: "Backing the present up", Weight: 25, Do: c.checkpoint, Undo: c.dropCheckpoint})
	}
	return append(steps,
		Step{Name: "close", Message: "Closing the site", Check: c.staysOpen, Do: c.closeSite, Undo: c.openSite},
		Step{Name: "unpack", Message: "Unpacking the backup", Weight: 45, Check: c.unpacked, Do: c.unpack, Undo: c.dropStaged},
		Step{Name: "check", Message: "Checking what was unpacked", Weight: 8, Do: c.check},
		Step{Name: "switch", Message: "Putting the saved state in place", Weight: 1, Do: c.change, Undo: c.changeBack},
		Step{Name: "verify", Message: "Checking the site", Weight: 8, Verify: c.verify},
		Step{Name: "finish", Message: "Removing the state before", Weight: 3, Commit: true, Do: c.finish},
	)
}
