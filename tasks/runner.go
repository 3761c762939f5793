package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/wispanel/wptk/tasks/failpoint"
)

// maxCrashes is how often one step may take the worker down with it before the
// op is given up, so that one poisoned op cannot stop a node for ever.
const maxCrashes = 3

// undoTimeout bounds the undo of one step. It is apart from the op's deadline:
// an op that ran out of time must still clean up.
const undoTimeout = 2 * time.Minute

// retryDelays are the pauses before a step is tried again in place.
var retryDelays = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// ExecuteConfig is what Execute needs. Op, Run, Spec, Task and Journal are
// required; the rest has working defaults.
type ExecuteConfig struct {
	Op      Op
	Run     *Run
	Spec    Spec
	Task    Task
	Journal Journal

	// Report gets every visible change, without a Seq. It must not block.
	Report func(Event)
	// Observe gets how long each step took, retries included.
	Observe func(step string, took time.Duration)
	// Cancelled is closed when the requester wants the op to stop and be undone.
	Cancelled <-chan struct{}
	// Turn is asked before every step and every undo, and waits for its turn; release is
	// called after it. Alone means that no other op of the worker may be in a step
	// meanwhile: this one was in flight twice when the worker died, and the next death
	// has to tell whether it is to blame.
	Turn func(ctx context.Context, alone bool) (release func(), err error)
	// Stop is closed when the worker drains: the op ends at the next boundary.
	Stop <-chan struct{}
	// Now and Wait are the clock. Wait returns early with the context's error.
	Now  func() time.Time
	Wait func(ctx context.Context, d time.Duration) error
	Log  *slog.Logger
}

// Execute runs an op to its end, from wherever the journal says that it was
// left. The outcome is in the journal before it is returned, so an op whose
// outcome did not reach the ledger is answered again without doing anything.
//
// Without an outcome the error says why it is not over: ErrInterrupted (drain,
// or ctx ended), a *LaterError, or a journal that cannot be written, in which
// case nothing was done that it does not know of.
func Execute(ctx context.Context, cfg ExecuteConfig) (Outcome, error) {
	x, err := newExecution(cfg)
	if err != nil {
		return Outcome{}, err
	}
	if x.outcome != nil {
		return *x.outcome, nil
	}
	if x.rollback == nil {
		cause := x.forward(ctx)
		if cause == nil {
			x.outdate(ctx)
			return x.finish(x.success())
		}
		if err := x.unfinished(cause); err != nil {
			return Outcome{}, err
		}
		if err := x.decideRollback(cause); err != nil {
			return Outcome{}, err
		}
	}
	if err := x.backward(ctx); err != nil {
		return Outcome{}, err
	}
	x.outdate(ctx)
	return x.finish(x.failure())
}

// execution is one attempt of an op.
type execution struct {
	ExecuteConfig
	history
	steps []Step
	bar   *progressBar
	log   *slog.Logger

	mu     sync.Mutex // the drain watcher writes beside the step
	broken error      // the journal failed: no further effects
	known  bool       // the journal says what was ordered
}

func newExecution(cfg ExecuteConfig) (*execution, error) {
	rec, err := cfg.Journal.Load(cfg.Op.ID)
	if err != nil {
		return nil, fmt.Errorf("loading journal: %w", err)
	}
	h, err := replay(rec)
	if err != nil {
		return nil, err
	}
	x := &execution{ExecuteConfig: cfg, history: h}
	_, x.known = rec.Accepted()
	x.defaults()
	x.Run.state = h.state
	x.Run.append = x.append
	x.Run.report = x.within
	x.steps = cfg.Task.Steps(x.Run)
	x.bar = newProgressBar(x.steps)
	for i, step := range x.steps {
		if x.done[step.Name] {
			x.bar.complete(i)
		}
	}
	return x, x.knowsItsSteps()
}

func (x *execution) defaults() {
	if x.Report == nil {
		x.Report = func(Event) {}
	}
	if x.Observe == nil {
		x.Observe = func(string, time.Duration) {}
	}
	if x.Turn == nil {
		x.Turn = func(context.Context, bool) (func(), error) { return func() {}, nil }
	}
	if x.Now == nil {
		x.Now = time.Now
	}
	if x.Wait == nil {
		x.Wait = wait
	}
	if x.Log == nil {
		x.Log = slog.Default()
	}
	x.log = x.Log.With("op", x.Op.ID, "kind", x.Op.Kind, "site", x.Op.Site.ID, "attempt", x.Op.Attempt)
}

// knowsItsSteps refuses a journal of a program whose steps had other names:
// what it began could not be undone.
func (x *execution) knowsItsSteps() error {
	names := map[string]bool{}
	for _, s := range x.steps {
		names[s.Name] = true
	}
	for name := range x.begun {
		if !names[name] {
			return fmt.Errorf("resuming %s: this version of the worker has no step %q", x.Op.Kind, name)
		}
	}
	return nil
}

// append journals an entry. After the first failure it refuses everything.
func (x *execution) append(e Entry) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.broken != nil {
		return x.broken
	}
	e.At, e.Attempt = x.Now().UTC(), x.Op.Attempt
	if !x.known {
		e.Order, x.known = orderOf(x.Op), true
	}
	failpoint.Hit("journal.before", string(e.Mark), e.Step+e.Key)
	if err := x.Journal.Append(x.Op.ID, e); err != nil {
		x.broken = fmt.Errorf("journalling %s: %w", e.Mark, err)
	}
	failpoint.Hit("journal.after", string(e.Mark), e.Step+e.Key)
	return x.broken
}

func (x *execution) journalError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.broken
}

// unfinished gives back those errors that do not end the op.
func (x *execution) unfinished(err error) error {
	if broken := x.journalError(); broken != nil {
		return broken
	}
	if errors.Is(err, ErrInterrupted) || isLater(err) {
		return err
	}
	return nil
}

func (x *execution) finish(o Outcome) (Outcome, error) {
	if err := x.append(Entry{Mark: MarkOutcome, Outcome: &o}); err != nil {
		return Outcome{}, err
	}
	return o, nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
