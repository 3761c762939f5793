package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/cmd/internal/verdict"
	"github.com/wispanel/wptk/tasks"
)

// rolling restarts one worker after the other, as an upgrade does, while they are busy.
func rolling(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	ids, err := a.askAll(ctx, a.setting.nodes*a.setting.domains)
	if err != nil {
		return err
	}
	if err := w.until(ctx, ids, a.setting.nodes, installing); err != nil {
		return err
	}
	var slowest time.Duration
	for _, n := range a.nodes {
		a.fault("SIGTERM to %s", n.name)
		began := time.Now()
		if err := n.stop(); err != nil {
			return err
		}
		slowest = max(slowest, time.Since(began))
		if err := n.start(); err != nil {
			return err
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	a.marks["drain_max_s"] = figure(slowest.Seconds())
	return w.settle(ctx, 10*time.Minute)
}

// duplicate delivers ops again by hand, in every way in which asynq could.
func duplicate(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	rdb := a.rdb()
	defer rdb.Close() //nolint:errcheck // its Redis is about to end
	client := asynq.NewClientFromRedisClient(rdb)
	ids, err := a.askAll(ctx, a.setting.domains)
	if err != nil {
		return err
	}
	if err := w.until(ctx, ids, 1, installing); err != nil {
		return err
	}
	for i, id := range ids { // while they run or wait
		if err := a.deliverAgain(ctx, rdb, client, id, i == 0); err != nil {
			return err
		}
	}
	if err := w.settle(ctx, 2*time.Minute); err != nil {
		return err
	}
	for _, id := range ids { // and when they have ended
		if err := a.deliverAgain(ctx, rdb, client, id, false); err != nil {
			return err
		}
	}
	return a.await(ctx, "the queue to be empty", func(ctx context.Context) error {
		n, err := rdb.LLen(ctx, "asynq:{"+laneOf(a.nodes[0])+"}:pending").Result()
		if err == nil && n > 0 {
			err = fmt.Errorf("%d wait", n)
		}
		return err
	})
}

// laneOf is the asynq queue of installs on a node.
func laneOf(n *hostNode) string { return "n." + n.id + "." + string(tasks.Interactive) }

func (a *arena) deliverAgain(ctx context.Context, rdb redis.UniversalClient, client *asynq.Client, id string, twice bool) error {
	lane := laneOf(a.nodes[0])
	payload, err := json.Marshal(map[string]string{"op": id})
	if err != nil {
		return fmt.Errorf("encoding payload: %w", err)
	}
	a.fault("%s is delivered again", id)
	_, err = client.EnqueueContext(ctx, asynq.NewTask("install", payload), asynq.TaskID(uuid.NewString()), asynq.Queue(lane))
	if err == nil {
		// Its lease is over, as if the worker had been away.
		err = rdb.ZAddXX(ctx, "asynq:{"+lane+"}:lease", redis.Z{Score: 0, Member: id}).Err()
	}
	if err == nil && twice { // and it is in the list once more
		err = rdb.LPush(ctx, "asynq:{"+lane+"}:pending", id).Err()
	}
	if err != nil {
		return fmt.Errorf("delivering again: %w", err)
	}
	return nil
}

// poison has one op that takes the worker down each time, among good ones.
func poison(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	// In the middle, so that good ones are in flight with it.
	half := a.setting.domains / 2
	a.poisoned = a.nodes[0].domains[half]
	ids, err := a.askAll(ctx, a.setting.domains)
	if err != nil {
		return err
	}
	for kills := 0; len(w.open()) > 0; {
		begun, err := a.begun(a.poisoned, "core install")
		if err != nil {
			return err
		}
		if begun > kills {
			kills = begun
			if err := a.nodes[0].crash(); err != nil {
				return err
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	op := w.state(ids[half])
	a.marks["attempts"] = op.Attempt
	a.goal(op.Error != nil && op.Error.Code == tasks.CodePoison, "the poisoned operation ended as %s", op.failure())
	return nil
}

// begun is how often a command has begun on a site.
func (a *arena) begun(domain, verb string) (n int, err error) {
	facts, err := readCommands(a.shim.Log)
	for _, f := range facts {
		if f.What == verdict.Begin && f.Domain == domain && f.Verb == verb {
			n++
		}
	}
	return n, err
}

// nodeGone takes a node away for ten minutes, which are made to have passed in Redis.
func nodeGone(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	const away = 10 * time.Minute
	w := a.watchAll(ctx)
	defer w.stop()
	ids, err := a.askAll(ctx, a.setting.domains)
	if err != nil {
		return err
	}
	if err := w.until(ctx, ids, 1, installing); err != nil {
		return err
	}
	if err := a.nodes[0].kill(); err != nil {
		return err
	}
	rdb := a.rdb()
	defer rdb.Close() //nolint:errcheck // its Redis is about to end
	if err := rdb.HSet(ctx, "wptk:node:"+a.nodes[0].id, "beat", time.Now().Add(-away).UnixMilli()).Err(); err != nil {
		return fmt.Errorf("setting back the heartbeat: %w", err)
	}
	for _, id := range ids { // they have been silent as long as their node
		shard, _ := tasks.Shard(id)
		if err := rdb.HSet(ctx, "wptk:op:{"+shard+"}:"+id, "updated", time.Now().Add(-away).UnixMilli()).Err(); err != nil {
			return fmt.Errorf("setting back an operation: %w", err)
		}
	}
	err = a.await(ctx, "the node to be called lost, and what ran there stalled", func(ctx context.Context) error { return a.isLost(ctx, ids) })
	if err != nil {
		return err
	}
	if err := a.nodes[0].start(); err != nil {
		return err
	}
	back := time.Now()
	if err := w.settle(ctx, 5*time.Minute); err != nil {
		return err
	}
	a.marks["final_after_s"] = figure(time.Since(back).Seconds())
	return nil
}

func (a *arena) isLost(ctx context.Context, ids []string) error {
	nodes, _, err := a.stack.client.nodes(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(nodes, func(n node) bool { return n.ID == a.nodes[0].id && n.State == "lost" }) {
		return errors.New("the node is not lost")
	}
	for _, id := range ids {
		var op operation
		if _, err := a.stack.client.get(ctx, "/wordpress/operations/"+id, nil, &op); err != nil {
			return err
		}
		if op.Status == tasks.Running && !op.Stalled {
			return fmt.Errorf("%s is not stalled", id)
		}
	}
	return nil
}
