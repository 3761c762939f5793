package wp

import (
	"context"
	"errors"
	"io"
)

// BackupReader reads a backup stream once, from its beginning to its end.
type BackupReader struct {
	manifest BackupManifest
	closer   io.Closer
}

// BackupTarget takes the parts of a backup. Each function gets one whole stream and is called
// at most once; nil: the part is passed over, and checked all the same.
type BackupTarget struct {
	// Database gets the dump, as SQL.
	Database func(io.Reader) error
	// Files gets a tar whose names are relative to the docroot (see Host.ExtractFiles).
	Files func(io.Reader) error
	// Above gets the wp-config.php that lies above the docroot.
	Above func([]byte) error
}

// NewBackupReader reads the manifest of a stream.
func NewBackupReader(r io.Reader) (*BackupReader, error) { return nil, errors.New("not built") }

// Manifest tells what the backup is of.
func (b *BackupReader) Manifest() BackupManifest { return b.manifest }

// Unpack gives the parts of the backup to their functions. Only after it has returned without
// error it is certain that they got what was once stored: errors.Is ErrBackupDamaged.
func (b *BackupReader) Unpack(ctx context.Context, to BackupTarget) (BackupSummary, error) {
	return BackupSummary{}, errors.New("not built")
}

// Close ends the reading.
func (b *BackupReader) Close() error {
	if b.closer == nil {
		return nil
	}
	return b.closer.Close()
}
