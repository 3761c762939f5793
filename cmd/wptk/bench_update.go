package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/proc"
)

type benchUpdateCmd struct {
	N    int    `help:"Updates of each kind that are measured." default:"5" env:"-"`
	From string `help:"Version in front of the update." default:"6.2.6" env:"-"`
	To   string `help:"Version behind it." default:"6.5.5" env:"-"`
}

// updateGoal is how many times faster than plain WP-CLI an update is, snapshot and probes
// left out, which WP-CLI does not have.
const updateGoal = 5

// updateFigures also tell what being safe costs.
type updateFigures struct {
	figures
	Safe float64 `json:"safe"` // ms of the whole safe update
}

// Run measures and prints. One site is updated in turn by WP-CLI, by us without and with
// snapshot; between two updates it goes back to the older version, tables included.
func (cmd *benchUpdateCmd) Run(ctx context.Context, a *app) (err error) {
	if cmd.N < 1 {
		return usage("--n must be at least 1")
	}
	e := &e2e{demo: &demo{app: a, findings: newFindings(a), root: os.Geteuid() == 0}, cmd: &e2eCmd{Versions: []string{cmd.From}},
		results: map[string]map[string]*e2eResult{}}
	if e.state, err = newRunState(ctx, a.log); err != nil {
		return err
	}
	e.stack = newStack(e.state)
	var f updateFigures
	var rows [][]string
	failure := e.up(ctx)
	if failure == nil {
		failure = e.sites[0].examine(ctx, func(x *exam) { f, rows = cmd.measure(x) })
	}
	if err := errors.Join(failure, e.takeDown(failure != nil)); err != nil {
		return err
	}
	return a.measured(f, f.Met, "UPDATE-MS P10 P50 P90", rows)
}

func (cmd *benchUpdateCmd) measure(x *exam) (f updateFigures, rows [][]string) {
	checkInstall(x)
	archive := x.zipped(cmd.To)
	var tables int
	x.ask(&tables, `return (int) get_option( 'db_version' );`)
	back := func() {
		x.change("/core/update", fields{"version": cmd.From, "force": true, "safe": false}, nil)
		// As if nobody had upgraded the tables: each of them has to do that.
		x.ask(nil, `update_option( 'db_version', $args[0] );`, tables)
	}
	var plain, ours, safe []float64
	for range cmd.N {
		began := time.Now()
		x.wpcli("core", "update", archive, "--force")
		x.wpcli("core", "update-db")
		plain = append(plain, milliseconds(time.Since(began)))
		x.wordpress(cmd.To, `return get_bloginfo( 'version' );`)
		back()
		op := x.change("/core/update", fields{"version": cmd.To, "safe": false}, nil)
		ours = append(ours, milliseconds(op.FinishedAt.Sub(op.StartedAt)))
		x.wordpress(cmd.To, `return get_bloginfo( 'version' );`)
		back()
		op = x.change("/core/update", fields{"version": cmd.To}, nil)
		safe = append(safe, milliseconds(op.FinishedAt.Sub(op.StartedAt)))
		back()
		x.answers(http.StatusOK, "/")
	}
	median, baseline := quantile(ours, .5), quantile(plain, .5)
	f = updateFigures{Safe: figure(quantile(safe, .5)), figures: figures{
		Name: "bench.update", Value: figure(median), Unit: "ms", Baseline: figure(baseline),
		BaselineName: "wp core update ZIP, wp core update-db", Ratio: figure(baseline / max(median, 1)),
		Goal: updateGoal, N: cmd.N, Spread: [2]float64{figure(quantile(ours, .1)), figure(quantile(ours, .9))},
	}}
	f.Met = f.Ratio >= updateGoal
	row := func(name string, ms []float64) []string {
		return []string{name, digits(quantile(ms, .1), 0), digits(quantile(ms, .5), 0), digits(quantile(ms, .9), 0)}
	}
	return f, [][]string{row("ours", ours), row("safe", safe), row("wp-cli", plain)}
}

// zipped is the archive of a version, as WP-CLI would fetch it.
func (x *exam) zipped(version string) string {
	packages, err := devstack.Cache()
	x.note(err)
	file := filepath.Join(x.e2e.state.dir(), "wordpress-"+version+".zip")
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		x.note(err)
		return ""
	}
	w := zip.NewWriter(out)
	x.note(errors.Join(w.AddFS(os.DirFS(filepath.Join(packages, "core", version))), w.Close(), out.Close()))
	return file
}

// wpcli runs WP-CLI as people do, as the site's user.
func (x *exam) wpcli(args ...string) {
	if x.err != nil {
		return
	}
	packages, err := devstack.Cache()
	x.note(err)
	php, err := program("php")
	if err != nil {
		x.note(err)
		return
	}
	var out bytes.Buffer
	all := append([]string{"-d", "memory_limit=512M", filepath.Join(packages, "wp-cli", "wp-cli.phar"), "--path=" + x.docroot(), "--no-color"}, args...)
	exit, err := proc.Run(x.ctx, proc.Spec{Path: php, Args: all, Dir: x.tmp(), As: x.user, Stdout: &out, Stderr: &out,
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + x.root, "TMPDIR=" + x.tmp(), "LC_ALL=C.UTF-8", "WP_CLI_DISABLE_AUTO_CHECK_UPDATE=1"}})
	if err != nil || exit.Code != 0 {
		x.fail("%s: exit status %d: %s, %w", fmt.Sprint(args), exit.Code, clean(out.String()), err)
	}
}
