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
)

// admit decides whether an op of the ledger may run here: it is this node's, an API has
// signed it as it is, not too long ago, and it has not ended here before.
func (s *server) admit(op tasks.Op) error {
	if op.Site.Node != s.node.ID() || shardOf(op.Site.ID) != shardOf(op.ID) {
		return errElsewhere
	}
	at, err := s.node.verify(signedOp, op.Signature, opParts(op)...)
	switch {
	case err != nil:
		return err
	case !at.IsZero() && (time.Since(at) > SignatureLife || time.Until(at) > signatureSkew):
		return ErrStale
	case s.handler.Ended != nil && s.handler.Ended(op.ID):
		return errReplayed
	}
	return nil
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
