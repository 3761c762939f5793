package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// turns lets steps run beside each other, but one that is under suspicion of having ended
// the worker twice by itself: with company, its next victim would take the blame too.
type turns struct {
	patience time.Duration // for being alone; after it a suspect runs with the others

	mu      sync.Mutex
	shared  int  // steps under way
	alone   bool // one is, and nobody else
	waiting int  // suspects; no step begins as long as one waits
	changed chan struct{}
}

// alonePatience is how long a suspect waits for the steps that are under way. A backup
// may take longer; then a wrong suspicion is the smaller evil.
const alonePatience = time.Minute

func newTurns() *turns { return &turns{patience: alonePatience, changed: make(chan struct{})} }

// take waits for a turn; see tasks.ExecuteConfig.
func (t *turns) take(ctx context.Context, alone bool) (release func(), err error) {
	if !alone {
		if err := t.wait(ctx, func() bool { return !t.alone && t.waiting == 0 }, func() { t.shared++ }); err != nil {
			return nil, err
		}
		return t.giver(func() { t.shared-- }), nil
	}
	t.change(func() { t.waiting++ })
	defer t.change(func() { t.waiting-- })
	patient, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	err = t.wait(patient, func() bool { return !t.alone && t.shared == 0 }, func() { t.alone = true })
	switch {
	case err == nil:
		return t.giver(func() { t.alone = false }), nil
	case ctx.Err() != nil:
		return nil, err
	}
	t.change(func() { t.shared++ })
	return t.giver(func() { t.shared-- }), nil
}

// wait returns when free said yes, and taken has been done in the same moment.
func (t *turns) wait(ctx context.Context, free func() bool, taken func()) error {
	for {
		t.mu.Lock()
		if free() {
			taken()
			t.mu.Unlock()
			return nil
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a turn: %w", ctx.Err())
		}
	}
}

// change does something to the counts and tells those who wait.
func (t *turns) change(do func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	do()
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *turns) giver(back func()) func() { return sync.OnceFunc(func() { t.change(back) }) }
