package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

const (
	conductEvery = 500 * time.Millisecond
	conductFor   = 10 * time.Second // a leader that dies is followed after that
	scheduleLook = 4                // in looks: schedules that are due
)

// Conductor carries out rollouts, fires schedules and runs errands. Every API process runs one; one of them
// leads and works. All that it knows is in Redis, so another goes on where it ends; and should
// two of them take themselves for the leader, each move is made once (see rollout_write.lua).
type Conductor struct {
	*Client
	id        string // of this process, as the leader
	retention time.Duration
	now       func() time.Time
	known     map[string]*rollout // open ones, by id: what never changes of them
}

// NewConductor makes a conductor; it works while Run does. What schedules make is kept for the
// retention after its end; 0 is DefaultRetention.
func NewConductor(c *Client, retention time.Duration) *Conductor {
	return &Conductor{Client: c, id: uuid.NewString(), retention: retention, now: time.Now, known: map[string]*rollout{}}
}

// Run works until ctx ends.
func (c *Conductor) Run(ctx context.Context) error {
	tick := time.NewTicker(conductEvery)
	defer tick.Stop()
	for look := 0; ; look++ {
		if err := c.look(ctx, look%scheduleLook == 0); err != nil && ctx.Err() == nil {
			c.survived("conduct", "carrying out rollouts and schedules", err)
		}
		select {
		case <-ctx.Done():
			return c.resign(context.WithoutCancel(ctx))
		case <-tick.C:
		}
	}
}

// look does what is to be done now, if this process leads.
func (c *Conductor) look(ctx context.Context, schedules bool) error {
	leads, err := leadScript.Run(ctx, c.rdb, []string{c.names.conductor()}, c.id, conductFor.Milliseconds()).Bool()
	if err != nil {
		return fmt.Errorf("asking for leadership of rollouts: %w", err)
	}
	if !leads {
		clear(c.known)
		return nil
	}
	if schedules {
		err = c.fireDue(ctx)
	}
	return errors.Join(err, c.runErrands(ctx), c.advanceAll(ctx))
}

// advanceAll makes the next move of every open rollout.
func (c *Conductor) advanceAll(ctx context.Context) error {
	ids, err := c.rdb.SMembers(ctx, c.names.openRollouts()).Result()
	if err != nil {
		return fmt.Errorf("listing open rollouts: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return err
	}
	up := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		up[n.ID] = n.State == NodeUp
	}
	var errs []error
	for _, id := range ids {
		if err := c.advance(ctx, id, up); err != nil { // the others go on
			errs = append(errs, fmt.Errorf("advancing rollout %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// resign lets another process lead at once.
func (c *Conductor) resign(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	leader, err := c.rdb.Get(ctx, c.names.conductor()).Result()
	if err == nil && leader == c.id {
		err = c.rdb.Del(ctx, c.names.conductor()).Err()
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		c.log.Debug("resigning leadership of rollouts; it ends by itself", "err", err)
	}
	return nil
}
