package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
//
// A clock that is wrong for a while must not make it forget. An op's id says when it was asked
// for, by the clock of an API: an op stands under the later of that day and today, and a
// day is over when both clocks have left it behind, and Redis's too.
type ended struct {
	dir    string
	newest time.Time // when the youngest op that has ended was asked for

	mu   sync.Mutex
	days map[string]map[uuid.UUID]struct{}
}

// openEnded reads what is remembered.
func openEnded(dir string) (*ended, error) {
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
				e.saw(id)
			}
		}
		e.days[f.Name()] = day
	}
	return e, nil
}

func (e *ended) saw(id uuid.UUID) {
	if at := askedAt(id); at.After(e.newest) {
		e.newest = at
	}
}

// askedAt is the time in a UUIDv7; that of any other says nothing, and is long past.
func askedAt(id uuid.UUID) time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	return time.UnixMilli(int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])).UTC()
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
	e.saw(id)
	today := later(now.UTC(), askedAt(id)).Format(time.DateOnly)
	if e.days[today] == nil {
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

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// run forgets what may be forgotten, every hour until ctx ends.
func (e *ended) run(ctx context.Context, clock rightClock, log *slog.Logger) error {
	if e == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		now, err := clock.now(ctx)
		if err == nil {
			err = e.expire(now)
		}
		if err != nil && ctx.Err() == nil {
			log.Error("leaving the list of ended operations as it is", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// expire forgets the days whose ops no signature opens any more. An op may be signed a day
// after its id was made, when its request is repeated so late.
func (e *ended) expire(now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.newest.Before(now) {
		now = e.newest
	}
	oldest := now.UTC().Add(-queue.SignatureLife - 48*time.Hour).Format(time.DateOnly)
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
