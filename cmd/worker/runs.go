package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/wispanel/wptk/wp/proc"
)

// runs remembers on disk which process trees this worker has started, so that
// the next one can end what a kill -9 left behind.
type runs struct {
	dir string
	log *slog.Logger
}

// opRuns are the records of one attempt of an op.
type opRuns struct {
	*runs
	mu    sync.Mutex
	paths []string
}

// started is called before a child's program begins.
func (r *opRuns) started(rec proc.Record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encoding run: %w", err)
	}
	path := filepath.Join(r.dir, uuid.NewString()+".json")
	// No fsync: a record matters to the next worker of the same boot only.
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("recording run: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, path)
	return nil
}

// forget drops the records once the attempt is over: its programs are reaped.
func (r *opRuns) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, path := range r.paths {
		if err := os.Remove(path); err != nil {
			r.log.Warn("forgetting run", "path", path, "err", err)
		}
	}
	r.paths = nil
}

// killStrays ends every process tree that an earlier worker recorded and could
// not end itself. Call it with the node's lock held, before serving.
func (r *runs) killStrays() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("reading recorded runs: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		path := filepath.Join(r.dir, e.Name())
		if err := r.killStray(path); err != nil {
			errs = append(errs, fmt.Errorf("ending stray run %s: %w", e.Name(), err))
			continue
		}
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

func (r *runs) killStray(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var rec proc.Record
	if err := json.Unmarshal(data, &rec); err != nil {
		r.log.Warn("unreadable run record, torn by a crash", "path", path, "err", err)
		return nil
	}
	r.log.Info("ending what an earlier worker left running", "pid", rec.PID, "alive", rec.Alive())
	return rec.KillGroup()
}
