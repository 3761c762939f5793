package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
)

// decideRollback journals that from here on everything is taken back. After
// that no resumed attempt goes forward again.
func (x *execution) decideRollback(cause error) error {
	f := FailureOf(cause)
	e := Entry{Mark: MarkRollback, State: Failed, Failure: &f}
	var bad *badEffect
	switch {
	case errors.Is(cause, errCancelled):
		e.State = Cancelled
	case errors.As(cause, &bad):
		e.State = RolledBack
	}
	x.log.Warn("taking back", "err", cause)
	x.Run.logf("failed: %s", f.Message)
	if err := x.append(e); err != nil {
		return err
	}
	x.rollback = &e
	return nil
}

// backward undoes the steps that were begun, newest first. One that will not
// be undone does not keep the others from it.
func (x *execution) backward(ctx context.Context) error {
	x.bar.freeze()
	for i := len(x.steps) - 1; i >= 0; i-- {
		step := x.steps[i]
		if step.Undo == nil || !x.begun[step.Name] || x.undone[step.Name] {
			continue
		}
		select {
		case <-x.Stop:
			return ErrInterrupted
		case <-ctx.Done():
			return ended(ctx)
		default:
		}
		x.show(i, "Taking back: "+step.Message)
		if err := x.undo(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// undo takes one step back, or journals that something of it is left. An undo that did its
// work and cannot see that all is as before answers Unconfirmable: that is a doubt.
func (x *execution) undo(ctx context.Context, step Step) error {
	if x.crashes[flight{MarkUndo, step.Name}] >= maxCrashes {
		return x.giveUp(step, errors.New("its undo ended the worker"))
	}
	release, err := x.turn(ctx, flight{MarkUndo, step.Name})
	if err != nil {
		return err
	}
	defer release()
	if err := x.append(Entry{Mark: MarkUndo, Step: step.Name}); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	err = x.persist(bounded, step.Name, step.Undo)
	if stop := x.unfinished(err); stop != nil {
		return stop
	}
	undone := Entry{Mark: MarkUndone, Step: step.Name}
	if isUnconfirmed(err) {
		x.log.Warn("taking back not confirmed", "step", step.Name, "err", err)
		f := FailureOf(err)
		undone.Failure, x.doubt = &f, &f
	} else if err != nil {
		return x.giveUp(step, err)
	}
	x.undone[step.Name] = true
	return x.append(undone)
}

func (x *execution) giveUp(step Step, err error) error {
	x.log.Error("not taken back", "step", step.Name, "err", err)
	x.Run.logf("could not take back: %s", step.Message)
	x.undone[step.Name] = true
	x.left = append(x.left, step.Name)
	return x.append(Entry{Mark: MarkLeft, Step: step.Name})
}

// failure is the outcome of an op that went backwards.
func (x *execution) failure() Outcome {
	f := *x.rollback.Failure
	var part json.RawMessage
	if x.Run.Get(keyPart) != "" {
		part = json.RawMessage(x.Run.Get(resultKey))
	}
	state := x.rollback.State
	if x.doubt != nil {
		f.Hint = strings.TrimSpace(x.doubt.Message + " " + x.doubt.Hint)
		if state == RolledBack { // the others do not claim that the effect is away
			state = Unverified
		}
	}
	if len(x.left) == 0 {
		return Outcome{State: state, Result: part, Error: &f}
	}
	f.Hint = strings.TrimSpace(f.Hint + " Not everything could be taken back; look after what these steps made: " +
		strings.Join(x.left, ", ") + ".")
	return Outcome{State: Failed, Result: part, Error: &f}
}
