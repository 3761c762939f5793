package wp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// BackupFormat is the version of the stream that WriteBackup writes.
const BackupFormat = 1

// BackupManifest is the first entry of a backup, backup.json: what it is of. It holds no
// secrets.
type BackupManifest struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"` // bk_…
	Op      string    `json:"op"`
	Site    string    `json:"site"`
	Node    string    `json:"node"`
	Account string    `json:"account"`
	Domain  string    `json:"domain"`
	Path    string    `json:"path"` // of the docroot, relative to the domain's directory
	Docroot string    `json:"docroot"`
	URL     string    `json:"url"`
	Type    string    `json:"type"` // full, files, database
	Reason  string    `json:"reason"`
	Label   string    `json:"label,omitempty"`
	Created time.Time `json:"created_at"`

	WordPress   string   `json:"wordpress"` // version, "" when the files do not tell
	Database    string   `json:"database_name,omitempty"`
	TablePrefix string   `json:"table_prefix,omitempty"`
	Multisite   bool     `json:"multisite,omitempty"`
	ConfigAbove bool     `json:"config_above,omitempty"` // wp-config.php lies above the docroot
	Nested      []string `json:"nested,omitempty"`       // other installs below, not in the backup
}

// BackupSelection says what goes into a backup.
type BackupSelection struct {
	Files, Database bool
	// Paths limit the files to these and what is below, relative to the docroot; Tables the
	// database to these tables. Empty: everything of the install.
	Paths, Tables []string
	// Nested takes the files of other installs below the docroot along.
	Nested bool
}

// BackupProgress is how far a backup is: bytes of the stream, regular files.
type BackupProgress struct{ Bytes, Files int64 }

// BackupSummary is the last entry of a backup, summary.json: what is in it.
type BackupSummary struct {
	WordPress   string           `json:"wordpress"`
	TablePrefix string           `json:"table_prefix,omitempty"`
	Files       int64            `json:"files"` // regular files
	Directories int64            `json:"directories"`
	Links       int64            `json:"links"`
	FileBytes   int64            `json:"file_bytes"`
	DumpBytes   int64            `json:"dump_bytes"`
	Tables      map[string]int64 `json:"tables"` // rows by table
	// Skipped are sockets and the like, which no backup has; Changed are files that were
	// written to while they were read, at most 50 of each.
	Skipped []string `json:"skipped,omitempty"`
	Changed []string `json:"changed,omitempty"`
	// SHA-256 in hex: of the dump, of the files (see filesHash), of the wp-config.php above.
	DatabaseSum string `json:"database_sha256,omitempty"`
	FilesSum    string `json:"files_sha256,omitempty"`
	AboveSum    string `json:"above_sha256,omitempty"`
}

// Bytes is the size of all content.
func (s BackupSummary) Bytes() int64 { return s.FileBytes + s.DumpBytes }

var (
	// ErrNoBackup says that the store has no backup of that id.
	ErrNoBackup = errors.New("no such backup")
	// ErrNoBackupStore says that the node keeps no backups.
	ErrNoBackupStore = errors.New("the node has no backup store")
	// ErrBackupDamaged says that the stream ended early or is not what its summary says.
	ErrBackupDamaged = errors.New("backup is damaged")
	// ErrBackupStore says that the store could not be reached or refused; passing, mostly.
	ErrBackupStore = errors.New("backup store failed")
	// ErrBackupBusy says that something else has the account's repository.
	ErrBackupBusy = errors.New("backup store is busy")
)

// BackupKey names a backup in a store.
type BackupKey struct {
	Account string
	ID      string // bk_…
	Site    string
	Op      string
	Type    string
	// Record is kept beside the backup and answered by List: the manifest as JSON.
	Record json.RawMessage
	// Created and Snapshot are answered by List.
	Created  time.Time
	Snapshot string
}

// StoredBackup is what a store says of a backup that it has taken in.
type StoredBackup struct {
	Snapshot string
	Bytes    int64 // of the stream
	Added    int64 // what the store has grown by
}

// BackupStore keeps backups: encrypted, one repository per account.
type BackupStore interface {
	// Save stores what write writes. When write fails, nothing is stored.
	Save(ctx context.Context, key BackupKey, write func(io.Writer) error) (StoredBackup, error)
	// Load has the stream of a backup read. errors.Is ErrNoBackup.
	Load(ctx context.Context, account, id string) (io.ReadCloser, error)
	// List tells what an account has; none for one that never had any.
	List(ctx context.Context, account string) ([]BackupKey, error)
	// Forget removes backups, by id or by the op that made them; what is not there is no
	// error. The room they take is given back at a later time.
	Forget(ctx context.Context, account string, ids ...string) error
}

// BackupKeep is how long a backup stays that does not say so itself: so many days, and
// anyway while it is among so many newest of its install. Zero both: for ever.
type BackupKeep struct{ Days, Last int }

// BackupRoom is how many bytes a store on this node's own disks may still take; known is
// false for any other.
func (h *Host) BackupRoom() (free int64, known bool, err error) {
	local, ok := h.Backups.(interface{ Local() string })
	if !ok || local.Local() == "" {
		return 0, false, nil
	}
	free, err = freeSpace(local.Local())
	return free, err == nil, err
}

// OpenBackup opens a backup of an account for reading. Close must be called.
func (h *Host) OpenBackup(ctx context.Context, account, id string) (*BackupReader, error) {
	if h.Backups == nil {
		return nil, ErrNoBackupStore
	}
	stream, err := h.Backups.Load(ctx, account, id)
	if err != nil {
		return nil, err
	}
	b, err := NewBackupReader(stream)
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	b.closer = stream
	return b, nil
}
