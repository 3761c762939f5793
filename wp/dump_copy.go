package wp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/wispanel/wptk/wp/rewrite"
)

// ErrDumpTruncated says that a dump has not its closing line.
var ErrDumpTruncated = errors.New("dump ends before its last line")

// CopyDatabase reads a database as the tenant, filters it, and runs it in another database
// as the tenant, all at once and in bounded memory. The first of the three to fail stops the
// others and is the error. progress gets bytes of SQL, total being an estimate. f.Schema is
// filled in; f.Skip decides about tables, those of another install in the same database for
// one.
//
// to must be an empty database: what a dump finds there it replaces.
func (h *Host) CopyDatabase(ctx context.Context, site Site, from, to Login, f rewrite.Filter, progress func(done, total int64)) (rewrite.Stats, error) {
	if from.Name == to.Name {
		return rewrite.Stats{}, errors.New("copying database: it is the same one")
	}
	opt := DumpOptions{}
	if progress != nil {
		total, err := h.databaseBytes(ctx, site, from)
		if err != nil {
			return rewrite.Stats{}, fmt.Errorf("copying database: %w", err)
		}
		opt.Progress = func(done int64) { progress(min(done, total), total) }
	}
	f.Schema = [2]string{from.Name, to.Name}
	stats, err := h.ImportFiltered(ctx, site, to, f, func(ctx context.Context, w io.Writer) error {
		return h.Dump(ctx, site, from, opt, w)
	})
	if err != nil {
		return stats, fmt.Errorf("copying database: %w", err)
	}
	return stats, nil
}

// ImportFiltered runs what dump writes, filtered, in a database of the tenant's. dump's
// context ends when the import fails. A dump without its closing line is ErrDumpTruncated,
// after the fact: the database is then to be dropped, as after every error.
func (h *Host) ImportFiltered(ctx context.Context, site Site, to Login, f rewrite.Filter, dump func(context.Context, io.Writer) error) (rewrite.Stats, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	raw, dumped := io.Pipe()
	clean, filtered := io.Pipe()
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
		stats rewrite.Stats
	)
	// The first error is the reason; those that follow are only the pipes' ends.
	failed := func(err error) {
		if err != nil {
			once.Do(func() { first = err; cancel(err) })
		}
	}
	wg.Go(func() {
		err := dump(ctx, dumped)
		failed(err)
		dumped.CloseWithError(err)
	})
	wg.Go(func() {
		var err error
		stats, err = f.Copy(filtered, raw)
		if err == nil && !stats.Complete {
			err = ErrDumpTruncated
		}
		failed(err)
		filtered.CloseWithError(err)
		raw.CloseWithError(orClosed(err))
	})
	err := h.Import(ctx, site, to, clean)
	failed(err)
	clean.CloseWithError(orClosed(err))
	wg.Wait()
	return stats, first
}

// orClosed is the error for the writer at the other end of a pipe.
func orClosed(err error) error {
	if err == nil {
		return io.ErrClosedPipe
	}
	return err
}

// databaseBytes is how much a database holds, as the server estimates it.
func (h *Host) databaseBytes(ctx context.Context, site Site, login Login) (int64, error) {
	answer, err := h.tables(ctx, site, login, tablesRequest{})
	if err != nil {
		return 0, err
	}
	if answer.Refused != "" {
		return 0, fmt.Errorf("%w: %s", ErrRefusedLogin, cleanLine(answer.Refused, 200))
	}
	var sum int64
	for _, t := range answer.Tables {
		sum += max(t.Bytes, 0)
	}
	return max(sum, 1), nil
}
