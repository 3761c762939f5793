package main

import (
	"context"
	"time"

	"github.com/wispanel/wptk/cmd/internal/verdict"
)

// scenarios are all of them, in the order in which they run.
var scenarios = []scenario{
	{name: "worker-kill", help: "kill -9 the worker every 2 s (±50 %) under installs", patient: 40 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 500, 24), slots: 8, millis: map[string]int{"core install": 300}}
		},
		run: workerKill},
	{name: "redelivery", help: "how soon a killed worker's op is taken up again, beside stock asynq", patient: 20 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 30, 3), millis: map[string]int{"core install": 1500}}
		},
		run: redelivery},
	{name: "redis-cut", help: "the connection to Redis is cut, or loses the reply, exactly at success", patient: 15 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 100, 8), slots: pick(cmd, 25, 4), proxied: true}
		},
		expect: func(*arena) verdict.Expect { return verdict.Expect{Once: true, Unkilled: true} },
		run:    redisCut},
}

// pick is a number that is smaller in the short run.
func pick(cmd *chaosRunCmd, full, short int) int {
	if cmd.Short {
		return short
	}
	return full
}

// workerKill is the classic: nothing is lost, whatever the instant.
func workerKill(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	ids, err := a.askAll(ctx, a.setting.domains)
	if err != nil {
		return err
	}
	const every = 2 * time.Second
	for len(w.open()) > 0 {
		wait := every/2 + time.Duration(a.dice.Float64()*float64(every))
		rest, cancel := context.WithTimeout(ctx, wait)
		err := w.until(rest, ids, len(ids), isDone)
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.nodes[0].crash(); err != nil {
			return err
		}
	}
	return nil
}

// taken reports an op that a later attempt runs, or that has ended.
func taken(after int) func(operation) bool {
	return func(op operation) bool { return op.Attempt > after || op.Done }
}
