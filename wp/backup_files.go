package wp

import (
	"context"
	"errors"
	"io"
)

// PackFiles writes a tar of the docroot, read by a child that is the tenant; names are
// relative to the docroot. The headers are written anew: no owner, no setuid, no devices or
// sockets, no names that lead out. skip are paths that stay out with all below them.
func (h *Host) PackFiles(ctx context.Context, site Site, skip []string, w io.Writer) error {
	return errors.New("not built")
}

// ExtractFiles unpacks such a tar into the docroot of a staged site, as the tenant; the
// directory is made when it is not there, and files in the way are replaced. keep, which may
// be nil, chooses by path.
func (h *Host) ExtractFiles(ctx context.Context, staged Site, files io.Reader, keep func(path string) bool) (count, bytes int64, err error) {
	return 0, 0, errors.New("not built")
}

// WriteBackup writes an install as one stream (see BackupManifest), database first.
func (h *Host) WriteBackup(ctx context.Context, site Site, what BackupSelection, m BackupManifest, w io.Writer, progress func(BackupProgress)) (BackupSummary, error) {
	return BackupSummary{}, errors.New("not built")
}
