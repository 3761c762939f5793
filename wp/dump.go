package wp

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/wispanel/wptk/wp/rewrite"
)

// Login is how a site enters its database, as its wp-config.php says. It holds a password:
// it never prints it, and belongs into no file, queue or log.
type Login struct{ Name, User, Password, Host string }

func (l Login) String() string   { return l.User + " in " + l.Name + " at " + l.Host }
func (l Login) GoString() string { return l.String() }

// LogValue keeps the password out of logs.
func (l Login) LogValue() slog.Value { return slog.StringValue(l.String()) }

// In is the same login for another database of the same user.
func (l Login) In(schema string) Login { l.Name = schema; return l }

// DumpOptions choose what Dump writes.
type DumpOptions struct {
	Tables   []string // empty: all, with routines and events
	Progress func(bytes int64)
}

var errNotBuilt = errors.New("not built")

// Login reads the site's wp-config.php.
func (h *Host) Login(ctx context.Context, site Site) (Login, error) { return Login{}, errNotBuilt }

// Dump writes a database as SQL.
func (h *Host) Dump(ctx context.Context, site Site, from Login, opt DumpOptions, w io.Writer) error {
	return errNotBuilt
}

// Import runs a dump.
func (h *Host) Import(ctx context.Context, site Site, to Login, r io.Reader) error {
	return errNotBuilt
}

// CopyDatabase is Dump, filtered, into Import.
func (h *Host) CopyDatabase(ctx context.Context, site Site, from, to Login, f rewrite.Filter, progress func(done, total int64)) (rewrite.Stats, error) {
	return rewrite.Stats{}, errNotBuilt
}
