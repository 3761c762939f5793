package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

// snapshots ends what updates have left: tables that are kept for a time, and those that
// could not be removed when the op ended, since the database server was away.
type snapshots struct {
	*handler
	ledger opReader
	clock  rightClock
}

// opReader says how an op stands; errors.Is queue.ErrNotFound when nobody knows it any more.
type opReader interface {
	Get(ctx context.Context, id string) (tasks.Op, error)
}

const (
	snapshotSweep = 10 * time.Minute
	// snapshotOrphan is how long the snapshot of a site that is gone, or of an op that nobody
	// knows, is kept: either may come back.
	snapshotOrphan = 7 * 24 * time.Hour
)

// run sweeps at start and every ten minutes, until ctx ends.
func (s *snapshots) run(ctx context.Context) error {
	tick := time.NewTicker(snapshotSweep)
	defer tick.Stop()
	for {
		if now, err := s.clock.now(ctx); err == nil {
			s.sweep(ctx, now)
		} else if ctx.Err() == nil {
			s.log.Error("leaving old snapshots where they are", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep ends every snapshot that is due. What fails is tried again the next time.
func (s *snapshots) sweep(ctx context.Context, now time.Time) {
	ops, err := s.host.Snapshots.All()
	if err != nil {
		s.log.Error("looking for snapshots to remove", "err", err)
	}
	for _, op := range ops {
		if err := s.end(ctx, op, now); err != nil && ctx.Err() == nil {
			s.log.Error("removing snapshot; it is tried again", "op", op, "err", err)
		}
	}
}

// end removes one snapshot whose op has ended, and whose time is over.
func (s *snapshots) end(ctx context.Context, id string, now time.Time) error {
	snap, err := s.host.Snapshots.Get(id)
	if err != nil || snap.Until.After(now) {
		return err
	}
	op, err := s.ledger.Get(ctx, id)
	switch unknown := errors.Is(err, queue.ErrNotFound); {
	case err != nil && !unknown:
		return err
	case unknown && snap.Until.IsZero():
		// Redis has lost it, perhaps in the middle of the update: this may be all there is
		// of the tables of before.
		return s.keep(snap, now)
	case !unknown && !op.State.Final():
		return nil // it goes on with it
	}
	lock, err := s.state.lockSite(snap.Site)
	var later *tasks.LaterError
	if errors.As(err, &later) {
		return nil // an op has the site
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	site, err := s.locate(tasks.SiteRef{ID: snap.Site, Node: s.host.Node, Account: snap.Account, Domain: snap.Domain, Path: snap.Path})
	if err == nil {
		err = s.remove(ctx, site, snap)
	}
	if gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, wp.ErrNoDomain); gone {
		return s.orphan(ctx, snap, now)
	}
	return err
}

// remove ends the snapshot.
func (s *snapshots) remove(ctx context.Context, site wp.Site, snap wp.Snapshot) error {
	if err := s.host.EndSnapshot(ctx, site, snap); err != nil {
		return err
	}
	s.log.Info("snapshot removed", "op", snap.Op, "site", snap.Site)
	return nil
}

func (s *snapshots) keep(snap wp.Snapshot, now time.Time) error {
	snap.Until = now.Add(snapshotOrphan)
	s.log.Warn("snapshot of an op that nobody knows is kept", "op", snap.Op, "site", snap.Site, "until", snap.Until)
	return s.host.Snapshots.Put(snap)
}

// orphan drops the copy of a site that has been gone for long.
func (s *snapshots) orphan(ctx context.Context, snap wp.Snapshot, now time.Time) error {
	if snap.Until.IsZero() {
		return s.keep(snap, now)
	}
	if snap.Schema != "" {
		// The claim tells that nobody has taken it over.
		if err := s.host.DropSchema(ctx, snap.Op, snap.Schema); err != nil {
			return fmt.Errorf("dropping the copy of a site that is gone: %w", err)
		}
	}
	return s.host.Snapshots.Remove(snap.Op)
}
