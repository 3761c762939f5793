package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/rewrite"
)

// keptLife is how long both sets of tables are kept when nobody knows which one is right.
const keptLife = 24 * time.Hour

// tables decides what of the site's database has to be copied.
func (g *safeguard) tables(ctx context.Context, site wp.Site) (wp.DatabasePart, error) {
	found, err := g.Host.Files.Look(ctx, site)
	if err != nil {
		return wp.DatabasePart{}, lookError(fmt.Errorf("looking at install: %w", err))
	}
	others, err := g.others(ctx, site)
	if err != nil {
		return wp.DatabasePart{}, err
	}
	// An install that cannot be read may be in the same database: that is no reason not to copy
	// the tables, but one not to drop any.
	doubt := len(others.Incomplete) > 0
	others.Incomplete = nil
	part, err := g.Host.PlanDatabase(ctx, found, others)
	if err != nil {
		return part, fmt.Errorf("looking at database: %w", err)
	}
	if part.Kept != "" {
		return part, noSnapshot("its database cannot be copied, since "+part.Kept, "Have wp-config.php name the database in plain words.")
	}
	if err := g.Host.Files.CanPointConfig(ctx, site); err != nil {
		if !errors.Is(err, wp.ErrConfigComputed) && !errors.Is(err, wp.ErrFixed) {
			return part, lookError(err)
		}
		g.logf("wp-config.php cannot be changed: %v", err)
		return part, noSnapshot("wp-config.php cannot be pointed at another database", "Have it be a file of the account's own that says define( 'DB_NAME', 'name' ).")
	}
	if doubt {
		part.Kept = "other installs of the account could not be read"
	}
	return part, nil
}

// copied is what was decided by tables.
func (g *safeguard) copied() (wp.DatabasePart, error) {
	var part wp.DatabasePart
	if err := json.Unmarshal([]byte(g.Get(keySafe)), &part); err != nil {
		return part, fmt.Errorf("reading plan of the snapshot: %w", err)
	}
	return part, nil
}

// snapshot is the step that copies the tables. files says what of the files the kind keeps,
// in its own stage, absolute.
func (g *safeguard) snapshot(files func() ([]string, error)) Step {
	return Step{Name: "snapshot", Message: "Copying the tables", Weight: 30, Check: g.skip,
		Do: func(ctx context.Context) error { return g.take(ctx, files) }, Undo: g.takeBack}
}

func (g *safeguard) take(ctx context.Context, files func() ([]string, error)) error {
	site, err := g.existing()
	if err != nil {
		return err
	}
	part, err := g.copied()
	if err != nil {
		return err
	}
	login, err := g.Host.Login(ctx, site)
	if err != nil {
		return err
	}
	if login.Name != part.Name {
		return Permanent(nil, Failure{Code: CodeConflict, Message: "wp-config.php was changed while the update was being prepared.", Hint: "Try again."})
	}
	kept, err := files()
	if err != nil {
		return err
	}
	snap, err := g.record(part)
	if err != nil {
		return err
	}
	if err := g.Host.MakeSchema(ctx, &snap, login); err != nil {
		return err
	}
	stats, err := g.Host.CopyDatabase(ctx, site, login, login.In(snap.Schema), onlyTables(part), g.reportShare)
	if err != nil {
		return err
	}
	receipt := SnapshotReceipt{TakenAt: time.Now().UTC().Truncate(time.Second), Database: snap.Schema, Bytes: part.Bytes,
		Stage: wp.StageName(g.Op.ID), Files: below(site, kept)}
	have, err := g.Host.TableCounts(ctx, site, login.In(snap.Schema))
	if err != nil {
		return err
	}
	receipt.Tables = len(have) // the others of a dump are those with rows
	for _, t := range stats.Tables {
		receipt.Rows += t.Rows
		if n, ok := have[t.Name]; t.Rows != n && ok {
			return Permanent(fmt.Errorf("%s has %d rows, and %d were read", t.Name, n, t.Rows), Failure{Code: CodeDatabaseError,
				Message: "The copy of the tables is not complete, so the update was not begun.", Hint: "Try again; the details are in the worker's log."})
		}
	}
	g.logf("%d tables with %d rows are copied to %s", receipt.Tables, receipt.Rows, receipt.Database)
	return g.setJSON(keySafeReceipt, receipt)
}

func (g *safeguard) reportShare(done, total int64) {
	g.Report(float64(done)/float64(max(total, 1)), "")
}

// record is that of an earlier attempt, or a new one.
func (g *safeguard) record(part wp.DatabasePart) (wp.Snapshot, error) {
	snap, err := g.Host.Snapshots.Get(g.Op.ID)
	if errors.Is(err, fs.ErrNotExist) {
		s := g.Op.Site
		return wp.Snapshot{Op: g.Op.ID, Site: s.ID, Account: s.Account, Domain: s.Domain, Path: s.Path, Live: part}, nil
	}
	return snap, err
}

// onlyTables copies what is the site's, in a database that it shares.
func onlyTables(part wp.DatabasePart) rewrite.Filter {
	if part.Whole {
		return rewrite.Filter{}
	}
	return rewrite.Filter{Skip: func(table string) bool { return !slices.Contains(part.Tables, table) }}
}

func below(site wp.Site, files []string) []string {
	out := []string{}
	for _, file := range files {
		if rel, err := filepath.Rel(site.Home, file); err == nil {
			out = append(out, rel)
		}
	}
	return out
}

// takeBack gives the site its tables back, in one rename and without PHP. Where nothing was
// touched, the snapshot is only not needed; reopen throws it away.
func (g *safeguard) takeBack(ctx context.Context) error {
	if errors.Is(g.Missing, wp.ErrNoDomain) || !g.mustRestore() {
		return nil
	}
	site, err := g.existing()
	if err != nil {
		return err
	}
	snap, err := g.Host.Snapshots.Get(g.Op.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // thrown away after it was given back
	}
	if err != nil {
		return err
	}
	if _, err := g.Host.Files.PointConfig(ctx, site, snap.Schema); err != nil {
		return fmt.Errorf("pointing wp-config.php at %s: %w", snap.Schema, err)
	}
	g.changed = time.Now()
	g.logf("the site has its tables of before, which are in %s", snap.Schema)
	return g.flushObjects(ctx)
}

// flushObjects empties the site's object cache of the node, which has objects of the update. A
// cache that is away has forgotten what it had, or will be asked by nobody.
func (g *safeguard) flushObjects(ctx context.Context) error {
	if g.Host.ObjectCache == nil {
		return nil
	}
	err := g.Host.ObjectCache.Flush(ctx, g.Op.Site.ID)
	if errors.Is(err, wp.ErrObjectCacheAway) {
		g.logf("The object cache is not reachable and could not be emptied.")
		return nil
	}
	return err
}

// forget throws away the snapshot, or what it has replaced. A database server that is away
// does it later: the record stays, and the worker comes back to it.
func (g *safeguard) forget(ctx context.Context) error {
	if !g.on || g.Host.Snapshots == nil {
		return nil
	}
	snap, err := g.Host.Snapshots.Get(g.Op.ID)
	if err == nil {
		var site wp.Site
		if site, err = g.existing(); err == nil {
			err = g.Host.EndSnapshot(ctx, site, snap)
		}
		if err != nil && ctx.Err() == nil {
			g.logf("The snapshot %s could not be removed yet; the node tries it again.", snap.Schema)
			return g.keepFor(0)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return g.stamp(func(r *SnapshotReceipt) { r.Removed, r.KeptUntil = true, nil })
}

// keepFor has the worker throw the snapshot away after a time.
func (g *safeguard) keepFor(d time.Duration) error {
	snap, err := g.Host.Snapshots.Get(g.Op.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if snap.Until.IsZero() {
		snap.Until = time.Now().Add(d).UTC().Truncate(time.Second)
		if err := g.Host.Snapshots.Put(snap); err != nil {
			return err
		}
	}
	return g.stamp(func(r *SnapshotReceipt) { r.KeptUntil = &snap.Until })
}

// stamp changes the receipt, if there is one.
func (g *safeguard) stamp(change func(*SnapshotReceipt)) error {
	if g.Get(keySafeReceipt) == "" {
		return nil
	}
	var receipt SnapshotReceipt
	if err := g.recallJSON(keySafeReceipt, &receipt); err != nil {
		return err
	}
	change(&receipt)
	return g.setJSON(keySafeReceipt, receipt)
}
