package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

type benchLatencyCmd struct {
	N    int           `help:"Starts of each that are measured." default:"300" env:"-"`
	Idle time.Duration `help:"How long an idle node's commands are counted." default:"30s" env:"-"`
}

// latencyGoal is the most that the median may be, in ms.
const latencyGoal = 15

const (
	benchNode  = "bench"
	benchKind  = "bench"
	fastSlots  = 4 // the worker's default
	bulkSlots  = 1
	warmUps    = 5
	stockLane  = "stock.hi"
	idleSettle = 2 * time.Second
	// The time between two starts: long enough for the node to be idle again, and random,
	// so that it hits a polling node at any point of its pause.
	leastGap, meanGap = 50 * time.Millisecond, 150 * time.Millisecond
)

// latencyFigures also tell what it costs to wait for work.
type latencyFigures struct {
	figures
	Idle idleFigures `json:"idle_commands_per_second"`
}

// Run measures and prints.
func (cmd *benchLatencyCmd) Run(ctx context.Context, a *app) error {
	if cmd.N < 1 || cmd.Idle < time.Second {
		return usage("--n must be at least 1, --idle at least 1s")
	}
	ours, stock, err := cmd.starts(ctx)
	if err != nil {
		return err
	}
	idle, err := measureIdle(ctx, cmd.Idle)
	if err != nil {
		return err
	}
	median, baseline := quantile(ours, .5), quantile(stock, .5)
	f := latencyFigures{Idle: idle, figures: figures{
		Name: "bench.latency", Value: figure(median), Unit: "ms", Baseline: figure(baseline),
		BaselineName: "stock asynq v0.26, checking every second", Ratio: figure(baseline / median),
		GoalValue: latencyGoal, N: cmd.N, Spread: [2]float64{figure(quantile(ours, .1)), figure(quantile(ours, .9))},
	}}
	f.Met = median < latencyGoal && idle.Ours < idle.Stock
	row := func(name string, ms []float64, commands float64) []string {
		return []string{name, digits(quantile(ms, .1), 1), digits(quantile(ms, .5), 1), digits(quantile(ms, .9), 1),
			digits(quantile(ms, .99), 1), digits(commands, 1)}
	}
	return a.measured(f, f.Met, "START-MS P10 P50 P90 P99 IDLE-COMMANDS/S",
		[][]string{row("ours", ours, idle.Ours), row("stock", stock, idle.Stock)})
}

// starts lets both ways run beside each other on one Redis and asks them in turn.
func (cmd *benchLatencyCmd) starts(ctx context.Context) (ours, stock []float64, err error) {
	redis, err := devstack.Redis(ctx, devstack.RedisOptions{})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, redis.Stop()) }()
	watches := [2]*stopwatch{newStopwatch(cmd.N + warmUps), newStopwatch(cmd.N + warmUps)}
	a, stopOurs, err := serveOurs(ctx, redis, watches[0])
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, stopOurs()) }()
	b, stopStock, err := serveStock(redis, watches[1])
	if err != nil {
		return nil, nil, err
	}
	defer stopStock()
	for range cmd.N + warmUps {
		for i, ask := range []func(context.Context) error{a, b} {
			if err := pause(ctx, leastGap+time.Duration(rand.ExpFloat64()*float64(meanGap-leastGap))); err != nil {
				return nil, nil, err
			}
			if err := ask(ctx); err != nil {
				return nil, nil, fmt.Errorf("asking for start %d: %w", i, err)
			}
		}
	}
	if ours, err = watches[0].all(ctx); err != nil {
		return nil, nil, err
	}
	stock, err = watches[1].all(ctx)
	return ours, stock, err
}

// serveOurs is the real way: the ledger, the FIFO of the install, the outbox, asynq, the
// doorbell. The answer asks for one start; ended ends the node.
func serveOurs(ctx context.Context, redis *devstack.Server, watch *stopwatch) (ask func(context.Context) error, ended func() error, err error) {
	store, err := queue.Open(ctx, queue.Options{URL: redis.URL(0)}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	handler := queue.Handler{Run: func(_ context.Context, op tasks.Op, _ *queue.Recorder) (tasks.Outcome, error) {
		watch.begun(op.ID)
		return tasks.Outcome{State: tasks.Succeeded}, nil
	}}
	node := queue.NewNode(store, queue.NodeConfig{ID: benchNode, FastSlots: fastSlots, BulkSlots: bulkSlots})
	stop := inBackground(ctx, node.Run, func(ctx context.Context) error { return node.Serve(ctx, handler) })
	client := queue.NewClient(store)
	ask = func(ctx context.Context) error {
		op := benchOp()
		watch.asked(op.ID)
		_, err := client.Submit(ctx, queue.Submission{Op: op})
		return err
	}
	return ask, func() error { return errors.Join(stop(), store.Close()) }, nil
}

// benchOp is an op on an install of its own, so that none waits for another.
func benchOp() tasks.Op {
	id := tasks.NewOpID(benchNode)
	site := tasks.SiteRef{Node: benchNode, Account: "alice", Domain: id[3:11] + id[len(id)-12:] + ".test", Path: "public_html"}
	site.ID = tasks.SiteID(site.Node, site.Account, site.Domain, site.Path)
	return tasks.Op{ID: id, Kind: benchKind, Class: tasks.Interactive, Site: site, Payload: []byte(`{}`)}
}

// serveStock is asynq as its README has it: three queues, everything else at its default,
// TaskCheckInterval (one second) included.
func serveStock(redis *devstack.Server, watch *stopwatch) (ask func(context.Context) error, stop func(), err error) {
	opt := asynq.RedisClientOpt{Addr: redis.Addr, Password: redis.Password}
	server := asynq.NewServer(opt, asynq.Config{
		Concurrency: fastSlots + bulkSlots, LogLevel: asynq.ErrorLevel,
		Queues: map[string]int{stockLane: 3, "stock.std": 2, "stock.bulk": 1},
	})
	err = server.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		watch.begun(string(t.Payload()))
		return nil
	}))
	if err != nil {
		return nil, nil, fmt.Errorf("starting stock asynq: %w", err)
	}
	client := asynq.NewClient(opt)
	ask = func(ctx context.Context) error {
		id := tasks.NewOpID(benchNode)
		watch.asked(id)
		_, err := client.EnqueueContext(ctx, asynq.NewTask(benchKind, []byte(id)), asynq.TaskID(id), asynq.Queue(stockLane))
		return err
	}
	return ask, func() { server.Shutdown(); client.Close() }, nil //nolint:errcheck // its Redis is about to end
}

// inBackground runs parts until the answer is called, which waits for them.
func inBackground(ctx context.Context, parts ...func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- boot.Together(ctx, parts...) }()
	return func() error { cancel(); return <-done }
}

// stopwatch measures from the moment something is asked for to the moment it begins.
type stopwatch struct {
	want int
	done chan struct{} // closed when all have begun

	mu   sync.Mutex
	from map[string]time.Time
	took []float64 // ms, in the order of their start
}

func newStopwatch(want int) *stopwatch {
	return &stopwatch{want: want, done: make(chan struct{}), from: make(map[string]time.Time)}
}

func (s *stopwatch) asked(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from[id] = time.Now()
}

func (s *stopwatch) begun(id string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	from, ok := s.from[id]
	if !ok {
		return // begun already: a redelivery is no start
	}
	delete(s.from, id)
	s.took = append(s.took, milliseconds(now.Sub(from)))
	if len(s.took) == s.want {
		close(s.done)
	}
}

// all waits until everything has begun; the first few, with cold caches, do not count.
func (s *stopwatch) all(ctx context.Context) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	select {
	case <-s.done:
		return s.took[warmUps:], nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for starts: %w", ctx.Err())
	}
}
