package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/wispanel/wptk/queue"
)

// ended remembers on disk which ops have ended on this node, for as long as their signatures
// are good. The ledger knows that as well, but whoever owns Redis could set it back and have
// an order carried out twice.
//
// One file a day, a line for each op. A nil *ended remembers nothing.
type ended struct {
	dir string

	mu   sync.Mutex
	days map[string]map[uuid.UUID]struct{}
}

// openEnded reads what is remembered.
func openEnded(dir string, now time.Time) (*ended, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the list of ended ops: %w", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the list of ended ops: %w", err)
	}
	e := &ended{dir: dir, days: make(map[string]map[uuid.UUID]struct{})}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the list of ended ops: %w", err)
		}
		day := make(map[uuid.UUID]struct{})
		for line := range strings.Lines(string(text)) {
			if id, err := opUUID(strings.TrimSpace(line)); err == nil { // else torn by a crash, or blank
				day[id] = struct{}{}
			}
		}
		e.days[f.Name()] = day
	}
	return e, e.expire(now)
}

func opUUID(id string) (uuid.UUID, error) { return uuid.Parse(strings.TrimPrefix(id, "op_")) }

// has reports whether an op has ended here.
func (e *ended) has(op string) bool {
	id, err := opUUID(op)
	if e == nil || err != nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, day := range e.days {
		if _, ok := day[id]; ok {
			return true
		}
	}
	return false
}

// add remembers an op; when it returns, also over a crash.
func (e *ended) add(op string, now time.Time) error {
	id, err := opUUID(op)
	if e == nil || err != nil || e.has(op) {
		return nil //nolint:nilerr // what is no op's id is never asked for
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	today := now.UTC().Format(time.DateOnly)
	if e.days[today] == nil {
		if err := e.expire(now); err != nil {
			return err
		}
		e.days[today] = make(map[uuid.UUID]struct{})
	}
	if err := appendLine(filepath.Join(e.dir, today), op); err != nil {
		return fmt.Errorf("remembering ended op: %w", err)
	}
	e.days[today][id] = struct{}{}
	return nil
}

// appendLine puts a line end in front as well: the line before may be torn.
func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n" + line + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// expire forgets the days whose ops no signature opens any more.
func (e *ended) expire(now time.Time) error {
	oldest := now.UTC().Add(-queue.SignatureLife - 24*time.Hour).Format(time.DateOnly)
	for day := range e.days {
		if day >= oldest {
			continue
		}
		if err := os.Remove(filepath.Join(e.dir, day)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("forgetting ended ops: %w", err)
		}
		delete(e.days, day)
	}
	return nil
}
