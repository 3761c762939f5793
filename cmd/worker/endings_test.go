package main

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

// Debugging that is over is ended by one op, however often the node looks and restarts.
func TestMeasureWhoseTimeIsOverIsEndedByOneOp(t *testing.T) {
	t.Parallel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	store, err := queue.Open(t.Context(), queue.Options{URL: devstack.SharedRedis(t), Prefix: "end:"}, log)
	must(err)
	t.Cleanup(func() { _ = store.Close() })
	state, err := openState(filepath.Join(t.TempDir(), "state"))
	must(err)
	t.Cleanup(func() { _ = state.Close() })
	measures, err := wp.OpenMeasures(filepath.Join(t.TempDir(), "measures"))
	must(err)
	client := queue.NewClient(store)
	e := &endings{host: &wp.Host{Node: "n1", Measures: measures}, state: state, ledger: client, log: log}

	site, now := tasks.SiteID("n1", "alice", "blog.com", "public_html"), time.Now()
	over := wp.Hardening{Account: "alice", Domain: "blog.com", Path: "public_html",
		Measures: map[string]wp.Applied{wp.MeasureDebug: {Op: "op_1", Until: now.Add(-time.Minute)}, wp.MeasureFileEdit: {Op: "op_2"}}}
	must(measures.Save(site, over))
	lock, err := state.lockSite(site)
	must(err)
	e.look(t.Context(), now) // an op has the install: later
	ops := func() []tasks.Op {
		page, err := client.List(t.Context(), queue.OpFilter{})
		must(err)
		for i, op := range page.Items {
			page.Items[i], err = client.Get(t.Context(), op.ID)
			must(err)
		}
		return page.Items
	}
	if got := ops(); len(got) != 0 {
		t.Fatalf("ops of a busy install: %v", got)
	}
	must(lock.Close())
	for range 3 {
		e.look(t.Context(), now)
	}
	got := ops()
	if len(got) != 1 || got[0].Kind != "security.toggle-debug" || string(got[0].Payload) != `{"enabled":false}` || got[0].Site.ID != site || got[0].Site.Domain != "blog.com" {
		t.Fatalf("%+v", got)
	}
	// It ended without effect, so there is another one.
	if _, err := client.Cancel(t.Context(), got[0].ID); err != nil {
		t.Fatal(err)
	}
	e.look(t.Context(), now)
	e.look(t.Context(), now)
	if got := ops(); len(got) != 2 {
		t.Errorf("%d ops", len(got))
	}
	delete(over.Measures, wp.MeasureDebug)
	must(measures.Save(site, over))
	e.look(t.Context(), now)
	if got := ops(); len(got) != 2 {
		t.Errorf("%d ops after it was over", len(got))
	}
}
