package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// replay tells the ledger how ops ended whose outcome is in the journal and not
// there: Redis was away when they finished, and the worker has been restarted.
// Their redelivery would do the same, but only once asynq gets to it.
func replay(ctx context.Context, log *slog.Logger, node *queue.Node, journal *tasks.FileJournal, past *ended) error {
	ops, err := journal.List()
	if err != nil {
		return fmt.Errorf("listing journal: %w", err)
	}
	for _, id := range ops {
		record, err := journal.Load(id)
		if err != nil {
			log.Error("reading journal; the operation stays open", "op", id, "err", err)
			continue
		}
		outcome := record.Outcome()
		if outcome == nil {
			continue
		}
		err = node.Settle(ctx, id, record.Attempt(), *outcome)
		switch {
		case err == nil:
			log.Info("outcome of an earlier worker told to the ledger", "op", id, "state", outcome.State)
		case errors.Is(err, queue.ErrFenced):
			continue // begun again: that attempt finds this outcome in the journal
		case errors.Is(err, queue.ErrNotFound):
			log.Warn("the ledger has forgotten an operation that ended", "op", id)
		default:
			return fmt.Errorf("settling %s: %w", id, err)
		}
		if err := past.add(id, time.Now()); err != nil {
			return err
		}
		if err := journal.Remove(id); err != nil {
			return fmt.Errorf("forgetting journal of %s: %w", id, err)
		}
	}
	return nil
}
