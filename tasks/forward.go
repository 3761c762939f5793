package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// forward does the steps that are not done yet. nil means that all are; any
// other answer is either a reason to undo or one of unfinished.
func (x *execution) forward(ctx context.Context) error {
	bounded, release := x.bounded(ctx)
	defer release()
	for i, step := range x.steps {
		if x.done[step.Name] {
			continue
		}
		within := bounded
		if step.Commit && x.begun[step.Name] {
			within = ctx // it was entered before: too late for a cancellation
		}
		if err := x.boundary(within); err != nil {
			return err
		}
		if step.Commit {
			within = ctx
		}
		if err := x.enter(within, i, step); err != nil {
			return err
		}
	}
	return nil
}

// enter journals a step's beginning, does it, and journals how it went.
func (x *execution) enter(ctx context.Context, i int, step Step) error {
	if x.crashes[flight{MarkBegin, step.Name}] >= maxCrashes {
		return x.settle(step, Permanent(fmt.Errorf("step %s ended the worker %d times", step.Name, maxCrashes), poisonFailure))
	}
	release, err := x.turn(ctx, flight{MarkBegin, step.Name})
	if err != nil {
		return err
	}
	defer release()
	if err := x.append(Entry{Mark: MarkBegin, Step: step.Name}); err != nil {
		return err
	}
	x.begun[step.Name] = true
	x.show(i, step.Message)

	began := x.Now()
	err = x.persist(ctx, step.Name, func(ctx context.Context) error { return once(ctx, step) })
	x.Observe(step.Name, x.Now().Sub(began))
	if err := x.settle(step, err); err != nil {
		return err
	}
	x.bar.complete(i)
	return nil
}

// settle journals that a step is done, or gives back why it is not.
func (x *execution) settle(step Step, err error) error {
	done := Entry{Mark: MarkDone, Step: step.Name}
	if err != nil {
		if x.unfinished(err) != nil || !(step.Commit || isUnconfirmed(err)) {
			return err
		}
		x.log.Warn("effect not confirmed", "step", step.Name, "err", err)
		f := FailureOf(err)
		done.Mark, done.Failure = MarkUnsure, &f
		x.unsure = &f
	}
	if err := x.append(done); err != nil {
		return err
	}
	x.done[step.Name] = true
	return nil
}

// once is one try of a step: check, do, verify.
func once(ctx context.Context, step Step) error {
	there := false
	if step.Check != nil {
		var err error
		if there, err = step.Check(ctx); err != nil {
			return err
		}
	}
	if !there && step.Do != nil {
		if err := step.Do(ctx); err != nil {
			return err
		}
	}
	if step.Verify == nil {
		return nil
	}
	if err := step.Verify(ctx); err != nil {
		return &badEffect{err}
	}
	return nil
}

// badEffect is an effect that was made and found wrong, which ends an op as
// rolled back and not merely as failed.
type badEffect struct{ err error }

func (e *badEffect) Error() string { return e.err.Error() }
func (e *badEffect) Unwrap() error { return e.err }

// bounded gives the context of the forward steps. Its cause tells apart the
// ways in which it ends.
func (x *execution) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	release := func() {}
	if x.Spec.Deadline > 0 {
		ctx, release = context.WithTimeout(ctx, x.Spec.Deadline)
	}
	ctx, unwatch := whileOpen(ctx, x.Cancelled, errCancelled)
	return ctx, func() { unwatch(); release() }
}

// boundary is asked between steps, where stopping costs nothing.
func (x *execution) boundary(ctx context.Context) error {
	select {
	case <-x.Stop:
		return ErrInterrupted
	case <-ctx.Done():
		return ended(ctx)
	default:
		return nil
	}
}

// ended says why a context is over: for the requester, for want of time, or
// because the worker itself stops, which is no fault of the op.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errCancelled) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrInterrupted, cause)
}

func (x *execution) success() Outcome {
	o := Outcome{State: Succeeded, Result: json.RawMessage(x.Run.Get(resultKey))}
	if len(o.Result) == 0 {
		o.Result = nil
	}
	if x.unsure != nil {
		o.State, o.Error = Unverified, x.unsure
	}
	return o
}

var poisonFailure = Failure{
	Code:    CodePoison,
	Message: "The worker ended unexpectedly three times during the same step, so the operation was given up.",
	Hint:    "The operator finds the cause in the worker's log. Other operations are not affected.",
}
