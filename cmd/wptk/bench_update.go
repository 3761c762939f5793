package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/proc"
)

type benchUpdateCmd struct {
	N        int    `help:"Updates of each kind that are measured." default:"5" env:"-"`
	From     string `help:"Version in front of the update." default:"6.2.6" env:"-"`
	To       string `help:"Version behind it." default:"6.5.5" env:"-"`
	Visitors int    `help:"So many visitors ask for the front page without a pause, and what they see is counted. They slow everything down." default:"0" env:"-"`
}

// updateGoal is how many times faster than plain WP-CLI an update is, snapshot and probes
// left out, which WP-CLI does not have.
const updateGoal = 5

// guardSteps are those of a safe update that WP-CLI has nothing like: what looks at the site,
// closes it, and copies its tables.
var guardSteps = map[string]bool{"baseline": true, "close": true, "snapshot": true, "verify": true, "probe": true}

// updateFigures tell what an update takes in three ways. Value and ratio are of a safe one,
// its guardSteps left out; the whole of it, and one that is not safe, stand beside.
type updateFigures struct {
	figures
	costFigures
	Safe       float64            `json:"safe"` // ms of the whole safe update
	SafeRatio  float64            `json:"safe_ratio"`
	Plain      float64            `json:"plain"` // ms of an update with safe=false
	PlainRatio float64            `json:"plain_ratio"`
	Steps      map[string]float64 `json:"steps"`          // ms of each step of the safe one, as a client sees them
	Seen       map[string]int64   `json:"seen,omitempty"` // answers to visitors while an update of ours ran, by status
}

// updateRuns is what was measured.
type updateRuns struct {
	naive, plain, safe, alone []cost
	steps                     map[string][]cost
	seen                      map[string]int64
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
		failure = e.sites[0].examine(ctx, func(x *exam) { f, rows = cmd.report(cmd.measure(x)) })
	}
	if err := errors.Join(failure, e.takeDown(failure != nil)); err != nil {
		return err
	}
	return a.measured(f, f.Met, costHeader, rows)
}

func (cmd *benchUpdateCmd) measure(x *exam) updateRuns {
	checkInstall(x)
	archive := x.zipped(cmd.To)
	var tables int
	x.ask(&tables, `return (int) get_option( 'db_version' );`)
	back := func() {
		x.change("/core/update", fields{"version": cmd.From, "force": true, "safe": false}, nil)
		// As if nobody had upgraded the tables: each of them has to do that.
		x.ask(nil, `update_option( 'db_version', $args[0] );`, tables)
	}
	r := updateRuns{steps: map[string][]cost{}, seen: map[string]int64{}}
	for range cmd.N {
		r.naive = append(r.naive, x.costs(func(x *exam) {
			x.wpcli("core", "update", archive, "--force")
			x.wpcli("core", "update-db")
		}))
		x.wordpress(cmd.To, `return get_bloginfo( 'version' );`)
		back()
		r.plain = append(r.plain, cmd.update(x, fields{"version": cmd.To, "safe": false}, map[string][]cost{}, r.seen))
		x.wordpress(cmd.To, `return get_bloginfo( 'version' );`)
		back()
		steps := map[string][]cost{}
		r.safe = append(r.safe, cmd.update(x, fields{"version": cmd.To}, steps, r.seen))
		var alone cost
		for step, all := range steps {
			r.steps[step] = append(r.steps[step], all...)
			for _, c := range all {
				if !guardSteps[step] {
					alone.clock, alone.cpu = alone.clock+c.clock, alone.cpu+c.cpu
				}
			}
		}
		r.alone = append(r.alone, alone)
		back()
		x.answers(http.StatusOK, "/")
	}
	return r
}

// update is one of ours, from POST to succeeded, with visitors if there are to be some.
func (cmd *benchUpdateCmd) update(x *exam, body fields, steps map[string][]cost, seen map[string]int64) (took cost) {
	leave := x.visited(cmd.Visitors, seen)
	took = x.costs(func(x *exam) {
		began, err := startMeter()
		x.note(err)
		x.succeeded(x.metered(x.submit("/core/update", body).OperationID, began, steps), nil)
	})
	leave()
	return took
}

// visited has visitors look at the front page without a pause until they are told to leave.
// What they see is added by status; an answer without a body is told apart.
func (x *exam) visited(n int, seen map[string]int64) (leave func()) {
	ctx, cancel := context.WithCancel(x.ctx)
	answers, all := make(chan string), sync.WaitGroup{}
	for range n {
		v, err := newVisitor(x.demoSite)
		x.note(err)
		all.Go(func() {
			for err == nil && ctx.Err() == nil {
				answer := "none"
				if res, page, err := v.visit(ctx, "/", nil); err == nil { //nolint:bodyclose // visit has read and closed it
					answer = strconv.Itoa(res.StatusCode)
					if page == "" {
						answer += " empty"
					}
				}
				if ctx.Err() == nil { // one that was broken off says nothing
					answers <- answer
				}
			}
		})
	}
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for answer := range answers {
			seen[answer]++
		}
	}()
	return func() {
		cancel()
		all.Wait()
		close(answers)
		<-counted
	}
}

func (cmd *benchUpdateCmd) report(r updateRuns) (f updateFigures, rows [][]string) {
	if len(r.alone) == 0 {
		return f, nil
	}
	median := func(all []cost) float64 { return quantile(clockOf(all), .5) }
	ratio := func(all []cost) float64 { return figure(median(r.naive) / max(median(all), 1)) }
	clock := clockOf(r.alone)
	f = updateFigures{
		Safe: figure(median(r.safe)), SafeRatio: ratio(r.safe), Plain: figure(median(r.plain)), PlainRatio: ratio(r.plain),
		Steps: map[string]float64{}, costFigures: compareCPU(r.alone, r.naive), figures: figures{
			Name: "bench.update", Value: figure(median(r.alone)), Unit: "ms", Baseline: figure(median(r.naive)),
			BaselineName: "wp core update ZIP, wp core update-db", Ratio: ratio(r.alone),
			Goal: updateGoal, N: cmd.N, Spread: [2]float64{figure(quantile(clock, .1)), figure(quantile(clock, .9))},
		}}
	f.Met = f.Ratio >= updateGoal
	if cmd.Visitors > 0 {
		f.Seen = r.seen
	}
	rows = [][]string{costRow("safe, without probes and snapshot", r.alone), costRow("safe, whole", r.safe), costRow("safe=false", r.plain), costRow("wp-cli", r.naive)}
	for _, step := range slices.Sorted(maps.Keys(r.steps)) {
		f.Steps[step] = figure(median(r.steps[step]))
		rows = append(rows, costRow("step "+step, r.steps[step]))
	}
	return f, rows
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
