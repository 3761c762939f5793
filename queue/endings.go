package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

var claimScript = lua("claim")

const (
	// lookForEnds is how often ends are looked for that nobody announced.
	lookForEnds = 5 * time.Second
	// claimFor is how long who has taken an end may need before somebody else does.
	claimFor   = 30 * time.Second
	claimBatch = 100
)

// endings are the shards in which ops have ended, until somebody looks.
type endings struct {
	mu     sync.Mutex
	shards map[string]bool
	wake   chan struct{}
}

func newEndings() *endings {
	return &endings{shards: make(map[string]bool), wake: make(chan struct{}, 1)}
}

// heed is told of every change. One that was missed is found by looking everywhere.
func (e *endings) heed(c Change) {
	switch {
	case c.State.Final():
		e.add(shardOf(c.OpID))
	case c.OpID == "":
		e.add(shards()...)
	}
}

func (e *endings) add(shards ...string) {
	e.mu.Lock()
	for _, s := range shards {
		e.shards[s] = true
	}
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *endings) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for s := range e.shards {
		list = append(list, s)
	}
	clear(e.shards)
	return list
}

// dispatch makes deliveries of ends until ctx ends. The script that ends an op
// notes it in a set of its shard, in the same breath; it leaves the set when its
// deliveries are recorded. So no crash between the two loses one.
func (c *Courier) dispatch(ctx context.Context) {
	tick := time.NewTicker(lookForEnds)
	defer tick.Stop()
	c.ended.add(shards()...)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.ended.add(shards()...)
		case <-c.ended.wake:
			if err := c.dispatchIn(ctx, c.ended.take()); err != nil && ctx.Err() == nil {
				c.survived("webhook", "leaving events for the next look", err)
			}
		}
	}
}

// dispatchIn sees to the ends in some shards.
func (c *Courier) dispatchIn(ctx context.Context, some []string) error {
	pipe, claims := c.rdb.Pipeline(), make([]*redis.Cmd, len(some))
	for i, shard := range some {
		claims[i] = claimScript.EvalSha(ctx, pipe, []string{c.names.ended(shard)}, claimFor.Milliseconds(), claimBatch)
	}
	_, err := pipe.Exec(ctx)
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // Redis was restarted; the next look finds them
		return errors.Join(err, loadScripts(ctx, c.rdb))
	}
	if err != nil && len(some) > 0 {
		return fmt.Errorf("claiming ended ops: %w", err)
	}
	var errs []error
	for i, claim := range claims {
		ids, err := claim.StringSlice()
		if err != nil {
			errs = append(errs, fmt.Errorf("claiming ended ops: %w", err))
		}
		for _, id := range ids {
			errs = append(errs, c.dispatchEnd(ctx, id))
		}
		if len(ids) == claimBatch { // there may be more
			c.ended.add(some[i])
		}
	}
	return errors.Join(errs...)
}

// dispatchEnd makes the deliveries of one op's end.
func (c *Courier) dispatchEnd(ctx context.Context, id string) error {
	op, err := c.read(ctx, id, readProgress)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil && op.State.Final() {
		if err := c.postAll(ctx, op); err != nil {
			return err
		}
	}
	if err := c.rdb.ZRem(ctx, c.names.ended(shardOf(id)), id).Err(); err != nil {
		return fmt.Errorf("clearing ended op: %w", err)
	}
	return nil
}

func (c *Courier) postAll(ctx context.Context, op tasks.Op) error {
	pipe := c.rdb.Pipeline()
	own := pipe.SMembers(ctx, c.names.accountHooks(op.Site.Account))
	all := pipe.SMembers(ctx, c.names.allHooks())
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("listing webhooks: %w", err)
	}
	seen := make(map[string]bool)
	var ids []string
	for _, id := range append(own.Val(), all.Val()...) {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	hooks, err := c.readWebhooks(ctx, ids)
	if err != nil {
		return err
	}
	var errs []error
	for _, w := range hooks {
		if w.Enabled && w.Wants(EventOf(op)) {
			if err := c.postEnd(ctx, w, op); err != nil && !errors.Is(err, ErrNotFound) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
