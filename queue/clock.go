package queue

import (
	"context"
	"fmt"
	"time"
)

// Whatever several machines compare is dated by Redis's clock: heartbeats, the age of ops, limits,
// due webhooks and schedules. A machine's own clock is needed in three places, and is wrong one
// day: signatures are dated by who signs, asynq dates retries by the worker's, and what
// a node keeps for some time ends by the node's.

// ClockOff is how far the clock of this machine is ahead of Redis's; less when it is behind. It is
// right to the time that Redis takes to answer.
func (n *Node) ClockOff(ctx context.Context) (time.Duration, error) { return n.clockOff(ctx, n.now) }

func (s *Store) clockOff(ctx context.Context, now func() time.Time) (time.Duration, error) {
	redis, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return 0, fmt.Errorf("reading redis clock: %w", err)
	}
	return now().Sub(redis), nil
}

// ClockRight tells whether this node may end things by its clock: it is not off Redis's by more
// than signers may be. Nil, or why not.
func (n *Node) ClockRight(ctx context.Context) error {
	off, err := n.ClockOff(ctx)
	if err == nil && off.Abs() > signatureSkew {
		err = fmt.Errorf("the clock of this node is %s ahead of that of Redis", off.Round(time.Second))
	}
	return err
}

const (
	clockEvery = time.Second
	clockStep  = 2 * time.Second // what a clock that is only being corrected does not do within clockEvery
)

// watchClock looks every second whether the machine's clock was set back. It asks Redis nothing.
func (s *server) watchClock(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for steps := (clockSteps{now: s.node.now, began: time.Now()}); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if back := steps.back(); back > clockStep {
			s.hurry(ctx, back)
		}
	}
}

// clockSteps notices that the machine's clock was set back while the process ran.
type clockSteps struct {
	now   func() time.Time
	began time.Time     // its monotonic part is the measure
	off   time.Duration // how far the clock had been set ahead when it was looked at last
}

// back is how far the clock was set back since the last time; less than 0 when it was set ahead.
func (c *clockSteps) back() time.Duration {
	should := c.began.Round(0).Add(time.Since(c.began))
	off := c.now().Round(0).Sub(should)
	back := c.off - off
	c.off = off
	return back
}

// hurry queues what waits for a retry, after the clock was set back: asynq would wait for the
// clock to come to where it was. Nothing is lost by a retry that is early.
func (s *server) hurry(ctx context.Context, back time.Duration) {
	s.node.log.Warn("the clock was set back; retries are not waited for", "node", s.node.ID(), "by", back.Round(time.Second))
	for _, queue := range lanesOf(s.node.ID()) {
		ids, err := s.node.rdb.ZRange(ctx, laneRetry(queue), 0, -1).Result()
		if err == nil && len(ids) > 0 {
			_, err = s.node.requeue(ctx, queue, ids...)
			s.gate.ring(lanePending(queue))
		}
		if err != nil && ctx.Err() == nil {
			s.node.survived("sweep", "queueing what waits for a retry", err, "queue", queue)
		}
	}
}
