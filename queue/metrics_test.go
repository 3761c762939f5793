package queue

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

var update = flag.Bool("update", false, "rewrite golden files")

// everyMetric uses every metric once, and answers them all.
func everyMetric(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m := NewMetrics(reg)
	m.OpStarted("install", time.Second)
	m.OpEnded("install", string(tasks.Succeeded), time.Second)
	m.OpFailed(tasks.CodePoison)
	m.StepEnded("install", "database", time.Second)
	m.CLIRun("core install", "ok", time.Second)
	m.Request("/api/v1/wordpress/install", "POST", 202, time.Millisecond)
	m.LimitHit()
	m.Redelivered("crash")
	m.Clock(time.Second)
	m.DuplicatePrevented()
	m.SweepRequeued(2)
	m.RedisError("heartbeat")
	m.RolloutEnded("core.update", string(tasks.Succeeded))
	m.ScheduleDue(Fired)
	m.WebhookDelivery(resultDelivered)

	s := registryStore(t)
	testNode(t, s, "web-1")
	ok(t, NewClient(s).PutBackup(t.Context(), tasks.Backup{ID: tasks.BackupID(tasks.NewOpID("web-1")), Created: time.Now()}))
	reg.MustRegister(NewSnapshot(s))
	return must[[]*dto.MetricFamily](t)(reg.Gather())
}

// Dashboards and alert rules are held to this list. A name or a label on it is
// on the wire: add, do not change.
func TestMetricsAreThoseOfTheGoldenList(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, family := range everyMetric(t) {
		var labels []string
		for _, pair := range family.Metric[0].Label {
			labels = append(labels, pair.GetName())
		}
		lines = append(lines, fmt.Sprintf("%s{%s} %s\n", family.GetName(), strings.Join(labels, ","), strings.ToLower(family.GetType().String())))
	}
	got := strings.Join(lines, "")
	const golden = "testdata/metrics.txt"
	if *update {
		ok(t, os.MkdirAll("testdata", 0o755))
		ok(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want := must[[]byte](t)(os.ReadFile(golden))
	if got != string(want) {
		t.Errorf("metrics are\n%s\nand %s has\n%s", got, golden, want)
	}
}

func TestMetricNamesFollowTheConventions(t *testing.T) {
	t.Parallel()
	for _, problem := range must[[]promlint.Problem](t)(promlint.NewWithMetricFamilies(everyMetric(t)).Lint()) {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

func TestMetricsHaveNoLabelThatGrowsWithTheFleet(t *testing.T) {
	t.Parallel()
	for _, family := range everyMetric(t) {
		for _, pair := range family.Metric[0].Label {
			if slices.Contains([]string{"site", "domain", "account", "op_id", "id", "node", "user", "path"}, pair.GetName()) {
				t.Errorf("%s has the label %s", family.GetName(), pair.GetName())
			}
		}
	}
}

func TestNoMetricsCountNothing(t *testing.T) {
	t.Parallel()
	var m *Metrics
	m.OpStarted("k", 0)
	m.OpEnded("k", "r", 0)
	m.OpWithdrawn("k")
	m.StepEnded("k", "s", 0)
	m.CLIRun("c", "ok", 0)
	m.Request("r", "GET", 200, 0)
	m.LimitHit()
	m.Redelivered("crash")
	m.DuplicatePrevented()
	m.SweepRequeued(1)
	m.RedisError("x")
	m.OpFailed("x")
	m.CLIKilled("timeout")
	m.RunLimited("memory")
	m.JournalWritten(0)
	m.Idempotent(RequestNew)
	m.Stream(1)
	m.Reconciled(0)
}

// gathered reads a snapshot as "name{label,values}" -> value.
func gathered(t *testing.T, p *Snapshot) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(p)
	values := map[string]float64{}
	for _, family := range must[[]*dto.MetricFamily](t)(reg.Gather()) {
		for _, m := range family.Metric {
			var labels []string
			for _, pair := range m.Label {
				labels = append(labels, pair.GetValue())
			}
			values[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.Gauge.GetValue()
		}
	}
	return values
}

func TestSnapshotShowsWhatWaitsAndForHowLong(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	ctx, now := t.Context(), time.Now()
	for _, id := range []string{"web-1", "web-2"} {
		testNode(t, s, id)
	}
	ok(t, s.rdb.HSet(ctx, s.names.node("web-2"), "beat", now.Add(-time.Hour).UnixMilli()).Err())
	for i, queue := range []string{lane("web-1", tasks.Interactive), lane("web-2", tasks.Interactive)} {
		for j := range 3 { // asynq puts new tasks at the head and takes from the end
			id := fmt.Sprintf("t%d", j)
			ok(t, s.rdb.LPush(ctx, lanePending(queue), id).Err())
			since := now.Add(time.Duration(i*10+j-60) * time.Second)
			ok(t, s.rdb.HSet(ctx, laneTask(queue, id), "pending_since", since.UnixNano()).Err())
		}
	}
	ok(t, s.rdb.LPush(ctx, laneActive(lane("web-1", tasks.Bulk)), "a").Err())
	ok(t, s.rdb.ZAdd(ctx, laneRetry(lane("web-1", tasks.Standard)), redis.Z{Member: "r"}, redis.Z{Member: "q"}).Err())
	ok(t, s.rdb.ZAdd(ctx, s.names.outbox("0a"), redis.Z{Score: float64(now.Add(-20 * time.Second).UnixMilli()), Member: "op"}).Err())
	ok(t, s.rdb.SAdd(ctx, s.names.open("ff"), "op", "op2").Err())

	p := NewSnapshot(s)
	p.now = func() time.Time { return now }
	got := gathered(t, p)
	want := map[string]float64{
		"wptk_queue_depth{hi,pending}": 6, "wptk_queue_depth{bulk,active}": 1, "wptk_queue_depth{std,retry}": 2, "wptk_queue_depth{std,pending}": 0,
		"wptk_nodes{up}": 1, "wptk_nodes{lost}": 1, "wptk_nodes{draining}": 0, "wptk_ops_open{}": 2, "wptk_outbox_entries{}": 1,
		"wptk_queue_oldest_pending_seconds{hi}": 60, "wptk_queue_oldest_pending_seconds{bulk}": 0, "wptk_outbox_oldest_seconds{}": 20,
	}
	for name, value := range want {
		if diff := got[name] - value; diff < -.01 || diff > .01 {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}

func TestDamagedQueueLosesOneSample(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	testNode(t, s, "web-1")
	testNode(t, s, "web-2")
	ok(t, s.rdb.Set(t.Context(), lanePending(lane("web-1", tasks.Interactive)), "no list", 0).Err())
	ok(t, s.rdb.LPush(t.Context(), lanePending(lane("web-2", tasks.Interactive)), "a").Err())
	ok(t, s.rdb.LPush(t.Context(), laneActive(lane("web-1", tasks.Interactive)), "b").Err())
	got := gathered(t, NewSnapshot(s))
	if got["wptk_queue_depth{hi,pending}"] != 1 || got["wptk_queue_depth{hi,active}"] != 1 {
		t.Errorf("got %v", got)
	}
}

func TestSnapshotReadsAtMostEveryTenSeconds(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	testNode(t, s, "web-1")
	w, now := watchWire(s), time.Now()
	p := NewSnapshot(s)
	p.now = func() time.Time { return now }
	gathered(t, p)
	first := w.trips.Load()
	now = now.Add(snapshotEvery - 1)
	gathered(t, p)
	if n := w.trips.Load(); n != first {
		t.Errorf("%d round trips for numbers that were there", n-first)
	}
	now = now.Add(1)
	gathered(t, p)
	if n := w.trips.Load(); n == first {
		t.Error("old numbers after ten seconds")
	}
}

func TestSnapshotCostGrowsWithNodesAndNotWithTheirQueues(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	for i := range 300 {
		testNode(t, s, fmt.Sprintf("web-%d", i))
	}
	gathered(t, NewSnapshot(s))
	w := watchWire(s)
	gathered(t, NewSnapshot(s))
	if n := w.trips.Load(); n > 30 {
		t.Errorf("%d round trips for 300 nodes", n)
	}
	if n := w.commands.Load(); n > 300*11/10+600 { // a record each, their lanes by the hundred, and what any fleet costs
		t.Errorf("%d commands for 300 nodes with nothing to do", n)
	}
}

func TestSnapshotFindsTheOneLaneOfALargeFleetThatHasSomething(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	for i := range 100 {
		testNode(t, s, fmt.Sprintf("web-%d", i))
	}
	for i, class := range laneClasses {
		ok(t, s.rdb.ZAdd(t.Context(), laneRetry(lane(fmt.Sprintf("web-%d", 20*i), class)), redis.Z{Member: "r"}).Err())
		ok(t, s.rdb.LPush(t.Context(), laneActive(lane(fmt.Sprintf("web-%d", 99-i), class)), "a", "b").Err())
	}
	got := gathered(t, NewSnapshot(s))
	for _, class := range laneClasses {
		for state, want := range map[string]float64{"retry": 1, "active": 2, "pending": 0} {
			if name := fmt.Sprintf("wptk_queue_depth{%s,%s}", class, state); got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
	}
}

func TestSnapshotAsksOfAllLanesAtOnce(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	testNode(t, s, "web-1")
	testNode(t, s, "web-2")
	gathered(t, NewSnapshot(s)) // opens the connections, which costs trips of its own
	w := watchWire(s)
	gathered(t, NewSnapshot(s))
	if n := w.trips.Load(); n > 20 {
		t.Errorf("%d round trips for two nodes", n)
	}
}

func TestSnapshotShowsNothingWhenRedisIsAway(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	testNode(t, s, "web-1")
	watchWire(s).cutAt.Store(1)
	if got := gathered(t, NewSnapshot(s)); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
