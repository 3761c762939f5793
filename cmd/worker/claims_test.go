package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// server is a database server that notes what it drops.
type server struct {
	claims  []wp.ClaimedDatabase
	used    string
	usedErr error
	away    error
	dropped []string
}

func (s *server) Claims(context.Context) ([]wp.ClaimedDatabase, error) { return s.claims, s.away }

func (s *server) DropClaimed(_ context.Context, account string, c wp.ClaimedDatabase) error {
	s.dropped = append(s.dropped, account+":"+c.Name)
	return nil
}

func (s *server) UsedBy(context.Context, wp.Site) (string, error) { return s.used, s.usedErr }

// opsOfSite is a ledger whose ops are all of one site.
type opsOfSite struct {
	site   tasks.SiteRef
	states map[string]tasks.State
}

func (o opsOfSite) Get(_ context.Context, id string) (tasks.Op, error) {
	state, ok := o.states[id]
	if !ok {
		return tasks.Op{}, queue.ErrNotFound
	}
	return tasks.Op{ID: id, State: state, Site: o.site}, nil
}

func TestDatabaseOfAnOpThatEndedInVainIsDropped(t *testing.T) {
	t.Parallel()
	home := wptest.Dir(t)
	state, err := openState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	layout, errLayout := wp.ParseLayout(filepath.Join(home, "*", "domains", "*"))
	store, errStore := wp.OpenSnapshots(state.snapshotsDir())
	if err := errors.Join(errLayout, errStore); err != nil {
		t.Fatal(err)
	}
	wptest.Domain(t, home, "alice", "blog.test")
	ledger := opsOfSite{site: tasks.SiteRef{ID: tasks.SiteID("n1", "alice", "blog.test", "public_html"), Node: "n1",
		Account: "alice", Domain: "blog.test", Path: "public_html"}, states: map[string]tasks.State{}}
	s := &server{usedErr: fs.ErrNotExist}
	claimed := func(name, owner string, state tasks.State) string {
		s.claims = append(s.claims, wp.ClaimedDatabase{Name: name, Owner: owner})
		if state != "" {
			ledger.states[owner] = state
		}
		return owner
	}
	for name, state := range map[string]tasks.State{"a_failed": tasks.Failed, "b_cancelled": tasks.Cancelled, "c_rolled_back": tasks.RolledBack,
		"d_running": tasks.Running, "e_queued": tasks.Queued, "f_unverified": tasks.Unverified, "g_succeeded": tasks.Succeeded, "h_unknown": ""} {
		claimed(name, tasks.NewOpID("n1"), state)
	}
	claimed("i_of_another_node", tasks.NewOpID("n2"), tasks.Failed)
	claimed("j_of_nobody", "op_x", tasks.Failed)
	snap := claimed("k_snapshot", tasks.NewOpID("n1"), tasks.Failed)
	if err := store.Put(wp.Snapshot{Op: snap}); err != nil {
		t.Fatal(err)
	}
	host := &wp.Host{Node: "n1", Snapshots: store, Layout: layout.WithUsers(wptest.Tenant)}
	c := &claims{handler: &handler{state: state, host: host, log: slog.New(slog.DiscardHandler)}, databases: s, ledger: ledger}
	sweep := func() []string {
		s.dropped = nil
		c.sweep(t.Context())
		slices.Sort(s.dropped)
		return s.dropped
	}
	want := []string{"alice:a_failed", "alice:b_cancelled", "alice:c_rolled_back"}
	if got := sweep(); !slices.Equal(got, want) {
		t.Errorf("dropped %q, want %q", got, want)
	}
	lock, err := state.lockSite(ledger.site.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := sweep(); len(got) != 0 {
		t.Errorf("dropped %q while an op has the site", got)
	}
	lock.Close()
	s.used, s.usedErr = "a_failed", nil // the switch was not taken back either
	if got := sweep(); !slices.Equal(got, want[1:]) {
		t.Errorf("dropped %q although the site uses one", got)
	}
	s.usedErr = os.ErrPermission
	if got := sweep(); len(got) != 0 {
		t.Errorf("dropped %q although the site cannot be read", got)
	}
	s.usedErr = wp.ErrNoDomain
	if got := sweep(); !slices.Equal(got, want) {
		t.Errorf("dropped %q of a domain that is gone", got)
	}
}
