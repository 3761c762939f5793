package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

// opsByID is a ledger.
type opsByID map[string]tasks.State

func (o opsByID) Get(_ context.Context, id string) (tasks.Op, error) {
	state, ok := o[id]
	if !ok {
		return tasks.Op{}, queue.ErrNotFound
	}
	return tasks.Op{ID: id, State: state}, nil
}

func TestSnapshotIsKeptWhileAnybodyMayNeedIt(t *testing.T) {
	t.Parallel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	state, err := openState(filepath.Join(t.TempDir(), "state"))
	must(err)
	t.Cleanup(func() { _ = state.Close() })
	store, err := wp.OpenSnapshots(state.snapshotsDir())
	must(err)
	layout, err := wp.ParseLayout(filepath.Join(t.TempDir(), "*", "domains", "*")) // every site is gone
	must(err)
	host := &wp.Host{Node: "n1", Snapshots: store, Layout: layout}
	s := &snapshots{handler: &handler{state: state, host: host, log: slog.New(slog.DiscardHandler)},
		ledger: opsByID{"op_01": tasks.Running, "op_02": tasks.Unverified, "op_03": tasks.Failed, "op_05": tasks.Failed}}
	now := time.Now()
	for op, until := range map[string]time.Time{
		"op_01": {}, "op_02": now.Add(time.Hour), "op_03": {}, "op_04": {}, "op_05": now.Add(-time.Hour),
	} {
		must(store.Put(wp.Snapshot{Op: op, Site: tasks.SiteID("n1", "alice", "blog.com", ""), Account: "alice", Domain: "blog.com", Until: until}))
	}
	s.sweep(t.Context(), now)
	for op, want := range map[string]time.Duration{"op_01": 0, "op_02": time.Hour, "op_03": snapshotOrphan, "op_04": snapshotOrphan} {
		snap, err := store.Get(op)
		if err != nil || want == 0 && !snap.Until.IsZero() || want > 0 && !snap.Until.Equal(now.Add(want)) {
			t.Errorf("%s: %+v %v", op, snap, err)
		}
	}
	if left, err := store.All(); err != nil || len(left) != 4 {
		t.Errorf("%q %v: the one whose time is over stays", left, err)
	}
	s.sweep(t.Context(), now.Add(snapshotOrphan+time.Minute))
	if left, err := store.All(); err != nil || len(left) != 1 || left[0] != "op_01" {
		t.Errorf("%q %v", left, err)
	}
}
