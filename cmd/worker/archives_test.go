package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestArchivesAreKeptForAWeek(t *testing.T) {
	t.Parallel()
	a := &archives{dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"young.tar.gz": 6 * 24 * time.Hour, "old.tar.gz": 8 * 24 * time.Hour,
		"busy.tar.gz.part": time.Hour, "torn.tar.gz.part": 25 * time.Hour, "torn.tar.gz.sql.gz": 25 * time.Hour,
	} {
		path := filepath.Join(a.dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.sweep(now); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(a.dir)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if err != nil || !slices.Equal(left, []string{"busy.tar.gz.part", "young.tar.gz"}) {
		t.Errorf("%v %q", err, left)
	}
}
