package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestThoseWhoPollAtOnceShareRoundTripsAndGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	pool := newCarpool(s.rdb)
	const callers, rounds = 64, 20
	for n := range callers {
		ok(t, s.rdb.Set(t.Context(), fmt.Sprint("n", n), n, 0).Err())
	}
	w := watchWire(s)
	var all sync.WaitGroup
	for n := range callers {
		all.Go(func() {
			for range rounds {
				var mine, none *redis.StringCmd
				pool.ride(func(ctx context.Context, pipe redis.Pipeliner) {
					mine, none = pipe.Get(ctx, fmt.Sprint("n", n)), pipe.Get(ctx, "nothing")
				})
				if got, err := mine.Int(); err != nil || got != n {
					t.Errorf("caller %d got %d: %v", n, got, err)
				}
				if !errors.Is(none.Err(), redis.Nil) {
					t.Errorf("caller %d: %v for what is not there", n, none.Err())
				}
			}
		})
	}
	all.Wait()
	if trips := w.trips.Load(); trips >= callers*rounds {
		t.Errorf("%d round trips for %d calls", trips, callers*rounds)
	}
	if pool.driving != 0 || len(pool.waiting) != 0 {
		t.Errorf("afterwards %d under way, %d waiting", pool.driving, len(pool.waiting))
	}
}

func TestACallThatPanicsStrandsNobody(t *testing.T) {
	t.Parallel()
	pool := newCarpool(registryStore(t).rdb)
	var all sync.WaitGroup
	for n := range 60 {
		all.Go(func() {
			defer func() { _ = recover() }() // the driver's panic is its own
			pool.ride(func(ctx context.Context, pipe redis.Pipeliner) {
				if n%7 == 0 {
					panic("load")
				}
				pipe.Ping(ctx)
			})
		})
	}
	all.Wait()
	if pool.driving != 0 || len(pool.waiting) != 0 {
		t.Errorf("afterwards %d under way, %d waiting", pool.driving, len(pool.waiting))
	}
}
