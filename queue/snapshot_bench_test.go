package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wispanel/wptk/deploy/devstack"
)

// What a scrape of a thousand nodes with little to do takes, read anew each time.
func BenchmarkSnapshotOfThousandNodes(b *testing.B) {
	s := openStore(b, devstack.SharedRedis(b))
	ctx := b.Context()
	pipe := s.rdb.Pipeline()
	for i := range 1000 {
		id := fmt.Sprintf("web-%d", i)
		pipe.SAdd(ctx, s.names.nodes(), id)
		pipe.HSet(ctx, s.names.node(id), "beat", time.Now().UnixMilli(), "info", "{}")
		if i%100 == 0 {
			pipe.LPush(ctx, lanePending(lane(id, laneClasses[i/100%len(laneClasses)])), "op")
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		b.Fatal(err)
	}
	p, now := NewSnapshot(s), time.Now()
	p.now = func() time.Time { return now }
	reg := prometheus.NewRegistry()
	reg.MustRegister(p)
	for b.Loop() {
		now = now.Add(snapshotEvery)
		if families, err := reg.Gather(); err != nil || len(families) < 10 {
			b.Fatal(len(families), err)
		}
	}
}
