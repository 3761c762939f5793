package queue

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/wispanel/wptk/tasks"
)

func reconciler(s *Store) (*Reconciler, *Client) {
	c := NewClient(s)
	return NewReconciler(s, c), c
}

func TestOpOfACrashedSubmitterIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	r, c := reconciler(s)
	op := newOp("a.example")
	recordOnly(t, c, op)
	var runs atomic.Int32
	serve(t, s, Handler{Run: func(context.Context, tasks.Op, *Recorder) (tasks.Outcome, error) {
		runs.Add(1)
		return succeeded, nil
	}})
	ok(t, r.sweepOutbox(t.Context(), shards(), time.Hour)) // too young: its submitter may be at it
	if n := s.rdb.ZCard(t.Context(), s.names.outbox(shardOf(op.ID))).Val(); n != 1 {
		t.Fatalf("%d entries in the outbox", n)
	}
	ok(t, r.sweepOutbox(t.Context(), shards(), 0))
	ok(t, r.sweepOutbox(t.Context(), shards(), 0))
	if got := final(t, s, op.ID); got.State != tasks.Succeeded || runs.Load() != 1 {
		t.Errorf("%s after %d runs", got.State, runs.Load())
	}
	if n := s.rdb.ZCard(t.Context(), s.names.outbox(shardOf(op.ID))).Val(); n != 0 {
		t.Errorf("%d entries in the outbox", n)
	}
	page := must[Page[tasks.Op]](t)(c.List(t.Context(), OpFilter{Account: "alice"}))
	if len(page.Items) != 1 {
		t.Errorf("the index lists %d ops", len(page.Items))
	}
}

func TestRepeatedRequestOfACrashedSubmitterIsDeliveredAtOnce(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, op := NewClient(s), newOp("a.example")
	recordOnly(t, c, op)
	if r := submit(t, c, op); r.Created {
		t.Error("the op was made twice")
	}
	if n := s.rdb.LLen(t.Context(), lanePending(lane("n1", op.Class))).Val(); n != 1 {
		t.Errorf("%d tasks", n)
	}
}

func TestEachInterruptedPublicationIsMended(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	r, c := reconciler(s)
	for cut := int64(1); ; cut++ {
		op := newOp(fmt.Sprintf("d%d.example", cut))
		recordOnly(t, c, op)
		dying := beside(t, s)
		w := watchWire(dying)
		w.cutAt.Store(cut)
		err := newPublisher(dying).deliver(t.Context(), op, true)
		ok(t, r.sweepOutbox(t.Context(), shards(), 0))
		if n := s.rdb.LLen(t.Context(), lanePending(lane("n1", op.Class))).Val(); n != cut {
			t.Fatalf("cut at %d: %d of %d ops are in the lane", cut, n, cut)
		}
		if s.rdb.ZScore(t.Context(), s.names.allOps(), op.ID).Err() != nil {
			t.Fatalf("cut at %d: op is not in the index", cut)
		}
		if err == nil {
			return // it was not cut any more
		}
	}
}

func TestNextOpOfAWorkerThatDiedAfterFinishIsDelivered(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	r, c := reconciler(s)
	first, second := newOp("a.example"), newOp("a.example")
	submit(t, c, first)
	submit(t, c, second)
	ok(t, finishScript.Run(t.Context(), s.rdb, s.endKeys(first), first.ID, s.names.changes(), 1, "succeeded", "", "").Err())
	ok(t, r.sweepOutbox(t.Context(), shards(), 0))
	serve(t, s, Handler{Run: succeed})
	final(t, s, second.ID)
}

func TestHeadThatAsynqHasLostIsQueuedAgain(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	r, c := reconciler(s)
	head, behind := newOp("a.example"), newOp("a.example")
	submit(t, c, head)
	submit(t, c, behind)
	queue := lane("n1", head.Class)
	ok(t, s.rdb.Del(t.Context(), laneTask(queue, head.ID), lanePending(queue), laneNames).Err())
	ok(t, r.sweepOpen(t.Context(), shards(), time.Hour)) // too young
	if n := s.rdb.LLen(t.Context(), lanePending(queue)).Val(); n != 0 {
		t.Fatal("queued an op that its submitter may just be queueing")
	}
	ok(t, r.sweepOpen(t.Context(), shards(), 0))
	ok(t, r.sweepOpen(t.Context(), shards(), 0))
	pending := s.rdb.LRange(t.Context(), lanePending(queue), 0, -1).Val()
	if diff := cmp.Diff([]string{head.ID}, pending); diff != "" {
		t.Error(diff)
	}
}

func TestArchivedOpIsRevivedAFewTimesAndThenFails(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	r, c := reconciler(s)
	op := newOp("a.example")
	submit(t, c, op)
	queue := lane("n1", op.Class)
	for i := range maxRevivals + 1 {
		ok(t, asynq.NewInspectorFromRedisClient(s.rdb).ArchiveTask(queue, op.ID))
		ok(t, r.sweepOpen(t.Context(), shards(), 0))
		state := must[tasks.Op](t)(c.Get(t.Context(), op.ID)).State
		if want := i < maxRevivals; want != (state == tasks.Queued) {
			t.Fatalf("archived for the %d. time: %s", i+1, state)
		}
	}
	if got := must[tasks.Op](t)(c.Get(t.Context(), op.ID)); got.State != tasks.Failed || got.Error == nil {
		t.Errorf("ended as %s, %v", got.State, got.Error)
	}
}

func TestExpiredOpsLeaveTheIndexes(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	r, c := reconciler(s)
	gone, kept := newOp("a.example"), newOp("b.example")
	submit(t, c, gone)
	submit(t, c, kept)
	ok(t, s.rdb.Del(t.Context(), s.names.op(gone.ID)).Err())
	page := must[Page[tasks.Op]](t)(c.List(t.Context(), OpFilter{}))
	if len(page.Items) != 1 {
		t.Errorf("an expired op is listed: %v", page.Items)
	}
	ok(t, r.trim.pass(t.Context()))
	for _, index := range []string{s.names.allOps(), s.names.accountOps("alice")} {
		if diff := cmp.Diff([]string{kept.ID}, s.rdb.ZRange(t.Context(), index, 0, -1).Val()); diff != "" {
			t.Errorf("%s: %s", index, diff)
		}
	}
	ok(t, s.rdb.Del(t.Context(), s.names.op(kept.ID)).Err())
	ok(t, r.trim.pass(t.Context()))
	if n := s.rdb.SCard(t.Context(), s.names.opAccounts()).Val(); n != 0 {
		t.Errorf("%d accounts without ops are kept", n)
	}
	ok(t, r.sweepOpen(t.Context(), shards(), 0))
	if n := s.rdb.SCard(t.Context(), s.names.open(shardOf(gone.ID))).Val(); n != 0 {
		t.Errorf("%d ops count as open", n)
	}
}

func TestOneReconcilerLeadsAndAnotherFollows(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	first, c := reconciler(s)
	second, _ := reconciler(s)
	op := newOp("a.example")
	ok(t, first.pass(t.Context(), 1))
	recordOnly(t, c, op)
	ok(t, s.rdb.ZAdd(t.Context(), s.names.outbox(shardOf(op.ID)), z(1, op.ID)).Err()) // long ago
	ok(t, second.pass(t.Context(), 0))
	if n := s.rdb.ZCard(t.Context(), s.names.outbox(shardOf(op.ID))).Val(); n != 1 {
		t.Fatal("a reconciler worked without leading")
	}
	ok(t, first.resign(t.Context()))
	ok(t, second.pass(t.Context(), 0))
	if n := s.rdb.ZCard(t.Context(), s.names.outbox(shardOf(op.ID))).Val(); n != 0 {
		t.Error("the follower did not work")
	}
}

func TestQueueNamesThatRedisLostAreListedAgain(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	r, _ := reconciler(s)
	ok(t, NewNode(s, NodeConfig{ID: "n1"}).Register(t.Context()))
	ok(t, r.pass(t.Context(), 0))
	if n := s.rdb.SCard(t.Context(), laneNames).Val(); n != int64(len(laneClasses)) {
		t.Errorf("asynq's tools see %d lanes", n)
	}
}
