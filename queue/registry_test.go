package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/deploy/devstack"
)

// registryStore is a store on an empty database of a real Redis.
func registryStore(t *testing.T) *Store {
	t.Helper()
	return openStore(t, devstack.SharedRedis(t))
}

// openStore opens a store on a database that other stores of the test may share.
func openStore(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url, Prefix: "t" + fmt.Sprint(prefixes.Add(1)) + ":"}, slog.New(slog.DiscardHandler))
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

// prefixes keeps tests apart on channels, which Redis has once for all databases.
var prefixes atomic.Int64

// beside is another process on the same Redis.
func beside(t *testing.T, s *Store) *Store {
	t.Helper()
	other := *s
	other.rdb = s.target.connect()
	t.Cleanup(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	return &other
}

var errCut = errors.New("cut")

// wire counts what goes to Redis, and cuts the line when told to.
type wire struct {
	commands atomic.Int64 // all, also those in pipelines
	trips    atomic.Int64 // round trips: commands and pipelines
	cutAt    atomic.Int64 // this trip and all later ones fail; 0 = none
	late     atomic.Bool  // the trip of the cut arrives, and only its answer is lost
}

func watchWire(s *Store) *wire {
	w := &wire{}
	s.rdb.AddHook(w)
	return w
}

// pass counts a trip of n commands and tells whether it arrives and returns.
func (w *wire) pass(n int) (arrives, returns bool) {
	w.commands.Add(int64(n))
	trip, cut := w.trips.Add(1), w.cutAt.Load()
	returns = cut == 0 || trip < cut
	return returns || trip == cut && w.late.Load(), returns
}

func (w *wire) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *wire) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) (err error) {
		arrives, returns := w.pass(1)
		if arrives {
			err = next(ctx, cmd)
		}
		if !returns {
			cmd.SetErr(errCut)
			return errCut
		}
		return err
	}
}

func (w *wire) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) (err error) {
		arrives, returns := w.pass(len(cmds))
		if arrives {
			err = next(ctx, cmds)
		}
		if returns {
			return err
		}
		for _, cmd := range cmds {
			cmd.SetErr(errCut)
		}
		return errCut
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
