package tasks

import (
	"context"
	"errors"
)

// turn waits until a step may be entered. Nothing has been done yet, so a drain, a
// cancellation or the end of the op's time may have it at once.
func (x *execution) turn(ctx context.Context, next flight) (release func(), err error) {
	waiting, unwatch := whileOpen(ctx, x.Stop, ErrInterrupted)
	defer unwatch()
	release, err = x.Turn(waiting, x.crashes[next] >= maxCrashes-1)
	switch {
	case err == nil:
		return release, nil
	case errors.Is(context.Cause(waiting), ErrInterrupted):
		return nil, ErrInterrupted
	case waiting.Err() != nil:
		return nil, ended(waiting)
	}
	return nil, err
}
