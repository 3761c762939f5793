package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

const (
	sweepEvery  = 5 * time.Second
	leadFor     = 3 * sweepEvery // a leader that dies is followed after that
	openEvery   = 6              // in sweeps: compare open ops with asynq
	trimEvery   = 12             // in sweeps: trim indexes, look at every shard
	overdue     = 10 * time.Second
	sweepBatch  = 500 // outbox entries per shard and sweep
	maxRevivals = 3
)

// Reconciler repairs what crashes, failovers and lost replies left between the
// ledger and asynq. Every API process runs one; one of them leads and works.
type Reconciler struct {
	*Store
	publisher
	id    string // of this process, as the leader
	nodes map[string]NodeState
	trim  trimmer
}

// NewReconciler makes a reconciler; it works while Run does.
func NewReconciler(s *Store, c *Client) *Reconciler {
	return &Reconciler{
		Store: s, publisher: c.publisher,
		id: uuid.NewString(), nodes: make(map[string]NodeState), trim: trimmer{store: s},
	}
}

// Run works until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for pass := 0; ; pass++ {
		if err := r.pass(ctx, pass); err != nil && ctx.Err() == nil {
			r.survived("reconcile", "reconciling", err)
		}
		select {
		case <-ctx.Done():
			return r.resign(context.WithoutCancel(ctx))
		case <-tick.C:
		}
	}
}

func (r *Reconciler) pass(ctx context.Context, pass int) error {
	off, err := r.clockOff(ctx, time.Now)
	if err != nil {
		return err
	}
	r.metrics.Clock(off)
	leads, err := leadScript.Run(ctx, r.rdb, []string{r.names.leader()}, r.id, leadFor.Milliseconds()).Bool()
	if err != nil {
		return fmt.Errorf("asking for leadership: %w", err)
	}
	if !leads {
		return nil
	}
	began := time.Now()
	defer func() { r.metrics.Reconciled(time.Since(began)) }()
	nodes, err := r.registered(ctx)
	if err != nil {
		return err
	}
	some := shardsOf(nodes)
	if pass%trimEvery == 0 {
		some = shards() // also those of nodes that are registered no more
	}
	errs := []error{r.sweepOutbox(ctx, some, overdue)}
	if pass%openEvery == 0 {
		errs = append(errs, r.listQueues(ctx, nodes), r.sweepOpen(ctx, some, overdue))
	}
	if pass%trimEvery == 0 {
		errs = append(errs, r.trim.pass(ctx))
	}
	return errors.Join(errs...)
}

// resign lets another process lead at once.
func (r *Reconciler) resign(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	leader, err := r.rdb.Get(ctx, r.names.leader()).Result()
	if err == nil && leader == r.id {
		err = r.rdb.Del(ctx, r.names.leader()).Err()
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		r.log.Debug("resigning leadership; it ends by itself", "err", err)
	}
	return nil
}

// registered reads the nodes and reports those that got lost or came back.
func (r *Reconciler) registered(ctx context.Context) ([]string, error) {
	ids, err := r.rdb.SMembers(ctx, r.names.nodes()).Result()
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	lives, err := r.readLives(ctx, ids)
	if err != nil {
		return nil, err
	}
	for id, n := range lives {
		before, known := r.nodes[id]
		r.nodes[id] = n.State
		switch {
		case n.State == NodeLost && before != NodeLost:
			r.log.Error("node is lost; its operations wait for its return", "node", id, "heartbeat", n.Heartbeat)
		case known && before == NodeLost && n.State != NodeLost:
			r.log.Info("node is back", "node", id)
		}
	}
	return ids, nil
}

// sweepOutbox delivers accepted ops whose submitter died before it had.
func (r *Reconciler) sweepOutbox(ctx context.Context, shards []string, older time.Duration) error {
	now, err := r.rdb.Time(ctx).Result() // outbox times are by Redis's clock
	if err != nil {
		return fmt.Errorf("reading redis clock: %w", err)
	}
	until := strconv.FormatInt(now.Add(-older).UnixMilli(), 10)
	pipe := r.rdb.Pipeline()
	answers := make([]*redis.StringSliceCmd, len(shards))
	for i, shard := range shards {
		answers[i] = pipe.ZRangeByScore(ctx, r.names.outbox(shard), &redis.ZRangeBy{Min: "-inf", Max: until, Count: sweepBatch})
	}
	if _, err := pipe.Exec(ctx); err != nil && len(shards) > 0 {
		return fmt.Errorf("reading outbox: %w", err)
	}
	var errs []error
	for _, a := range answers {
		for _, id := range a.Val() {
			if err := r.publish(ctx, id); err != nil {
				errs = append(errs, err)
				continue
			}
			r.metrics.SweepRequeued(1)
			r.log.Info("delivered op from the outbox", "op", id)
		}
	}
	return errors.Join(errs...)
}

// listQueues repairs the set of queue names, which asynq writes once per process
// and never again, so that asynq's own tools see every lane.
func (r *Reconciler) listQueues(ctx context.Context, nodes []string) error {
	if len(nodes) == 0 {
		return nil
	}
	var names []any
	for _, node := range nodes {
		for _, queue := range lanesOf(node) {
			names = append(names, queue)
		}
	}
	if err := r.rdb.SAdd(ctx, laneNames, names...).Err(); err != nil {
		return fmt.Errorf("listing queues: %w", err)
	}
	return nil
}

func shardsOf(nodes []string) []string {
	seen := make(map[string]bool)
	var some []string
	for _, n := range nodes {
		if shard := tasks.NodeShard(n); !seen[shard] {
			seen[shard] = true
			some = append(some, shard)
		}
	}
	return some
}
