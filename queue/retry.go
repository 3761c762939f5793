package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"
	"github.com/wispanel/wptk/tasks"
)

// Why an op that had begun, or could not begin, waits. The words are label
// values of a metric.
const (
	whyDrain   = "drain"
	whyBusy    = "busy"
	whyRetry   = "retry"
	whyUnknown = "unknown"
	whyClock   = "clock"
)

// waiting is what people read meanwhile.
var waiting = map[string]string{
	whyDrain:   "Paused while the node restarts",
	whyBusy:    "Waiting for the site to be free",
	whyRetry:   "Waiting to try again",
	whyUnknown: "Waiting for the node to be updated: it does not know this kind of operation yet",
	whyClock:   "Waiting until the clocks of the servers agree",
}

// errUnknownKind parks an op until a worker that knows its kind starts.
var errUnknownKind = errors.New("this worker does not know the kind")

// ledgerError says that Redis, not the op, is in trouble.
type ledgerError struct{ err error }

func (e *ledgerError) Error() string { return e.err.Error() }
func (e *ledgerError) Unwrap() error { return e.err }

// pause notes in the ledger why an op waits, and reports whether that was not said before; if
// it fails, the op just waits.
func (s *server) pause(ctx context.Context, id, why string) (news bool) {
	n := s.node
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	keys := []string{n.names.op(id), n.names.events(id), n.names.feed(shardOf(id))}
	answer, err := pauseScript.Run(ctx, n.rdb, keys, id, n.names.changes(), why, waiting[why]).Int()
	if err != nil {
		n.survived("progress", "noting why op waits", err, "op", id)
	}
	return answer == 1
}

const (
	retryFirst   = 10 * time.Second
	retryMost    = 5 * time.Minute
	parkFor      = 5 * time.Minute // a new worker takes parked ops up at its start
	clockRest    = 15 * time.Second
	laterMost    = time.Hour
	ledgerRest   = 2 * time.Second
	jitterDivide = 5 // up to a fifth on top, so that what failed together does not return together
)

// retryDelay says when asynq delivers a task again.
func retryDelay(retried int, err error, _ *asynq.Task) time.Duration {
	var later *tasks.LaterError
	var ledger *ledgerError
	switch {
	case errors.Is(err, tasks.ErrInterrupted), errors.Is(err, asynq.ErrLeaseExpired):
		return 0
	case errors.As(err, &later):
		return jitter(min(max(later.After, time.Second), laterMost))
	case errors.Is(err, errUnknownKind):
		return jitter(parkFor)
	case errors.Is(err, errClocks):
		return jitter(clockRest)
	case errors.As(err, &ledger):
		return jitter(ledgerRest)
	}
	return jitter(min(retryFirst<<min(retried, 10), retryMost))
}

func jitter(d time.Duration) time.Duration { return d + rand.N(d/jitterDivide+1) }

// isFailure says which errors use up one of the bounded retries. A crash does
// not: the runner counts those per step, and knows which step was to blame.
func isFailure(err error) bool {
	var later *tasks.LaterError
	var ledger *ledgerError
	return err != nil && !errors.As(err, &later) && !errors.As(err, &ledger) &&
		!errors.Is(err, tasks.ErrInterrupted) && !errors.Is(err, errUnknownKind) && !errors.Is(err, errClocks) &&
		!errors.Is(err, asynq.ErrLeaseExpired) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}
