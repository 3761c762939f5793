package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wispanel/wptk/tasks"
)

type benchInstallCmd struct {
	Rounds  int    `help:"Installs of each kind that are measured." default:"5" env:"-"`
	Version string `help:"Version of WordPress." default:"latest" env:"-"`
	Mode    string `help:"How ours are made: wp-cli or golden." enum:"wp-cli,golden" default:"wp-cli" env:"-"`
}

// installGoals are how many times faster than the script an install is.
var installGoals = map[string]float64{tasks.ModeWPCLI: 5, tasks.ModeGolden: 9}

// installFigures also compare with a script that copies files, which is the better one.
type installFigures struct {
	figures
	Mode      string             `json:"mode"`
	Copy      float64            `json:"copy"` // ms of the script with cp -a
	CopyRatio float64            `json:"copy_ratio"`
	Queued    float64            `json:"queued"` // ms from POST to the first step
	Steps     map[string]float64 `json:"steps"`  // ms of each step, as a client sees them
}

// Run measures and prints. Each round makes three sites in directories that never were
// before, in turn: by the script, by the script with cp -a, and by POST /wordpress/install.
func (cmd *benchInstallCmd) Run(ctx context.Context, a *app) (err error) {
	if cmd.Rounds < 1 {
		return usage("--rounds must be at least 1")
	}
	var f installFigures
	var rows [][]string
	err = onBenchStack(ctx, a, cmd.Version, func(site *e2eSite) (err error) {
		plain, err := newPlainWP(ctx, site)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, plain.db.Close()) }()
		f, rows, err = cmd.measure(ctx, site, plain)
		return err
	})
	if err != nil {
		return err
	}
	return a.measured(f, f.Met, "INSTALL-MS P10 P50 P90", rows)
}

// onBenchStack brings up servers, the API and a node with one tenant, and takes all of it
// down again.
func onBenchStack(ctx context.Context, a *app, version string, measure func(*e2eSite) error) (err error) {
	e := &e2e{demo: &demo{app: a, findings: newFindings(a), root: os.Geteuid() == 0}, cmd: &e2eCmd{Versions: []string{version}},
		results: map[string]map[string]*e2eResult{}}
	if e.state, err = newRunState(ctx, a.log); err != nil {
		return err
	}
	e.stack = newStack(e.state)
	failure := e.up(ctx)
	if failure == nil {
		failure = measure(e.sites[0])
	}
	return errors.Join(failure, e.takeDown(failure != nil))
}

// measurement of one install, in ms.
type measurement struct {
	total, queued float64
	steps         map[string]float64
}

func (cmd *benchInstallCmd) measure(ctx context.Context, site *e2eSite, plain *plainWP) (f installFigures, rows [][]string, err error) {
	var script, byCopy, ours []measurement
	take := func(into *[]measurement, measure func() (measurement, error)) func() error {
		return func() error {
			m, err := measure()
			*into = append(*into, m)
			return err
		}
	}
	if err := warmMode(ctx, site, cmd.Mode); err != nil {
		return f, nil, err
	}
	kinds := []func() error{
		take(&script, func() (measurement, error) { return measurePlain(ctx, plain, false) }),
		take(&byCopy, func() (measurement, error) { return measurePlain(ctx, plain, true) }),
		take(&ours, func() (measurement, error) {
			return measureInstall(ctx, site, fmt.Sprintf("%s/bench-%d", demoPath, len(ours)), cmd.Mode)
		}),
	}
	for round := range cmd.Rounds + 1 { // the first one only warms up
		for i := range kinds { // none always comes after the same other
			if err := kinds[(i+round)%len(kinds)](); err != nil {
				return f, nil, err
			}
		}
	}
	f, rows = cmd.report(script[1:], byCopy[1:], ours[1:])
	return f, rows, nil
}

func measurePlain(ctx context.Context, plain *plainWP, byCopy bool) (m measurement, err error) {
	s, err := plain.next(ctx)
	if err != nil {
		return m, err
	}
	began := time.Now()
	err = plain.install(ctx, s, byCopy)
	m.total = milliseconds(time.Since(began))
	return m, err
}

// errOtherMode says that the node has installed in another way than it was asked to.
var errOtherMode = errors.New("the node has installed in another way")

// warmMode installs until the node is ready to do it in this way: templates are made when they
// are first asked for.
func warmMode(ctx context.Context, site *e2eSite, mode string) error {
	for n := 0; ; n++ {
		_, err := measureInstall(ctx, site, fmt.Sprintf("%s/warm-%d", demoPath, n), mode)
		if !errors.Is(err, errOtherMode) || n >= 30 {
			return err
		}
	}
}

// measureInstall is what a client sees, from POST to succeeded.
func measureInstall(ctx context.Context, site *e2eSite, path, mode string) (m measurement, err error) {
	m.steps = map[string]float64{}
	step, began := "", time.Now()
	last := began
	var took accepted
	_, err = site.e2e.stack.client.post(ctx, "/wordpress/install", installBody{Domain: site.domain, Path: path,
		Title: "Ours", AdminUser: demoAdmin, AdminEmail: demoEmail, Version: site.version, InstallMode: mode}, &took)
	if err != nil {
		return m, err
	}
	op, err := site.e2e.stack.client.eager().follow(ctx, took.OperationID, func(op operation, _ []byte) error {
		if now := time.Now(); op.Step != step || op.Done {
			m.steps[step] += milliseconds(now.Sub(last))
			step, last = op.Step, now
		}
		return nil
	})
	m.total = milliseconds(time.Since(began))
	m.queued = m.steps[""]
	delete(m.steps, "")
	if err == nil && op.Status != tasks.Succeeded {
		err = fmt.Errorf("the install is %s: %s", op.Status, op.failure())
	}
	if err == nil {
		err = madeBy(op, mode)
	}
	return m, err
}

func madeBy(op operation, mode string) error {
	r, err := op.installed()
	if err == nil && r.Mode != mode {
		err = fmt.Errorf("%w: by %s: %s", errOtherMode, r.Mode, r.ModeReason)
	}
	return err
}

func (cmd *benchInstallCmd) report(script, byCopy, ours []measurement) (f installFigures, rows [][]string) {
	column := func(all []measurement, value func(measurement) float64) []float64 {
		var out []float64
		for _, m := range all {
			out = append(out, value(m))
		}
		return out
	}
	total := func(m measurement) float64 { return m.total }
	a, b, c := column(script, total), column(byCopy, total), column(ours, total)
	median, baseline, copied := quantile(c, .5), quantile(a, .5), quantile(b, .5)
	goal := installGoals[cmd.Mode]
	f = installFigures{Mode: cmd.Mode, Copy: figure(copied), CopyRatio: figure(copied / max(median, 1)), Steps: map[string]float64{},
		Queued: figure(quantile(column(ours, func(m measurement) float64 { return m.queued }), .5)), figures: figures{
			Name: "bench.install", Value: figure(median), Unit: "ms", Baseline: figure(baseline),
			BaselineName: "wp core download (cached), config create, core install, sync", Ratio: figure(baseline / max(median, 1)),
			Goal: goal, N: cmd.Rounds, Spread: [2]float64{figure(quantile(c, .1)), figure(quantile(c, .9))},
		}}
	f.Met = f.Ratio >= goal
	for step := range ours[0].steps {
		f.Steps[step] = figure(quantile(column(ours, func(m measurement) float64 { return m.steps[step] }), .5))
	}
	row := func(name string, ms []float64) []string {
		return []string{name, digits(quantile(ms, .1), 0), digits(quantile(ms, .5), 0), digits(quantile(ms, .9), 0)}
	}
	return f, [][]string{row("ours", c), row("wp-cli", a), row("wp-cli-and-cp", b)}
}
