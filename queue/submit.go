package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/tasks/failpoint"
)

// DefaultRetention is how long an ended op stays readable.
const DefaultRetention = 30 * 24 * time.Hour

// Submission is an op to accept. Of Op, these fields count: ID (of
// tasks.NewOpID for the node), Kind, Class, Site, Payload (secrets sealed),
// KeyID, RequestID, Revealed.
type Submission struct {
	Op           tasks.Op
	FailIfBusy   bool          // *BusyError instead of waiting behind another op
	FailIfExists bool          // *ExistsError when the inventory has the install
	Retention    time.Duration // after its end; 0 is DefaultRetention
}

// Receipt is an accepted op.
type Receipt struct {
	Op       tasks.Op
	Created  bool // false: the same id had been accepted before
	Position int  // ops in front of it on the same install
}

// Submit accepts an op. When it returns without an error the op is recorded and
// will end, whatever crashes; that it also reached its node is not awaited, as
// the reconciler sees to it. Submitting the same id again is harmless.
// Errors: *BusyError, *ExistsError, or Redis is not to be had, in which case
// the op may have been recorded: submit the same id again.
func (c *Client) Submit(ctx context.Context, sub Submission) (Receipt, error) {
	op := sub.Op
	if err := checkOp(op); err != nil {
		return Receipt{}, err
	}
	if sub.Retention <= 0 {
		sub.Retention = DefaultRetention
	}
	position, created, err := c.record(ctx, sub)
	if err != nil {
		return Receipt{}, err
	}
	if !created {
		return c.again(ctx, op.ID, position)
	}
	failpoint.Hit("submit.recorded")
	if err := c.deliver(ctx, op, position == 0); err != nil {
		c.survived("publish", "leaving accepted op to the outbox sweep", err, "op", op.ID)
	}
	failpoint.Hit("submit.delivered")
	op.State, op.Seq, op.Position = tasks.Queued, 1, position
	op.CreatedAt = time.Now().UTC().Truncate(time.Millisecond)
	op.UpdatedAt = op.CreatedAt
	return Receipt{Op: op, Created: true, Position: position}, nil
}

// again answers for an op that was accepted before. Whoever did may have died on
// the way to asynq, and somebody waits: so it is handed over without waiting for
// the sweep.
func (c *Client) again(ctx context.Context, id string, position int) (Receipt, error) {
	op, err := c.Get(ctx, id)
	if err == nil && op.State == tasks.Queued {
		c.publishNext(ctx, id)
	}
	return Receipt{Op: op, Position: position}, err
}

func checkOp(op tasks.Op) error {
	shard, ok := tasks.Shard(op.ID)
	site, okSite := tasks.Shard(op.Site.ID)
	if !ok || !okSite || shard != site || shard != tasks.NodeShard(op.Site.Node) {
		return fmt.Errorf("submitting op: ids %q and %q are not of node %q", op.ID, op.Site.ID, op.Site.Node)
	}
	if op.Kind == "" || op.Site.Account == "" {
		return errors.New("submitting op: kind or account is missing")
	}
	for _, class := range classes {
		if op.Class == class {
			return nil
		}
	}
	return fmt.Errorf("submitting op: no class %q", op.Class)
}

// record is step one: one Lua call, after which the op cannot be lost.
func (c *Client) record(ctx context.Context, sub Submission) (position int, created bool, err error) {
	n, op := c.names, sub.Op
	op.Signature = c.sign(signedOp, opParts(op)...)
	shard := shardOf(op.ID)
	keys := []string{
		n.op(op.ID), n.fifo(op.Site.ID), n.outbox(shard), n.site(op.Site.ID),
		n.last(op.Site.ID), n.open(shard), n.events(op.ID), n.feed(shard),
	}
	args := append([]any{op.ID, bit(sub.FailIfBusy), bit(sub.FailIfExists), n.changes()}, recordFields(op, sub.Retention)...)
	answer, err := c.accept(ctx, submitScript, keys, args...)
	if err != nil {
		return 0, false, fmt.Errorf("recording op: %w", err)
	}
	parts, _ := answer.([]any)
	code, detail := pair(parts)
	switch code {
	case 1, 0:
		at, _ := detail.(int64)
		return int(at), code == 1, nil
	case -1:
		blocking, _ := detail.(string)
		return 0, false, &BusyError{OpID: blocking}
	case -2:
		return 0, false, &ExistsError{SiteID: op.Site.ID}
	}
	return 0, false, fmt.Errorf("recording op: unexpected answer %v", answer)
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// pair takes a script's {code, detail} apart.
func pair(answer []any) (code int64, detail any) {
	if len(answer) != 2 {
		return -99, nil // no script answers this, so callers report the answer as unexpected
	}
	code, ok := answer[0].(int64)
	if !ok {
		return -99, nil
	}
	return code, answer[1]
}
