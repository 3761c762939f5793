package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

const (
	// drainDefault is how long running ops may take to reach a step boundary.
	drainDefault = 2 * time.Minute
	// killGrace is how long they then have to kill their children.
	killGrace = 20 * time.Second
	// laneConns is how many connections the loops of the two servers share. None of their
	// commands waits for anything, so few do; what each opens at its start would stay open, and
	// a thousand nodes are at the ten thousand that Redis takes by default. Not in it: three
	// subscriptions.
	laneConns = 3
	// IdleConns is what a worker's own store keeps open, for Options.MaxIdle.
	IdleConns = 2
	// forwardEvery is how often asynq looks for retries that are due.
	forwardEvery = 5 * time.Second
)

// Handler runs ops.
type Handler struct {
	// Run runs one attempt of an op and answers how the op ended. Its error means
	// that the op has not ended: tasks.Later (deliver again after a while),
	// tasks.ErrInterrupted (stopped at a step boundary, to be resumed), anything
	// else is trouble of the worker's own and retried with growing pauses, a
	// bounded number of times. The context does not end when Redis goes away, nor
	// when the worker starts to drain (see Recorder.Stopping).
	Run func(ctx context.Context, op tasks.Op, rec *Recorder) (tasks.Outcome, error)
	// Settled is told when an op's outcome is safe in the ledger, so that the
	// node may forget its journal. May be nil, and may be told twice.
	Settled func(opID string) error
	// Ended reports whether an op has ended on this node already (its Settled was called), for at
	// least SignatureLife: such an op is not run again, whatever the ledger says. Nil: none has.
	Ended func(opID string) bool
	// Begun reports whether an op has begun on this node and not ended: the node has a journal of
	// it. Such an op goes on even when its signature is too old, or from the future. Nil: none has.
	Begun func(opID string) bool
	// Knows reports whether Run can run a kind. Ops of other kinds stay queued
	// until a newer worker comes. Nil knows all.
	Knows func(kind string) bool
	// Drain bounds the wait for running ops at the end; 0 is two minutes. What
	// supervises the process must wait longer, by at least 30 s.
	Drain time.Duration
}

// server is a node that serves its lanes.
type server struct {
	node    *Node
	handler Handler
	gate    *gate
	stop    chan struct{} // closed when draining begins
	kill    context.Context
	work    sync.WaitGroup // deliveries

	mu   sync.Mutex
	held map[string]int  // deliveries by op, however far they are
	runs map[string]*run // ops that are being run
}

// Serve runs ops of this node until ctx ends, and returns when what ran has
// stopped. The caller holds the node's lock: what the lanes show as active at
// the start was left behind by a crash, and is put back at once.
func (n *Node) Serve(ctx context.Context, h Handler) error {
	if h.Drain <= 0 {
		h.Drain = drainDefault
	}
	kill, killNow := context.WithCancelCause(context.WithoutCancel(ctx))
	defer killNow(nil)
	s := &server{
		node: n, handler: h, kill: kill, stop: make(chan struct{}),
		gate: newGate(n.log, n.metrics, fastLanes(n.ID()), bulkLanes(n.ID())),
		held: make(map[string]int), runs: make(map[string]*run),
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	target := n.target
	target.poolSize, target.maxIdle = laneConns, 0 // all of them
	rdb := target.connect()
	rdb.AddHook(s.gate)
	servers, err := s.start(rdb)
	if err != nil {
		return errors.Join(err, rdb.Close())
	}
	loops := s.loops(context.WithoutCancel(ctx))
	<-ctx.Done()
	s.drain(servers, killNow)
	loops()
	if err := rdb.Close(); err != nil {
		return fmt.Errorf("closing redis connections of lanes: %w", err)
	}
	return nil
}

// start starts the two asynq servers of a node. Bulk work has its own, as slots
// are shared by all lanes of a server and backups would fill every one.
func (s *server) start(rdb redis.UniversalClient) ([]*asynq.Server, error) {
	id := s.node.ID()
	fast := s.newServer(rdb, s.node.config.FastSlots, fastLanes(id))
	bulk := s.newServer(rdb, s.node.config.BulkSlots, bulkLanes(id))
	if err := fast.Start(s.process(s.node.config.FastSlots)); err != nil {
		return nil, fmt.Errorf("starting fast lanes: %w", err)
	}
	if err := bulk.Start(s.process(s.node.config.BulkSlots)); err != nil {
		fast.Shutdown()
		return nil, fmt.Errorf("starting bulk lane: %w", err)
	}
	return []*asynq.Server{fast, bulk}, nil
}

// newServer makes a server of lanes, the most urgent first: a lane is looked at
// when those before it are empty.
func (s *server) newServer(rdb redis.UniversalClient, slots int, lanes []string) *asynq.Server {
	queues := make(map[string]int)
	for i, l := range lanes {
		queues[l] = len(lanes) - i
	}
	return asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: max(slots, 1), Queues: queues, StrictPriority: true,
		TaskCheckInterval:        pollEvery,
		DelayedTaskCheckInterval: forwardEvery,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		Logger:                   asynqLog{s.node.log}, LogLevel: asynq.WarnLevel,
		// Ours ends first, so that asynq never gives a task back that still runs.
		ShutdownTimeout: s.handler.Drain + killGrace + 10*time.Second,
	})
}

// loops starts what runs beside the lanes; the answer ends it and waits.
func (s *server) loops(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context){s.listen, s.watch, s.watchClock, s.findStranded} {
		wg.Go(func() { loop(ctx) })
	}
	return func() { cancel(); wg.Wait() }
}

// drain stops fetching, lets every op stop at its next step boundary, and kills
// those that take too long.
func (s *server) drain(servers []*asynq.Server, killNow context.CancelCauseFunc) {
	close(s.stop)
	close(s.gate.closed)
	for _, srv := range servers {
		srv.Stop()
	}
	done := make(chan struct{})
	go func() {
		for _, srv := range servers {
			srv.Shutdown() // waits for the deliveries that asynq still knows of
		}
		s.work.Wait() // and this for those that it gave up
		close(done)
	}()
	if waitFor(done, s.handler.Drain) {
		return
	}
	s.node.log.Warn("killing operations that did not stop in time", "node", s.node.ID())
	killNow(tasks.ErrInterrupted)
	if !waitFor(done, killGrace) {
		s.node.log.Error("operations do not stop; leaving them to what supervises this process", "node", s.node.ID())
	}
}

func waitFor(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

func fastLanes(node string) []string {
	return []string{lane(node, tasks.Interactive), lane(node, tasks.Standard), lane(node, lateFast)}
}

func bulkLanes(node string) []string {
	return []string{lane(node, tasks.Bulk), lane(node, lateBulk)}
}

func lanesOf(node string) []string { return append(fastLanes(node), bulkLanes(node)...) }
