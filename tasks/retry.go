package tasks

import (
	"context"
	"errors"
	"time"
)

// persist tries f until it works, it fails for good, or the patience is at its
// end. A drain waits for a try to end, but not for the next one.
func (x *execution) persist(ctx context.Context, step string, f func(context.Context) error) error {
	unwatch := x.pauseOnStop(step)
	defer unwatch()
	for n := 0; ; n++ {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if broken := x.journalError(); broken != nil {
			return broken
		}
		if ctx.Err() != nil {
			// Whatever the step says now, the end of its context is the reason.
			x.log.Warn("stopped", "step", step, "err", err)
			return x.pauseIfLeft(step, ended(ctx))
		}
		if lasting(err) || isLater(err) || n == len(retryDelays) {
			return x.pauseIfLeft(step, err)
		}
		d := retryDelays[n]
		x.log.Warn("trying again", "step", step, "after", d, "err", err)
		x.Run.logf("%s Trying again in %v.", FailureOf(err).Message, d)
		if err := x.rest(ctx, d); err != nil {
			return x.pauseIfLeft(step, err)
		}
	}
}

// rest waits before the next try. A drain cuts it short.
func (x *execution) rest(ctx context.Context, d time.Duration) error {
	resting, wake := whileOpen(ctx, x.Stop, ErrInterrupted)
	defer wake()
	if err := x.Wait(resting, d); err != nil {
		if errors.Is(context.Cause(resting), ErrInterrupted) {
			return ErrInterrupted
		}
		return ended(resting)
	}
	return nil
}

// pauseIfLeft journals that the step was left on purpose, so that coming back
// to it is not counted as a crash.
func (x *execution) pauseIfLeft(step string, err error) error {
	if errors.Is(err, ErrInterrupted) || isLater(err) {
		if jerr := x.append(Entry{Mark: MarkPause, Step: step}); jerr != nil {
			return jerr
		}
	}
	return err
}

// pauseOnStop journals a drain that begins while a step is in flight: when the
// worker is killed before the step ends, the step is not to blame.
func (x *execution) pauseOnStop(step string) (unwatch func()) {
	if x.Stop == nil {
		return func() {}
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-x.Stop:
			if err := x.append(Entry{Mark: MarkPause, Step: step}); err != nil {
				x.log.Error("journalling drain", "step", step, "err", err)
			}
		case <-quit:
		}
	}()
	return func() { close(quit); <-gone }
}

// whileOpen gives a context that also ends, with the given cause, when ch is closed.
func whileOpen(ctx context.Context, ch <-chan struct{}, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	select {
	case <-ch: // closed already: not a moment later, when somebody runs
		cancel(cause)
	default:
	}
	go func() {
		select {
		case <-ch:
			cancel(cause)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}
