package main

import (
	"context"
	"crypto/md5" //nolint:gosec // what the list of WordPress's makers has
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
)

// duel has a site that is there looked at in two ways, in turn.
type duel struct {
	name, baseline string
	goal           float64
	rounds         int
	ours, plain    func(*exam)
	ready          func(*exam) // in front of all; may be nil
}

// duelFigures are those of both ways.
type duelFigures struct {
	figures
	costFigures
}

func (d duel) run(ctx context.Context, a *app, version string) error {
	if d.rounds < 1 {
		return usage("--rounds must be at least 1")
	}
	var ours, plain []cost
	err := onBenchStack(ctx, a, version, func(site *e2eSite) error {
		return site.examine(ctx, func(x *exam) {
			checkInstall(x)
			if d.ready != nil {
				d.ready(x)
			}
			for round := range d.rounds + 1 { // the first one only warms up
				a, b := x.costs(d.ours), x.costs(d.plain)
				if round > 0 {
					ours, plain = append(ours, a), append(plain, b)
				}
			}
		})
	})
	if err != nil {
		return err
	}
	clock := clockOf(ours)
	median, baseline := quantile(clock, .5), quantile(clockOf(plain), .5)
	f := duelFigures{costFigures: compareCPU(ours, plain), figures: figures{
		Name: "bench." + d.name, Value: figure(median), Unit: "ms", Baseline: figure(baseline), BaselineName: d.baseline,
		Ratio: figure(baseline / max(median, 1)), Goal: d.goal, N: d.rounds, Spread: [2]float64{figure(quantile(clock, .1)), figure(quantile(clock, .9))},
	}}
	f.Met = f.Ratio >= d.goal
	return a.measured(f, f.Met, costHeader, [][]string{costRow("ours", ours), costRow("wp-cli", plain)})
}

// costs measures what do takes.
func (x *exam) costs(do func(*exam)) cost {
	m, err := startMeter()
	x.note(err)
	do(x)
	took, err := m.read()
	x.note(err)
	return took
}

type benchStatusCmd struct {
	Rounds  int    `help:"Times that the site is looked at in each way." default:"9" env:"-"`
	Version string `help:"Version of WordPress." default:"latest" env:"-"`
}

// statusGoal is how many times faster than seven calls of WP-CLI reading a site is.
const statusGoal = 12

// statusFacts are what people ask WP-CLI to know how a site is.
var statusFacts = [][]string{
	{"core", "version"}, {"option", "get", "siteurl"}, {"option", "get", "blogname"}, {"plugin", "list", "--skip-update-check"},
	{"theme", "list", "--skip-update-check"}, {"user", "list"}, {"core", "is-installed"},
}

// Run measures and prints. Ours reads everything about the site anew, from POST to succeeded;
// a GET of what was read before takes a millisecond and is measured by bench progress.
func (cmd *benchStatusCmd) Run(ctx context.Context, a *app) error {
	return duel{name: "status", baseline: "7 calls of WP-CLI: " + factNames(), goal: statusGoal, rounds: cmd.Rounds,
		ours: func(x *exam) {
			var r tasks.SiteInspectResult
			x.change("/inspect", nil, &r)
			x.check(x.err != nil || r.Status == "ok" && r.Plugins > 0, "the site is %s", inJSON(r))
		},
		plain: func(x *exam) {
			for _, fact := range statusFacts {
				x.wpcli(fact...)
			}
		}}.run(ctx, a, cmd.Version)
}

func factNames() (names string) {
	for i, fact := range statusFacts {
		if i > 0 {
			names += ", "
		}
		names += fact[0] + " " + fact[1]
		if len(fact) == 3 && fact[1] == "get" {
			names += " " + fact[2]
		}
	}
	return names
}

type benchChecksumsCmd struct {
	Rounds  int    `help:"Times that the files are compared in each way." default:"9" env:"-"`
	Version string `help:"Version of WordPress." default:"latest" env:"-"`
}

// checksumsGoal is how many times faster than WP-CLI comparing all files is.
const checksumsGoal = 2

// Run measures and prints. Ours compares the plugins as well and looks for PHP among the
// uploads.
func (cmd *benchChecksumsCmd) Run(ctx context.Context, a *app) error {
	var list string
	return duel{name: "checksums", baseline: "wp core verify-checksums, given the list", goal: checksumsGoal, rounds: cmd.Rounds,
		ours: func(x *exam) {
			var r tasks.ChecksumsResult
			x.change("/verify-checksums", nil, &r)
			x.check(x.err != nil || r.Core.Status == tasks.PackageVerified, "the files are %s", inJSON(r))
		},
		plain: func(x *exam) { x.wpcli("core", "verify-checksums", "--require="+list) },
		ready: func(x *exam) { list = x.checksumList() },
	}.run(ctx, a, cmd.Version)
}

// listAnswer stands in for the part of WP-CLI that asks the makers of WordPress for the list:
// a measurement must not depend on the network, which here costs nothing.
const listAnswer = `<?php
namespace WP_CLI;
final class WpOrgApi {
	public function __construct( $options = array() ) {}
	public function get_core_checksums( $version, $locale = 'en_US' ) { return json_decode( file_get_contents( __DIR__ . '/checksums.json' ), true ); }
}
`

// checksumList makes that part, and the list of MD5 sums that it answers.
func (x *exam) checksumList() string {
	packages, err := devstack.Cache()
	x.note(err)
	core, sums := filepath.Join(packages, "core", x.version, "wordpress"), map[string]string{}
	x.note(filepath.WalkDir(core, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		sum := md5.Sum(raw) //nolint:gosec // what their list has
		sums[strings.TrimPrefix(path, core+"/")] = hex.EncodeToString(sum[:])
		return err
	}))
	file := x.e2e.state.dir("checksums.php")
	x.note(errors.Join(os.WriteFile(x.e2e.state.dir("checksums.json"), []byte(inJSON(sums)), 0o644), os.WriteFile(file, []byte(listAnswer), 0o644)))
	return file
}

const costHeader = "MS P10 P50 P90 CPU"

// costRow is a line of the table: the clock's quantiles, and the processors' median.
func costRow(name string, all []cost) []string {
	row := []string{name}
	for _, q := range []float64{.1, .5, .9} {
		row = append(row, digits(quantile(clockOf(all), q), 0))
	}
	return append(row, digits(quantile(cpuOf(all), .5), 0))
}
