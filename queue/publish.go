package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

const (
	// maxRetry bounds failures outside the runner, such as a broken state
	// directory. Interruptions, waits and crashes do not count against it.
	maxRetry = 8
	// undoTime is what asynq grants on top of a kind's deadline: our own deadline
	// ends the steps, and what they made is still undone after it.
	undoTime = 15 * time.Minute
	// unknownDeadline is for kinds that only a newer program knows.
	unknownDeadline = 3 * time.Hour
)

// message is the whole asynq payload; the ledger holds everything else.
type message struct {
	Op string `json:"op"`
}

// deliver is what follows the record of an op: hand it to asynq when it is the
// head of its install's FIFO, ring its node, index it, and only then take it out
// of the outbox. Each part may be repeated.
func (p publisher) deliver(ctx context.Context, op tasks.Op, head bool) error {
	for {
		if head { // before the index: somebody waits for the op to start
			if err := p.enqueue(ctx, op); err != nil {
				return err
			}
		}
		if err := p.index(ctx, op); err != nil {
			return err
		}
		done, err := p.unlist(ctx, op, head)
		if err != nil || done {
			return err
		}
		head = true // its predecessor ended just now
	}
}

func (p publisher) index(ctx context.Context, op tasks.Op) error {
	n := p.store.names
	_, err := p.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		member := redis.Z{Member: op.ID} // score 0: the id itself is the order
		pipe.ZAdd(ctx, n.allOps(), member)
		pipe.ZAdd(ctx, n.accountOps(op.Site.Account), member)
		pipe.SAdd(ctx, n.opAccounts(), op.Site.Account)
		return nil
	})
	if err != nil {
		return fmt.Errorf("indexing op: %w", err)
	}
	return nil
}

// enqueue hands the op to asynq under its own id. A conflict means that asynq
// has it: the reply was lost, or somebody else was faster.
func (p publisher) enqueue(ctx context.Context, op tasks.Op) error {
	if err := p.enqueueIn(ctx, lane(op.Site.Node, op.Class), op); err != nil {
		return err
	}
	if err := p.store.ring(ctx, op.Site.Node, ringTask+string(op.Class)); err != nil {
		// The task is there; the node finds it at its next look, seconds later.
		p.store.survived("publish", "ringing doorbell", err, "op", op.ID, "node", op.Site.Node)
	}
	return nil
}

func (p publisher) enqueueIn(ctx context.Context, queue string, op tasks.Op) error {
	payload, err := json.Marshal(message{Op: op.ID})
	if err != nil {
		return fmt.Errorf("encoding asynq payload: %w", err)
	}
	_, err = p.asynq.EnqueueContext(ctx, asynq.NewTask(op.Kind, payload), asynq.TaskID(op.ID), asynq.Queue(queue),
		asynq.MaxRetry(maxRetry), asynq.Timeout(timeout(op.Kind)))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("enqueueing op: %w", err)
	}
	return nil
}

func timeout(kind string) time.Duration {
	deadline := unknownDeadline
	if spec, ok := tasks.Lookup(kind); ok && spec.Deadline > 0 {
		deadline = spec.Deadline
	}
	return (deadline + undoTime).Truncate(time.Second) // asynq counts whole seconds
}

// unlist takes the op out of the outbox; false when it has become the head.
func (p publisher) unlist(ctx context.Context, op tasks.Op, enqueued bool) (bool, error) {
	n := p.store.names
	keys := []string{n.outbox(shardOf(op.ID)), n.fifo(op.Site.ID)}
	done, err := publishScript.Run(ctx, p.store.rdb, keys, op.ID, bit(enqueued)).Int()
	if err != nil {
		return false, fmt.Errorf("clearing outbox entry: %w", err)
	}
	return done == 1, nil
}

// publish delivers an op of which only the id is known: the next head of an
// install, or an outbox entry that a crash left behind.
func (p publisher) publish(ctx context.Context, id string) error {
	op, err := p.store.read(ctx, id, readProgress)
	if errors.Is(err, ErrNotFound) || err == nil && op.State.Final() {
		return p.forget(ctx, id)
	}
	if err != nil {
		return err
	}
	head, err := p.store.rdb.LIndex(ctx, p.store.names.fifo(op.Site.ID), 0).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("reading head of install: %w", err)
	}
	// An open op that is in no FIFO puts itself in line when it begins.
	return p.deliver(ctx, op, head == id || head == "")
}

func (p publisher) forget(ctx context.Context, id string) error {
	n, shard := p.store.names, shardOf(id)
	_, err := p.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.ZRem(ctx, n.outbox(shard), id)
		pipe.SRem(ctx, n.open(shard), id)
		return nil
	})
	if err != nil {
		return fmt.Errorf("clearing outbox entry: %w", err)
	}
	return nil
}

// survived reports a failure that the caller goes on after: logged, and counted
// under what was being done.
func (s *Store) survived(doing, msg string, err error, attrs ...any) {
	s.metrics.RedisError(doing)
	s.log.Warn(msg, append(attrs, "err", err)...)
}
