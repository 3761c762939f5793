package main

import (
	"context"
	"time"
)

// rightClock tells why what is kept for some time may not be removed now: this machine's clock
// is off Redis's, or Redis does not say. A clock that was set ahead by a month would otherwise
// cost every backup whose time is over by it. Nil trusts the clock.
type rightClock func(context.Context) error

// now is the time, when it may be gone by.
func (c rightClock) now(ctx context.Context) (time.Time, error) {
	if c != nil {
		if err := c(ctx); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now(), nil
}
