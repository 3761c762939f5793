package devstack_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
)

// hosts is the comma-separated middle of a group's URL.
func hosts(t *testing.T, url string) []string {
	t.Helper()
	_, rest, ok := strings.Cut(url, "@")
	if !ok {
		t.Fatalf("no password in %s", url)
	}
	rest, _, _ = strings.Cut(rest, "/")
	return strings.Split(rest, ",")
}

func TestSentinelPromotesAReplicaWhenTheMasterIsKilled(t *testing.T) {
	t.Parallel()
	g := devstack.RedisSentinelT(t)
	c := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "wptk", SentinelAddrs: hosts(t, g.URL), Password: g.Password, MaxRetries: -1,
	})
	t.Cleanup(func() { c.Close() })
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Wait(t.Context(), 2, 10*time.Second).Result(); err != nil || n != 2 {
		t.Fatalf("replicas that have the write: %d, %v", n, err)
	}
	g.Servers[0].Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for err := errors.New("not asked"); err != nil; err = c.Set(ctx, "k2", "v2", 0).Err() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no fail-over: %v", err)
		}
	}
	if got := c.Get(t.Context(), "k").Val(); got != "v" {
		t.Fatalf("after fail-over: %q", got)
	}
}

func TestClusterServesEverySlot(t *testing.T) {
	t.Parallel()
	g := devstack.RedisClusterT(t)
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: hosts(t, g.URL), Password: g.Password})
	t.Cleanup(func() { c.Close() })
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "{x}1", "{x}2"} {
		if err := c.Set(t.Context(), key, "v", 0).Err(); err != nil {
			t.Fatalf("set %s: %v", key, err)
		}
	}
}
