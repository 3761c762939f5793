// Package queuetest gives tests a real Redis of their own and a node whose
// handler is a function of the test.
package queuetest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// prefixes keeps tests apart on pub/sub channels, which Redis has once for all
// of its databases.
var prefixes atomic.Int64

// Open opens a store on an empty Redis database that is the test's own. The
// package's TestMain has to be devstack.Main.
func Open(t testing.TB) *queue.Store {
	t.Helper()
	return OpenAt(t, devstack.SharedRedis(t))
}

// OpenAt opens a store on any Redis, under a prefix of its own.
func OpenAt(t testing.TB, url string) *queue.Store {
	t.Helper()
	prefix := fmt.Sprintf("test%d:", prefixes.Add(1))
	s, err := queue.Open(t.Context(), queue.Options{URL: url, Prefix: prefix}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Op makes an op of a kind for an install of its own on a node.
func Op(node, kind, domain string) tasks.Op {
	site := tasks.SiteRef{Node: node, Account: "alice", Domain: domain, Path: "public_html"}
	site.ID = tasks.SiteID(site.Node, site.Account, site.Domain, site.Path)
	return tasks.Op{ID: tasks.NewOpID(node), Kind: kind, Class: tasks.Interactive, Site: site, Payload: []byte(`{}`)}
}

// Serve makes a registered node of a store and lets it run ops by h until the
// test ends, or until stop is called, which waits for the drain.
func Serve(t testing.TB, s *queue.Store, node string, h queue.Handler) (n *queue.Node, stop func()) {
	t.Helper()
	n = queue.NewNode(s, queue.NodeConfig{ID: node, FastSlots: 4, BulkSlots: 1})
	if err := n.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
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

// Final waits for the end of an op and answers it.
func Final(t testing.TB, s *queue.Store, id string) tasks.Op {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, c := queue.NewWatcher(s), queue.NewClient(s)
	go func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	for seq := int64(0); ; {
		if err := w.Wait(ctx, id, seq); err != nil {
			t.Fatalf("waiting for the end of %s: %v", id, err)
		}
		op, err := c.Get(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if op.State.Final() {
			return op
		}
		seq = op.Seq
	}
}
