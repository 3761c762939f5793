package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// replays bring the node's journals and the ledger together. Of an op that ended while Redis
// was away, the ledger is told the outcome. One that the ledger does not have, since Redis came
// back empty or with an older state, is recorded there again and goes on where its journal ends.
type replays struct {
	journal *tasks.FileJournal
	past    *ended
	node    restorer
	ledger  opReader
	metrics *queue.Metrics
	live    *live
	log     *slog.Logger
	told    map[string]bool // journals of which was said that nothing can be done
}

// restorer is what a node may write into the ledger about an op that it has begun.
type restorer interface {
	Settle(ctx context.Context, op string, attempt int, o tasks.Outcome) error
	Restore(ctx context.Context, op tasks.Op) (bool, error)
}

// replayEvery is how often is looked: Redis may be emptied while the worker runs.
const replayEvery = 20 * time.Second

// run looks every while until ctx ends.
func (r *replays) run(ctx context.Context) error {
	tick := time.NewTicker(replayEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("comparing journals with the ledger; the next look will", "err", err)
		}
	}
}

// look goes through the journals, except those of ops that run at this moment, which are
// looked after by what runs them. It ends at the first that Redis does not take.
func (r *replays) look(ctx context.Context) error {
	ops, err := r.journal.List()
	if err != nil {
		return fmt.Errorf("listing journal: %w", err)
	}
	for _, id := range ops {
		var record tasks.Record
		var err error
		idle := r.live.unless(id, func() { record, err = r.journal.Load(id) })
		switch {
		case err != nil:
			r.giveUp(id, fmt.Errorf("reading journal: %w", err))
			continue
		case !idle || len(record.Entries) == 0: // it has ended since it was listed
		case record.Outcome() != nil:
			err = r.settle(ctx, id, record)
		default:
			err = r.restore(ctx, id, record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settle tells the ledger how an op ended. Its redelivery would do the same, but only once
// asynq gets to it.
func (r *replays) settle(ctx context.Context, id string, record tasks.Record) error {
	outcome := record.Outcome()
	err := r.node.Settle(ctx, id, record.Attempt(), *outcome)
	if op, ok := record.Accepted(); ok && errors.Is(err, queue.ErrNotFound) {
		if _, err = r.node.Restore(ctx, op); err == nil {
			err = r.node.Settle(ctx, id, op.Attempt, *outcome)
		}
	}
	switch {
	case err == nil:
		r.log.Info("outcome told to the ledger", "op", id, "state", outcome.State)
	case errors.Is(err, queue.ErrFenced):
		return nil // begun again: that attempt finds this outcome in the journal
	case errors.Is(err, queue.ErrNotFound):
		r.log.Warn("the ledger has forgotten an operation that ended", "op", id)
	default:
		return fmt.Errorf("settling %s: %w", id, err)
	}
	return r.forget(id)
}

// errNoOrder is about a journal that an older version of the worker began.
var errNoOrder = errors.New("the ledger has lost the operation, and its journal does not say what was ordered")

// restore brings an op back that has begun and not ended, if the ledger has lost it.
func (r *replays) restore(ctx context.Context, id string, record tasks.Record) error {
	known, err := r.ledger.Get(ctx, id)
	switch {
	case err == nil && known.State.Final(): // given up; as its redelivery would do
		r.log.Warn("the ledger says that an unfinished operation has ended; what it made may be left", "op", id, "state", known.State)
		return r.forget(id)
	case !errors.Is(err, queue.ErrNotFound):
		return err
	}
	op, ok := record.Accepted()
	if !ok {
		r.giveUp(id, errNoOrder)
		return nil
	}
	_, err = r.node.Restore(ctx, op)
	return err
}

// forget removes the journal of an op that has ended.
func (r *replays) forget(id string) error {
	if err := r.past.add(id, time.Now()); err != nil {
		return err
	}
	if err := r.journal.Remove(id); err != nil {
		return fmt.Errorf("forgetting journal of %s: %w", id, err)
	}
	return nil
}

// giveUp says once of a journal that it needs somebody to look at it.
func (r *replays) giveUp(id string, why error) {
	if r.told[id] {
		return
	}
	r.told[id] = true
	r.metrics.NotRestored()
	r.log.Error("leaving a journal to the operator", "op", id, "path", id+".jsonl", "err", why)
}

// live are the ops that are being run: only they write to their journals.
type live struct {
	mu  sync.Mutex
	ops map[string]bool
}

func (l *live) begin(op string) (end func()) {
	l.set(op, true)
	return func() { l.set(op, false) }
}

func (l *live) set(op string, runs bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !runs {
		delete(l.ops, op)
		return
	}
	if l.ops == nil {
		l.ops = make(map[string]bool)
	}
	l.ops[op] = true
}

// unless does something with an op that does not run, and that does not begin meanwhile.
func (l *live) unless(op string, do func()) (done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ops[op] {
		return false
	}
	do()
	return true
}
