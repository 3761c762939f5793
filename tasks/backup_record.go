package tasks

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

// Types of a backup.
const (
	BackupFull     = "full"
	BackupFiles    = "files"
	BackupDatabase = "database"
)

// Why a backup was made.
const (
	BackupManual     = "manual"
	BackupFinal      = "final" // of site.delete
	BackupSchedule   = "schedule"
	BackupCheckpoint = "checkpoint" // before a restore or push
	BackupClone      = "clone"      // on its way to another node
)

// Backup is the catalog's record of one backup.
type Backup struct {
	ID   string  `json:"id"`
	Site SiteRef `json:"site"`
	Op   string  `json:"op"`

	Type    string    `json:"type"`
	Reason  string    `json:"reason"`
	Label   string    `json:"label,omitempty"`
	Created time.Time `json:"created_at"`
	// KeepUntil is when its time is over; zero: it is kept by number, or for ever.
	KeepUntil time.Time `json:"keep_until,omitzero"`
	// KeepLast: it stays as long as it is among so many newest of its site and reason.
	KeepLast int `json:"keep_last,omitempty"`

	WordPress   string `json:"wordpress,omitempty"`
	URL         string `json:"url,omitempty"`
	TablePrefix string `json:"table_prefix,omitempty"`

	Bytes      int64            `json:"bytes"`  // of the stream, as a download has it
	Added      int64            `json:"added"`  // what the store has grown by
	Files      int64            `json:"files"`  // regular files
	Tables     map[string]int64 `json:"tables"` // rows by table
	Snapshot   string           `json:"snapshot"`
	Incomplete bool             `json:"incomplete,omitempty"` // rebuilt from the store: sizes are not known
	// Original is what a clone on another node has to know of the install; else not there.
	Original json.RawMessage `json:"original,omitempty"`

	// Verified is "", "ok" or "failed": the last test-restore.
	Verified   string    `json:"verified,omitempty"`
	VerifiedAt time.Time `json:"verified_at,omitzero"`
}

// Catalog is the list of backups that the fleet knows.
type Catalog interface {
	PutBackup(ctx context.Context, b Backup) error
	// Backup answers one; errors.Is ErrNoBackup when there is none.
	Backup(ctx context.Context, id string) (Backup, error)
	RemoveBackup(ctx context.Context, b Backup) error
	// SiteBackups lists those of an install, newest first.
	SiteBackups(ctx context.Context, site string) ([]Backup, error)
}

// ErrNoBackup is the answer of a Catalog to an id that it does not know.
var ErrNoBackup = wp.ErrNoBackup

const backupPrefix = "bk_"

// BackupID is the id of the backup that an op makes. Its last byte is the shard of the op's
// node.
func BackupID(op string) string { return backupPrefix + strings.TrimPrefix(op, opPrefix) }

// IsBackupID reports whether id has the form of a backup id.
func IsBackupID(id string) bool {
	rest, ok := strings.CutPrefix(id, backupPrefix)
	return ok && IsOpID(opPrefix+rest)
}

// BackupOp is the op that made a backup.
func BackupOp(id string) string { return opPrefix + strings.TrimPrefix(id, backupPrefix) }
