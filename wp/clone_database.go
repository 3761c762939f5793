package wp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wispanel/wptk/wp/rewrite"
)

// Tenancy is a database together with whose it is: everything in it is read and written by
// this site's user.
type Tenancy struct {
	Site  Site
	Login Login
}

// TransferDatabase copies a database into an empty one of perhaps another account, through a
// filter: dumped as the one, read in as the other. The first error stops all three; where one
// is the consequence of another, the other is answered.
func (h *Host) TransferDatabase(ctx context.Context, from, to Tenancy, opt DumpOptions, f rewrite.Filter) (rewrite.Stats, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dumped, dump := io.Pipe()
	filtered, filter := io.Pipe()
	errs := make(chan error, 2)
	go func() {
		err := h.Dump(ctx, from.Site, from.Login, opt, dump)
		dump.CloseWithError(err)
		errs <- err
	}()
	go func() {
		err := h.Import(ctx, to.Site, to.Login, filtered)
		if err != nil {
			cancel(fmt.Errorf("reading dump in: %w", err))
		}
		filtered.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		errs <- err
	}()
	stats, err := f.Copy(filter, dumped)
	filter.CloseWithError(err)
	dumped.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	first, second := <-errs, <-errs
	if cause := context.Cause(ctx); cause != nil {
		return stats, cause
	}
	// A pipe that broke says less than what broke it.
	for _, e := range []error{err, first, second} {
		if e != nil && !errors.Is(e, io.ErrClosedPipe) {
			return stats, e
		}
	}
	return stats, errors.Join(err, first, second)
}

// DatabaseShare is the part that an install has in its database.
type DatabaseShare struct {
	Tables []string `json:"tables"`
	Bytes  int64    `json:"bytes"`
	// Whole: nothing of another install is in there, so that tables without the prefix, which
	// some plugins make, are the install's as well.
	Whole bool `json:"whole"`
}

// DatabaseShare looks at it, as the site's user.
func (h *Host) DatabaseShare(ctx context.Context, found Found) (DatabaseShare, error) {
	answer, err := h.asTenant(ctx, found, tablesRequest{})
	if err != nil {
		return DatabaseShare{}, err
	}
	if answer.Refused != "" {
		return DatabaseShare{}, fmt.Errorf("listing tables: %w: %s", ErrDatabaseConnection, cleanLine(answer.Refused, 200))
	}
	return shareOf(found.Config.TablePrefix, answer.Tables), nil
}

// shareOf tells installs in one database apart by the tables that every WordPress has.
func shareOf(prefix string, tables []tableInfo) DatabaseShare {
	var others []string
	for _, t := range tables {
		p, ok := strings.CutSuffix(t.Name, "usermeta")
		if ok && p != prefix && slices.ContainsFunc(tables, func(o tableInfo) bool { return o.Name == p+"options" }) {
			others = append(others, p)
		}
	}
	share := DatabaseShare{Whole: len(others) == 0}
	for _, t := range tables {
		// The longest prefix owns: wp_ has no part in wp_two_options.
		owner := prefix
		for _, p := range others {
			if strings.HasPrefix(t.Name, p) && (len(p) > len(owner) || !strings.HasPrefix(t.Name, owner)) {
				owner = p
			}
		}
		if t.Name == claimTable || owner != prefix || !share.Whole && !strings.HasPrefix(t.Name, prefix) {
			continue
		}
		share.Tables = append(share.Tables, t.Name)
		share.Bytes += max(t.Bytes, 0)
	}
	return share
}
