package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// replaying is a node with journals, and a ledger that is empty.
type replaying struct {
	*replays
	client *queue.Client
	dir    string
}

func newReplaying(t *testing.T, prefix string) replaying {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	metrics := queue.NewMetrics(prometheus.NewRegistry())
	store, err := queue.Open(t.Context(), queue.Options{URL: devstack.SharedRedis(t), Prefix: prefix, Metrics: metrics}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	dir := filepath.Join(t.TempDir(), "journal")
	journal, err := tasks.OpenJournal(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = journal.Close() })
	client := queue.NewClient(store)
	return replaying{&replays{journal: journal, node: queue.NewNode(store, queue.NodeConfig{ID: "n1"}), ledger: client, metrics: metrics,
		live: &live{}, log: log, told: map[string]bool{}}, client, dir}
}

// began writes the journal of an op as an attempt would.
func (r replaying) began(t *testing.T, domain string, entries ...tasks.Entry) string {
	t.Helper()
	id := tasks.NewOpID("n1")
	order := &tasks.Order{Kind: "install", Class: tasks.Interactive, Payload: []byte(`{"title":"<x>"}`),
		Site: tasks.SiteRef{ID: tasks.SiteID("n1", "alice", domain, "public_html"), Node: "n1", Account: "alice", Domain: domain, Path: "public_html"}}
	for i, e := range entries {
		e.At, e.Attempt = time.Now(), 2
		if i == 0 && e.Order == nil && e.Step != "unordered" {
			e.Order = order
		}
		if err := r.journal.Append(id, e); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

func (r replaying) looks(t *testing.T) {
	t.Helper()
	for range 2 { // whatever it finds, it finds again
		if err := r.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func (r replaying) has(t *testing.T, id string) bool {
	t.Helper()
	record, err := r.journal.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	return len(record.Entries) > 0
}

var begin = tasks.Entry{Mark: tasks.MarkBegin, Step: "prepare"}

func TestUnfinishedOpThatRedisLostIsRestoredFromItsJournal(t *testing.T) {
	t.Parallel()
	r := newReplaying(t, "rp1:")
	id := r.began(t, "a.example", begin)
	busy := r.began(t, "b.example", begin)
	end := r.live.begin(busy)
	r.looks(t)
	op, err := r.client.Get(t.Context(), id)
	if err != nil || op.State != tasks.Running || op.Attempt != 2 || string(op.Payload) != `{"title":"<x>"}` || op.Site.Domain != "a.example" {
		t.Errorf("restored as %+v, %v", op, err)
	}
	if !r.has(t, id) {
		t.Error("the journal of an unfinished op is gone")
	}
	if op, err := r.client.Get(t.Context(), busy); err == nil {
		t.Errorf("an op that runs was replayed: %+v", op)
	}
	end()
	r.looks(t)
	if _, err := r.client.Get(t.Context(), busy); err != nil {
		t.Error(err)
	}
}

func TestOutcomeOfAnOpThatRedisLostIsTold(t *testing.T) {
	t.Parallel()
	r := newReplaying(t, "rp2:")
	outcome := &tasks.Outcome{State: tasks.Succeeded, Result: []byte(`{"ok":true}`)}
	id := r.began(t, "a.example", begin, tasks.Entry{Mark: tasks.MarkOutcome, Outcome: outcome})
	older := r.began(t, "b.example", tasks.Entry{Mark: tasks.MarkBegin, Step: "unordered"}, tasks.Entry{Mark: tasks.MarkOutcome, Outcome: outcome})
	r.looks(t)
	op, err := r.client.Get(t.Context(), id)
	if err != nil || op.State != tasks.Succeeded || string(op.Result) != `{"ok":true}` {
		t.Errorf("told as %+v, %v", op, err)
	}
	if r.has(t, id) || r.has(t, older) {
		t.Error("a journal of an op that has ended is left")
	}
}

func TestJournalThatDoesNotSayWhatWasOrderedIsLeftAndCounted(t *testing.T) {
	t.Parallel()
	r := newReplaying(t, "rp3:")
	reg := prometheus.NewRegistry()
	r.metrics = queue.NewMetrics(reg)
	id := r.began(t, "a.example", tasks.Entry{Mark: tasks.MarkBegin, Step: "unordered"})
	corrupt := r.began(t, "b.example", begin)
	if err := os.WriteFile(filepath.Join(r.dir, corrupt+".jsonl"), []byte("{\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fine := r.began(t, "c.example", begin)
	r.looks(t)
	if !r.has(t, id) {
		t.Error("it is gone")
	}
	if _, err := r.client.Get(t.Context(), fine); err != nil {
		t.Errorf("a journal behind a bad one was not replayed: %v", err)
	}
	const want = `
# HELP wptk_ops_restored_total Operations that Redis had lost and that a node had begun: restored from its journal, or left to the operator.
# TYPE wptk_ops_restored_total counter
wptk_ops_restored_total{result="left"} 2
wptk_ops_restored_total{result="restored"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "wptk_ops_restored_total"); err != nil {
		t.Error(err) // the store counts what is restored, with metrics of its own
	}
}

func TestUnfinishedJournalOfAnOpThatWasGivenUpIsForgotten(t *testing.T) {
	t.Parallel()
	r := newReplaying(t, "rp4:")
	id := r.began(t, "a.example", begin)
	r.looks(t)
	if err := r.node.Settle(t.Context(), id, 2, tasks.Outcome{State: tasks.Failed, Error: &tasks.Failure{Code: tasks.CodeInternal}}); err != nil {
		t.Fatal(err)
	}
	r.looks(t)
	if r.has(t, id) {
		t.Error("its journal is left, and would bring it back when the ledger has forgotten it")
	}
}
