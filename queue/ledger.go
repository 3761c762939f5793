package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// Get reads an op, payload included. The id is that of an op or of an install,
// which stands for its newest op. Error: ErrNotFound.
func (c *Client) Get(ctx context.Context, id string) (tasks.Op, error) {
	return c.read(ctx, id, readAll)
}

// GetMany reads many ops in one round trip, without payloads. Ids that do not
// exist are left out; the others keep their order.
func (c *Client) GetMany(ctx context.Context, ids []string) ([]tasks.Op, error) {
	return c.readMany(ctx, ids)
}

// Poll counts a request in a rate limit bucket and reads an op, without its
// payload, in one round trip, which it shares with others that poll at the same
// time. It is what a client that waits does all day. With ErrNotFound the limit is still valid.
func (c *Client) Poll(ctx context.Context, bucket string, max int, id string) (Limit, tasks.Op, error) {
	var limitAnswer, opAnswer *redis.Cmd
	c.polls.ride(func(ctx context.Context, pipe redis.Pipeliner) {
		limitAnswer, opAnswer = limitCmd(ctx, pipe, c.names, bucket), c.readCmd(ctx, pipe, id)
	})
	limit, err := readLimit(limitAnswer, max)
	if unknownScript(limitAnswer) || unknownScript(opAnswer) {
		return c.pollSlowly(ctx, bucket, max, id) // Redis was restarted or its scripts flushed
	}
	if err != nil {
		return Limit{}, tasks.Op{}, err
	}
	op, err := opOf(opAnswer)
	return limit, op, err
}

func unknownScript(cmd *redis.Cmd) bool {
	return cmd.Err() != nil && redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT")
}

// pollSlowly makes the scripts known again and polls without the pipeline.
func (c *Client) pollSlowly(ctx context.Context, bucket string, max int, id string) (Limit, tasks.Op, error) {
	if err := loadScripts(ctx, c.rdb); err != nil {
		return Limit{}, tasks.Op{}, err
	}
	limit, err := c.Limit(ctx, bucket, max)
	if err != nil {
		return Limit{}, tasks.Op{}, err
	}
	op, err := c.read(ctx, id, readProgress)
	return limit, op, err
}

// Reveal hands out an op's one-time secret, sealed to the API, and forgets it.
// "" when there is none or it was handed out before. Error: ErrNotFound.
func (c *Client) Reveal(ctx context.Context, id string) (string, error) {
	secret, err := revealScript.Run(ctx, c.rdb, []string{c.names.op(id)}).Text()
	if errors.Is(err, redis.Nil) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("revealing secret: %w", err)
	}
	return secret, nil
}

// cancelled is the error of an op that was cancelled before any of it ran.
var cancelled = tasks.Failure{Code: tasks.CodeCancelled, Message: "Cancelled before it started."}

// Cancel ends an op at once when nothing of it has run. One that runs is asked
// to stop and undo: the op says CancelRequested until it has. A final op is
// answered as it is. Error: ErrNotFound.
func (c *Client) Cancel(ctx context.Context, id string) (tasks.Op, error) {
	op, err := c.read(ctx, id, readProgress)
	if err != nil {
		return tasks.Op{}, err
	}
	if op.Rollout() {
		return c.cancelRollout(ctx, op.ID)
	}
	failure, err := json.Marshal(cancelled)
	if err != nil {
		return tasks.Op{}, fmt.Errorf("encoding failure: %w", err)
	}
	answer, err := cancelScript.Run(ctx, c.rdb, c.endKeys(op), op.ID, c.names.changes(), string(failure)).Slice()
	if err != nil {
		return tasks.Op{}, fmt.Errorf("cancelling op: %w", err)
	}
	switch code, next := pair(answer); code {
	case 0:
	case 1:
		c.metrics.OpWithdrawn(op.Kind)
		c.withdraw(op)
		c.publishNext(ctx, next)
	case 2:
		if err := c.ring(ctx, op.Site.Node, ringCancel+op.ID); err != nil { // the worker looks for itself, a second later
			c.survived("publish", "ringing doorbell", err, "op", op.ID, "node", op.Site.Node)
		}
	case -1:
		return tasks.Op{}, ErrNotFound
	default:
		return tasks.Op{}, fmt.Errorf("cancelling op: unexpected answer %v", answer)
	}
	return c.Get(ctx, op.ID)
}

// withdraw takes a cancelled op out of its lane. If that fails, the worker gets
// it and drops it, as it is final.
func (p publisher) withdraw(op tasks.Op) {
	if err := p.unqueue(op); err != nil {
		p.store.survived("cancel", "withdrawing cancelled op", err, "op", op.ID)
	}
}

// publishNext hands over the op that a finished one made the head. If it fails,
// the outbox sweep does it.
func (p publisher) publishNext(ctx context.Context, next any) {
	id, _ := next.(string)
	if id == "" {
		return
	}
	if err := p.publish(ctx, id); err != nil {
		p.store.survived("publish", "leaving next op to the outbox sweep", err, "op", id)
	}
}

// endKeys are the keys of finish.lua and cancel.lua.
func (s *Store) endKeys(op tasks.Op) []string {
	n, shard := s.names, shardOf(op.ID)
	return []string{
		n.op(op.ID), n.fifo(op.Site.ID), n.outbox(shard), n.events(op.ID),
		n.log(op.ID), n.last(op.Site.ID), n.open(shard), n.feed(shard), n.ended(shard),
	}
}
