package main

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wispanel/wptk/queue"
)

// ended reads a stream to its end; that it does not end by itself takes a quarter of an hour.
func (c *sseClient) ended(what string) {
	c.t.Helper()
	read := make(chan error, 1)
	go func() {
		for {
			if _, err := c.next(); err != nil {
				read <- err
				return
			}
		}
	}()
	select {
	case err := <-read:
		if !errors.Is(err, io.EOF) {
			c.t.Errorf("%s: %v", what, err)
		}
	case <-time.After(time.Minute):
		c.t.Fatalf("the stream of %s goes on", what)
	}
}

func TestStreamsEndWithTheirKey(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	key, secret, err := k.client.CreateKey(t.Context(), queue.NewKey{Name: "lost", Owner: "alice"})
	must(t, err)
	op, urls := k.begun("alice"), k.api.URL+apiBase+"/wordpress/"
	account := k.stream(k.api.URL, secret, "", "")
	one := k.streamOf(urls+"operations/"+op+"/events", secret, "")
	expired := k.stream(k.api.URL, k.key(queue.NewKey{Name: "short", Owner: "alice", ExpiresAt: time.Now().Add(time.Second)}), "", "")
	session := k.signIn(k.admin)
	console := k.stream(k.api.URL, session, "", "")
	good := k.stream(k.api.URL, k.alice, "", "")

	must(t, queue.NewClient(k.store).RevokeKey(t.Context(), "", key.ID)) // by another process
	account.ended("a revoked key")
	one.ended("a revoked key, of one operation")
	expired.ended("an expired key")
	if a := k.call(session, "DELETE", consoleSession, ""); a.status != 204 {
		t.Errorf("signing out: %d", a.status)
	}
	console.ended("a session that was signed out")
	good.must("snapshot")
	k.cancelled(op)
	good.must("done")
}

func TestGuardLooksOnlyWhileThereAreStreams(t *testing.T) {
	t.Parallel()
	var looks atomic.Int32
	good := holder{secret: "good"}
	g := newGuard(t.Context(), func(_ context.Context, h holder) bool {
		looks.Add(1)
		return h == good
	})
	g.every = time.Millisecond
	ends := make(chan string, 10)
	var forget []func()
	for _, h := range []holder{good, good, {secret: "bad"}, {secret: "bad"}} {
		forget = append(forget, g.add(h, func() { ends <- h.secret }))
	}
	for range 2 {
		if got := <-ends; got != "bad" {
			t.Errorf("a stream of a %s key was ended", got)
		}
	}
	for _, f := range forget {
		f()
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); g.watching(); <-tick.C { // a look that was under way
		if time.Now().After(deadline) {
			t.Fatal("it still looks")
		}
	}
	was := looks.Load()
	g.add(good, func() { t.Error("a stream of a good key was ended") })()
	if g.watching() || looks.Load() != was || len(g.open) != 0 {
		t.Errorf("%d looks without a stream, %v", looks.Load()-was, g.open)
	}
}

func (g *guard) watching() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.next != nil
}
