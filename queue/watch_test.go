package queue

import (
	"context"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

func z(score float64, member string) redis.Z { return redis.Z{Score: score, Member: member} }

// watcher runs a watcher until the test ends.
func watcher(t *testing.T, s *Store) *Watcher {
	t.Helper()
	w := NewWatcher(s)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

func TestWaitReturnsAtOnceForWhatHasHappened(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, w, op := NewClient(s), watcher(t, s), newOp("a.example")
	submit(t, c, op)
	ok(t, w.Wait(t.Context(), op.ID, 0))
	wantErr(t, w.Wait(t.Context(), tasks.NewOpID("n1"), 0), ErrNotFound)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Wait(ctx, op.ID, 1); err == nil {
		t.Error("a wait outlived its context")
	}
	if len(w.waiters) != 0 {
		t.Errorf("%d waiters left behind", len(w.waiters))
	}
}

func TestManyWaitersSeeEveryChange(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, w, op := NewClient(s), watcher(t, s), newOp("a.example")
	submit(t, c, op)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for since := int64(0); ; {
				if err := w.Wait(context.Background(), op.ID, since); err != nil {
					t.Error(err)
					return
				}
				got, err := c.Get(context.Background(), op.ID)
				if err != nil {
					t.Error(err)
					return
				}
				if got.State.Final() {
					return
				}
				since = got.Seq
			}
		})
	}
	serve(t, s, Handler{Run: func(_ context.Context, _ tasks.Op, rec *Recorder) (tasks.Outcome, error) {
		for _, step := range []string{"a", "b", "c"} {
			if err := rec.Progress(context.Background(), tasks.Event{Step: step}); err != nil {
				t.Error(err)
			}
		}
		return succeeded, nil
	}})
	wg.Wait()
}

func TestWaiterOutlivesALostConnection(t *testing.T) {
	t.Parallel()
	s := openStore(t, devstackRedis(t)) // CLIENT KILL is for all of a server
	c, w, op := NewClient(s), watcher(t, s), newOp("a.example")
	submit(t, c, op)
	done := make(chan error, 1)
	go func() { done <- w.Wait(context.Background(), op.ID, 1) }()
	eventually(t, func() bool { return s.rdb.PubSubNumSub(t.Context(), s.names.changes()).Val()[s.names.changes()] == 1 })
	ok(t, s.rdb.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
	eventually(t, func() bool { return s.rdb.PubSubNumSub(t.Context(), s.names.changes()).Val()[s.names.changes()] == 1 })
	must[tasks.Op](t)(c.Cancel(t.Context(), op.ID))
	ok(t, <-done)
}
