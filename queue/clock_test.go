package queue

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/wispanel/wptk/tasks"
)

// serveAt serves with a clock that is off by some time.
func serveAt(t *testing.T, s *Store, off *atomic.Int64, h Handler) *server {
	t.Helper()
	n := NewNode(s, NodeConfig{ID: "n1"})
	n.now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	return &server{node: n, handler: h}
}

// signedAgo is an op in the ledger, whose signature is of another age than it.
func signedAgo(t *testing.T, s *Store, domain string, age time.Duration) tasks.Op {
	t.Helper()
	op := newOp(domain)
	recordOnly(t, NewClient(s), op)
	ok(t, s.rdb.HSet(t.Context(), s.names.op(op.ID), "sig", s.signAt(time.Now().Add(-age).UnixMilli(), signedOp, opParts(op))).Err())
	return must[tasks.Op](t)(NewClient(s).Get(t.Context(), op.ID))
}

func TestOpOfAClockAheadWaitsSaysSoOnceAndRunsWhenClocksAgree(t *testing.T) {
	t.Parallel()
	s, node := guarded(t), &ran{}
	op := signedAgo(t, s, "ahead.test", 0)
	var off atomic.Int64
	off.Store(int64(-time.Hour))
	srv := serveAt(t, s, &off, node.handler())
	for range 3 {
		_, err := srv.recall(t.Context(), op.ID)
		wantErr(t, err, errClocks)
		if isFailure(err) {
			t.Error("waiting uses up the op's retries")
		}
	}
	got := must[tasks.Op](t)(NewClient(s).Get(t.Context(), op.ID))
	if got.State != tasks.Queued || got.Message != waiting[whyClock] {
		t.Errorf("it is %s: %q", got.State, got.Message)
	}
	if n := testutil.ToFloat64(s.metrics.clockHeld); n != 1 {
		t.Errorf("%g waiting ops are counted", n)
	}
	off.Store(int64(-signatureSkew / 2))
	if got := must[tasks.Op](t)(srv.recall(t.Context(), op.ID)); got.ID != op.ID {
		t.Error("it still waits")
	}
}

func TestOpThatHasBegunGoesOnWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{"behind": -time.Hour, "far behind": -10 * 365 * 24 * time.Hour, "ahead": 2 * SignatureLife} {
		s, node := guarded(t), &ran{}
		op := signedAgo(t, s, "begun.test", time.Minute)
		h := node.handler()
		h.Begun = func(id string) bool { return id == op.ID }
		var off atomic.Int64
		off.Store(int64(wrong))
		if got := must[tasks.Op](t)(serveAt(t, s, &off, h).recall(t.Context(), op.ID)); got.ID != op.ID {
			t.Errorf("%s: not let in", name)
		}
		node.past = []string{op.ID} // its end outweighs its beginning
		wantErr(t, serveAt(t, s, &off, h).admit(t.Context(), op), errReplayed)
	}
}

func TestOldOpIsRefusedOnlyByAClockThatAgreesWithRedis(t *testing.T) {
	t.Parallel()
	s, node := guarded(t), &ran{}
	young, old := signedAgo(t, s, "young.test", time.Hour), signedAgo(t, s, "old.test", SignatureLife+time.Hour)
	var off atomic.Int64
	srv := serveAt(t, s, &off, node.handler())
	ok(t, srv.admit(t.Context(), young))
	wantErr(t, srv.admit(t.Context(), old), ErrStale)
	off.Store(int64(2 * SignatureLife))
	wantErr(t, srv.admit(t.Context(), young), errClocks)
	wantErr(t, srv.admit(t.Context(), old), errClocks)
}

// A clock that was set back lets no op that has ended run again, and no old one that had been refused.
func TestClockSetBackOpensNothingThatItsLedgerOrMemoryCloses(t *testing.T) {
	t.Parallel()
	s, node := guarded(t), &ran{}
	ended := signedAgo(t, s, "ended.test", SignatureLife+time.Hour)
	node.past = []string{ended.ID}
	var off atomic.Int64
	off.Store(int64(-2 * time.Hour)) // by this clock its signature is good again
	wantErr(t, serveAt(t, s, &off, node.handler()).admit(t.Context(), ended), errReplayed)
}

func TestClockSetBackIsNoticedOnce(t *testing.T) {
	t.Parallel()
	var off time.Duration
	c := clockSteps{began: time.Now(), now: func() time.Time { return time.Now().Add(off) }}
	for _, step := range []struct {
		off  time.Duration
		back bool
	}{{0, false}, {-time.Hour, true}, {-time.Hour, false}, {time.Hour, false}, {time.Hour, false}, {0, true}} {
		off = step.off
		if back := c.back(); back > clockStep != step.back {
			t.Errorf("set to %v: back by %v", step.off, back)
		}
	}
}

func TestRetriesAreNotWaitedForAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	again := make(chan int, 9)
	_, stop := serve(t, s, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
		again <- op.Attempt
		return tasks.Outcome{}, tasks.Later(30 * time.Minute)
	}})
	op := submit(t, c, newOp("later.test")).Op
	<-again
	eventually(t, func() bool { return len(s.rdb.ZRange(t.Context(), laneRetry(lane("n1", op.Class)), 0, -1).Val()) == 1 })
	stop()
	n := NewNode(s, NodeConfig{ID: "n1"})
	srv := &server{node: n, gate: newGate(n.log, n.metrics, fastLanes("n1"), bulkLanes("n1"))}
	srv.hurry(t.Context(), time.Hour)
	if got := s.rdb.LRange(t.Context(), lanePending(lane("n1", op.Class)), 0, -1).Val(); !slices.Equal(got, []string{op.ID}) {
		t.Errorf("queued are %q", got)
	}
}

func TestHeartbeatShowsHowFarTheClockIsOff(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	n := NewNode(s, NodeConfig{ID: "n1"})
	if got := testutil.CollectAndCount(s.metrics.clockOff); got != 0 {
		t.Errorf("%d values before it is known", got)
	}
	n.now = func() time.Time { return time.Now().Add(time.Hour) }
	ok(t, n.Register(t.Context()))
	if got := testutil.ToFloat64(s.metrics.clockOff); got < 3590 || got > 3610 {
		t.Errorf("%g s ahead", got)
	}
	if n.ClockRight(t.Context()) == nil {
		t.Error("a clock that is an hour ahead is right")
	}
	ok(t, NewNode(s, NodeConfig{ID: "n1"}).ClockRight(t.Context()))
}
