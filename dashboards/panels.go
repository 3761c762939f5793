// Package dashboards is the single place where Grafana panels live. Boards are Go
// values, written out as JSON by `go test ./dashboards -update` and held to the
// committed files and to the metrics that exist by the same test.
package dashboards

// Board is one dashboard.
type Board struct {
	UID    string
	Title  string
	File   string // beside this one
	Panels []Panel
}

// Panel is one picture. Its place follows from its order and width.
type Panel struct {
	Title   string
	Help    string // what a person on call should read from it
	Kind    string // "stat", "timeseries", "bargauge"
	Unit    string // Grafana's unit id
	Width   int    // of 24
	Height  int
	Targets []Target
}

// Target is one query.
type Target struct {
	Expr   string
	Legend string
}

// Boards are all dashboards.
var Boards = []Board{fleet}

// The API's replicas all show the whole fleet's queue, so those are max(), not sum().
var fleet = Board{
	UID: "wptk-fleet", Title: "WordPress Toolkit: fleet", File: "fleet.json",
	Panels: []Panel{
		{Title: "Nodes up", Kind: "stat", Width: 4, Height: 4, Help: "Nodes with a heartbeat in the last 30 seconds.",
			Targets: []Target{{`max(wptk_nodes{state="up"})`, "up"}}},
		{Title: "Nodes lost", Kind: "stat", Width: 4, Height: 4, Help: "No heartbeat for two minutes; their operations are stalled until they return.",
			Targets: []Target{{`max(wptk_nodes{state="lost"})`, "lost"}}},
		{Title: "Open operations", Kind: "stat", Width: 4, Height: 4, Help: "Accepted and not ended.",
			Targets: []Target{{`max(wptk_ops_open)`, "open"}}},
		{Title: "Oldest pending", Kind: "stat", Unit: "s", Width: 4, Height: 4, Help: "How long the longest waiting operation of a lane waits.",
			Targets: []Target{{`max(wptk_queue_oldest_pending_seconds)`, "age"}}},
		{Title: "Outbox age", Kind: "stat", Unit: "s", Width: 4, Height: 4, Help: "Accepted, not yet handed to the queue. Above 30 s no API process sweeps.",
			Targets: []Target{{`max(wptk_outbox_oldest_seconds)`, "age"}}},
		{Title: "Success, 1 h", Kind: "stat", Unit: "percentunit", Width: 4, Height: 4, Help: "Operations that succeeded, of all that ended.",
			Targets: []Target{{`sum(increase(wptk_ops_total{result="succeeded"}[1h])) / clamp_min(sum(increase(wptk_ops_total[1h])), 1)`, "ratio"}}},

		{Title: "Queue depth by state", Kind: "timeseries", Width: 12, Height: 8, Help: "Pending grows when nodes are too slow or away; retry and archived should stay at zero.",
			Targets: []Target{{`max by (state) (sum by (state, instance) (wptk_queue_depth))`, "{{state}}"}}},
		{Title: "Pending by lane", Kind: "timeseries", Width: 12, Height: 8, Help: "hi is what somebody watches; bulk is clone and backup.",
			Targets: []Target{{`max by (class) (wptk_queue_depth{state="pending"})`, "{{class}}"}}},
		{Title: "Operations a minute by result", Kind: "timeseries", Unit: "opm", Width: 12, Height: 8,
			Targets: []Target{{`sum by (kind, result) (rate(wptk_ops_total[5m])) * 60`, "{{kind}} {{result}}"}}},
		{Title: "Accepted to started, p95", Kind: "timeseries", Unit: "s", Width: 12, Height: 8, Help: "Milliseconds on an idle node; what is above is waiting for a slot or for an earlier operation of the site.",
			Targets: []Target{{`histogram_quantile(0.95, sum by (le, kind) (rate(wptk_op_queue_seconds_bucket[5m])))`, "{{kind}}"}}},
		{Title: "Duration, p50 and p95", Kind: "timeseries", Unit: "s", Width: 12, Height: 8,
			Targets: []Target{
				{`histogram_quantile(0.5, sum by (le, kind) (rate(wptk_op_duration_seconds_bucket[5m])))`, "{{kind}} p50"},
				{`histogram_quantile(0.95, sum by (le, kind) (rate(wptk_op_duration_seconds_bucket[5m])))`, "{{kind}} p95"},
			}},
		{Title: "Slowest steps, p95", Kind: "timeseries", Unit: "s", Width: 12, Height: 8,
			Targets: []Target{{`topk(10, histogram_quantile(0.95, sum by (le, kind, step) (rate(wptk_step_duration_seconds_bucket[5m]))))`, "{{kind}} {{step}}"}}},
		{Title: "WP-CLI runs a minute", Kind: "timeseries", Unit: "opm", Width: 12, Height: 8,
			Targets: []Target{{`sum by (command, result) (rate(wptk_wp_cli_runs_total[5m])) * 60`, "wp {{command}} {{result}}"}}},
		{Title: "WP-CLI duration, p95", Kind: "timeseries", Unit: "s", Width: 12, Height: 8,
			Targets: []Target{{`histogram_quantile(0.95, sum by (le, command) (rate(wptk_wp_cli_duration_seconds_bucket[5m])))`, "wp {{command}}"}}},

		{Title: "Requests a second by status", Kind: "timeseries", Unit: "reqps", Width: 8, Height: 8,
			Targets: []Target{{`sum by (status) (rate(wptk_http_requests_total[5m]))`, "{{status}}"}}},
		{Title: "Request duration, p99", Kind: "timeseries", Unit: "s", Width: 8, Height: 8, Help: "Long polls and streams wait on purpose.",
			Targets: []Target{{`histogram_quantile(0.99, sum by (le, route) (rate(wptk_http_request_duration_seconds_bucket[5m])))`, "{{route}}"}}},
		{Title: "Refused by rate limit", Kind: "timeseries", Unit: "reqps", Width: 8, Height: 8,
			Targets: []Target{{`sum(rate(wptk_rate_limit_hits_total[5m]))`, "429"}}},
		{Title: "Redeliveries by reason", Kind: "timeseries", Unit: "opm", Width: 8, Height: 8, Help: "Begun again after a crash, a drain or a lapsed lease. Harmless, but each has a cause.",
			Targets: []Target{{`sum by (reason) (rate(wptk_ledger_redeliveries_total[5m])) * 60`, "{{reason}}"}}},
		{Title: "Mended", Kind: "timeseries", Unit: "opm", Width: 8, Height: 8, Help: "Deliveries of ended operations that the ledger stopped, and operations a sweep put back.",
			Targets: []Target{
				{`sum(rate(wptk_duplicates_prevented_total[5m])) * 60`, "duplicates prevented"},
				{`sum(rate(wptk_sweep_requeued_total[5m])) * 60`, "requeued by sweep"},
				{`max(wptk_outbox_entries)`, "outbox entries"},
			}},
		{Title: "Redis calls that failed", Kind: "timeseries", Unit: "opm", Width: 8, Height: 8, Help: "Survived, but look at Redis.",
			Targets: []Target{{`sum by (op) (rate(wptk_redis_errors_total[5m])) * 60`, "{{op}}"}}},
	},
}
