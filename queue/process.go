package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/tasks/failpoint"
)

// run is an op that is being run in this process.
type run struct {
	done     chan struct{} // closed when it has ended
	err      error         // what asynq was told; valid when done
	passed   bool          // the op is in the late lane and was not run; valid when done
	op       tasks.Op      // zero until begun
	recorder *Recorder     // nil until begun
}

// process makes the asynq handler of a server. asynq frees a slot early when it
// gives a task up (lost lease, time-out) while its op still runs here, so the
// slots that count are our own.
func (s *server) process(slots int) asynq.HandlerFunc {
	sema, fair := make(chan struct{}, max(slots, 1)), newRounds(slots)
	return func(ctx context.Context, t *asynq.Task) error {
		var m message
		if err := json.Unmarshal(t.Payload(), &m); err != nil || shardOf(m.Op) != tasks.NodeShard(s.node.ID()) {
			s.node.log.Error("archiving task that is not of this queue", "kind", t.Type(), "err", err)
			return asynq.SkipRetry
		}
		s.hold(m.Op)
		defer s.release(m.Op)
		mine, other := s.claim(m.Op)
		for other != nil {
			if err := s.await(ctx, m.Op, other); err != nil || !other.passed {
				return err
			}
			mine, other = s.claim(m.Op)
		}
		defer s.unclaim(m.Op, mine)
		mine.err = s.inSlot(ctx, sema, func() error { return s.attempt(ctx, m.Op, t.Type(), mine, fair) })
		return mine.err
	}
}

// await is for a second delivery of an op that runs here already: its end is
// this delivery's end too.
func (s *server) await(ctx context.Context, id string, other *run) error {
	s.node.metrics.DuplicatePrevented()
	s.node.log.Info("delivered again while running", "op", id)
	select {
	case <-other.done:
		return other.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *server) inSlot(ctx context.Context, sema chan struct{}, fn func() error) error {
	select {
	case sema <- struct{}{}:
		defer func() { <-sema }()
		return fn()
	case <-s.stop:
		return tasks.ErrInterrupted
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt runs an op once, unless the ledger says that it must not.
func (s *server) attempt(ctx context.Context, id, kind string, r *run, fair *rounds) error {
	detached := context.WithoutCancel(ctx)
	if s.handler.Knows != nil && !s.handler.Knows(kind) {
		s.pause(detached, id, whyUnknown)
		return errUnknownKind
	}
	op, err := s.recall(detached, id)
	if err != nil || op.ID == "" {
		return err
	}
	if r.passed = s.letPass(ctx, fair, op); r.passed {
		return nil
	}
	if op, err = s.begin(detached, op); err != nil || op.ID == "" {
		return err
	}
	s.node.running.Add(1)
	defer s.node.running.Add(-1)
	rec := newRecorder(s.node.Store, op, s.stop)
	s.show(r, op, rec)
	outcome, err := s.call(op, rec)
	rec.close()
	if err == nil {
		return s.settle(detached, op, outcome)
	}
	retried, _ := asynq.GetRetryCount(ctx)
	return s.interrupted(detached, op, retried, err)
}

// recall reads an op from the ledger. A zero op means that there is nothing to do.
func (s *server) recall(ctx context.Context, id string) (tasks.Op, error) {
	n := s.node
	op, err := n.read(ctx, id, readAll)
	if errors.Is(err, ErrNotFound) {
		n.log.Warn("dropping task of an op that the ledger does not have", "op", id)
		return tasks.Op{}, nil
	}
	if err != nil {
		return tasks.Op{}, &ledgerError{err}
	}
	if op.State.Final() { // as begin.lua would say
		n.metrics.DuplicatePrevented()
		return tasks.Op{}, s.settled(id)
	}
	var ledger *ledgerError
	switch err := s.admit(ctx, op); {
	case err == nil:
		return op, nil
	case errors.As(err, &ledger):
		return tasks.Op{}, err
	case errors.Is(err, errClocks):
		s.holdForClocks(ctx, op)
		return tasks.Op{}, err
	default:
		return tasks.Op{}, s.turnAway(ctx, op, err)
	}
}

// begin asks the ledger. A zero op means that there is nothing to do.
func (s *server) begin(ctx context.Context, op tasks.Op) (tasks.Op, error) {
	n, id := s.node, op.ID
	keys := []string{n.names.op(id), n.names.fifo(op.Site.ID), n.names.events(id), n.names.open(shardOf(id)), n.names.feed(shardOf(id))}
	answer, err := beginScript.Run(ctx, n.rdb, keys, id, n.names.changes()).Slice()
	if err != nil {
		return tasks.Op{}, &ledgerError{fmt.Errorf("beginning op: %w", err)}
	}
	attempt, why := pair(answer)
	switch {
	case attempt == 0:
		n.metrics.DuplicatePrevented()
		return tasks.Op{}, s.settled(id)
	case attempt < 0:
		n.log.Warn("dropping task that may not run now", "op", id, "code", attempt)
		return tasks.Op{}, nil
	}
	s.count(op, int(attempt), why)
	op.Attempt, op.State = int(attempt), tasks.Running
	if op.StartedAt.IsZero() {
		op.StartedAt = time.Now()
	}
	return op, nil
}

func (s *server) count(op tasks.Op, attempt int, why any) {
	if attempt == 1 {
		s.node.metrics.OpStarted(op.Kind, time.Since(op.CreatedAt))
		return
	}
	reason, _ := why.(string)
	if reason == "" {
		reason = "crash"
	}
	s.node.metrics.Redelivered(reason)
	s.node.log.Info("running op again", "op", op.ID, "kind", op.Kind, "attempt", attempt, "reason", reason)
}

// call runs the handler on a context of our own: asynq's ends when Redis was
// away for 30 s, and a long op must not die of that. A panic is an error.
func (s *server) call(op tasks.Op, rec *Recorder) (o tasks.Outcome, err error) {
	ctx, cancel := context.WithCancel(s.kill)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			s.node.log.Error("op panicked", "op", op.ID, "kind", op.Kind, "err", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	o, err = s.handler.Run(ctx, op, rec)
	if err == nil && !o.State.Final() {
		err = fmt.Errorf("op ended in state %q, which is no end", o.State)
	}
	return o, err
}

// settle writes the outcome, for as long as it takes: it is in the node's
// journal, so a worker that is told to end may leave it to its successor.
func (s *server) settle(ctx context.Context, op tasks.Op, o tasks.Outcome) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		failpoint.Hit("settle.before")
		err := s.node.finish(ctx, op, op.Attempt, o)
		if errors.Is(err, ErrNotFound) { // Redis has lost it while it ran
			if _, err = s.node.Restore(ctx, op); err == nil {
				err = s.node.finish(ctx, op, op.Attempt, o)
			}
		}
		switch {
		case err == nil:
			failpoint.Hit("settle.after")
			return s.settled(op.ID)
		case errors.Is(err, ErrFenced), errors.Is(err, ErrNotFound):
			s.node.log.Error("outcome not recorded", "op", op.ID, "attempt", op.Attempt, "err", err)
			return nil
		}
		s.node.survived("finish", "recording outcome", err, "op", op.ID, "attempt", op.Attempt)
		select {
		case <-time.After(pause):
		case <-s.stop:
			return &ledgerError{err}
		}
	}
}

func (s *server) settled(id string) error {
	if s.handler.Settled == nil {
		return nil
	}
	if err := s.handler.Settled(id); err != nil { // costs a file on the node, not an op
		s.node.log.Warn("forgetting journal of op", "op", id, "err", err)
	}
	return nil
}

// interrupted decides about an op that has not ended; asynq has retried it so
// often already.
func (s *server) interrupted(ctx context.Context, op tasks.Op, retried int, err error) error {
	var later *tasks.LaterError
	switch {
	case errors.Is(err, tasks.ErrInterrupted):
		s.pause(ctx, op.ID, whyDrain)
	case errors.As(err, &later):
		s.pause(ctx, op.ID, whyBusy)
	case retried+1 >= maxRetry: // asynq would archive it, and nobody would be told
		s.node.log.Error("giving op up", "op", op.ID, "kind", op.Kind, "attempt", op.Attempt, "err", err)
		failure := tasks.FailureOf(err)
		return s.settle(ctx, op, tasks.Outcome{State: tasks.Failed, Error: &failure})
	default:
		s.node.log.Warn("op failed outside its steps, trying again", "op", op.ID, "kind", op.Kind, "attempt", op.Attempt, "err", err)
		s.pause(ctx, op.ID, whyRetry)
	}
	return err
}
