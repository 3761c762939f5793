package queue

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/wispanel/wptk/tasks"
)

// newOp makes an op for the install of a domain on node n1.
func newOp(domain string) tasks.Op {
	site := tasks.SiteRef{Node: "n1", Account: "alice", Domain: domain, Path: "public_html"}
	site.ID = tasks.SiteID(site.Node, site.Account, site.Domain, site.Path)
	return tasks.Op{
		ID: tasks.NewOpID("n1"), Kind: "install", Class: tasks.Interactive, Site: site,
		Payload: []byte(`{"title":"x"}`), KeyID: "k1", RequestID: "r1",
	}
}

// submit accepts an op.
func submit(t *testing.T, c *Client, op tasks.Op) Receipt {
	t.Helper()
	return must[Receipt](t)(c.Submit(t.Context(), Submission{Op: op}))
}

// record puts an op in the ledger and nowhere else, as a submitter that dies
// right after it was accepted.
func recordOnly(t *testing.T, c *Client, op tasks.Op) {
	t.Helper()
	_, _, err := c.record(t.Context(), Submission{Op: op, Retention: time.Hour})
	ok(t, err)
}

// bench runs a node with a handler; stop drains it.
func serve(t *testing.T, s *Store, h Handler) (n *Node, stop func()) {
	t.Helper()
	n = NewNode(s, NodeConfig{ID: "n1", FastSlots: 4, BulkSlots: 1})
	ok(t, n.Register(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx, h) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}

// final waits for the end of an op.
func final(t *testing.T, s *Store, id string) tasks.Op {
	t.Helper()
	return awaitOp(t, s, id, func(op tasks.Op) bool { return op.State.Final() })
}

func awaitOp(t *testing.T, s *Store, id string, want func(tasks.Op) bool) tasks.Op {
	t.Helper()
	var op tasks.Op
	eventually(t, func() bool {
		var err error
		op, err = s.read(t.Context(), id, readAll)
		return err == nil && want(op)
	})
	return op
}

// eventually is for what no signal tells of: what asynq does on its own.
func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatal("did not happen within a minute")
		case <-tick.C:
		}
	}
}

var succeeded = tasks.Outcome{State: tasks.Succeeded, Result: []byte(`{"ok":true}`)}

func succeed(context.Context, tasks.Op, *Recorder) (tasks.Outcome, error) { return succeeded, nil }

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// handlerFunc is an asynq handler that looks at nothing.
func handlerFunc(fn func() error) asynq.HandlerFunc {
	return func(context.Context, *asynq.Task) error { return fn() }
}
