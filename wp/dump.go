package wp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/wispanel/wptk/wp/proc"
)

// Login is how a site enters its database, as its wp-config.php says. It holds a password:
// it never prints it, and belongs into no file, queue or log.
type Login struct{ Name, User, Password, Host string }

func (l Login) String() string { return l.User + " in " + l.Name + " at " + l.Host }

// GoString is String.
func (l Login) GoString() string { return l.String() }

// LogValue keeps the password out of logs.
func (l Login) LogValue() slog.Value { return slog.StringValue(l.String()) }

// In is the same login for another database of the same user.
func (l Login) In(schema string) Login { l.Name = schema; return l }

// ErrElsewhere says that a site's database is on a server that is not this node's.
var ErrElsewhere = errors.New("the site's database is on another server")

// Login reads how the site enters its database. errors.Is fs.ErrNotExist: it has no
// wp-config.php; ErrUncertain or ErrNotConfig: that does not tell; ErrElsewhere.
func (h *Host) Login(ctx context.Context, site Site) (Login, error) {
	_, text, err := h.Files.loadConfig(ctx, site)
	if err != nil {
		return Login{}, fmt.Errorf("reading database login: %w", err)
	}
	return h.LoginOf(text.Data)
}

// LoginOf is Login of a wp-config.php that is not in its place.
func (h *Host) LoginOf(config []byte) (Login, error) {
	c, err := ConfigConsts(config, "DB_NAME", "DB_USER", "DB_PASSWORD", "DB_HOST")
	if err != nil {
		return Login{}, fmt.Errorf("reading database login: %w", err)
	}
	l := Login{Name: c["DB_NAME"].Text, User: c["DB_USER"].Text, Password: c["DB_PASSWORD"].Text, Host: c["DB_HOST"].Text}
	if l.Name == "" || l.User == "" || strings.ContainsRune(l.Name+l.User+l.Password+l.Host, 0) {
		return Login{}, fmt.Errorf("reading database login: %w: it names no database and user", ErrUncertain)
	}
	return l, h.ourServer(l)
}

func (h *Host) ourServer(l Login) error {
	if !sameServer(l.Host, h.DBHost, h.DB) {
		return fmt.Errorf("entering database: %w", ErrElsewhere)
	}
	return nil
}

// DumpOptions choose what Dump writes.
type DumpOptions struct {
	// Tables are the tables and views to be written; empty: all, with routines and events.
	Tables   []string
	Progress func(bytes int64) // of SQL, so far
}

// Dump writes a database as SQL, from one consistent snapshot of its InnoDB tables. It runs
// as the tenant, with the tenant's login. The same rows give the same bytes. Our own claim
// on a database is left out, and so is, with a line in the op's log, what the server does not
// let the tenant read: views that do not work any more, and routines when one of them is
// somebody else's. The end of a whole dump is a line that begins with
// "-- Dump completed". Errors are of the classes of Import, or w's own.
func (h *Host) Dump(ctx context.Context, site Site, from Login, opt DumpOptions, w io.Writer) error {
	program, err := findProgram("mariadb-dump", "")
	if err != nil {
		return fmt.Errorf("finding mariadb-dump: %w", err)
	}
	args, err := h.unreadable(ctx, site, from, len(opt.Tables) == 0)
	if err != nil {
		return err
	}
	args = append(args,
		"--single-transaction", "--quick", "--skip-lock-tables", "--hex-blob", "--triggers", "--order-by-primary",
		"--no-tablespaces", "--skip-dump-date", "--default-character-set=utf8mb4", "--max-allowed-packet=1G",
		"--ignore-table="+from.Name+"."+claimTable, "--", from.Name)
	args = append(args, opt.Tables...)
	return h.runClient(ctx, site, from, proc.Spec{Path: program, Args: args, Stdout: &countingWriter{w: w, tell: opt.Progress}})
}

// unreadable are the arguments by which the client leaves out what it could not read: it
// would end at the first.
func (h *Host) unreadable(ctx context.Context, site Site, from Login, whole bool) ([]string, error) {
	answer, err := h.count(ctx, site, from, countRequest{Unreadable: true})
	if err != nil {
		return nil, fmt.Errorf("looking for views: %w", err)
	}
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	leave := func(what string, names []string) {
		line := cleanLine("Left out of the dump: "+what+" "+strings.Join(names, ", "), 500)
		if hooks.Log != nil {
			hooks.Log(line)
		}
		slog.WarnContext(ctx, line, "site", site.ID)
	}
	var args []string
	for _, view := range answer.Views {
		args = append(args, "--ignore-table="+from.Name+"."+view)
	}
	if len(answer.Views) > 0 {
		leave("views that do not work:", answer.Views)
	}
	switch {
	case !whole:
	case len(answer.Routines) > 0:
		args = append(args, "--events")
		leave("functions and procedures, as the site's database user may not read", answer.Routines)
	default:
		args = append(args, "--events", "--routines")
	}
	return args, nil
}

// Import runs a dump as the tenant, with the tenant's login: the server lets it do what the
// tenant may do, and the client touches no file (--sandbox). It stops at the first error. A
// source that breaks off is an error and never taken for the end of the dump. errors.Is
// ErrDatabaseFull, ErrUnavailable, ErrRefusedLogin; errors.As *SQLError for what the server
// said to a statement.
func (h *Host) Import(ctx context.Context, site Site, to Login, r io.Reader) error {
	program, err := findProgram("mariadb", "")
	if err != nil {
		return fmt.Errorf("finding mariadb: %w", err)
	}
	args := []string{
		"--sandbox", "--batch", "--binary-mode", "--comments", "--skip-reconnect", "--local-infile=0",
		"--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--", to.Name,
	}
	return h.runClient(ctx, site, to, proc.Spec{Path: program, Args: args, Stdin: r, StdinWhole: true})
}

// runClient runs one of MariaDB's clients as the tenant.
func (h *Host) runClient(ctx context.Context, site Site, login Login, spec proc.Spec) error {
	if err := errors.Join(site.check(), h.ourServer(login)); err != nil {
		return err
	}
	options, err := h.optionFile(site.User, login)
	if err != nil {
		return err
	}
	defer options.Close()
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	stderr := proc.Capped(maxStderr)
	spec.As, spec.Stderr, spec.Started = site.User, stderr, hooks.Started
	// It must be the first argument. The client finds the file where it stands in its table.
	spec.Args = slices.Insert(spec.Args, 0, fmt.Sprintf("--defaults-file=/proc/self/fd/%d", 3+len(hooks.Keep)))
	spec.Keep = append(slices.Clone(hooks.Keep), options)
	spec.Env = []string{"PATH=" + searchPath, "LANG=C.UTF-8"}
	exit, err := proc.Run(ctx, spec)
	if err != nil {
		return err
	}
	if exit.Code != 0 {
		return clientError(spec.Path, exit, stderr.Bytes())
	}
	return nil
}

type countingWriter struct {
	w    io.Writer
	n    int64
	tell func(int64)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if c.tell != nil {
		c.tell(c.n)
	}
	return n, err
}
