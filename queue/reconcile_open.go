package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// openBatch is how many open ops are compared in one pipeline.
const openBatch = 500

// sweepOpen compares open ops with asynq: the head of an install must have a
// task that will run. It may have none, after Redis lost data or an entry of
// asynq's was deleted, or an archived one, about which asynq tells nobody.
func (r *Reconciler) sweepOpen(ctx context.Context, shards []string, older time.Duration) error {
	now, err := r.rdb.Time(ctx).Result() // ops are dated by Redis's clock
	if err != nil {
		return fmt.Errorf("reading redis clock: %w", err)
	}
	var errs []error
	for _, shard := range shards {
		ids, err := r.rdb.SMembers(ctx, r.names.open(shard)).Result()
		if err != nil {
			return fmt.Errorf("listing open ops: %w", err)
		}
		for len(ids) > 0 {
			batch := ids[:min(openBatch, len(ids))]
			ids = ids[len(batch):]
			errs = append(errs, r.compare(ctx, batch, now.Add(-older)))
		}
	}
	return errors.Join(errs...)
}

func (r *Reconciler) compare(ctx context.Context, ids []string, until time.Time) error {
	answers, err := r.readEach(ctx, ids)
	if err != nil {
		return err
	}
	var ops []tasks.Op
	var errs []error
	for i, id := range ids {
		op, err := opOf(answers[i])
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && op.State.Final():
			errs = append(errs, r.forget(ctx, id))
		case err != nil:
			errs = append(errs, fmt.Errorf("op %s: %w", id, err))
		case !op.UpdatedAt.After(until): // a younger one is on its way
			ops = append(ops, op)
		}
	}
	heads, states, err := r.transport(ctx, ops)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for i, op := range ops {
		if heads[i] == op.ID || heads[i] == "" {
			errs = append(errs, r.mend(ctx, op, states[i]))
		}
	}
	return errors.Join(errs...)
}

// transport reads the head of each op's install and the state of its asynq task.
func (r *Reconciler) transport(ctx context.Context, ops []tasks.Op) (heads, states []string, err error) {
	pipe := r.rdb.Pipeline()
	headOf, stateOf := make([]*redis.StringCmd, len(ops)), make([][2]*redis.StringCmd, len(ops))
	for i, op := range ops {
		headOf[i] = pipe.LIndex(ctx, r.names.fifo(op.Site.ID), 0)
		for j, queue := range lanesFor(op) {
			stateOf[i][j] = pipe.HGet(ctx, laneTask(queue, op.ID), "state")
		}
	}
	if len(ops) > 0 {
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return nil, nil, fmt.Errorf("comparing open ops with asynq: %w", err)
		}
	}
	for i := range ops {
		heads, states = append(heads, headOf[i].Val()), append(states, cmp.Or(stateOf[i][0].Val(), stateOf[i][1].Val()))
	}
	return heads, states, nil
}

// mend gives the head of an install its task back.
func (r *Reconciler) mend(ctx context.Context, op tasks.Op, taskState string) error {
	switch taskState {
	case "archived":
		return r.revive(ctx, op)
	case "":
		if err := r.publish(ctx, op.ID); err != nil {
			return err
		}
		r.metrics.SweepRequeued(1)
		r.log.Warn("queued op again: its task was gone", "op", op.ID, "node", op.Site.Node)
	}
	return nil
}

// revive queues an archived op again, a few times; then it fails, for an op that
// ends is worth more than one that might.
func (r *Reconciler) revive(ctx context.Context, op tasks.Op) error {
	times, err := r.rdb.HIncrBy(ctx, r.names.op(op.ID), "revived", 1).Result()
	if err != nil {
		return fmt.Errorf("counting revivals of op: %w", err)
	}
	if err := r.unqueue(op); err != nil {
		return fmt.Errorf("deleting archived task: %w", err)
	}
	if times <= maxRevivals {
		r.metrics.SweepRequeued(1)
		r.log.Warn("queued archived op again", "op", op.ID, "node", op.Site.Node)
		return r.publish(ctx, op.ID)
	}
	r.log.Error("giving up op that was archived again and again", "op", op.ID, "node", op.Site.Node)
	return r.finish(ctx, op, op.Attempt, tasks.Outcome{State: tasks.Failed, Error: &tasks.Failure{
		Code:    tasks.CodeInternal,
		Message: "The operation could not be run.",
		Hint:    "What it made may be left on the node. See the worker's log.",
	}})
}
