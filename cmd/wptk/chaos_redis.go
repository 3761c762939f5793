package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
)

// outageGoal is how soon after Redis is back everything that ran must have ended.
const outageGoal = time.Minute

// redisOutage is one absence of Redis.
type redisOutage struct {
	length time.Duration
	hangs  bool // it accepts connections and answers nothing (SIGSTOP), which is worse
}

// redisDown takes Redis away while commands run on sites.
func redisDown(outages ...redisOutage) func(context.Context, *arena, *chaosRunCmd) error {
	return func(ctx context.Context, a *arena, cmd *chaosRunCmd) error {
		if cmd.Short {
			outages = []redisOutage{{5 * time.Second, false}, {3 * time.Second, true}}
		}
		w := a.watchAll(ctx)
		defer w.stop()
		var slowest time.Duration
		for _, o := range outages {
			took, err := a.outage(ctx, w, o, a.setting.domains/len(outages))
			if err != nil {
				return fmt.Errorf("redis away for %s: %w", short(o.length), err)
			}
			slowest = max(slowest, took)
		}
		a.marks["final_after_s"] = figure(slowest.Seconds())
		a.goal(slowest <= outageGoal, "the last operation ended %s s after Redis was back", digits(slowest.Seconds(), 1))
		return nil
	}
}

// outage answers how long after Redis was back the last op ended.
func (a *arena) outage(ctx context.Context, w *watcher, o redisOutage, n int) (time.Duration, error) {
	ids, err := a.askAll(ctx, n)
	if err != nil {
		return 0, err
	}
	if err := w.until(ctx, ids, min(n, a.slots)/2, installing); err != nil {
		return 0, err
	}
	if o.hangs {
		a.fault("Redis stops answering for %s", short(o.length))
		err = a.stack.redis.Signal(syscall.SIGSTOP)
	} else {
		a.fault("kill -9 of Redis, which stays away for %s", short(o.length))
		a.stack.redis.Kill()
	}
	err = errors.Join(err, pause(ctx, o.length))
	if o.hangs {
		err = errors.Join(err, a.stack.redis.Signal(syscall.SIGCONT))
	} else {
		err = errors.Join(err, a.stack.redis.Start(ctx))
	}
	if err != nil {
		return 0, err
	}
	back := time.Now()
	rest, cancel := context.WithTimeout(ctx, 3*outageGoal)
	defer cancel()
	err = w.until(rest, ids, n, isDone)
	return time.Since(back), err
}

// flood asks for installs at a steady rate until ctx ends, on the domains of a node that
// takes nothing: what is tried is whether anything accepted is lost. Several ops come
// together on each domain; the first installs, the others find it there.
func (a *arena) flood(ctx context.Context, n *hostNode, rate int) (asked int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	room := make(chan struct{}, 200) // clients at one time
	for ; ; asked++ {
		select {
		case <-ctx.Done():
			return asked
		case <-tick.C:
		}
		domain := n.domains[asked%len(n.domains)]
		select {
		case room <- struct{}{}:
		default:
			continue // all clients wait for answers
		}
		wg.Go(func() {
			defer func() { <-room }()
			a.ask(context.WithoutCancel(ctx), uuid.NewString(), domain) //nolint:errcheck // a refusal is taken down; nobody was promised anything
		})
	}
}

// floodThrough lets the flood come while fn breaks things, and then lets the node work.
func (a *arena) floodThrough(ctx context.Context, rate int, fn func(context.Context, *watcher) error) error {
	w := a.watchAll(ctx)
	defer w.stop()
	still := a.nodes[0]
	if err := a.hold(still, true); err != nil {
		return err
	}
	var wg sync.WaitGroup
	flood, ebb := context.WithCancel(ctx)
	var asked int
	wg.Go(func() { asked = a.flood(flood, still, rate) })
	var errLive error
	wg.Go(func() { // beside it, a node that works
		for _, live := range a.nodes[1:] {
			for _, domain := range live.domains {
				if _, err := a.insist(flood, domain); err != nil && flood.Err() == nil {
					errLive = err
					return
				}
			}
		}
	})
	err := fn(ctx, w)
	ebb()
	wg.Wait()
	if err := errors.Join(err, errLive); err != nil {
		return err
	}
	a.marks["asked"] = asked
	if err := a.await(ctx, "the API", a.stack.readyz); err != nil {
		return err
	}
	if err := a.hold(still, false); err != nil {
		return err
	}
	if err := w.settle(ctx, 20*time.Minute); err != nil {
		return err
	}
	a.marks["api_outage_s"] = figure(w.outage.Seconds())
	return nil
}

// hold keeps a node from taking ops, or lets it go on. Not by a drain, as a draining node
// accepts nothing.
func (a *arena) hold(n *hostNode, still bool) error {
	rdb := a.rdb()
	defer rdb.Close() //nolint:errcheck // nothing is under way
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	act := inspector.UnpauseQueue
	if still {
		act = inspector.PauseQueue
	}
	if err := act(laneOf(n)); err != nil {
		return fmt.Errorf("holding a node: %w", err)
	}
	return nil
}

// rdb is a connection of our own.
func (a *arena) rdb() redis.UniversalClient {
	switch {
	case a.cluster:
		var addrs []string
		for _, s := range a.group.Servers {
			addrs = append(addrs, s.Addr)
		}
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, Password: a.group.Password})
	case !a.sentinel:
		return redis.NewClient(&redis.Options{Addr: a.stack.redis.Addr, Password: a.stack.redis.Password})
	}
	var addrs []string
	for _, s := range a.group.Sentinels {
		addrs = append(addrs, s.Addr)
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: sentinelMaster, SentinelAddrs: addrs, Password: a.group.Password})
}

// sentinelMaster is the name that devstack gives it.
const sentinelMaster = "wptk"

// await asks until there is no error; unlike the stack's it does not mind processes that
// have ended, as here they are ended on purpose.
func (a *arena) await(ctx context.Context, what string, ask func(context.Context) error) error {
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if pause(ctx, 25*time.Millisecond) != nil {
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(ctx.Err(), err))
		}
	}
}

// redisKill kills Redis again and again under the flood. What was answered with 202 is on
// its disk.
func redisKill(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	return a.floodThrough(ctx, a.n(200, 10), func(ctx context.Context, _ *watcher) error {
		for range a.n(10, 2) {
			if err := pause(ctx, time.Second+time.Duration(a.dice.Float64()*float64(time.Second))); err != nil {
				return err
			}
			a.fault("kill -9 of Redis")
			a.stack.redis.Kill()
			if err := a.stack.redis.Start(ctx); err != nil {
				return err
			}
		}
		return pause(ctx, time.Second)
	})
}

// failoverGoal is the longest time in which clients may get no answer.
const failoverGoal = 10 * time.Second

// sentinelFailover kills the master under the flood; a replica takes over, and the killed
// one comes back as a replica.
func sentinelFailover(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	for _, s := range a.group.Servers {
		rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Password: s.Password})
		err := errors.Join(rdb.ConfigSet(ctx, "min-replicas-to-write", "1").Err(), rdb.ConfigSet(ctx, "min-replicas-max-lag", "2").Err(), rdb.Close())
		if err != nil {
			return fmt.Errorf("setting up Redis: %w", err)
		}
	}
	// Redis counts a replica's lag from when it was told to.
	if err := a.await(ctx, "replicas to be good enough", func(ctx context.Context) error { return a.writable(ctx) }); err != nil {
		return err
	}
	err := a.floodThrough(ctx, a.n(20, 5), func(ctx context.Context, w *watcher) error {
		for range a.n(10, 1) {
			if err := pause(ctx, 2*time.Second); err != nil {
				return err
			}
			if err := a.failOver(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	outage, _ := a.marks["api_outage_s"].(float64)
	a.goal(outage <= failoverGoal.Seconds(), "clients had no answer for %s s", digits(outage, 1))
	return err
}

func (a *arena) failOver(ctx context.Context) error {
	master, err := a.master(ctx)
	if err != nil {
		return err
	}
	a.fault("kill -9 of the master %s", master.Addr)
	master.Kill()
	err = a.await(ctx, "another master", func(ctx context.Context) error {
		now, err := a.master(ctx)
		if err == nil && now == master {
			err = errors.New("it is still the same")
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := a.await(ctx, "the API", a.stack.readyz); err != nil {
		return err
	}
	if err := master.Start(ctx); err != nil {
		return err
	}
	return a.await(ctx, "two replicas", func(ctx context.Context) error { return a.replicated(ctx) })
}

// master is who the sentinels say it is.
func (a *arena) master(ctx context.Context) (*devstack.Server, error) {
	for _, s := range a.group.Sentinels {
		rdb := redis.NewSentinelClient(&redis.Options{Addr: s.Addr})
		addr, err := rdb.GetMasterAddrByName(ctx, sentinelMaster).Result()
		rdb.Close() //nolint:errcheck // only read from
		if err != nil || len(addr) != 2 {
			continue
		}
		for _, server := range a.group.Servers {
			if strconv.Itoa(server.Port) == addr[1] {
				return server, nil
			}
		}
	}
	return nil, errors.New("no sentinel knows the master")
}

func (a *arena) writable(ctx context.Context) error {
	rdb := a.rdb()
	defer rdb.Close() //nolint:errcheck // the write was answered
	return rdb.Set(ctx, "wptk-chaos", "", time.Second).Err()
}

func (a *arena) replicated(ctx context.Context) error {
	master, err := a.master(ctx)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: master.Addr, Password: master.Password})
	defer rdb.Close() //nolint:errcheck // only read from
	role, err := rdb.Do(ctx, "ROLE").Slice()
	if err != nil || len(role) < 3 {
		return errors.Join(errors.New("asking the master for its role"), err)
	}
	if replicas, _ := role[2].([]any); role[0] != "master" || len(replicas) != 2 {
		return fmt.Errorf("%s has %d replicas", role[0], len(replicas))
	}
	return nil
}

// redisFull lets Redis run out of memory: it refuses, and nothing that it had accepted is
// lost.
func redisFull(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	rdb := a.rdb()
	defer rdb.Close() //nolint:errcheck // its Redis is about to end
	n := a.setting.domains / 2
	ids, err := a.askAll(ctx, n)
	if err != nil {
		return err
	}
	if err := w.until(ctx, ids, 1, installing); err != nil {
		return err
	}
	a.fault("Redis is out of memory")
	if err := rdb.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
		return fmt.Errorf("taking memory from Redis: %w", err)
	}
	refused := 0
	for range n {
		if _, err := a.ask(ctx, uuid.NewString(), a.nodes[0].next()); err != nil {
			refused++
		}
	}
	a.marks["refused"] = refused
	a.goal(refused == n, "%d of %d requests were accepted without memory", n-refused, n)
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := rdb.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
		return fmt.Errorf("giving memory back to Redis: %w", err)
	}
	return w.settle(ctx, 2*time.Minute)
}
