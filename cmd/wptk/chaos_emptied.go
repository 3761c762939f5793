package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/wispanel/wptk/queue"
)

// restoreGoal is how soon after Redis came back empty everything that had begun must be known
// again: workers compare their journals with the ledger every 20 s.
const restoreGoal = 40 * time.Second

// redisEmptied has Redis come back with nothing, first under a worker that lives, and then
// with the worker killed as well, so that only its journals are left.
func redisEmptied(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	share := a.setting.domains / 2
	for _, killed := range []bool{false, true} {
		if err := a.emptied(ctx, share, killed); err != nil {
			return fmt.Errorf("worker killed too: %v: %w", killed, err)
		}
	}
	return nil
}

func (a *arena) emptied(ctx context.Context, n int, killed bool) error {
	w := a.watchAll(ctx)
	ids, err := a.askAll(ctx, n)
	if err == nil {
		err = w.until(ctx, ids, a.slots, installing)
	}
	w.stop() // from here on nobody knows its key
	if err != nil {
		return err
	}
	begun := map[string]bool{}
	for _, id := range ids {
		begun[id] = w.state(id).Attempt > 0
	}
	a.fault("Redis comes back with nothing")
	if err := a.emptyRedis(ctx, killed); err != nil {
		return err
	}
	back := time.Now()
	if err := a.freshKey(ctx); err != nil {
		return err
	}
	if err := a.await(ctx, "the API", a.stack.readyz); err != nil {
		return err
	}
	lost, err := a.whatIsKnown(ctx, ids, begun)
	if err != nil {
		return err
	}
	took := time.Since(back)
	before, _ := a.marks["known_after_s"].(float64)
	a.marks["known_after_s"] = max(before, figure(took.Seconds()))
	a.goal(took <= restoreGoal, "what had begun was known %s s after Redis was back", digits(took.Seconds(), 1))
	all, _ := a.marks["restored"].(int)
	a.marks["restored"] = all + n - len(lost)
	return a.askAgain(ctx, lost)
}

// emptyRedis kills Redis, removes its files and starts it; a worker that is killed with it is
// started when Redis is there again.
func (a *arena) emptyRedis(ctx context.Context, killed bool) error {
	a.stack.redis.Kill()
	if killed {
		if err := a.nodes[0].kill(); err != nil {
			return err
		}
	}
	data := a.state.dir("redis", "data")
	entries, err := os.ReadDir(data)
	if err != nil {
		return fmt.Errorf("emptying Redis: %w", err)
	}
	for _, e := range entries {
		if e.Name() == "redis.conf" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(data, e.Name())); err != nil {
			return fmt.Errorf("emptying Redis: %w", err)
		}
	}
	if err := a.stack.redis.Start(ctx); err != nil {
		return err
	}
	if killed {
		return a.nodes[0].start()
	}
	return nil
}

// freshKey is what an operator does first: keys were in Redis alone.
func (a *arena) freshKey(ctx context.Context) error {
	store, err := a.stack.open(ctx, a.redisURL(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // the key was answered
	_, a.key, err = queue.NewClient(store).CreateKey(ctx, queue.NewKey{Name: "chaos", Owner: "chaos", Role: queue.RoleAdmin, RateLimit: chaosRate})
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	a.stack.client, err = newClient(a.stack.apiURL(), a.key)
	return err
}

// unseenFor is how long what had begun without anybody having seen it yet gets to be restored.
const unseenFor = 2 * time.Second

// whatIsKnown waits until everything that had begun is known again, and answers the ops of which
// the API says plainly that it does not know them.
func (a *arena) whatIsKnown(ctx context.Context, ids []string, begun map[string]bool) (lost []string, err error) {
	began := time.Now()
	err = a.await(ctx, "what had begun to be known", func(ctx context.Context) error {
		lost = nil
		for _, id := range ids {
			var op operation
			_, err := a.stack.client.get(ctx, "/wordpress/operations/"+id, nil, &op)
			var refused *apiError
			switch unknown := errors.As(err, &refused) && refused.Status == http.StatusNotFound; {
			case err == nil:
			case !unknown:
				return err
			case begun[id]:
				return fmt.Errorf("%s is not known", id)
			case time.Since(began) < unseenFor:
				return fmt.Errorf("%s may have begun", id)
			default:
				lost = append(lost, id)
			}
		}
		return nil
	})
	return lost, err
}

// askAgain does what clients do with an op that is unknown: they ask for its site anew, and all
// ends.
func (a *arena) askAgain(ctx context.Context, lost []string) error {
	domains := map[string]string{}
	for _, f := range a.all() {
		if f.Op != "" && f.Domain != "" {
			domains[f.Op] = f.Domain
		}
	}
	if err := a.await(ctx, "the node", a.ready); err != nil {
		return err
	}
	w := a.watchAll(ctx)
	defer w.stop()
	for _, id := range lost {
		if err := a.await(ctx, "a request to be accepted", func(ctx context.Context) error {
			_, err := a.ask(ctx, uuid.NewString(), domains[id])
			return err
		}); err != nil {
			return err
		}
	}
	return w.settle(ctx, 5*time.Minute)
}
