package queue

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"
	"github.com/wispanel/wptk/tasks"
)

var (
	errReplayed  = errors.New("op has ended on this node before")
	errElsewhere = errors.New("op is of another node")
	errClocks    = errors.New("the clocks of this node and of the API that signed the op disagree")
)

// admit decides whether an op of the ledger may run here: it is this node's, an API has
// signed it as it is, not too long ago, and it has not ended here before. One that has begun
// here was let in then, and goes on whatever the clock says since.
func (s *server) admit(ctx context.Context, op tasks.Op) error {
	if op.Site.Node != s.node.ID() || shardOf(op.Site.ID) != shardOf(op.ID) {
		return errElsewhere
	}
	at, err := s.node.verify(signedOp, op.Signature, opParts(op)...)
	switch {
	case err != nil:
		return err
	case s.handler.Ended != nil && s.handler.Ended(op.ID):
		return errReplayed
	case at.IsZero(), s.handler.Begun != nil && s.handler.Begun(op.ID):
		return nil
	}
	return s.node.timely(ctx, at)
}

// timely is about an op that has not begun. One that seems to come from the future waits until
// it does not. One that seems too old is refused, unless this node's clock is off Redis's:
// Redis cannot make a node run what is too old by that, only wait with it.
func (n *Node) timely(ctx context.Context, signed time.Time) error {
	now := n.now()
	switch {
	case signed.Sub(now) > signatureSkew:
		return errClocks
	case now.Sub(signed) <= SignatureLife:
		return nil
	}
	off, err := n.ClockOff(ctx)
	switch {
	case err != nil:
		return &ledgerError{err}
	case off.Abs() > signatureSkew:
		return errClocks
	}
	return ErrStale
}

// holdForClocks lets an op wait until the clocks agree. It is said and counted once for each op.
func (s *server) holdForClocks(ctx context.Context, op tasks.Op) {
	if !s.pause(ctx, op.ID, whyClock) {
		return
	}
	s.node.metrics.HeldForClocks()
	s.node.log.Error("op waits until clocks agree: see to the time of this node and of the APIs", "op", op.ID, "kind", op.Kind, "node", op.Site.Node)
}

// turnAway ends an op that may not run here, so that whoever waits for it is told. One that is
// another node's is left alone: that node may be running it.
func (s *server) turnAway(ctx context.Context, op tasks.Op, why error) error {
	s.node.metrics.Refused(signedOp, refusalOf(why))
	s.node.log.Error("refusing op", "op", op.ID, "kind", op.Kind, "site", op.Site.ID, "node", op.Site.Node, "err", why)
	if errors.Is(why, errElsewhere) {
		return asynq.SkipRetry
	}
	outcome := tasks.Outcome{State: tasks.Failed, Error: &untrusted}
	if errors.Is(why, errReplayed) { // what it did then is done
		outcome = tasks.Outcome{State: tasks.Unverified, Error: &replayed}
	}
	return s.settle(ctx, op, outcome)
}

var untrusted = tasks.Failure{
	Code:    tasks.CodeUntrusted,
	Message: "The node does not believe the order: no API that it trusts has signed it as it is.",
	Hint:    "The operator compares --signing-key-file of the APIs with --signing-keys of the node. If they agree, somebody else has written into Redis.",
}

var replayed = tasks.Failure{
	Code:    tasks.CodeReplayed,
	Message: "The operation has ended on its node before and was not run again.",
	Hint:    "Redis holds an older state of it: it was set back, or somebody else has written into it.",
}
