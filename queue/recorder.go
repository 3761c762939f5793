package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

const (
	progressEvery   = 500 * time.Millisecond // besides step changes
	progressTimeout = 2 * time.Second
	maxUnwritten    = 64  // events kept while Redis is slow; then the oldest go
	maxUnwrittenLog = 256 // lines kept likewise
)

// Recorder writes what a running op shows: progress and log lines. Nothing it
// does waits for Redis. What cannot be written is dropped, logged and counted:
// the op goes on, and its next step is shown again.
type Recorder struct {
	store    *Store
	op       tasks.Op
	wake     chan struct{}
	quit     chan struct{}
	idle     chan struct{} // closed when the writer has ended
	stopping <-chan struct{}

	cancelOnce sync.Once
	cancelled  chan struct{}

	mu      sync.Mutex
	events  []tasks.Event
	lines   []string
	dropped int
	step    string
	fenced  bool
	writes  int // number of the last progress write of this attempt
}

func newRecorder(s *Store, op tasks.Op, stopping <-chan struct{}) *Recorder {
	r := &Recorder{
		store: s, op: op, stopping: stopping,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), idle: make(chan struct{}),
		cancelled: make(chan struct{}),
	}
	if op.CancelRequested {
		r.cancel()
	}
	go r.write()
	return r
}

// Attempt is the number of this run of the op, from 1.
func (r *Recorder) Attempt() int { return r.op.Attempt }

// Cancelled is closed when somebody asked for the op to be cancelled.
func (r *Recorder) Cancelled() <-chan struct{} { return r.cancelled }

// Stopping is closed when the worker drains: stop at the next step boundary.
func (r *Recorder) Stopping() <-chan struct{} { return r.stopping }

func (r *Recorder) cancel() { r.cancelOnce.Do(func() { close(r.cancelled) }) }

// Progress shows an event's Progress, Step, StepIndex, StepsTotal and Message;
// the ledger sets the rest. A change of step is written at once and for itself,
// other changes twice a second, the newest for all. Error: ErrFenced when a newer
// attempt has taken the op over; nothing else is the caller's concern.
func (r *Recorder) Progress(_ context.Context, e tasks.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fenced {
		return ErrFenced
	}
	last := len(r.events) - 1
	switch {
	case last >= 0 && r.events[last].Step == e.Step:
		r.events[last] = e
	case last+1 == maxUnwritten:
		r.events = append(r.events[1:], e)
		r.dropped++
	default:
		r.events = append(r.events, e)
	}
	if e.Step != r.step {
		r.step = e.Step
		r.nudge()
	}
	return nil
}

// Log adds a line to the op's log, which its requester may read. The caller has
// redacted it. A line over 2 KB is cut.
func (r *Recorder) Log(line string) {
	if len(line) > maxLogLine {
		line = line[:maxLogLine]
	}
	line = strings.ToValidUTF8(line, "�")
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) == maxUnwrittenLog {
		r.lines = r.lines[1:]
		r.dropped++
	}
	r.lines = append(r.lines, line)
}

func (r *Recorder) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// close writes what is left and ends the writer.
func (r *Recorder) close() {
	close(r.quit)
	<-r.idle
}

func (r *Recorder) write() {
	defer close(r.idle)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.wake:
		case <-tick.C:
		case <-r.quit:
			r.flush()
			return
		}
		r.flush()
	}
}

func (r *Recorder) flush() {
	r.mu.Lock()
	events, lines, dropped := r.events, r.lines, r.dropped
	r.events, r.lines, r.dropped = nil, nil, 0
	first := r.writes + 1
	r.writes += len(events)
	r.mu.Unlock()
	if dropped > 0 {
		r.lost(errors.New("redis is slower than the op"), dropped)
	}
	if len(events)+len(lines) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), progressTimeout)
	defer cancel()
	if err := r.send(ctx, events, first, lines); err != nil {
		r.lost(err, len(events)+len(lines))
	}
}

func (r *Recorder) send(ctx context.Context, events []tasks.Event, first int, lines []string) error {
	n := r.store.names
	keys := []string{n.op(r.op.ID), n.events(r.op.ID), n.feed(shardOf(r.op.ID))}
	pipe := r.store.rdb.Pipeline()
	answers := make([]*redis.Cmd, len(events))
	for i, e := range events {
		answers[i] = progressScript.EvalSha(ctx, pipe, keys, r.op.ID, n.changes(), r.op.Attempt, first+i,
			e.Progress, e.Step, e.StepIndex, e.StepsTotal, e.Message)
	}
	if len(lines) > 0 {
		r.store.appendLog(ctx, pipe, r.op.ID, lines)
	}
	_, err := pipe.Exec(ctx)
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // the next write finds them again
		return errors.Join(err, loadScripts(ctx, r.store.rdb))
	}
	if err != nil {
		return fmt.Errorf("writing progress: %w", err)
	}
	for _, a := range answers {
		if err := r.heed(a); err != nil {
			return err
		}
	}
	return nil
}

// heed acts on the answer to a progress write.
func (r *Recorder) heed(answer *redis.Cmd) error {
	v, err := answer.Int64Slice()
	if err != nil || len(v) != 2 {
		return fmt.Errorf("reading answer to progress: %w", errors.Join(err, errRecord))
	}
	if v[1] == 1 {
		r.cancel()
	}
	if v[0] == -2 {
		r.mu.Lock()
		r.fenced = true
		r.mu.Unlock()
	}
	return nil
}

func (r *Recorder) lost(err error, n int) {
	r.store.survived("progress", "dropping progress", err, "op", r.op.ID, "attempt", r.op.Attempt, "dropped", n)
}
