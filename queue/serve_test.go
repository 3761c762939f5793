package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

func TestOpsOfAnInstallRunInOrderAndOneAtATime(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	var mu sync.Mutex
	ran, busy := map[string][]string{}, map[string]bool{}
	serve(t, s, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
		mu.Lock()
		if busy[op.Site.ID] {
			t.Errorf("two ops of %s at a time", op.Site.Domain)
		}
		busy[op.Site.ID] = true
		ran[op.Site.ID] = append(ran[op.Site.ID], op.ID)
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			busy[op.Site.ID] = false
		}()
		return succeeded, nil
	}})
	var wg sync.WaitGroup
	ids := make([]string, 50)
	for i := range ids {
		op := newOp(fmt.Sprintf("d%d.example", i%5))
		ids[i] = op.ID
		wg.Go(func() {
			if _, err := c.Submit(context.Background(), Submission{Op: op}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if op := final(t, s, id); op.State != tasks.Succeeded || op.Attempt != 1 {
			t.Errorf("%s: %s after %d attempts", id, op.State, op.Attempt)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	total := 0
	for site, order := range ran {
		total += len(order)
		if n := s.rdb.LLen(t.Context(), s.names.fifo(site)).Val(); n != 0 {
			t.Errorf("%d ops left in line", n)
		}
	}
	if total != len(ids) {
		t.Errorf("%d runs of %d ops", total, len(ids))
	}
}

func TestLineOfAnInstallIsFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	var want, got []string
	for range 8 {
		op := newOp("a.example")
		submit(t, c, op)
		want = append(want, op.ID)
	}
	var mu sync.Mutex
	serve(t, s, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, op.ID)
		return succeeded, nil
	}})
	final(t, s, want[len(want)-1])
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDuplicateDeliveryOfFinishedOpIsDropped(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	s.metrics = NewMetrics(prometheus.NewRegistry())
	c := NewClient(s)
	var runs, settled atomic.Int32
	serve(t, s, Handler{
		Run: func(context.Context, tasks.Op, *Recorder) (tasks.Outcome, error) {
			runs.Add(1)
			return succeeded, nil
		},
		Settled: func(string) error { settled.Add(1); return nil },
	})
	op := newOp("a.example")
	submit(t, c, op)
	before := final(t, s, op.ID)
	lane := lane("n1", op.Class)
	eventually(t, func() bool { return s.rdb.Exists(t.Context(), laneTask(lane, op.ID)).Val() == 0 })
	ok(t, c.enqueue(t.Context(), op)) // as a sweeper that saw an old state
	eventually(t, func() bool { return settled.Load() == 2 })
	if runs.Load() != 1 {
		t.Errorf("ran %d times", runs.Load())
	}
	if diff := cmp.Diff(before, must[tasks.Op](t)(c.Get(t.Context(), op.ID))); diff != "" {
		t.Error(diff)
	}
	if n := counted(s.metrics.duplicates); n != 1 {
		t.Errorf("%v duplicates counted", n)
	}
}

func TestDuplicateDeliveryOfRunningOpWaitsForIt(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	s.metrics = NewMetrics(prometheus.NewRegistry())
	c := NewClient(s)
	var runs atomic.Int32
	release := make(chan struct{})
	serve(t, s, Handler{Run: func(context.Context, tasks.Op, *Recorder) (tasks.Outcome, error) {
		runs.Add(1)
		<-release
		return succeeded, nil
	}})
	op := newOp("a.example")
	submit(t, c, op)
	eventually(t, func() bool { return runs.Load() == 1 })
	ok(t, s.rdb.LPush(t.Context(), lanePending(lane("n1", op.Class)), op.ID).Err())
	ok(t, s.ring(t.Context(), "n1", ringAll))
	eventually(t, func() bool { return counted(s.metrics.duplicates) == 1 })
	close(release)
	if got := final(t, s, op.ID); runs.Load() != 1 || got.Attempt != 1 {
		t.Errorf("ran %d times, attempt %d", runs.Load(), got.Attempt)
	}
}

func TestTaskLeftActiveByAKilledWorkerStartsAtOnce(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	op := newOp("a.example")
	submit(t, c, op)
	begun(t, NewNode(s, NodeConfig{ID: "n1"}), op) // …and the worker was killed:
	queue := lane("n1", op.Class)
	ok(t, s.rdb.RPopLPush(t.Context(), lanePending(queue), laneActive(queue)).Err())
	ok(t, s.rdb.HSet(t.Context(), laneTask(queue, op.ID), "state", "active").Err()) // no lease: asynq would never find it
	ghost := tasks.NewOpID("n1")
	ok(t, s.rdb.LPush(t.Context(), laneActive(queue), ghost).Err()) // its message is gone
	started := time.Now()
	serve(t, s, Handler{Run: succeed})
	got := final(t, s, op.ID)
	if got.State != tasks.Succeeded || got.Attempt != 2 {
		t.Errorf("%s after %d attempts", got.State, got.Attempt)
	}
	t.Logf("ran %v after the worker's start", time.Since(started))
	eventually(t, func() bool { return s.rdb.LLen(t.Context(), laneActive(queue)).Val() == 0 })
}

func TestStrandedTaskIsFoundWhileServing(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	op := newOp("a.example")
	submit(t, c, op)
	queue := lane("n1", op.Class)
	ok(t, s.rdb.RPopLPush(t.Context(), lanePending(queue), laneActive(queue)).Err())
	n := NewNode(s, NodeConfig{ID: "n1"})
	srv := &server{node: n, gate: newGate(discard, nil, lanesOf("n1")), held: map[string]int{}}
	srv.hold(op.ID)
	if got := srv.stranded(t.Context()); len(got) != 0 {
		t.Errorf("a held task counts as stranded: %v", got)
	}
	srv.release(op.ID)
	suspects := srv.stranded(t.Context())
	if diff := cmp.Diff(map[string][]string{queue: {op.ID}}, suspects); diff != "" {
		t.Fatal(diff)
	}
	srv.rescue(t.Context(), suspects)
	if n := s.rdb.LLen(t.Context(), lanePending(queue)).Val(); n != 1 {
		t.Errorf("%d tasks pending", n)
	}
	srv.rescue(t.Context(), suspects) // not active any more: nothing to do
	if n := s.rdb.LLen(t.Context(), lanePending(queue)).Val(); n != 1 {
		t.Errorf("put back twice: %d tasks pending", n)
	}
}

func TestCancelStopsARunningOp(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	running := make(chan struct{})
	serve(t, s, Handler{Run: func(_ context.Context, _ tasks.Op, rec *Recorder) (tasks.Outcome, error) {
		close(running)
		<-rec.Cancelled()
		return tasks.Outcome{State: tasks.Cancelled}, nil
	}})
	op := newOp("a.example")
	submit(t, c, op)
	<-running
	got := must[tasks.Op](t)(c.Cancel(t.Context(), op.ID))
	if !got.CancelRequested {
		t.Errorf("cancel of a running op answers %+v", got)
	}
	if got := final(t, s, op.ID); got.State != tasks.Cancelled {
		t.Errorf("ended as %s", got.State)
	}
}

func TestLostCancelRingIsMadeUpFor(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	running := make(chan struct{})
	serve(t, s, Handler{Run: func(_ context.Context, _ tasks.Op, rec *Recorder) (tasks.Outcome, error) {
		close(running)
		<-rec.Cancelled()
		return tasks.Outcome{State: tasks.Cancelled}, nil
	}})
	op := newOp("a.example")
	submit(t, c, op)
	<-running
	// The flag alone, as if the ring was lost.
	ok(t, cancelScript.Run(t.Context(), s.rdb, s.endKeys(op), op.ID, s.names.changes(), "{}").Err())
	final(t, s, op.ID)
}

func TestDrainKeepsInterruptedOpsForTheNextWorker(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	var attempts []int
	running := make(chan struct{}, 2)
	h := Handler{Run: func(_ context.Context, op tasks.Op, rec *Recorder) (tasks.Outcome, error) {
		attempts = append(attempts, op.Attempt)
		running <- struct{}{}
		if op.Attempt > 1 {
			return succeeded, nil
		}
		<-rec.Stopping()
		return tasks.Outcome{}, tasks.ErrInterrupted
	}}
	_, stop := serve(t, s, h)
	op := newOp("a.example")
	submit(t, c, op)
	<-running
	stop()
	queue := lane("n1", op.Class)
	if n := s.rdb.ZCard(t.Context(), laneRetry(queue)).Val(); n != 1 {
		t.Errorf("%d tasks wait for the next worker", n)
	}
	paused := must[tasks.Op](t)(c.Get(t.Context(), op.ID))
	if paused.State != tasks.Running || paused.Message != waiting[whyDrain] {
		t.Errorf("meanwhile the op says %s, %q", paused.State, paused.Message)
	}
	info := must[*asynq.TaskInfo](t)(asynq.NewInspectorFromRedisClient(s.rdb).GetTaskInfo(queue, op.ID))
	if info.Retried != 0 {
		t.Errorf("the drain used up %d retries", info.Retried)
	}
	serve(t, s, h)
	final(t, s, op.ID)
	if diff := cmp.Diff([]int{1, 2}, attempts); diff != "" {
		t.Error(diff)
	}
}

func TestDrainKillsWhatDoesNotStop(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	running, cause := make(chan struct{}), make(chan error, 1)
	_, stop := serve(t, s, Handler{
		Drain: time.Millisecond,
		Run: func(ctx context.Context, _ tasks.Op, _ *Recorder) (tasks.Outcome, error) {
			close(running)
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return tasks.Outcome{}, context.Cause(ctx)
		},
	})
	submit(t, NewClient(s), newOp("a.example"))
	<-running
	stop()
	wantErr(t, <-cause, tasks.ErrInterrupted)
}

func TestUnknownKindStaysQueuedUntilAWorkerKnowsIt(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	op := newOp("a.example")
	op.Kind = "teleport"
	_, stop := serve(t, s, Handler{Run: succeed, Knows: func(kind string) bool { return kind != "teleport" }})
	submit(t, c, op)
	parked := awaitOp(t, s, op.ID, func(op tasks.Op) bool { return op.Message != "" })
	if parked.State != tasks.Queued || parked.Attempt != 0 {
		t.Errorf("parked op is %s, attempt %d", parked.State, parked.Attempt)
	}
	eventually(t, func() bool { return s.rdb.ZCard(t.Context(), laneRetry(lane("n1", op.Class))).Val() == 1 })
	stop()
	serve(t, s, Handler{Run: succeed})
	if got := final(t, s, op.ID); got.State != tasks.Succeeded {
		t.Errorf("ended as %s", got.State)
	}
}

func TestBusyOpIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	s.metrics = NewMetrics(prometheus.NewRegistry())
	c := NewClient(s)
	serve(t, s, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
		if op.Attempt == 1 {
			return tasks.Outcome{}, tasks.Later(time.Millisecond)
		}
		return succeeded, nil
	}})
	op := newOp("a.example")
	submit(t, c, op)
	final(t, s, op.ID)
	if n := counted(s.metrics.redeliveries.WithLabelValues("busy")); n != 1 {
		t.Errorf("%v redeliveries counted", n)
	}
}

func TestPanicOfAHandlerIsRetriedAndThenFails(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	n := NewNode(s, NodeConfig{ID: "n1"})
	srv := &server{node: n, kill: t.Context(), stop: make(chan struct{}), runs: map[string]*run{}, handler: Handler{
		Run: func(context.Context, tasks.Op, *Recorder) (tasks.Outcome, error) { panic("boom") },
	}}
	op := newOp("a.example")
	submit(t, c, op)
	err := srv.attempt(t.Context(), op.ID, op.Kind, &run{}, newRounds(4))
	if err == nil || !isFailure(err) {
		t.Fatalf("a panic gave %v", err)
	}
	op = begun(t, n, op)
	if err := srv.interrupted(t.Context(), op, maxRetry-1, errors.New("/var/lib/wptk: broken")); err != nil {
		t.Fatal(err)
	}
	got := final(t, s, op.ID)
	if got.State != tasks.Failed || got.Error == nil || got.Error.Code != tasks.CodeInternal {
		t.Errorf("ended as %s, %+v", got.State, got.Error)
	}
}

func TestUnboundedFailuresAreOnlyTheHarmlessOnes(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		errors.New("x"): true, tasks.ErrInterrupted: false, tasks.Later(time.Hour): false,
		errUnknownKind: false, &ledgerError{redis.ErrClosed}: false, context.Canceled: false,
	} {
		if isFailure(err) != want {
			t.Errorf("%v: counted %v", err, !want)
		}
		if d := retryDelay(3, err, nil); d < 0 || d > laterMost*6/5 {
			t.Errorf("%v: again after %v", err, d)
		}
	}
	for n := range 100 {
		if d := retryDelay(n, errors.New("x"), nil); d < retryFirst || d > retryMost*6/5 {
			t.Errorf("retry %d after %v", n, d)
		}
	}
}

func TestBulkWorkNeverHoldsUpInteractiveWork(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	release := make(chan struct{})
	serve(t, s, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
		if op.Class == tasks.Bulk {
			<-release
		}
		return succeeded, nil
	}})
	var bulk []string
	for i := range 8 {
		op := newOp(fmt.Sprintf("bulk%d.example", i))
		op.Class = tasks.Bulk
		submit(t, c, op)
		bulk = append(bulk, op.ID)
	}
	quick := newOp("quick.example")
	submit(t, c, quick)
	final(t, s, quick.ID)
	close(release)
	for _, id := range bulk {
		final(t, s, id)
	}
}

func TestIdleNodeStartsAnOpByItsDoorbell(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	started := make(chan time.Time, 1)
	serve(t, s, Handler{Run: func(context.Context, tasks.Op, *Recorder) (tasks.Outcome, error) {
		started <- time.Now()
		return succeeded, nil
	}})
	var delays []time.Duration
	for i := range 20 {
		op := newOp(fmt.Sprintf("d%d.example", i))
		at := time.Now()
		submit(t, c, op)
		delays = append(delays, (<-started).Sub(at))
	}
	t.Logf("from submission to start: %v", delays)
}

// counted reads a counter.
func counted(c prometheus.Counter) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return -1
	}
	return m.GetCounter().GetValue()
}

// BenchmarkStart is the way of an op from its submission to its handler, on an
// idle node.
func BenchmarkStart(b *testing.B) {
	s := benchStore(b)
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1", FastSlots: 4, BulkSlots: 1})
	started := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- n.Serve(ctx, Handler{Run: func(context.Context, tasks.Op, *Recorder) (tasks.Outcome, error) {
			started <- struct{}{}
			return succeeded, nil
		}})
	}()
	for b.Loop() {
		if _, err := c.Submit(ctx, Submission{Op: newOp(tasks.NewOpID("n1") + ".example")}); err != nil {
			b.Fatal(err)
		}
		<-started
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
