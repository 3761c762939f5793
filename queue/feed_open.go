package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// snapshotMost is how many ops a snapshot lists.
const snapshotMost = 1000

// openList is the list of all open ops, shared by those who ask at the same time: after
// a restart all clients of a process come back at once.
type openList struct {
	turn  chan struct{}       // held by who reads or writes the rest
	began time.Time           // of the reading
	ids   map[string][]string // by account; "" is all
}

// Open lists the ops that an audience is told of and that have not ended, the newest first
// and as they are after the call began; truncated when there are more than 1000.
func (f *Feed) Open(ctx context.Context, of Audience) (ops []tasks.Op, truncated bool, err error) {
	ids, err := f.openOf(ctx, of)
	if err != nil {
		return nil, false, err
	}
	slices.Sort(ids) // op ids sort by time
	slices.Reverse(ids)
	if truncated = len(ids) > snapshotMost; truncated {
		ids = ids[:snapshotMost]
	}
	if ops, err = f.readMany(ctx, ids); err != nil {
		return nil, false, err
	}
	return slices.DeleteFunc(ops, func(op tasks.Op) bool { return op.State.Final() }), truncated, nil
}

func (f *Feed) openOf(ctx context.Context, of Audience) ([]string, error) {
	if of.Site == "" {
		return f.openIDs(ctx, of.Account)
	}
	ids, err := f.rdb.LRange(ctx, f.names.fifo(of.Site), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("listing open ops of an install: %w", err)
	}
	return ids, nil
}

// openIDs answers from a reading that began after the call, whoever made it.
func (f *Feed) openIDs(ctx context.Context, account string) ([]string, error) {
	asked, l := time.Now(), &f.open
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !l.began.After(asked) {
		began := time.Now()
		ids, err := f.readOpen(ctx)
		if err != nil {
			return nil, err
		}
		l.began, l.ids = began, ids
	}
	return slices.Clone(l.ids[account]), nil
}

func (f *Feed) readOpen(ctx context.Context) (map[string][]string, error) {
	pipe := f.rdb.Pipeline()
	sets := []*redis.StringSliceCmd{pipe.SMembers(ctx, f.names.openRollouts())}
	for _, shard := range shards() {
		sets = append(sets, pipe.SMembers(ctx, f.names.open(shard)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("listing open ops: %w", err)
	}
	var ids []string
	for _, set := range sets {
		ids = append(ids, set.Val()...)
	}
	by := map[string][]string{"": ids}
	for some := range slices.Chunk(ids, 1000) {
		pipe, accounts := f.rdb.Pipeline(), make([]*redis.SliceCmd, len(some))
		for i, id := range some {
			accounts[i] = pipe.HMGet(ctx, f.names.op(id), "account") // nil, not an error, when it is gone
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("reading whose open ops are: %w", err)
		}
		for i, id := range some {
			if account, ok := accounts[i].Val()[0].(string); ok && account != "" {
				by[account] = append(by[account], id)
			}
		}
	}
	return by, nil
}
