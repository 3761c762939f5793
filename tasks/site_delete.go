package tasks

import (
	"time"

	"github.com/wispanel/wptk/wp"
)

var siteDeleteSpec = Spec{
	Kind:     "site.delete",
	Class:    Standard,
	Deadline: time.Hour,
	New:      func() Task { return new(SiteDelete) },
}

// SiteDelete removes an install: its files, its database and database user where no other
// install has a part in them, and what the account's crontab runs of it. A dry run tells all
// of that beforehand.
type SiteDelete struct {
	KeepDatabase  bool  `json:"keep_database,omitempty" doc:"Leave the database and its user as they are."`
	KeepBackup    *bool `json:"keep_backup,omitempty" doc:"Keep a final backup of files and database for 7 days; true when left out."`
	IncludeNested bool  `json:"include_nested,omitempty" doc:"Also delete the files of other installs below this one; their databases stay."`
	DryRun        bool  `json:"dry_run,omitempty" doc:"Only tell what would be deleted."`
}

// ArchiveLife is how long a final archive is kept.
const ArchiveLife = 7 * 24 * time.Hour

// SiteDeletion is what goes with an install: what is there, and what of it is to go.
type SiteDeletion struct {
	Docroot string `json:"docroot"`
	// KeepsDirectory: the docroot itself stays, empty.
	KeepsDirectory bool             `json:"keeps_directory"`
	Files          int64            `json:"files"`
	Bytes          int64            `json:"bytes"`
	Complete       bool             `json:"complete"` // false: the account may not read all files, and there are more
	Nested         []string         `json:"nested"`
	Database       wp.DatabasePart  `json:"database"`
	Cron           []string         `json:"cron"`
	Archive        *DeletionArchive `json:"archive,omitempty"`
}

// DeletionArchive is the final archive; of a dry run, only that there would be one.
type DeletionArchive struct {
	File string `json:"file,omitempty"`
	// Backup is its id when the node has a backup store; then there is no file.
	Backup string    `json:"backup_id,omitempty"`
	Bytes  int64     `json:"bytes,omitempty"`
	Until  time.Time `json:"until"`
	// Database tells whether the tables are in it.
	Database bool `json:"database"`
}

// SiteDeleteResult is what was deleted; of a dry run, what would be.
type SiteDeleteResult struct {
	*SiteDeletion
	DryRun bool          `json:"dry_run,omitempty"`
	Would  *SiteDeletion `json:"would,omitempty"`
}

// Kind is "site.delete".
func (*SiteDelete) Kind() string { return siteDeleteSpec.Kind }

// Validate finds nothing: all combinations make sense.
func (*SiteDelete) Validate() []Problem { return nil }

func (p *SiteDelete) archives() bool { return p.KeepBackup == nil || *p.KeepBackup }

// Steps lists the deletion. The site is gone for visitors with the second step, by a rename
// that can be taken back; from the database on it cannot.
func (p *SiteDelete) Steps(r *Run) []Step {
	d := &deleter{Run: r, ask: p}
	steps := []Step{{Name: "plan", Message: "Looking at what belongs to the site", Weight: 2, Do: d.plan}}
	if p.DryRun {
		return steps
	}
	steps = append(steps, Step{Name: "take_away", Message: "Taking the site off line", Do: d.takeAway, Undo: d.bringBack})
	if p.archives() {
		steps = append(steps, Step{Name: "archive", Message: "Writing the final archive", Weight: 10, Do: d.archive, Undo: d.removeArchive})
	}
	return append(steps,
		Step{Name: "database", Message: "Removing the database", Weight: 2, Commit: true, Do: d.dropDatabase},
		Step{Name: "cron", Message: "Removing scheduled jobs", Commit: true, Do: d.removeCron},
		Step{Name: "cache", Message: "Removing cached objects", Commit: true, Do: d.leaveCache},
		Step{Name: "files", Message: "Removing files", Weight: 5, Commit: true, Do: d.removeFiles, Verify: d.verify},
	)
}
