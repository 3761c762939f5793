package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

// archives ends the keeping of final archives of deleted installs.
type archives struct {
	dir string
	log *slog.Logger

	clock rightClock
}

const (
	archiveSweep = time.Hour
	// archiveTorn is the age at which a file that has not become an archive is no op's any
	// more: far above what an op may take.
	archiveTorn = 24 * time.Hour
)

// run sweeps at start and every hour, until ctx ends.
func (a *archives) run(ctx context.Context) error {
	tick := time.NewTicker(archiveSweep)
	defer tick.Stop()
	for {
		now, err := a.clock.now(ctx)
		if err == nil {
			err = a.sweep(now)
		}
		if err != nil && ctx.Err() == nil {
			a.log.Error("removing old archives", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep removes what is too old.
func (a *archives) sweep(now time.Time) error {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return fmt.Errorf("listing archives: %w", err)
	}
	var errs []error
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		life := tasks.ArchiveLife
		if !strings.HasSuffix(e.Name(), wp.ArchiveSuffix) {
			life = archiveTorn
		}
		if now.Sub(info.ModTime()) <= life {
			continue
		}
		path := filepath.Join(a.dir, e.Name())
		if err := os.Remove(path); err != nil {
			errs = append(errs, err)
			continue
		}
		a.log.Info("archive removed; its time is over", "path", path)
	}
	return errors.Join(errs...)
}
