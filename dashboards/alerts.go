package dashboards

import (
	_ "embed" // RuleTests
	"fmt"
	"strconv"
	"strings"
)

// Alert is a reason to wake somebody, or to look in the morning.
type Alert struct {
	Name    string
	Urgent  bool // severity "page"; else "ticket"
	For     string
	Summary string
	Runbook string // heading in docs/operations.md
	When    []Condition
}

// Condition holds when Value compares as Is says. Value alone always has data, which is how
// a rule on a metric that has gone is told from a rule with nothing to say.
type Condition struct {
	Value string
	Is    string
}

// Expr is when all conditions hold.
func (a Alert) Expr() string {
	var parts []string
	for _, c := range a.When {
		parts = append(parts, c.Value+" "+c.Is)
	}
	return strings.Join(parts, " and ")
}

// objective is how many operations are to succeed. A budget of 1 % that burns 14.4 times as
// fast as it may is spent after two days, at 6 times after five: the windows of the SRE
// Workbook, chapter 5.
const objective = 0.99

// failing is the share of operations that failed, of those that a node brought to an end.
func failing(window string) string {
	const ops = `sum(increase(wptk_ops_total{result%s}[%s]))`
	return fmt.Sprintf("(%s or vector(0)) / clamp_min(%s, 1)", fmt.Sprintf(ops, `="failed"`, window), fmt.Sprintf(ops, `!="cancelled"`, window))
}

func burns(times float64, long, short string) []Condition {
	limit := "> " + strconv.FormatFloat(times*(1-objective), 'g', 3, 64)
	// One failure on a quiet fleet is no trend.
	few := Condition{fmt.Sprintf("sum(increase(wptk_ops_total[%s]))", long), "> 10"}
	return []Condition{{failing(long), limit}, {failing(short), limit}, few}
}

// Alerts are all rules. Those on the fleet take the maximum over the APIs, which all show it.
var Alerts = []Alert{
	{Name: "WptkDown", Urgent: true, For: "2m", Summary: "{{ $labels.job }} at {{ $labels.instance }} does not answer.", Runbook: "A process is down",
		When: []Condition{{`up{job=~"wptk-.*"}`, "== 0"}}},
	{Name: "WptkOldestPending", Urgent: true, For: "1m", Summary: "An operation waits for {{ $value | humanizeDuration }}.", Runbook: "Oldest pending",
		When: []Condition{{`max(wptk_queue_oldest_pending_seconds{class!~"bulk|bulklate"})`, "> 120"}}},
	{Name: "WptkSuccessBurnsFast", Urgent: true, For: "2m", Summary: "{{ $value | humanizePercentage }} of operations fail.", Runbook: "Success objective",
		When: burns(14.4, "1h", "5m")},
	{Name: "WptkSuccessBurnsSlowly", For: "15m", Summary: "{{ $value | humanizePercentage }} of operations fail.", Runbook: "Success objective",
		When: burns(6, "6h", "30m")},
	{Name: "WptkNodeLost", Urgent: true, For: "0s", Summary: "{{ $value }} nodes have been silent for two minutes or more.", Runbook: "Node lost",
		When: []Condition{{`max(wptk_nodes{state="lost"})`, "> 0"}}},
	{Name: "WptkOutboxOld", Urgent: true, For: "30s", Summary: "An accepted operation is on its way to the queue for {{ $value | humanizeDuration }}.", Runbook: "Outbox age",
		When: []Condition{{`max(wptk_outbox_oldest_seconds)`, "> 30"}}},
	{Name: "WptkRedisEvicts", Urgent: true, For: "0s", Summary: "Redis has thrown keys away.", Runbook: "Evictions",
		When: []Condition{{`max(increase(wptk_redis_evicted_keys_total[1h]))`, "> 0"}}},
	{Name: "WptkRedisMemory", For: "5m", Summary: "Redis uses {{ $value | humanizePercentage }} of its memory.", Runbook: "Redis memory",
		When: []Condition{{`max(wptk_redis_memory_used_bytes / (wptk_redis_memory_limit_bytes > 0))`, "> 0.7"}}},
	{Name: "WptkAppendOnlyBroken", Urgent: true, For: "30s", Summary: "Redis does not write what it accepts to disk.", Runbook: "Append-only file",
		When: []Condition{{`min(wptk_redis_append_only_healthy)`, "== 0"}}},
	{Name: "WptkReplicaMissing", Urgent: true, For: "2m", Summary: "Redis has {{ $value }} fewer replicas than it had within a day.", Runbook: "Replica missing",
		When: []Condition{{`max(max_over_time(wptk_redis_replicas[1d])) - min(wptk_redis_replicas)`, "> 0"}}},
	{Name: "WptkPoison", For: "0s", Summary: "An operation took its worker down three times and was given up.", Runbook: "Poison",
		When: []Condition{{`sum(increase(wptk_ops_failed_total{code="poison"}[1h]))`, "> 0"}}},
	{Name: "WptkDuplicatesJump", For: "0s", Summary: "{{ $value }} deliveries of ended operations in ten minutes.", Runbook: "Duplicates",
		When: []Condition{{`sum(increase(wptk_duplicates_prevented_total[10m]))`, "> 20"}}},
	{Name: "WptkDatabaseDown", Urgent: true, For: "2m", Summary: "The database server of {{ $labels.instance }} does not answer its worker.", Runbook: "Database",
		When: []Condition{{`min by (instance) (wptk_mariadb_up)`, "== 0"}}},
	{Name: "WptkDatabaseCrowded", For: "5m", Summary: "{{ $value | humanizePercentage }} of the connections to the database server of {{ $labels.instance }} are open.", Runbook: "Database",
		When: []Condition{{`max by (instance) (wptk_mariadb_connections / (wptk_mariadb_connections_limit > 0))`, "> 0.9"}}},
	{Name: "WptkRecordsRefused", Urgent: true, For: "0s", Summary: "{{ $value }} records of Redis were refused within an hour: {{ $labels.record }}, {{ $labels.reason }}.", Runbook: "Refused records",
		When: []Condition{{`sum by (record, reason) (increase(wptk_records_refused_total[1h]))`, "> 0"}}},
	{Name: "WptkHeldForClocks", Urgent: true, For: "0s", Summary: "{{ $value }} operations wait since clocks disagree.", Runbook: "Clocks",
		When: []Condition{{`sum(increase(wptk_ops_held_for_clocks_total[1h]))`, "> 0"}}},
	{Name: "WptkClockOff", For: "5m", Summary: "The clock of {{ $labels.instance }} is {{ $value | humanizeDuration }} off Redis's.", Runbook: "Clocks",
		When: []Condition{{`max by (instance) (abs(wptk_clock_offset_seconds))`, "> 60"}}},
	{Name: "WptkDiskFull", Urgent: true, For: "5m", Summary: "{{ $labels.place }} of {{ $labels.instance }} has {{ $value | humanizePercentage }} free.", Runbook: "Disk",
		When: []Condition{{`min by (instance, place) (wptk_disk_free_bytes / wptk_disk_size_bytes)`, "< 0.1"}}},
	{Name: "WptkInodesUsedUp", Urgent: true, For: "5m", Summary: "{{ $labels.place }} of {{ $labels.instance }} has {{ $value | humanizePercentage }} of its inodes free.", Runbook: "Disk",
		When: []Condition{{`min by (instance, place) (wptk_disk_inodes_free / (wptk_disk_inodes > 0))`, "< 0.1"}}},
	{Name: "WptkBackupOld", For: "10m", Summary: "The newest backup is {{ $value | humanizeDuration }} old.", Runbook: "Backup age",
		When: []Condition{{`time() - max(wptk_backup_newest_timestamp_seconds)`, "> 93600"}}},
	{Name: "WptkBackupFails", For: "0s", Summary: "{{ $value }} backups failed within an hour.", Runbook: "Backup age",
		When: []Condition{{`sum(increase(wptk_ops_total{kind="backup", result="failed"}[1h]))`, "> 0"}}},
	{Name: "WptkRestoreDrillFailed", For: "0s", Summary: "A backup does not restore to what was stored.", Runbook: "Restore drill",
		When: []Condition{{`sum(increase(wptk_ops_total{kind="backup.verify", result="failed"}[1d]))`, "> 0"}}},
	{Name: "WptkWebhookStuck", For: "10m", Summary: "An event has not arrived for {{ $value | humanizeDuration }}.", Runbook: "Webhook stuck",
		When: []Condition{{`max(wptk_webhook_oldest_waiting_seconds)`, "> 3600"}}},
	{Name: "WptkCertificateEnds", For: "0s", Summary: "The API's certificate ends in {{ $value | humanizeDuration }}.", Runbook: "Certificate",
		When: []Condition{{`min(wptk_tls_certificate_expiry_timestamp_seconds) - time()`, "< 1209600"}}},
}

// RulesFile is where RenderRules goes, beside this file.
const RulesFile = "wptk.rules.yml"

const runbooks = "https://github.com/wispanel/wptk/blob/main/docs/operations.md#"

// Anchor is how a heading is linked to.
func Anchor(heading string) string {
	return strings.ReplaceAll(strings.ToLower(heading), " ", "-")
}

// RenderRules writes the alerts as a rule file of Prometheus.
func RenderRules() []byte {
	var out strings.Builder
	out.WriteString("# Made by go test ./dashboards -update from alerts.go.\ngroups:\n  - name: wptk\n    rules:\n")
	for _, a := range Alerts {
		severity := "ticket"
		if a.Urgent {
			severity = "page"
		}
		// Quoted as Go quotes: what these texts hold is the same in YAML.
		fmt.Fprintf(&out, "      - alert: %s\n        expr: %q\n        for: %s\n        labels: {severity: %s}\n        annotations:\n          summary: %q\n          runbook_url: %q\n",
			a.Name, a.Expr(), a.For, severity, a.Summary, runbooks+Anchor(a.Runbook))
	}
	return []byte(out.String())
}

// RuleTests are what promtool runs on the rules: each alert, quiet and then firing.
//
//go:embed wptk.test.yml
var RuleTests []byte
