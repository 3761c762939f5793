package main

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// benchCmd measures, each time beside a baseline that runs in the same process tree and
// takes turns with ours. Every measurement ends in one line of figures.
type benchCmd struct {
	Latency   benchLatencyCmd   `cmd:"" help:"From accepted to started on an idle node, beside stock asynq; and what being idle costs."`
	Progress  benchProgressCmd  `cmd:"" help:"Requests a second of a progress poll, beside bare handlers."`
	Install   benchInstallCmd   `cmd:"" help:"An install from POST to succeeded, beside the script that does it with WP-CLI."`
	Update    benchUpdateCmd    `cmd:"" help:"An update of WordPress, beside wp core update and update-db; and what a safe one costs."`
	Backup    benchBackupCmd    `cmd:"" help:"A first backup and one of an unchanged site, beside wp db export and zip."`
	Streams   benchStreamsCmd   `cmd:"" help:"5,000 streams of events on one API process: memory, latency, and that nobody misses any or is told twice."`
	Webhooks  benchWebhooksCmd  `cmd:"" help:"Receivers of webhooks that are down for an hour, hang, refuse or lead inside: nothing is lost, and those that answer do not notice."`
	Clone     benchCloneCmd     `cmd:"" help:"A clone from POST to succeeded, beside cp, wp db export and import, and wp search-replace."`
	Burst     benchBurstCmd     `cmd:"" help:"Many installs asked for at once on one node, beside the script two at a time."`
	Status    benchStatusCmd    `cmd:"" help:"Reading a site anew, beside seven calls of WP-CLI."`
	Checksums benchChecksumsCmd `cmd:"" help:"Comparing all files with their packages, beside wp core verify-checksums."`

	ProgressServer progressServerCmd `cmd:"" hidden:"" help:"A bare handler, for bench progress."`
	StreamsServer  streamsServerCmd  `cmd:"" hidden:"" help:"A bare stream, for bench streams."`
}

// figures is the last line of a measurement on standard output.
type figures struct {
	Name         string     `json:"name"`
	Value        float64    `json:"value"`
	Unit         string     `json:"unit"`
	Baseline     float64    `json:"baseline"`
	BaselineName string     `json:"baseline_name"`
	Ratio        float64    `json:"ratio"`                // over 1 is better than the baseline
	Goal         float64    `json:"goal,omitempty"`       // of the ratio
	GoalValue    float64    `json:"goal_value,omitempty"` // that value must stay below
	Met          bool       `json:"met"`
	N            int        `json:"n"`
	Spread       [2]float64 `json:"spread"`
}

// measured ends a measurement: a table for people, the figures, and a status that says
// whether the goal was met.
func (a *app) measured(f any, met bool, header string, rows [][]string) error {
	if !a.json {
		if err := a.table(header, rows); err != nil {
			return err
		}
	}
	if err := a.object(f); err != nil {
		return err
	}
	if !met {
		return &exitError{status: exitFailed}
	}
	return nil
}

// quantile of values; 0.5 is the median. NaN-free: no values are 0.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// figure rounds to what a reader can use.
func figure(v float64) float64 { return math.Round(v*1000) / 1000 }

func digits(v float64, n int) string { return strconv.FormatFloat(v, 'f', n, 64) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
