package queue

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestLimitIsSharedByAllProcesses(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	clients := []*Client{NewClient(s), NewClient(beside(t, s))}
	const most = 60
	var allowed atomic.Int64
	var resets sync.Map
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			l, err := clients[i%2].Limit(t.Context(), "k", most)
			if err != nil {
				t.Error(err)
				return
			}
			resets.Store(l.Reset.UnixMilli(), true)
			if l.Allowed {
				allowed.Add(1)
			}
			if l.Allowed != (l.RetryAfter == 0) || l.RetryAfter > limitWindow || l.Remaining < 0 || l.Remaining >= most || l.Max != most {
				t.Errorf("%+v", l)
			}
		})
	}
	all.Wait()
	if n := allowed.Load(); n != most {
		t.Errorf("%d of %d allowed", n, most)
	}
	n := 0
	resets.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("clients were told %d different ends of the window", n)
	}
}

func TestLimitStartsAnewWhenItsWindowIsOver(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	must[Limit](t)(c.Limit(t.Context(), "k", 1))
	if l := must[Limit](t)(c.Limit(t.Context(), "k", 1)); l.Allowed || l.Remaining != 0 || l.RetryAfter <= 0 {
		t.Errorf("second request: %+v", l)
	}
	// A bucket always has an end: Redis itself ends the window.
	ttl := must[time.Duration](t)(s.rdb.PTTL(t.Context(), s.names.limit("k")).Result())
	if ttl <= 0 || ttl > limitWindow {
		t.Fatalf("bucket lives for %v", ttl)
	}
	ok(t, s.rdb.Del(t.Context(), s.names.limit("k")).Err())
	if l := must[Limit](t)(c.Limit(t.Context(), "k", 1)); !l.Allowed {
		t.Errorf("first of a new window: %+v", l)
	}
}

func TestLimitsOfBucketsAreApart(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	must[Limit](t)(c.Limit(t.Context(), "a", 1))
	if l := must[Limit](t)(c.Limit(t.Context(), "b", 1)); !l.Allowed {
		t.Errorf("%+v", l)
	}
}

func TestLimitInAPipelineIsTheSame(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	var cmd *redis.Cmd
	_, err := s.rdb.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		cmd = limitCmd(t.Context(), pipe, s.names, "k")
		return nil
	})
	ok(t, err)
	if l := must[Limit](t)(readLimit(cmd, 3)); !l.Allowed || l.Remaining != 2 {
		t.Errorf("%+v", l)
	}
	if l := must[Limit](t)(NewClient(s).Limit(t.Context(), "k", 3)); l.Remaining != 1 {
		t.Errorf("%+v", l)
	}
}

func TestLimitSaysWhenRedisIsAway(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	watchWire(s).cutAt.Store(1)
	if l, err := NewClient(s).Limit(t.Context(), "k", 3); err == nil || l.Allowed {
		t.Errorf("%+v, %v", l, err)
	}
}
