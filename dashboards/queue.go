package dashboards

var queueBoard = Board{
	UID: "wptk-queue", Title: "WordPress Toolkit: queue and reliability", File: "queue.json", Vars: []Variable{kindVar},
	Panels: []Panel{
		stat("Oldest pending", "s", "How long the longest waiting operation of a lane waits.", `max(wptk_queue_oldest_pending_seconds)`),
		stat("Outbox age", "s", "Accepted, not yet handed to the queue. Above 30 s no API process sweeps.", `max(wptk_outbox_oldest_seconds)`),
		stat("Append-only file", "bool_yes_no", "Whether every Redis master writes what it accepts to disk, without errors.", `min(wptk_redis_append_only_healthy)`),
		stat("Replicas", "", "Of the Redis master that has the fewest. One less than usual is an alert.", `min(wptk_redis_replicas)`),
		stat("Evicted keys", "", "Must be 0: each may have been an accepted operation.", `max(wptk_redis_evicted_keys_total)`),
		stat("Poisoned, 24 h", "", "Operations that took their worker down three times.", `sum(increase(wptk_ops_failed_total{code="poison"}[24h]))`),

		graph(12, "Depth by state", "", "Pending grows when nodes are too slow or away; retry and archived should stay at zero.",
			Target{`max by (state) (sum by (state, instance) (wptk_queue_depth))`, "{{state}}"}),
		graph(12, "Oldest pending by lane", "s", "",
			Target{`max by (class) (wptk_queue_oldest_pending_seconds)`, "{{class}}"}),
		graph(12, "Accepted to started", "s", "Milliseconds on an idle node; what is above is waiting for a slot or for an earlier operation of the site.",
			Target{`histogram_quantile(0.5, sum by (le) (rate(wptk_op_queue_seconds_bucket{kind=~"$kind"}[5m])))`, "p50"},
			Target{`histogram_quantile(0.95, sum by (le) (rate(wptk_op_queue_seconds_bucket{kind=~"$kind"}[5m])))`, "p95"},
			Target{`histogram_quantile(0.99, sum by (le) (rate(wptk_op_queue_seconds_bucket{kind=~"$kind"}[5m])))`, "p99"}),
		graph(12, "Failures by code", "opm", "The ten most frequent.",
			Target{`topk(10, sum by (code) (rate(wptk_ops_failed_total[5m])) * 60)`, "{{code}}"}),

		graph(8, "Redeliveries by cause", "opm", "Begun again after a crash, a drain or a lapsed lease. Harmless, but each has a cause.",
			Target{`sum by (reason) (rate(wptk_ledger_redeliveries_total[5m])) * 60`, "{{reason}}"}),
		graph(8, "Duplicates prevented", "opm", "Deliveries of ended operations that the ledger stopped.",
			Target{`sum(rate(wptk_duplicates_prevented_total[5m])) * 60`, "prevented"}),
		graph(8, "Put back by sweeps", "opm", "After a crash or a lost message.",
			Target{`sum(rate(wptk_sweep_requeued_total[5m])) * 60`, "requeued"}),
		graph(8, "Outbox", "", "Accepted and not confirmed to be in a lane.",
			Target{`max(wptk_outbox_entries)`, "entries"}),
		graph(8, "Outbox age", "s", "",
			Target{`max(wptk_outbox_oldest_seconds)`, "oldest"}),
		graph(8, "Redis calls that failed", "opm", "Survived, but look at Redis.",
			Target{`sum by (op) (rate(wptk_redis_errors_total[5m])) * 60`, "{{op}}"}),

		graph(8, "Redis memory", "bytes", "At its limit Redis refuses writes and the API answers 503.",
			Target{`max(wptk_redis_memory_used_bytes)`, "used"}, Target{`max(wptk_redis_memory_limit_bytes)`, "limit (0 is none)"}),
		graph(8, "Redis commands a second", "ops", "",
			Target{`max(rate(wptk_redis_commands_total[5m]))`, "commands"}),
		graph(8, "Redis connections and slow disk", "", "A write that waits for the disk makes every request wait.",
			Target{`max(wptk_redis_clients)`, "connections"}, Target{`max(increase(wptk_redis_delayed_fsyncs_total[5m]))`, "writes that waited"}),
	},
}
