package queue

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

const (
	snapshotEvery  = 10 * time.Second // scrapes within it see the same numbers
	snapshotWithin = 5 * time.Second  // time for one reading
	snapshotChunk  = 1000             // commands per pipeline
)

// Snapshot is the fleet as Redis shows it, for /metrics: how much waits, for how
// long, and which nodes are there. It reads when it is scraped, at most every
// 10 s, with plain length commands in pipelines: asynq's own GetQueueInfo samples
// memory inside Lua, once per queue.
//
// Every process that serves it shows the whole fleet, so sums over processes
// count double: take the maximum.
type Snapshot struct {
	store *Store
	now   func() time.Time

	mu   sync.Mutex
	at   time.Time
	seen []prometheus.Metric
}

// NewSnapshot makes the collector. Register it in the API's registry.
func NewSnapshot(s *Store) *Snapshot { return &Snapshot{store: s, now: time.Now} }

var (
	depthDesc     = gauge("queue_depth", "Operations handed to the nodes' lanes, by state.", "state", "class")
	oldestDesc    = gauge("queue_oldest_pending_seconds", "Age of the operation that has waited longest in any lane; 0 when none waits.", "class")
	nodesDesc     = gauge("nodes", "Nodes of the registry, by state.", "state")
	openDesc      = gauge("ops_open", "Accepted operations that are not final, also those behind others of their install.")
	rolloutsDesc  = gauge("rollouts_open", "Accepted rollouts that are not final, also those that are paused.")
	outboxDesc    = gauge("outbox_entries", "Accepted operations that are not confirmed to be in a lane.")
	outboxAgeDesc = gauge("outbox_oldest_seconds", "Age of the oldest such operation; 0 when there is none.")
	hooksDesc     = gauge("webhook_deliveries_waiting", "Events that have not arrived at their webhook yet and are not given up.")
	hooksAgeDesc  = gauge("webhook_oldest_waiting_seconds", "Age of the oldest such event; 0 when there is none.")
)

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// Describe is part of prometheus.Collector.
func (p *Snapshot) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{depthDesc, oldestDesc, nodesDesc, openDesc, outboxDesc, outboxAgeDesc, rolloutsDesc, hooksDesc, hooksAgeDesc} {
		ch <- d
	}
	for _, d := range redisDescs {
		ch <- d
	}
}

// Collect is part of prometheus.Collector. When Redis cannot be read there are
// no numbers rather than old ones.
func (p *Snapshot) Collect(ch chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); p.at.IsZero() || now.Sub(p.at) >= snapshotEvery {
		ctx, cancel := context.WithTimeout(context.Background(), snapshotWithin)
		defer cancel()
		r := reading{store: p.store, now: now}
		p.at, p.seen = now, r.take(ctx)
	}
	for _, m := range p.seen {
		ch <- m
	}
}

// reading is one look at Redis.
type reading struct {
	store *Store
	now   time.Time
	out   []prometheus.Metric

	failed int   // reads that failed
	err    error // the last such error
}

func (r *reading) take(ctx context.Context) []prometheus.Metric {
	r.together(ctx, (*reading).fleet, (*reading).ledger, (*reading).rollouts, (*reading).webhooks, (*reading).backups, (*reading).server)
	if r.failed > 0 {
		r.store.survived("snapshot", "reading queue metrics", r.err, "failed", r.failed)
	}
	return r.out
}

// together does parts of a reading at the same time. A Redis that waits for its disk makes
// every round trip long, and a scrape must not wait for thirty of them one after the other.
func (r *reading) together(ctx context.Context, parts ...func(*reading, context.Context)) {
	readings := make([]reading, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		readings[i] = reading{store: r.store, now: r.now}
		wg.Go(func() { part(&readings[i], ctx) })
	}
	wg.Wait()
	for _, done := range readings {
		r.out, r.failed = append(r.out, done.out...), r.failed+done.failed
		if done.err != nil {
			r.err = done.err
		}
	}
}

func (r *reading) add(d *prometheus.Desc, value float64, labels ...string) {
	r.out = append(r.out, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
}

func (r *reading) fleet(ctx context.Context) {
	ids, err := r.nodes(ctx)
	if err != nil {
		r.failed, r.err = r.failed+1, err
		return
	}
	used := r.used(ctx, ids)
	r.together(ctx,
		func(r *reading, ctx context.Context) { r.lanes(ctx, used) },
		func(r *reading, ctx context.Context) { r.oldest(ctx, used) })
}

// nodes counts the registry's nodes by state and answers their names.
func (r *reading) nodes(ctx context.Context) ([]string, error) {
	ids, err := r.store.rdb.SMembers(ctx, r.store.names.nodes()).Result()
	if err != nil {
		return nil, err
	}
	nodes, err := r.store.readLives(ctx, ids)
	if err != nil {
		return nil, err
	}
	count := map[NodeState]int{}
	for _, n := range nodes {
		count[n.State]++
	}
	for _, state := range []NodeState{NodeUp, NodeDraining, NodeLost} {
		r.add(nodesDesc, float64(count[state]), string(state))
	}
	return ids, nil
}

// laneStates are the parts of an asynq queue that are counted.
var laneStates = []struct {
	name string
	size func(redis.Pipeliner, context.Context, string) *redis.IntCmd
}{
	{"pending", func(p redis.Pipeliner, ctx context.Context, q string) *redis.IntCmd {
		return p.LLen(ctx, lanePending(q))
	}},
	{"active", func(p redis.Pipeliner, ctx context.Context, q string) *redis.IntCmd {
		return p.LLen(ctx, laneActive(q))
	}},
	{"scheduled", func(p redis.Pipeliner, ctx context.Context, q string) *redis.IntCmd {
		return p.ZCard(ctx, laneScheduled(q))
	}},
	{"retry", func(p redis.Pipeliner, ctx context.Context, q string) *redis.IntCmd {
		return p.ZCard(ctx, laneRetry(q))
	}},
	{"archived", func(p redis.Pipeliner, ctx context.Context, q string) *redis.IntCmd {
		return p.ZCard(ctx, laneArchived(q))
	}},
}

// laneOf is a lane of a node, and one of laneStates of it.
type laneOf struct {
	node  string
	class tasks.Class
	state int
}

func (l laneOf) queue() string { return lane(l.node, l.class) }

// keys are those of the parts that are counted; they share their slot.
func (l laneOf) keys() []string {
	q := l.queue()
	return []string{lanePending(q), laneActive(q), laneScheduled(q), laneRetry(q), laneArchived(q)}
}

// lanesAsked is about how many lanes one command asks about, where it may: enough that a fleet of a
// thousand nodes takes dozens of commands, and few enough that nobody waits for one of them.
const lanesAsked = 100

// used finds the lanes that have anything in them, which are few at a time: by groups first, as long
// as one Redis has all of them (a Cluster takes one slot at a time), then each lane of the groups
// that are not empty.
func (r *reading) used(ctx context.Context, ids []string) []laneOf {
	var all []laneOf
	for _, id := range ids {
		for _, class := range laneClasses {
			all = append(all, laneOf{node: id, class: class})
		}
	}
	if _, cluster := r.store.rdb.(*redis.ClusterClient); !cluster && len(all) > lanesAsked {
		all = r.busyGroups(ctx, all)
	}
	found := ask(ctx, r, all, func(p redis.Pipeliner, l laneOf) *redis.IntCmd { return p.Exists(ctx, l.keys()...) })
	return slices.DeleteFunc(all, func(l laneOf) bool { return found[l] == nil || found[l].Val() == 0 })
}

// busyGroups leaves out the lanes of groups that have nothing in them. A group that could not be
// asked about is left out too, and counted.
func (r *reading) busyGroups(ctx context.Context, all []laneOf) []laneOf {
	groups := slices.Collect(slices.Chunk(all, lanesAsked))
	numbers := make([]int, len(groups))
	for i := range groups {
		numbers[i] = i
	}
	found := ask(ctx, r, numbers, func(p redis.Pipeliner, i int) *redis.IntCmd {
		var keys []string
		for _, l := range groups[i] {
			keys = append(keys, l.keys()...)
		}
		return p.Exists(ctx, keys...)
	})
	var busy []laneOf
	for i, group := range groups {
		if found[i] != nil && found[i].Val() > 0 {
			busy = append(busy, group...)
		}
	}
	return busy
}

// lanes sums up lanes by class.
func (r *reading) lanes(ctx context.Context, used []laneOf) {
	var all []laneOf
	for _, l := range used {
		for state := range laneStates {
			all = append(all, laneOf{l.node, l.class, state})
		}
	}
	sizes := ask(ctx, r, all, func(p redis.Pipeliner, l laneOf) *redis.IntCmd { return laneStates[l.state].size(p, ctx, l.queue()) })
	sums := map[laneOf]int64{}
	for l, size := range sizes {
		sums[laneOf{class: l.class, state: l.state}] += size.Val()
	}
	for _, class := range laneClasses {
		for state, s := range laneStates {
			r.add(depthDesc, float64(sums[laneOf{class: class, state: state}]), s.name, string(class))
		}
	}
}

// oldest finds the longest wait of each class. asynq takes tasks from the end of
// the list pending, and notes in each since when (ns) it waits there.
func (r *reading) oldest(ctx context.Context, used []laneOf) {
	heads := ask(ctx, r, used, func(p redis.Pipeliner, l laneOf) *redis.StringCmd { return p.LIndex(ctx, lanePending(l.queue()), -1) })
	waiting := slices.Collect(maps.Keys(heads))
	since := ask(ctx, r, waiting, func(p redis.Pipeliner, l laneOf) *redis.StringCmd {
		return p.HGet(ctx, laneTask(l.queue(), heads[l].Val()), "pending_since")
	})
	ages := map[tasks.Class]time.Duration{}
	for l, cmd := range since {
		if ns, err := strconv.ParseInt(cmd.Val(), 10, 64); err == nil {
			ages[l.class] = max(ages[l.class], r.now.Sub(time.Unix(0, ns)))
		}
	}
	for _, class := range laneClasses {
		r.add(oldestDesc, ages[class].Seconds(), string(class))
	}
}

// ledger sums up what the shards of the ledger hold.
func (r *reading) ledger(ctx context.Context) {
	n, all := r.store.names, shards()
	open := ask(ctx, r, all, func(p redis.Pipeliner, shard string) *redis.IntCmd { return p.SCard(ctx, n.open(shard)) })
	waiting := ask(ctx, r, all, func(p redis.Pipeliner, shard string) *redis.IntCmd { return p.ZCard(ctx, n.outbox(shard)) })
	all = slices.DeleteFunc(all, func(shard string) bool { return waiting[shard] == nil || waiting[shard].Val() == 0 }) // mostly all
	oldest := ask(ctx, r, all, func(p redis.Pipeliner, shard string) *redis.ZSliceCmd {
		return p.ZRangeWithScores(ctx, n.outbox(shard), 0, 0)
	})
	if len(open) == 0 { // not one shard could be read
		return
	}
	age := time.Duration(0)
	for _, cmd := range oldest {
		for _, entry := range cmd.Val() {
			age = max(age, r.now.Sub(time.UnixMilli(int64(entry.Score))))
		}
	}
	r.add(openDesc, float64(total(open)))
	r.add(outboxDesc, float64(total(waiting)))
	r.add(outboxAgeDesc, age.Seconds())
}

func (r *reading) rollouts(ctx context.Context) {
	key := r.store.names.openRollouts()
	open := ask(ctx, r, []string{key}, func(p redis.Pipeliner, key string) *redis.IntCmd { return p.SCard(ctx, key) })
	if len(open) > 0 {
		r.add(rolloutsDesc, float64(total(open)))
	}
}

// webhooks sums up what waits for receivers.
func (r *reading) webhooks(ctx context.Context) {
	n := r.store.names
	ids, err := r.store.rdb.SMembers(ctx, n.hooks()).Result()
	if err != nil {
		r.failed, r.err = r.failed+1, err
		return
	}
	waiting := ask(ctx, r, ids, func(p redis.Pipeliner, id string) *redis.IntCmd { return p.ZCard(ctx, n.waiting(id)) })
	oldest := ask(ctx, r, ids, func(p redis.Pipeliner, id string) *redis.ZSliceCmd {
		return p.ZRangeWithScores(ctx, n.waiting(id), 0, 0)
	})
	age := time.Duration(0)
	for _, cmd := range oldest {
		for _, entry := range cmd.Val() {
			age = max(age, r.now.Sub(time.UnixMilli(int64(entry.Score))))
		}
	}
	r.add(hooksDesc, float64(total(waiting)))
	r.add(hooksAgeDesc, age.Seconds())
}

// ask reads something of each item, many reads to a pipeline and all of those at once. An item whose read
// fails is left out and counted, so one damaged key costs one sample; so is, in
// silence, one that has nothing to read.
func ask[K comparable, C redis.Cmder](ctx context.Context, r *reading, items []K, read func(redis.Pipeliner, K) C) map[K]C {
	answers := make(map[K]C, len(items))
	var wg sync.WaitGroup
	for chunk := range slices.Chunk(items, snapshotChunk) {
		pipe := r.store.rdb.Pipeline()
		for _, item := range chunk {
			answers[item] = read(pipe, item)
		}
		wg.Go(func() { _, _ = pipe.Exec(ctx) }) // every command has its own error, seen to below
	}
	wg.Wait()
	for item, answer := range answers {
		switch err := answer.Err(); {
		case errors.Is(err, redis.Nil):
			delete(answers, item)
		case err != nil:
			delete(answers, item)
			r.failed++
			r.err = err
		}
	}
	return answers
}

func total(sizes map[string]*redis.IntCmd) (sum int64) {
	for _, size := range sizes {
		sum += size.Val()
	}
	return sum
}
