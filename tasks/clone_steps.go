package tasks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/rewrite"
)

// both are the original and the copy, the copy where it will stand in the end.
func (c *cloner) both() (from, to wp.Site, p clonePlan, err error) {
	if p, err = c.planned(); err != nil {
		return from, to, p, err
	}
	if from, err = c.source(); err != nil {
		return from, to, p, err
	}
	to, err = c.site()
	return from, to, p, err
}

// leftBehind are the paths that the copy gets otherwise, or not at all.
func (c *cloner) leftBehind(p clonePlan) []string {
	skip := append(slices.Clone(p.Nested), configFile)
	if p.Cached {
		skip = append(skip, objectCache) // it has the original's password for the cache
	}
	return skip
}

// copyFiles copies the files, and the tables beside them: the ones keep the disk busy, the
// others the database. Tables that could not be copied here are those of the step that follows
// anyway, which says why if it cannot either.
func (c *cloner) copyFiles(ctx context.Context) error {
	from, to, p, err := c.both()
	if err != nil {
		return err
	}
	var bar halves
	bar.tell = func(both float64) { c.Report(both, "") }
	tables, stop := context.WithCancel(ctx)
	defer stop()
	copied := make(chan error, 1)
	go func() { copied <- c.copyTablesEarly(tables, func(f float64) { bar.report(&bar.tables, f) }) }()
	err = c.copyOnlyFiles(ctx, from, to, p, func(f float64) { bar.report(&bar.files, f) })
	if err != nil {
		stop()
	}
	if early := <-copied; err == nil && ctx.Err() == nil && early != nil {
		slog.Info("copying tables beside the files", "op", c.Op.ID, "err", early)
	}
	return cmp.Or(err, ctx.Err())
}

// halves is the progress of two things that are done at once.
type halves struct {
	mu            sync.Mutex
	files, tables float64
	tell          func(float64)
}

func (h *halves) report(which *float64, fraction float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*which = fraction
	h.tell((h.files + h.tables) / 2)
}

func (c *cloner) copyOnlyFiles(ctx context.Context, from, to wp.Site, p clonePlan, progress func(float64)) (err error) {
	what := wp.TreeCopy{Skip: c.leftBehind(p), Only: c.ask.Select.Paths}
	var done wp.TreeCopied
	if from.User == to.User {
		done, err = c.Host.Files.CopyInstall(ctx, from, to, c.stage(), what, func(done, total int64) {
			progress(float64(done) / float64(max(total, 1)))
		})
	} else {
		done, err = c.handOver(ctx, from, what)
	}
	if errors.Is(err, fs.ErrPermission) {
		return Permanent(err, unreadableFiles)
	}
	if err != nil {
		return fmt.Errorf("copying files: %w", err)
	}
	if done.Odd > 0 {
		c.logf("%d sockets, pipes and the like were left behind.", done.Odd)
	}
	return c.keepCopied(done)
}

func (c *cloner) keepCopied(done wp.TreeCopied) error {
	b, err := json.Marshal(done)
	if err != nil {
		return fmt.Errorf("encoding what was copied: %w", err)
	}
	return c.Set(keyCloneFiles, string(b))
}

// handOver copies between accounts: the one reads, the other writes, and what goes between
// them is a stream of ours. Nobody ever enters the other's tree.
func (c *cloner) handOver(ctx context.Context, from wp.Site, what wp.TreeCopy) (wp.TreeCopied, error) {
	staged, err := c.staged()
	if err != nil {
		return wp.TreeCopied{}, err
	}
	if err := c.Host.Files.MakeStage(ctx, staged, c.stage()); err != nil {
		return wp.TreeCopied{}, err
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := c.Host.PackFiles(ctx, from, what.Skip, w)
		w.CloseWithError(err)
		packed <- err
	}()
	var done wp.TreeCopied
	done.Files, done.Bytes, err = c.Host.ExtractFiles(ctx, staged, r, what.Takes)
	r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	if packErr := <-packed; err == nil || packErr != nil && !errors.Is(packErr, io.ErrClosedPipe) {
		err = packErr
	}
	if err != nil {
		return done, err
	}
	site, err := c.site()
	if err != nil {
		return done, err
	}
	return done, c.Host.Files.Relink(ctx, site, c.stage(), from)
}

// writeConfig sets a fresh password in the database and writes it down, every time it runs:
// the password is nowhere else.
func (c *cloner) writeConfig(ctx context.Context) error {
	from, to, p, err := c.both()
	if err != nil {
		return err
	}
	password := wp.NewPassword(32)
	config, err := c.newConfig(ctx, from, to, p, password)
	if err != nil {
		return hardeningError(err)
	}
	if err := c.Host.DB.SetPassword(ctx, c.Get(keyDBName), c.Get(keyDBHost), password); err != nil {
		return err
	}
	return c.putConfig(ctx, from, to, p, config)
}

// putConfig writes the configuration down, and what else has addresses in it beside the tables.
func (c *cloner) putConfig(ctx context.Context, from, to wp.Site, p clonePlan, config []byte) error {
	staged, err := c.staged()
	if err != nil {
		return err
	}
	if err := c.Host.CLI.Lint(ctx, staged, config); err != nil {
		return hardeningError(err)
	}
	if err := c.Host.Files.WriteFile(ctx, staged, configFile, config, configMode); err != nil {
		return fmt.Errorf("writing wp-config: %w", err)
	}
	return c.rewriteSettings(ctx, from, to, staged, p)
}

// rewriteSettings does what is left in files. One that cannot be read or changed is the
// owner's business: it keeps what it says.
func (c *cloner) rewriteSettings(ctx context.Context, from, to, staged wp.Site, p clonePlan) error {
	for _, name := range wp.CloneSettings {
		err := c.Host.Files.Change(ctx, staged, filepath.Join(staged.Docroot, name), wp.MaxConfigSize, 0o644, func(t wp.Text) ([]byte, error) {
			if !t.Exists || t.Fixed != "" {
				return t.Data, nil
			}
			return wp.RewriteSettings(name, t.Data, from, to, p.rewrite(from, to)), nil
		})
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case ctx.Err() != nil:
			return err
		default:
			c.logf("%s could not be rewritten, and is as in the original.", name)
		}
	}
	return nil
}

func (c *cloner) readConfig(ctx context.Context) error {
	staged, err := c.staged()
	if err != nil {
		return err
	}
	login, err := c.Host.Login(ctx, staged)
	if err != nil {
		return fmt.Errorf("reading wp-config back: %w", err)
	}
	if login.Name != c.Get(keyDBName) || login.User != c.Get(keyDBName) {
		return fmt.Errorf("reading wp-config back: it says %v", login)
	}
	return nil
}

// copyTablesEarly enters the database with a password that is written nowhere: the one in
// the copy's wp-config.php is set later.
func (c *cloner) copyTablesEarly(ctx context.Context, progress func(float64)) error {
	if there, err := c.haveTables(ctx); there || err != nil { // of an attempt that died later
		return err
	}
	name := c.Get(keyDBName)
	target := wp.Login{Name: name, User: name, Password: wp.NewPassword(32), Host: c.Host.DBHost}
	if err := c.Host.DB.SetPassword(ctx, name, c.Get(keyDBHost), target.Password); err != nil {
		return err
	}
	return c.fillTables(ctx, target, progress)
}

// haveTables: they came beside the files.
func (c *cloner) haveTables(context.Context) (bool, error) { return c.Get(keyCloneTables) != "", nil }

func (c *cloner) copyTables(ctx context.Context) error {
	staged, err := c.staged()
	if err != nil {
		return err
	}
	target, err := c.Host.Login(ctx, staged)
	if err != nil {
		return fmt.Errorf("reading database of the copy: %w", err)
	}
	return c.fillTables(ctx, target, func(fraction float64) { c.Report(fraction, "") })
}

// fillTables begins with an empty database every time.
func (c *cloner) fillTables(ctx context.Context, target wp.Login, progress func(float64)) error {
	from, to, p, err := c.both()
	if err != nil {
		return err
	}
	staged, err := c.staged()
	if err != nil {
		return err
	}
	source, err := c.Host.Login(ctx, from)
	if err != nil {
		return fmt.Errorf("reading database of the original: %w", err)
	}
	if err := c.Host.DB.Empty(ctx, target.Name); err != nil {
		return err
	}
	filter := c.filter(from, to, p, source.Name, target.Name)
	opt := wp.DumpOptions{
		Tables:   p.tables(c.ask.Select.Tables),
		Progress: func(bytes int64) { progress(min(float64(bytes)/float64(max(p.TableBytes, 1)), 1)) },
	}
	// Dumped as the one tenant, read in as the other.
	stats, err := c.Host.ImportFiltered(ctx, staged, target, filter, func(ctx context.Context, w io.Writer) error {
		return c.Host.Dump(ctx, from, source, opt, w)
	})
	if err != nil {
		return transferFailure(err)
	}
	return c.keepStats(stats)
}

// filter is what rows go through on their way from one database into the other.
func (c *cloner) filter(from, to wp.Site, p clonePlan, source, target string) rewrite.Filter {
	return rewrite.Filter{
		Rewriter: rewrite.New(p.rules(from, to)), GUID: true,
		Prefix: [2]string{p.Prefix, c.Get(keyPrefix)}, Schema: [2]string{source, target},
	}
}

func (c *cloner) keepStats(stats rewrite.Stats) error {
	b, err := json.Marshal(stats)
	if err != nil {
		return fmt.Errorf("encoding counts: %w", err)
	}
	return c.Set(keyCloneTables, string(b))
}

func transferFailure(err error) error {
	if errors.Is(err, rewrite.ErrStatement) {
		return Permanent(err, Failure{Code: CodeDatabaseError, Message: "The database has something that cannot be copied" + reasonIn(err, rewrite.ErrStatement) + ".",
			Hint: "Remove it from the database, then try again."})
	}
	return fmt.Errorf("copying database: %w", err)
}

func (c *cloner) stats() (rewrite.Stats, error) {
	var stats rewrite.Stats
	if err := json.Unmarshal([]byte(c.Get(keyCloneTables)), &stats); err != nil {
		return stats, fmt.Errorf("reading counts: %w", err)
	}
	return stats, nil
}

// checkTables wants every row that was read.
func (c *cloner) checkTables(ctx context.Context) error {
	staged, err := c.staged()
	if err != nil {
		return err
	}
	stats, err := c.stats()
	if err != nil {
		return err
	}
	login, err := c.Host.Login(ctx, staged)
	if err != nil {
		return fmt.Errorf("reading database of the copy: %w", err)
	}
	rows, err := c.Host.TableCounts(ctx, staged, login)
	if err != nil {
		return fmt.Errorf("counting rows of the copy: %w", err)
	}
	for _, t := range stats.Tables {
		if rows[t.Name] != t.Rows {
			return cloneBad(fmt.Errorf("%s has %d rows of %d", t.Name, rows[t.Name], t.Rows), "Rows are missing in the copy of table "+t.Name+".")
		}
	}
	n := 0
	for name := range rows { // empty ones are not among what was read
		if !strings.HasPrefix(name, wp.ReservedPrefix) {
			n++
		}
	}
	return c.Set(keyTableCount, strconv.Itoa(n))
}

const keyTableCount = "table_count"

func cloneBad(err error, message string) error {
	return Permanent(err, Failure{Code: CodeVerifyFailed, Message: message,
		Hint: "The original is as it was, and the copy is removed. Try again; the operator finds the details in the worker's log."})
}

func (c *cloner) needsNoCache(context.Context) (bool, error) {
	p, err := c.planned()
	return err == nil && !p.Cached, err
}

// giveCache puts our object cache in place with a user of the copy's own. A cache that is
// away is none that the copy could not live without.
func (c *cloner) giveCache(ctx context.Context) error {
	staged, err := c.staged()
	if err != nil {
		return err
	}
	if c.Host.ObjectCache == nil {
		c.logf("The node offers no object cache; the copy has none.")
		return nil
	}
	if err := c.Set(keyAdmitted, yes); err != nil {
		return err
	}
	user, _, err := c.Host.ObjectCache.Admit(ctx, c.Op.Site.ID)
	if errors.Is(err, wp.ErrObjectCacheAway) {
		c.logf("The object cache does not answer; the copy has none. Switch it on later.")
		return nil
	}
	if err != nil {
		return err
	}
	code, err := user.DropIn()
	if err != nil {
		return err
	}
	if err := c.Host.Files.WriteFile(ctx, staged, objectCache, code, configMode); err != nil {
		return fmt.Errorf("writing drop-in: %w", err)
	}
	return nil
}

func (c *cloner) takeCache(ctx context.Context) error {
	if c.Get(keyAdmitted) == "" || c.Host.ObjectCache == nil {
		return nil
	}
	return c.Host.ObjectCache.Dismiss(ctx, c.Op.Site.ID)
}

func (c *cloner) settle(ctx context.Context) error {
	staged, err := c.staged()
	if err != nil {
		return err
	}
	settled, err := c.Host.CLI.SettleCopy(ctx, staged, c.ask.Title, c.ask.staging(c.Op.Site.Domain))
	if err != nil {
		return accessFailure(err)
	}
	b, err := json.Marshal(settled)
	if err != nil {
		return fmt.Errorf("encoding what the copy says: %w", err)
	}
	return c.Set(keySettled, string(bytes.TrimSpace(b)))
}

const keySettled = "settled"
