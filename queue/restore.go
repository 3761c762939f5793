package queue

import (
	"context"
	"fmt"

	"github.com/wispanel/wptk/tasks"
)

var restoreScript = lua("restore")

// Restore records an op again that this node has begun and that Redis has lost, since it came
// back empty or with an older state. The op is as it was accepted, with its signature; its
// attempt is the newest that this node knows of. It goes on where its journal ends, in front of
// whatever was asked for on its install since. False when the ledger has it.
func (n *Node) Restore(ctx context.Context, op tasks.Op) (bool, error) {
	if err := checkOp(op); err != nil {
		return false, fmt.Errorf("restoring op: %w", err)
	}
	if op.Site.Node != n.ID() {
		return false, fmt.Errorf("restoring op %s: %w", op.ID, errElsewhere)
	}
	shard := shardOf(op.ID)
	keys := []string{
		n.names.op(op.ID), n.names.fifo(op.Site.ID), n.names.outbox(shard), n.names.last(op.Site.ID),
		n.names.open(shard), n.names.events(op.ID), n.names.feed(shard),
	}
	args := append([]any{op.ID, n.names.changes(), op.Attempt}, recordFields(op, DefaultRetention)...)
	restored, err := restoreScript.Run(ctx, n.rdb, keys, args...).Bool()
	if err != nil {
		return false, fmt.Errorf("restoring op: %w", err)
	}
	if !restored {
		return false, nil
	}
	n.metrics.Restored()
	n.log.Warn("the ledger had lost an op that this node has begun", "op", op.ID, "kind", op.Kind, "site", op.Site.ID, "attempt", op.Attempt)
	if err := n.deliver(ctx, op, true); err != nil {
		n.survived("publish", "leaving restored op to the outbox sweep", err, "op", op.ID)
	}
	return true, nil
}
