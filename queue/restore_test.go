package queue

import (
	"context"
	"slices"
	"testing"

	"github.com/wispanel/wptk/tasks"
)

// begunAndLost is an op as the node's journal has it: accepted, begun twice, and gone from Redis.
func begunAndLost(t *testing.T, c *Client, domain string) tasks.Op {
	t.Helper()
	op := newOp(domain)
	submit(t, c, op)
	op = must[tasks.Op](t)(c.Get(t.Context(), op.ID))
	loseAll(t, c.Store, op)
	op.Attempt = 2
	return op
}

// loseAll is Redis coming back without an op, its line and its task.
func loseAll(t *testing.T, s *Store, op tasks.Op) {
	t.Helper()
	shard, queue := shardOf(op.ID), lane(op.Site.Node, op.Class)
	for _, key := range []string{
		s.names.op(op.ID), s.names.events(op.ID), s.names.fifo(op.Site.ID), s.names.last(op.Site.ID),
		s.names.open(shard), s.names.outbox(shard), s.names.allOps(), laneTask(queue, op.ID), lanePending(queue), laneActive(queue),
	} {
		ok(t, s.rdb.Del(t.Context(), key).Err())
	}
}

func TestOpThatRedisLostIsRestoredWithItsSignatureAndEndsOnce(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	c := NewClient(s)
	op := begunAndLost(t, c, "restored.example")
	node := NewNode(s, NodeConfig{ID: "n1"})
	for i := range 3 {
		if got := must[bool](t)(node.Restore(t.Context(), op)); got != (i == 0) {
			t.Errorf("restored at try %d: %v", i+1, got)
		}
	}
	got := must[tasks.Op](t)(c.Get(t.Context(), op.ID))
	if got.State != tasks.Running || got.Attempt != 2 || got.Seq <= op.Seq+1000 || string(got.Payload) != string(op.Payload) {
		t.Errorf("restored as %+v", got)
	}
	ran := make(chan int, 9)
	serve(t, s, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
		ran <- op.Attempt
		return succeeded, nil
	}})
	if end := final(t, s, op.ID); end.State != tasks.Succeeded || end.Attempt != 3 || len(ran) != 1 {
		t.Errorf("%s at attempt %d after %d runs", end.State, end.Attempt, len(ran))
	}
	if must[bool](t)(node.Restore(t.Context(), op)) {
		t.Error("an op that has ended was restored")
	}
}

func TestRestoredOpComesBeforeWhatWasAskedForSince(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	op := begunAndLost(t, c, "since.example")
	later := newOp("since.example")
	submit(t, c, later)
	must[bool](t)(NewNode(s, NodeConfig{ID: "n1"}).Restore(t.Context(), op))
	ran := make(chan string, 9)
	serve(t, s, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
		ran <- op.ID
		return succeeded, nil
	}})
	final(t, s, op.ID)
	final(t, s, later.ID)
	if order := []string{<-ran, <-ran}; !slices.Equal(order, []string{op.ID, later.ID}) || len(ran) > 0 {
		t.Errorf("ran %v, want %s and then %s", order, op.ID, later.ID)
	}
}

func TestRunningOpThatRedisLosesIsRestoredAndNotRunAgain(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]bool{"while it runs": true, "at its end": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registryStore(t)
			c := NewClient(s)
			begun, end, runs := make(chan tasks.Op), make(chan struct{}), 0
			serve(t, s, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
				runs++
				begun <- op
				<-end
				return succeeded, nil
			}})
			submit(t, c, newOp("live.example"))
			op := <-begun
			loseAll(t, s, op)
			if wait {
				awaitOp(t, s, op.ID, func(op tasks.Op) bool { return op.Attempt == 1 })
			}
			close(end)
			if got := final(t, s, op.ID); got.State != tasks.Succeeded || got.Attempt != 1 || runs != 1 {
				t.Errorf("%s at attempt %d after %d runs", got.State, got.Attempt, runs)
			}
		})
	}
}

func TestNodeRestoresItsOwnOpsAlone(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	op := newOp("own.example")
	_, err := NewNode(s, NodeConfig{ID: "n2"}).Restore(t.Context(), op)
	wantErr(t, err, errElsewhere)
}
