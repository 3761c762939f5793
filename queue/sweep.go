package queue

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	strandedEvery = 30 * time.Second
	strandedAgain = 10 * time.Second // between the two looks that convict a task
)

// sweep puts everything back that a worker before this one left active, and what
// waits for a retry. asynq itself would take one to two minutes, and would never
// find a task without a lease. Safe because a node has one worker at a time.
func (s *server) sweep(ctx context.Context) error {
	for _, queue := range lanesOf(s.node.ID()) {
		n, err := s.node.requeue(ctx, queue)
		if err != nil {
			return fmt.Errorf("sweeping lane: %w", err)
		}
		if n > 0 {
			s.node.log.Info("put back what the last worker left", "queue", queue, "count", n)
		}
	}
	return nil
}

// requeue puts tasks of a lane back to pending: the given ones, or without any
// all that are active or wait for a retry.
func (n *Node) requeue(ctx context.Context, queue string, ids ...string) (int, error) {
	keys := []string{laneActive(queue), laneLease(queue), lanePending(queue), laneRetry(queue)}
	args := []any{laneTasks(queue), time.Now().UnixNano()}
	for _, id := range ids {
		args = append(args, id)
	}
	count, err := sweepScript.Run(ctx, n.rdb, keys, args...).Int()
	if err != nil {
		return 0, err
	}
	n.metrics.SweepRequeued(count)
	return count, nil
}

// findStranded looks for tasks that a lane shows as active and nobody has: the
// reply to their dequeue was lost. A task is convicted when it is missing twice,
// so that one on its way into or out of a handler is left alone.
func (s *server) findStranded(ctx context.Context) {
	tick := time.NewTicker(strandedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		suspects := s.stranded(ctx)
		if len(suspects) == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(strandedAgain):
		}
		s.rescue(ctx, suspects)
	}
}

// stranded lists, by lane, active tasks that no delivery of this process has.
func (s *server) stranded(ctx context.Context) map[string][]string {
	found := make(map[string][]string)
	for _, queue := range lanesOf(s.node.ID()) {
		active, err := s.node.rdb.LRange(ctx, laneActive(queue), 0, -1).Result()
		if err != nil {
			if ctx.Err() == nil {
				s.node.survived("sweep", "looking for stranded tasks", err, "queue", queue)
			}
			continue
		}
		if ids := s.unheld(active); len(ids) > 0 {
			found[queue] = ids
		}
	}
	return found
}

// rescue puts back the suspects that are still stranded.
func (s *server) rescue(ctx context.Context, suspects map[string][]string) {
	now := s.stranded(ctx)
	for queue, before := range suspects {
		ids := slices.DeleteFunc(before, func(id string) bool { return !slices.Contains(now[queue], id) })
		if len(ids) == 0 {
			continue
		}
		n, err := s.node.requeue(ctx, queue, ids...)
		if err != nil {
			s.node.survived("sweep", "putting back stranded tasks", err, "queue", queue)
			continue
		}
		s.node.log.Warn("put back stranded tasks", "queue", queue, "count", n)
		s.gate.ring(lanePending(queue))
	}
}
