package main

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// waiting is what a long poll asks for.
type waiting struct {
	wait  time.Duration
	since int64 // -1: whatever the op's seq is now
}

// waitOf reads ?wait= and ?since=. Most polls have neither.
func waitOf(r *http.Request) (waiting, error) {
	ask := waiting{since: -1}
	if r.URL.RawQuery == "" {
		return ask, nil
	}
	var problems []tasks.Problem
	for name, values := range r.URL.Query() {
		n, err := strconv.ParseInt(values[0], 10, 64)
		switch {
		case name != "wait" && name != "since":
			problems = append(problems, tasks.Problem{Field: name, Reason: "unknown query parameter"})
		case len(values) > 1:
			problems = append(problems, tasks.Problem{Field: name, Reason: "given more than once"})
		case err != nil || n < 0:
			problems = append(problems, tasks.Problem{Field: name, Reason: "must be a whole number, not negative"})
		case name == "wait" && n > maxWait:
			problems = append(problems, tasks.Problem{Field: name, Reason: "must be at most 60 seconds"})
		case name == "wait":
			ask.wait = time.Duration(n) * time.Second
		default:
			ask.since = n
		}
	}
	if problems != nil {
		return ask, invalid(problems...)
	}
	return ask, nil
}

// await holds a long poll until the op changes, it is time, or the process stops.
func (s *server) await(w http.ResponseWriter, r *http.Request, op tasks.Op, ask waiting) (tasks.Op, error) {
	if ask.since < 0 {
		ask.since = op.Seq
	}
	if op.State.Final() || op.Seq > ask.since {
		return op, nil
	}
	// The server's own write timeout is for answers that do not wait.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(ask.wait + writeTimeout)); err != nil {
		exchangeOf(r.Context()).log.Debug("no write deadline to move", "err", err)
	}
	ctx, cancel := s.untilClosing(r.Context(), ask.wait)
	defer cancel()
	for ctx.Err() == nil {
		if err := s.Watcher.Wait(ctx, op.ID, ask.since); err != nil && ctx.Err() == nil {
			return op, err
		}
		now, err := s.Ledger.Get(context.WithoutCancel(ctx), op.ID)
		if err != nil {
			return op, err
		}
		op = now
		if op.Seq > ask.since {
			break
		}
	}
	return op, nil
}

// untilClosing is a context that also ends when the process is about to stop,
// so that waiting clients do not hold up a restart.
func (s *server) untilClosing(parent context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(parent, wait)
	stop := context.AfterFunc(s.Closing, cancel)
	return ctx, func() { stop(); cancel() }
}
