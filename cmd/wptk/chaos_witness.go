package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// witness follows an op through the API without a pause, and holds what it sees to what
// the API promises: progress and seq never go down, a final state never changes.
type witness struct {
	client  *client
	history *history
	round   int
	id      string

	mu     sync.Mutex
	last   operation
	at     time.Time // of last
	broken []string
	news   chan struct{} // closed and made anew with every answer
	done   chan struct{} // closed at the end of run
	err    error         // of run; valid when done
}

// watch starts a witness, which ends with the op or with ctx.
func (c *chaos) watch(ctx context.Context, round int, id string) *witness {
	patient := *c.stack.client
	patient.patience = watchPatience
	w := &witness{client: &patient, history: c.history, round: round, id: id, news: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = w.run(ctx)
	}()
	return w
}

func (w *witness) run(ctx context.Context) error {
	query := url.Values{}
	for {
		op, err := w.ask(ctx, query)
		if err != nil || op.Done {
			return err
		}
		query = url.Values{"wait": {strconv.Itoa(int(pollFor.Seconds()))}, "since": {strconv.FormatInt(op.Seq, 10)}}
	}
}

// ask reads the op once and takes it down.
func (w *witness) ask(ctx context.Context, query url.Values) (operation, error) {
	var op operation
	if _, err := w.client.get(ctx, "/wordpress/install/"+w.id+"/progress", query, &op); err != nil {
		return op, fmt.Errorf("following the op: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if op.Seq < w.last.Seq && !w.last.Done {
		return op, nil // overtaken by another answer
	}
	w.hold(op)
	if op.Seq != w.last.Seq || w.at.IsZero() {
		w.history.note(happening{Round: w.round, What: "progress", Op: op.OperationID, Seen: &op})
		w.last, w.at = op, time.Now()
		close(w.news)
		w.news = make(chan struct{})
	}
	return op, nil
}

// hold compares an answer with the one before.
func (w *witness) hold(op operation) {
	switch {
	case op.Progress < w.last.Progress:
		w.broken = append(w.broken, fmt.Sprintf("progress went from %d to %d", w.last.Progress, op.Progress))
	case op.Attempt < w.last.Attempt:
		w.broken = append(w.broken, fmt.Sprintf("attempt went from %d to %d", w.last.Attempt, op.Attempt))
	case w.last.Done && (op.Status != w.last.Status || op.Seq != w.last.Seq || !op.FinishedAt.Equal(w.last.FinishedAt)):
		w.broken = append(w.broken, fmt.Sprintf("the final state changed from %s to %s", w.last.Status, op.Status))
	case op.Status == tasks.Succeeded && op.Progress != 100:
		w.broken = append(w.broken, fmt.Sprintf("it succeeded at %d %%", op.Progress))
	}
}

// now is the newest answer and when it came.
func (w *witness) now() (operation, time.Time, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.at, w.news
}

// until waits for an answer that is enough, or for the op's end.
func (w *witness) until(ctx context.Context, ended <-chan struct{}, enough func(operation) bool) (operation, time.Time, error) {
	for {
		op, at, news := w.now()
		if enough(op) {
			return op, at, nil
		}
		select {
		case <-news:
		case <-ended:
			return op, at, fmt.Errorf("the worker ended by itself")
		case <-w.done:
			if op, at, _ := w.now(); enough(op) || w.err == nil {
				return op, at, nil
			}
			return op, at, w.err
		case <-ctx.Done():
			return op, at, fmt.Errorf("waiting for the op: %w", ctx.Err())
		}
	}
}
