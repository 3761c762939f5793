package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
)

// idleFigures are the Redis commands a second of processes that have nothing to do, as
// Redis counts them (total_commands_processed), those inside of scripts included.
type idleFigures struct {
	Ours  float64 `json:"ours"`  // a node with its three lanes, heartbeats included
	Stock float64 `json:"stock"` // an asynq server with three queues
	API   float64 `json:"api"`   // our API's reconciler and watcher, one for the whole fleet
}

// measureIdle gives each its own Redis, and counts for the same time.
func measureIdle(ctx context.Context, d time.Duration) (idleFigures, error) {
	var f idleFigures
	type counted struct {
		into  *float64
		serve func(context.Context, *devstack.Server) (stop func() error, err error)
	}
	all := []counted{{&f.Ours, idleNode}, {&f.Stock, idleStock}, {&f.API, idleAPI}}
	results := make(chan error, len(all))
	for _, c := range all {
		go func() {
			var err error
			*c.into, err = countIdle(ctx, d, c.serve)
			results <- err
		}()
	}
	var errs []error
	for range all {
		errs = append(errs, <-results)
	}
	return f, errors.Join(errs...)
}

func countIdle(ctx context.Context, d time.Duration, serve func(context.Context, *devstack.Server) (func() error, error)) (perSecond float64, err error) {
	server, err := devstack.Redis(ctx, devstack.RedisOptions{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	stop, err := serve(ctx, server)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Password: server.Password})
	defer rdb.Close() //nolint:errcheck // only read from
	if err := pause(ctx, idleSettle); err != nil {
		return 0, err
	}
	began := time.Now()
	before, err := processed(ctx, rdb)
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after, err := processed(ctx, rdb)
	return figure(float64(after-before-1) / time.Since(began).Seconds()), err // 1 is the INFO itself
}

func processed(ctx context.Context, rdb *redis.Client) (n int64, err error) {
	info, err := rdb.InfoMap(ctx, "stats").Result()
	if err != nil {
		return 0, fmt.Errorf("reading redis info: %w", err)
	}
	if _, err := fmt.Sscan(info["Stats"]["total_commands_processed"], &n); err != nil {
		return 0, fmt.Errorf("reading total_commands_processed: %w", err)
	}
	return n, nil
}

func idleNode(ctx context.Context, server *devstack.Server) (func() error, error) {
	_, stop, err := serveOurs(ctx, server, newStopwatch(0))
	return stop, err
}

func idleStock(_ context.Context, server *devstack.Server) (func() error, error) {
	_, stop, err := serveStock(server, newStopwatch(0))
	return func() error { stop(); return nil }, err
}

// idleAPI is what an API process does by itself. The node that it looks after is
// registered and silent, as its heartbeats are counted elsewhere.
func idleAPI(ctx context.Context, server *devstack.Server) (func() error, error) {
	store, err := queue.Open(ctx, queue.Options{URL: server.URL(0)}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := queue.NewNode(store, queue.NodeConfig{ID: benchNode}).Register(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	stop := inBackground(ctx, queue.NewWatcher(store).Run, queue.NewReconciler(store, queue.NewClient(store)).Run)
	return func() error { return errors.Join(stop(), store.Close()) }, nil
}
