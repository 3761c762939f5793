package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The soak: a steady load and a random fault every 20 to 60 s.
const (
	soakEvery      = 2 * time.Second // between two requests
	soakFaultLeast = 20 * time.Second
	soakFaultMost  = 60 * time.Second
	// What may be more at the end than after the first minutes, of each process.
	soakMemory     = 1.25
	soakMemoryMiB  = 16 // that a small process may gain beside it
	soakRoutines   = 30
	soakDescriptor = 20
)

// soakFault is one thing that goes wrong.
type soakFault struct {
	name string
	do   func(context.Context, *arena) error
}

var soakFaults = []soakFault{
	{"kill -9 of the worker", func(_ context.Context, a *arena) error { return a.nodes[0].crash() }},
	{"kill -9 of the API", func(_ context.Context, a *arena) error { return a.api.crash() }},
	{"SIGTERM to a worker", func(_ context.Context, a *arena) error {
		a.fault("SIGTERM to %s", a.nodes[1].name)
		return errors.Join(a.nodes[1].stop(), a.nodes[1].start())
	}},
	{"kill -9 of Redis", func(ctx context.Context, a *arena) error {
		a.fault("kill -9 of Redis")
		a.stack.redis.Kill()
		return errors.Join(pause(ctx, time.Duration(a.dice.Float64()*float64(5*time.Second))), a.stack.redis.Start(ctx))
	}},
	{"Redis hangs", func(ctx context.Context, a *arena) error {
		a.fault("Redis hangs")
		return errors.Join(a.stack.redis.Signal(syscall.SIGSTOP), pause(ctx, 5*time.Second), a.stack.redis.Signal(syscall.SIGCONT))
	}},
	{"Redis cut off from workers", func(ctx context.Context, a *arena) error {
		if err := a.cut(false); err != nil {
			return err
		}
		return errors.Join(pause(ctx, cutFor), a.mend(ctx, false))
	}},
	{"kill -9 of MariaDB", func(ctx context.Context, a *arena) error {
		a.fault("kill -9 of MariaDB")
		a.stack.mariadb.Kill()
		return errors.Join(pause(ctx, 3*time.Second), a.stack.mariadb.Start(ctx))
	}},
}

// soak goes on for the given time.
func soak(ctx context.Context, a *arena, cmd *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	load, rest := context.WithTimeout(ctx, cmd.Duration)
	defer rest()
	asking := make(chan error, 1)
	go func() { asking <- a.soakLoad(load) }()

	if err := pause(load, min(cmd.Duration/10, 2*time.Minute)); err != nil {
		return err
	}
	first, err := a.footprints(ctx)
	if err != nil {
		return err
	}
	for load.Err() == nil {
		wait := soakFaultLeast + time.Duration(a.dice.Float64()*float64(soakFaultMost-soakFaultLeast))
		if pause(load, wait) != nil {
			break
		}
		f := soakFaults[a.dice.IntN(len(soakFaults))]
		if err := f.do(ctx, a); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if err := <-asking; err != nil {
		return err
	}
	if err := w.settle(ctx, 10*time.Minute); err != nil {
		return err
	}
	last, err := a.footprints(ctx)
	if err != nil {
		return err
	}
	a.compare(first, last)
	return nil
}

// soakLoad asks for a site every now and then, until its time is over.
func (a *arena) soakLoad(ctx context.Context) error {
	for i := 0; a.nodes[i%2].used < len(a.nodes[i%2].domains); i++ {
		// A request that is under way at the end is seen through.
		if _, err := a.insist(context.WithoutCancel(ctx), a.nodes[i%2].next()); err != nil {
			return err
		}
		if pause(ctx, soakEvery) != nil {
			return nil
		}
	}
	return nil
}

// footprint is what a process holds.
type footprint struct {
	memory      int64 // bytes
	descriptors int
	routines    int
}

// footprints reads all processes of ours, by name, and Redis's own figures.
func (a *arena) footprints(ctx context.Context) (map[string]footprint, error) {
	all := map[string]footprint{}
	parts := map[string]*part{"api": a.api}
	addrs := map[string]string{"api": a.stack.metrics}
	for _, n := range a.nodes {
		parts[n.name], addrs[n.name] = n.part, n.metrics
	}
	for name, p := range parts {
		var u footprint
		err := a.await(ctx, "figures of "+name, func(ctx context.Context) (err error) {
			p.mu.Lock()
			pid := p.process.process.Pid
			p.mu.Unlock()
			u, err = footprintOf(ctx, pid, addrs[name])
			return err
		})
		if err != nil {
			return nil, err
		}
		all[name] = u
	}
	rdb := a.rdb()
	defer rdb.Close() //nolint:errcheck // only read from
	info, err := rdb.Info(ctx, "memory").Result()
	if err != nil {
		return nil, fmt.Errorf("asking Redis for its memory: %w", err)
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("asking Redis for its memory: %w", err)
			}
			all["redis"] = footprint{memory: n}
		}
	}
	return all, nil
}

func footprintOf(ctx context.Context, pid int, metrics string) (footprint, error) {
	var u footprint
	fds, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		return u, fmt.Errorf("counting descriptors: %w", err)
	}
	u.descriptors = len(fds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metrics+"/metrics", nil)
	if err != nil {
		return u, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return u, err
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.ParseFloat(value, 64) // comments are no numbers, and asked for by no name below
		switch name {
		case "process_resident_memory_bytes":
			u.memory = int64(n)
		case "go_goroutines":
			u.routines = int(n)
		}
	}
	return u, nil
}

// compare holds the end to the beginning. Redis keeps the record of every op for a month,
// so of its memory only what an op takes is told.
func (a *arena) compare(first, last map[string]footprint) {
	for name, was := range first {
		is := last[name]
		if name == "redis" {
			ops := max(a.nodes[0].used+a.nodes[1].used, 1)
			a.marks["redis_kib_per_op"] = figure(float64(is.memory-was.memory) / float64(ops) / 1024)
			continue
		}
		a.marks[name+"_mib"] = fmt.Sprintf("%d→%d", was.memory>>20, is.memory>>20)
		a.goal(float64(is.memory) <= max(float64(was.memory)*soakMemory, float64(was.memory+soakMemoryMiB<<20)), "%s grew from %d to %d MiB", name, was.memory>>20, is.memory>>20)
		a.goal(is.descriptors <= was.descriptors+soakDescriptor, "%s went from %d to %d descriptors", name, was.descriptors, is.descriptors)
		a.goal(is.routines <= was.routines+soakRoutines, "%s went from %d to %d goroutines", name, was.routines, is.routines)
	}
}
