package queue

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
)

// whole runs the life of ops on five nodes, in as many shards.
func whole(t *testing.T, s *Store) {
	t.Helper()
	c := NewClient(s)
	r := NewReconciler(s, c)
	var ids []string
	for i := range 5 {
		node := fmt.Sprintf("n%d", i)
		n := NewNode(s, NodeConfig{ID: node, FastSlots: 2, BulkSlots: 1})
		ok(t, n.Register(t.Context()))
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- n.Serve(ctx, Handler{Run: func(_ context.Context, _ tasks.Op, rec *Recorder) (tasks.Outcome, error) {
				rec.Log("line")
				return succeeded, rec.Progress(context.Background(), tasks.Event{Step: "a", Progress: 10})
			}})
		}()
		t.Cleanup(func() { cancel(); ok(t, <-done) })
		for range 2 { // the second waits for the first
			op := newOp("a.example")
			op.Site.Node = node
			op.ID, op.Site.ID = tasks.NewOpID(node), tasks.SiteID(node, "alice", "a.example", "x")
			submit(t, c, op)
			ids = append(ids, op.ID)
		}
		waiting := newOp("b.example")
		waiting.Site.Node = node
		waiting.ID, waiting.Site.ID = tasks.NewOpID(node), tasks.SiteID(node, "alice", "b.example", "x")
		recordOnly(t, c, waiting)
		ids = append(ids, waiting.ID)
	}
	ok(t, r.sweepOutbox(t.Context(), shards(), 0))
	for _, id := range ids {
		if op := final(t, s, id); op.State != tasks.Succeeded {
			t.Errorf("%s is %s", id, op.State)
		}
		limit, op, err := c.Poll(t.Context(), "bucket", 1000, id)
		if err != nil || op.ID != id || !limit.Allowed {
			t.Errorf("poll: %v, %v, %v", limit, op.ID, err)
		}
		if lines, _, err := c.Log(t.Context(), id, "", 10); err != nil || len(lines) != 1 {
			t.Errorf("log: %v, %v", lines, err)
		}
	}
	ok(t, r.pass(t.Context(), 0))
	page := must[Page[tasks.Op]](t)(c.List(t.Context(), OpFilter{Account: "alice", States: []tasks.State{tasks.Succeeded}}))
	if len(page.Items) != len(ids) {
		t.Errorf("%d of %d ops are listed", len(page.Items), len(ids))
	}
	ok(t, watcher(t, s).Wait(t.Context(), ids[0], 0))
}

func TestEverythingWorksOnACluster(t *testing.T) {
	t.Parallel()
	g := must[*devstack.Group](t)(devstack.RedisCluster(t.Context()))
	t.Cleanup(func() { ok(t, g.Stop()) })
	s := openStore(t, g.URL)
	if _, is := s.rdb.(*redis.ClusterClient); !is {
		t.Fatalf("%T is no cluster client", s.rdb)
	}
	whole(t, s)
}

func TestEverythingWorksBehindSentinels(t *testing.T) {
	t.Parallel()
	g := must[*devstack.Group](t)(devstack.RedisSentinel(t.Context()))
	t.Cleanup(func() { ok(t, g.Stop()) })
	whole(t, openStore(t, g.URL))
}

// What only the master has, a failover throws away.
func TestNothingIsAcceptedBehindSentinelsThatNoReplicaHas(t *testing.T) {
	t.Parallel()
	g := must[*devstack.Group](t)(devstack.RedisSentinel(t.Context()))
	t.Cleanup(func() { ok(t, g.Stop()) })
	c := NewClient(openStore(t, g.URL))
	hang := func(s syscall.Signal) {
		for _, replica := range g.Servers[1:] {
			ok(t, replica.Signal(s))
		}
	}
	op := newOp("a.example")
	hang(syscall.SIGSTOP)
	t.Cleanup(func() { hang(syscall.SIGCONT) })
	if _, err := c.Submit(t.Context(), Submission{Op: op}); !errors.Is(err, errNotCopied) || !Unavailable(err) {
		t.Fatalf("with replicas that hang: %v", err)
	}
	if _, err := c.Submit(t.Context(), Submission{Op: op}); !errors.Is(err, errNotCopied) { // it is there, and still on the master alone
		t.Fatalf("asked again: %v", err)
	}
	hang(syscall.SIGCONT)
	receipt := must[Receipt](t)(c.Submit(t.Context(), Submission{Op: op}))
	if receipt.Created || receipt.Op.ID != op.ID {
		t.Errorf("with a replica that goes on: %+v", receipt)
	}
}
