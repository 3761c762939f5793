package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wispanel/wptk/tasks"
)

type benchBurstCmd struct {
	N       int    `help:"Installs that are asked for at once." default:"200" env:"-"`
	Scripts int    `help:"Runs of the script, two at a time, half in front and half behind." default:"20" env:"-"`
	Version string `help:"Version of WordPress." default:"latest" env:"-"`
	Mode    string `help:"How ours are made: wp-cli or golden." enum:"wp-cli,golden" default:"wp-cli" env:"-"`
}

// burstGoals are how many times more installs a minute than the script gives; acceptGoal, in ms,
// is what the slowest but one in a hundred requests may wait for its answer meanwhile.
var burstGoals = map[string]float64{tasks.ModeWPCLI: 3, tasks.ModeGolden: 5}

const (
	acceptGoal = 50
	posters    = 8 // clients that ask at the same time
)

// burstFigures are of many installs on one node.
type burstFigures struct {
	figures
	costFigures
	Mode      string  `json:"mode"`
	AcceptP50 float64 `json:"accept_p50"` // ms from POST to 202
	AcceptP99 float64 `json:"accept_p99"`
}

// Run measures and prints.
func (cmd *benchBurstCmd) Run(ctx context.Context, a *app) error {
	if cmd.N < 1 || cmd.Scripts < 4 {
		return usage("--n must be at least 1 and --scripts at least 4")
	}
	b := burst{cmd: cmd}
	err := onBenchStack(ctx, a, cmd.Version, func(site *e2eSite) (err error) {
		plain, err := newPlainWP(ctx, site)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, plain.db.Close()) }()
		if err := warmMode(ctx, site, cmd.Mode); err != nil {
			return err
		}
		for _, part := range []func() error{
			func() error { return b.scripts(ctx, plain, cmd.Scripts/2) },
			func() error { return b.installs(ctx, site) },
			func() error { return b.scripts(ctx, plain, cmd.Scripts/2) },
		} {
			if err := part(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f := b.figures()
	return a.measured(f, f.Met, "INSTALLS A-MINUTE CPU-MS-EACH", [][]string{
		{"ours", digits(f.Value, 1), digits(f.CPU, 0)}, {"script", digits(f.Baseline, 1), digits(f.CPUBaseline, 0)}})
}

// burst is what was measured: the whole costs of so many installs.
type burst struct {
	cmd          *benchBurstCmd
	ours, script cost
	accepts      []float64
}

func (b *burst) installs(ctx context.Context, site *e2eSite) error {
	m, err := startMeter()
	if err != nil {
		return err
	}
	client, ids := site.e2e.stack.client, make([]string, b.cmd.N)
	var mu sync.Mutex
	err = inParallel(posters, b.cmd.N, func(i int) error {
		var took accepted
		began := time.Now()
		_, err := client.post(ctx, "/wordpress/install", installBody{Domain: site.domain, Path: fmt.Sprintf("%s/burst-%d", demoPath, i),
			Title: "Burst", AdminUser: demoAdmin, AdminEmail: demoEmail, Version: site.version,
			InstallMode: b.cmd.Mode}, &took)
		mu.Lock()
		defer mu.Unlock()
		ids[i], b.accepts = took.OperationID, append(b.accepts, milliseconds(time.Since(began)))
		return err
	})
	if err != nil {
		return fmt.Errorf("asking for installs: %w", err)
	}
	for _, id := range ids {
		op, err := client.eager().follow(ctx, id, func(operation, []byte) error { return nil })
		if err == nil && op.Status != tasks.Succeeded {
			err = fmt.Errorf("an install is %s: %s", op.Status, op.failure())
		}
		if err == nil {
			err = madeBy(op, b.cmd.Mode)
		}
		if err != nil {
			return err
		}
	}
	b.ours, err = m.read()
	return err
}

// scripts runs the script n times, two at a time: more are no faster on two cores.
func (b *burst) scripts(ctx context.Context, plain *plainWP, n int) error {
	sites := make([]plainSite, n)
	for i := range sites {
		var err error
		if sites[i], err = plain.next(ctx); err != nil {
			return err
		}
	}
	m, err := startMeter()
	if err != nil {
		return err
	}
	if err := inParallel(2, n, func(i int) error { return plain.install(ctx, sites[i], false) }); err != nil {
		return err
	}
	took, err := m.read()
	b.script.clock, b.script.cpu = b.script.clock+took.clock, b.script.cpu+took.cpu
	return err
}

// inParallel does something n times, some at a time. All errors are reported.
func inParallel(some, n int, do func(i int) error) error {
	next, errs := make(chan int), make([]error, n)
	var wg sync.WaitGroup
	for range some {
		wg.Go(func() {
			for i := range next {
				errs[i] = do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

func (b *burst) figures() burstFigures {
	const minute = 60_000
	scripts := float64(b.cmd.Scripts / 2 * 2)
	n := float64(b.cmd.N)
	ours, script := n*minute/max(b.ours.clock, 1), scripts*minute/max(b.script.clock, 1)
	f := burstFigures{
		Mode:        b.cmd.Mode,
		costFigures: compareCPU([]cost{{cpu: b.ours.cpu / n}}, []cost{{cpu: b.script.cpu / scripts}}),
		AcceptP50:   figure(quantile(b.accepts, .5)), AcceptP99: figure(quantile(b.accepts, .99)),
		figures: figures{
			Name: "bench.burst", Value: figure(ours), Unit: "installs/min", Baseline: figure(script),
			BaselineName: "wp core download (cached), config create, core install, sync; 2 at a time",
			Ratio:        figure(ours / max(script, .001)), Goal: burstGoals[b.cmd.Mode], N: b.cmd.N, Spread: [2]float64{figure(ours), figure(ours)},
		},
	}
	f.Met = f.Ratio >= f.Goal && f.AcceptP99 < acceptGoal
	return f
}
