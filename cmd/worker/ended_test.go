package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// asked is the id of an op that was asked for at a time.
func asked(at time.Time, seed string) string { return tasks.DerivedOpID(at, "n1", seed) }

func openTestEnded(t *testing.T, dir string) *ended {
	t.Helper()
	e, err := openEnded(dir)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEndedOpsAreRememberedForAsLongAsTheirSignaturesAreGood(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	e := openTestEnded(t, dir)
	old, young, today := now.Add(-queue.SignatureLife-72*time.Hour), now.Add(-queue.SignatureLife), now
	for _, at := range []time.Time{old, young, today} {
		if err := e.add(asked(at, ""), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.expire(now); err != nil {
		t.Fatal(err)
	}
	for _, e := range []*ended{e, openTestEnded(t, dir)} {
		if e.has(asked(old, "")) || !e.has(asked(young, "")) || !e.has(asked(today, "")) {
			t.Errorf("remembered: %v %v %v", e.has(asked(old, "")), e.has(asked(young, "")), e.has(asked(today, "")))
		}
	}
}

func TestClockThatIsWrongForAWhileMakesNoEndedOpForgotten(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, wrong := range map[string]time.Time{
		"a year ahead": now.AddDate(1, 0, 0), "at the beginning": time.Unix(0, 0), "an hour behind": now.Add(-time.Hour),
	} {
		dir := t.TempDir()
		e := openTestEnded(t, dir)
		before, meanwhile := asked(now.Add(-time.Hour), "before"), asked(now, "meanwhile")
		for _, err := range []error{
			e.add(before, now.Add(-time.Hour)), e.expire(wrong), e.add(meanwhile, wrong), e.expire(wrong),
			e.add(asked(now.Add(24*time.Hour), "after"), now.Add(24*time.Hour)), e.expire(now.Add(24 * time.Hour)),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range []*ended{e, openTestEnded(t, dir)} {
			if !e.has(before) || !e.has(meanwhile) {
				t.Errorf("%s: remembered are %v, %v", name, e.has(before), e.has(meanwhile))
			}
		}
	}
}

func TestNothingIsRemovedForItsAgeWhileTheClockIsWrong(t *testing.T) {
	t.Parallel()
	wrong := rightClock(func(context.Context) error { return errors.New("an hour ahead") })
	a := &archives{dir: t.TempDir(), log: slog.New(slog.DiscardHandler), clock: wrong}
	path, old := filepath.Join(a.dir, "old.tar.gz"), time.Now().Add(-30*24*time.Hour)
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, old, old)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a.clock = func(ctx context.Context) error { defer cancel(); return wrong(ctx) }
	if err := a.run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	k := &keeper{clock: wrong}
	if err := k.expireNow(t.Context(), "wp_1"); err == nil {
		t.Error("backups were looked at")
	}
}
