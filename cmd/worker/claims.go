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

// claims drops databases that an op has made and could not take back, since the database
// server was away or the op died between two lines. Whose they are is written in them.
type claims struct {
	*handler
	databases claimedDatabases
	ledger    opReader
}

// claimedDatabases are those of the node's server.
type claimedDatabases interface {
	Claims(ctx context.Context) ([]wp.ClaimedDatabase, error)
	DropClaimed(ctx context.Context, account string, c wp.ClaimedDatabase) error
	// UsedBy is the name of the database in a site's wp-config.php.
	UsedBy(ctx context.Context, site wp.Site) (string, error)
}

// hostClaims are a host's.
type hostClaims struct{ *wp.Host }

func (h hostClaims) Claims(ctx context.Context) ([]wp.ClaimedDatabase, error) {
	return h.DB.Claims(ctx)
}

func (h hostClaims) UsedBy(ctx context.Context, site wp.Site) (string, error) {
	login, err := h.Login(ctx, site)
	return login.Name, err
}

// claimSweep is how often is looked; what is left over takes room and nothing else.
const claimSweep = 10 * time.Minute

// run sweeps at start and every ten minutes, until ctx ends.
func (s *claims) run(ctx context.Context) error {
	tick := time.NewTicker(claimSweep)
	defer tick.Stop()
	for {
		s.sweep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep drops what is nobody's any more. What fails is tried again the next time.
func (s *claims) sweep(ctx context.Context) {
	all, err := s.databases.Claims(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("looking for databases that were left over; it is tried again", "err", err)
	}
	for _, c := range all {
		if err := s.end(ctx, c); err != nil && ctx.Err() == nil {
			s.log.Error("dropping a database that was left over; it is tried again", "op", c.Owner, "database", c.Name, "err", err)
		}
	}
}

// end drops one database, if its op was one of this node's and has ended in vain.
func (s *claims) end(ctx context.Context, c wp.ClaimedDatabase) error {
	if shard, ok := tasks.Shard(c.Owner); !ok || !tasks.IsOpID(c.Owner) || shard != tasks.NodeShard(s.host.Node) {
		return nil
	}
	if _, err := s.host.Snapshots.Get(c.Owner); !errors.Is(err, fs.ErrNotExist) {
		return err // the sweep of snapshots knows more about it
	}
	op, err := s.ledger.Get(ctx, c.Owner)
	if errors.Is(err, queue.ErrNotFound) {
		return nil // Redis may have lost it, and the journal may bring it back
	}
	if err != nil {
		return err
	}
	if op.Site.Node != s.host.Node || !inVain(op.State) {
		return nil
	}
	lock, err := s.state.lockSite(op.Site.ID)
	var later *tasks.LaterError
	if errors.As(err, &later) {
		return nil // an op has the site
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if used, err := s.uses(ctx, op.Site, c.Name); err != nil || used {
		return err
	}
	if err := s.databases.DropClaimed(ctx, op.Site.Account, c); err != nil {
		return err
	}
	s.log.Info("a database that was left over is dropped", "op", c.Owner, "database", c.Name, "site", op.Site.ID)
	return nil
}

// inVain: the op has made nothing that anybody is to use. Where it is not known what is right,
// both are kept.
func inVain(state tasks.State) bool {
	return state == tasks.Failed || state == tasks.Cancelled || state == tasks.RolledBack
}

// uses reports whether the op's site names the database: a switch may not have been taken back
// either. A site that cannot be read is in doubt.
func (s *claims) uses(ctx context.Context, ref tasks.SiteRef, name string) (bool, error) {
	site, err := s.locate(ref)
	if err == nil {
		var used string
		if used, err = s.databases.UsedBy(ctx, site); err == nil {
			return used == name, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, wp.ErrNoDomain) {
		return false, nil
	}
	return false, fmt.Errorf("looking at the site: %w", err)
}
