package main

import (
	"context"
	"time"

	"github.com/wispanel/wptk/cmd/internal/verdict"
	"github.com/wispanel/wptk/tasks"
)

// scenarios are all of them, in the order in which they run.
var scenarios = []scenario{
	{name: "worker-kill", help: "kill -9 the worker every 2 s (±50 %) under installs", patient: 40 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 508, 72), slots: 8, millis: map[string]int{"core install": 300}}
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
		expect: undisturbed, run: redisCut},
	{name: "redis-down", help: "Redis is killed or hangs for 5 and 35 s while commands run", patient: 15 * time.Minute,
		set: outageSetting(120, 8), expect: undisturbed,
		run: redisDown(redisOutage{5 * time.Second, false}, redisOutage{5 * time.Second, true}, redisOutage{35 * time.Second, false}, redisOutage{35 * time.Second, true})},
	{name: "redis-down-long", help: "the same for 300 s", patient: 15 * time.Minute, long: true,
		set: outageSetting(60, 8), expect: undisturbed,
		run: redisDown(redisOutage{300 * time.Second, false})},
	{name: "redis-kill", help: "Redis is killed ten times under 200 requests a second", patient: 40 * time.Minute,
		set:    func(cmd *chaosRunCmd) setting { return setting{nodes: 2, domains: pick(cmd, 100, 5), slots: 8} },
		expect: firstComes, run: redisKill},
	{name: "redis-everysec", help: "the same with appendfsync everysec: tells how much is lost", patient: 40 * time.Minute, long: true,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 100, 5), slots: 8, fsync: "everysec"}
		},
		expect: func(a *arena) verdict.Expect { e := firstComes(a); e.MayForget = true; return e }, run: redisKill},
	{name: "redis-full", help: "Redis runs out of memory", patient: 5 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 40, 8), millis: map[string]int{"core install": 1000}}
		},
		expect: undisturbed, run: redisFull},
	{name: "sentinel", help: "the master is killed ten times, and a replica takes over", patient: 40 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{nodes: 2, domains: pick(cmd, 100, 6), slots: 8, sentinel: true}
		},
		expect: firstComes, run: sentinelFailover},
	{name: "redis-emptied", help: "Redis comes back with nothing, under a worker that lives and one that is killed", patient: 10 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 60, 12), millis: map[string]int{"core install": 2500}}
		},
		expect: func(*arena) verdict.Expect { return verdict.Expect{Emptied: true} }, run: redisEmptied},
	{name: "cluster-move", help: "slots of the queue move between the masters of a Redis Cluster, again and again", patient: 20 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{nodes: 2, domains: pick(cmd, 75, 6), cluster: true, millis: map[string]int{"core install": 500}}
		},
		expect: undisturbed, run: clusterMove},
	{name: "clock-steps", help: "the clock of a worker is set back and ahead, and the worker killed meanwhile", patient: 10 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 90, 15), millis: map[string]int{"core install": 2500}}
		},
		run: clockSteps},
	{name: "api-kill", help: "an API dies between the record of an operation and the queue, or before its answer", patient: 30 * time.Minute,
		set: func(cmd *chaosRunCmd) setting { return setting{domains: pick(cmd, 500, 9), slots: 8} }, run: apiKill},
	{name: "rolling", help: "three busy workers are restarted one after the other", patient: 20 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{nodes: 3, domains: pick(cmd, 100, 4), millis: map[string]int{"core install": 500}}
		},
		expect: undisturbed, run: rolling},
	{name: "duplicate", help: "operations are delivered again by hand", patient: 5 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 40, 6), millis: map[string]int{"core install": 500}}
		},
		expect: undisturbed, run: duplicate},
	{name: "poison", help: "one operation takes the worker down each time, among good ones", patient: 10 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 100, 8), slots: 8, millis: map[string]int{"core install": 300}}
		},
		expect: func(a *arena) verdict.Expect {
			return verdict.Expect{Special: map[string]tasks.State{a.poisoned: tasks.Failed}}
		},
		run: poison},
	{name: "node-gone", help: "a node is away for ten minutes (set back in Redis) and returns", patient: 10 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 20, 6), millis: map[string]int{"core install": 1000}}
		},
		run: nodeGone},
	{name: "mariadb-down", help: "MariaDB is killed and stays away for 5 s", patient: 10 * time.Minute,
		set: func(cmd *chaosRunCmd) setting {
			return setting{domains: pick(cmd, 60, 8), slots: 8, millis: map[string]int{"core install": 500}}
		},
		run: mariadbDown},
	{name: "php", help: "sites that hang, print without end, or leave processes behind", patient: 5 * time.Minute,
		set: func(cmd *chaosRunCmd) setting { return setting{domains: pick(cmd, 20, 5)} },
		expect: func(a *arena) verdict.Expect {
			domains := a.nodes[0].domains
			return verdict.Expect{Special: map[string]tasks.State{domains[0]: tasks.Cancelled, domains[1]: tasks.Cancelled}}
		},
		run: phpFaults},
	{name: "disk-full", help: "disks of sites and of the journal that are full", patient: 5 * time.Minute,
		set: func(*chaosRunCmd) setting { return setting{nodes: 2, domains: len(diskSizes)} },
		expect: func(a *arena) verdict.Expect {
			special := map[string]tasks.State{}
			for i := range diskSizes[:len(diskSizes)-1] {
				special[a.nodes[0].domains[i]] = tasks.Failed
			}
			return verdict.Expect{Special: special}
		},
		run: diskFull},
	{name: "journal-boundaries", help: "the worker is killed at every write to its journal, forwards and on the way back", patient: 20 * time.Minute,
		set: func(*chaosRunCmd) setting {
			return setting{nodes: 3, domains: 2 + (len(boundaries(false))+len(boundaries(true)))/3 + 2}
		},
		expect: func(a *arena) verdict.Expect {
			special := map[string]tasks.State{}
			for domain := range a.shim.Faults {
				special[domain] = tasks.RolledBack
			}
			return verdict.Expect{Special: special}
		},
		run: journalBoundaries},
	{name: "soak", help: "a steady load and a random fault every 20 to 60 s, for --duration", patient: 15 * time.Minute, long: true,
		set: func(cmd *chaosRunCmd) setting {
			return setting{nodes: 2, domains: int(cmd.Duration/soakEvery)/2 + 2, proxied: true, millis: map[string]int{"core install": 1000}}
		},
		expect: func(*arena) verdict.Expect { return verdict.Expect{MayDie: true} },
		run:    soak},
}

// undisturbed is the expectation where no worker is killed: commands neither die nor run
// a second time.
func undisturbed(*arena) verdict.Expect { return verdict.Expect{Once: true, Unkilled: true} }

// firstComes is that of several installs of the same site: one succeeds, and the others
// find it there.
func firstComes(*arena) verdict.Expect {
	return verdict.Expect{Ends: []tasks.State{tasks.Succeeded, tasks.Failed}}
}

func outageSetting(full, short int) func(*chaosRunCmd) setting {
	return func(cmd *chaosRunCmd) setting {
		return setting{domains: pick(cmd, full, short), slots: pick(cmd, 25, 4), millis: map[string]int{"core install": 2500}}
	}
}

// pick is a number that is smaller in the short run.
func pick(cmd *chaosRunCmd, full, short int) int {
	if cmd.Short {
		return short
	}
	return full
}

// killEvery is the time between two kills, half of it more or less.
const killEvery = 2 * time.Second

// slowInstalls is how long as many installs as there are slots may take together.
const slowInstalls = 1500 * time.Millisecond

// workerKill is the classic: nothing is lost, whatever the instant. The first installs
// are left alone and timed: where one takes longer than that, as on a machine that is busy
// with something else, kills that often would only show that a step which is killed three
// times is given up.
func workerKill(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	began := time.Now()
	ids, err := a.askAll(ctx, a.slots)
	if err != nil {
		return err
	}
	if err := w.until(ctx, ids, len(ids), isDone); err != nil {
		return err
	}
	every := killEvery
	if took := time.Since(began); took > slowInstalls {
		every = 2 * took
	}
	a.marks["kill_every_s"] = figure(every.Seconds())
	if ids, err = a.askAll(ctx, a.setting.domains-a.slots); err != nil {
		return err
	}
	for {
		wait := every/2 + time.Duration(a.dice.Float64()*float64(every))
		rest, cancel := context.WithTimeout(ctx, wait)
		err := w.until(rest, ids, len(ids), isDone)
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.nodes[0].crash(); err != nil {
			return err
		}
	}
}

// taken reports an op that a later attempt runs, or that has ended.
func taken(after int) func(operation) bool {
	return func(op operation) bool { return op.Attempt > after || op.Done }
}
