package main

import (
	"context"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// others has other nodes do something for an op of this one (tasks.Ops).
type others struct{ ledger *queue.Client }

func (o others) Ensure(ctx context.Context, op tasks.Op) (tasks.Op, error) {
	receipt, err := o.ledger.Submit(ctx, queue.Submission{Op: op})
	return receipt.Op, err
}

func (o others) Cancel(ctx context.Context, id string) (tasks.Op, error) {
	return o.ledger.Cancel(ctx, id)
}
