package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// tap records the scripts that pass, by their first two keys.
type tap struct {
	redis.Hook
	mu   sync.Mutex
	seen map[[2]string]int
}

func (p *tap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if k1, k2, ok := scriptKeys(cmd); ok {
			p.mu.Lock()
			p.seen[[2]string{k1, k2}]++
			p.mu.Unlock()
		}
		return next(ctx, cmd)
	}
}

func (p *tap) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p *tap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestAsynqStillUsesTheKeysTheGateKnows fails when an upgrade of asynq moves
// what gate.go, sweep.lua and names.go rely on.
func TestAsynqStillUsesTheKeysTheGateKnows(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	h := &tap{seen: make(map[[2]string]int)}
	rdb := s.target.connect()
	defer func() { ok(t, rdb.Close()) }()
	rdb.AddHook(h)
	n := NewNode(s, NodeConfig{ID: "n1"})
	srv := &server{node: n, handler: Handler{}}
	queue := lane("n1", tasks.Interactive)
	running, release := make(chan struct{}), make(chan struct{})
	asynqServer := srv.newServer(rdb, 1, []string{queue})
	ok(t, asynqServer.Start(handlerFunc(func() error {
		running <- struct{}{}
		<-release
		return nil
	})))
	op := newOp("a.example")
	submit(t, c, op)
	<-running
	if got := s.rdb.LRange(t.Context(), laneActive(queue), 0, -1).Val(); len(got) != 1 || got[0] != op.ID {
		t.Errorf("active is no list of the running tasks: %v", got)
	}
	if s.rdb.ZScore(t.Context(), laneLease(queue), op.ID).Err() != nil {
		t.Error("a running task has no lease in the zset")
	}
	fields := s.rdb.HGetAll(t.Context(), laneTask(queue, op.ID)).Val()
	if fields["state"] != "active" || fields["msg"] == "" {
		t.Errorf("task hash has other fields: %v", fields)
	}
	close(release)
	eventually(t, func() bool { return s.rdb.LLen(t.Context(), laneActive(queue)).Val() == 0 })
	asynqServer.Shutdown()
	h.mu.Lock()
	defer h.mu.Unlock()
	for what, keys := range map[string][2]string{
		"dequeue":     {lanePending(queue), lanePaused(queue)},
		"acknowledge": {laneActive(queue), laneLease(queue)},
	} {
		if h.seen[keys] == 0 {
			t.Errorf("asynq's %s is no script with the keys %v any more; seen: %v", what, keys, h.seen)
		}
	}
}

func TestAcknowledgementGetsALiveContext(t *testing.T) {
	t.Parallel()
	g := newGate(discard, nil, []string{"q"})
	dead, cancel := context.WithCancel(context.Background())
	cancel()
	for _, keys := range [][]any{
		{laneActive("q"), laneLease("q")},      // done, complete, requeue
		{laneTask("q", "id"), laneActive("q")}, // retry, archive
	} {
		var got error
		hook := g.ProcessHook(func(ctx context.Context, _ redis.Cmder) error { got = ctx.Err(); return nil })
		ok(t, hook(dead, redis.NewCmd(dead, append([]any{"evalsha", "sha", 2}, keys...)...)))
		if got != nil {
			t.Errorf("%v: ran with a dead context", keys)
		}
	}
	hook := g.ProcessHook(func(ctx context.Context, _ redis.Cmder) error { return ctx.Err() })
	wantErr(t, hook(dead, redis.NewCmd(dead, "get", "x")), context.Canceled)
}

func dequeueCmd(queue string) *redis.Cmd {
	return redis.NewCmd(context.Background(), "evalsha", "sha", 4, lanePending(queue), lanePaused(queue), laneActive(queue), laneLease(queue))
}

func TestGateAsksRedisOnlyAfterARing(t *testing.T) {
	t.Parallel()
	g := newGate(discard, nil, []string{"hi", "std"})
	asked := map[string]int{}
	hook := g.ProcessHook(func(_ context.Context, cmd redis.Cmder) error {
		k1, _, _ := scriptKeys(cmd)
		asked[strings.TrimSuffix(strings.TrimPrefix(k1, "asynq:{"), "}:pending")]++
		return redis.Nil
	})
	look := func(queue string) { wantErr(t, hook(t.Context(), dequeueCmd(queue)), redis.Nil) }
	look("hi") // rung at the start
	look("std")
	look("hi") // not any more
	if asked["hi"] != 1 || asked["std"] != 1 {
		t.Errorf("asked %v", asked)
	}
	done := make(chan struct{})
	go func() { // the last lane waits for any lane's ring
		defer close(done)
		look("std")
		look("std")
	}()
	g.ring(lanePending("hi"))
	g.ring(lanePending("nobody's"))
	g.ring(lanePending("std"))
	<-done
	look("hi")
	if asked["hi"] != 2 || asked["std"] != 2 {
		t.Errorf("asked %v", asked)
	}
}

func TestGateLooksAgainAfterATaskOrAnError(t *testing.T) {
	t.Parallel()
	g := newGate(discard, nil, []string{"hi", "std"})
	close(g.closed) // so that nothing waits
	answer := error(nil)
	asked := 0
	hook := g.ProcessHook(func(context.Context, redis.Cmder) error { asked++; return answer })
	for i, err := range []error{nil, errors.New("OOM command not allowed"), redis.Nil} {
		answer = err
		if got := hook(t.Context(), dequeueCmd("hi")); !errors.Is(got, err) {
			t.Errorf("answered %v, want %v", got, err)
		}
		if asked != i+1 {
			t.Errorf("asked %d times after %d looks", asked, i+1)
		}
	}
	wantErr(t, hook(t.Context(), dequeueCmd("hi")), redis.Nil)
	if asked != 3 {
		t.Error("asked an empty lane again without a ring")
	}
}

func TestGateLooksAnywayWhenNothingRings(t *testing.T) {
	t.Parallel()
	g := newGate(discard, nil, []string{"hi"})
	key := lanePending("hi")
	if !g.take(key) || g.take(key) {
		t.Fatal("the first look is let through, and one only")
	}
	g.lanes[key].next = time.Now()
	g.hold(key)
	if !g.take(key) {
		t.Error("a lane that is due is not looked at")
	}
}
