package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// finish writes how an op ended and hands over the next op of its install.
// Repeating it is harmless: the first outcome stays. Errors: ErrNotFound,
// ErrFenced, or Redis is not to be had.
func (p publisher) finish(ctx context.Context, op tasks.Op, attempt int, o tasks.Outcome) error {
	if !o.State.Final() {
		return fmt.Errorf("finishing op: %q is not a final state", o.State)
	}
	failure := ""
	if o.Error != nil {
		text, err := json.Marshal(o.Error)
		if err != nil {
			return fmt.Errorf("encoding failure: %w", err)
		}
		failure = string(text)
	}
	s := p.store
	answer, err := finishScript.Run(ctx, s.rdb, s.endKeys(op),
		op.ID, s.names.changes(), attempt, string(o.State), string(o.Result), failure).Slice()
	if err != nil {
		return fmt.Errorf("finishing op: %w", err)
	}
	switch code, next := pair(answer); code {
	case 1:
		s.metrics.OpEnded(op.Kind, string(o.State), time.Since(op.StartedAt))
		if o.State == tasks.Failed && o.Error != nil {
			s.metrics.OpFailed(o.Error.Code)
		}
		p.publishNext(ctx, next)
		return nil
	case 0:
		return nil
	case -1:
		return ErrNotFound
	case -2:
		return ErrFenced
	}
	return fmt.Errorf("finishing op: unexpected answer %v", answer)
}

// Settle writes the outcome of an op that ended while Redis was away, from the
// node's journal. The attempt is the one that reached it. Errors: ErrNotFound
// when the ledger has lost the op, ErrFenced when a newer attempt runs it, which
// will come to the same outcome by the same journal.
func (n *Node) Settle(ctx context.Context, opID string, attempt int, o tasks.Outcome) error {
	op, err := n.read(ctx, opID, readProgress)
	if err != nil {
		return err
	}
	return n.finish(ctx, op, attempt, o)
}
