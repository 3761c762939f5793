package queue

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart.
var (
	// ErrNotFound: no such op, or an install that no op and no scan knows.
	ErrNotFound = errors.New("not found")
	// ErrEvicting: the Redis may throw keys away, so it cannot keep promises.
	ErrEvicting = errors.New("redis must run with maxmemory-policy noeviction")
	// ErrTooOld: the Redis lacks commands that the ledger is made of.
	ErrTooOld = errors.New("redis 6.0 or newer is needed")
	// ErrBadCursor: not a cursor that an earlier page gave.
	ErrBadCursor = errors.New("malformed cursor")
	// ErrFenced: a newer attempt has taken the op over; the write was dropped.
	ErrFenced = errors.New("fenced off by a newer attempt")
)

// BusyError answers a submission with FailIfBusy: another op has the install.
type BusyError struct{ OpID string }

func (e *BusyError) Error() string { return fmt.Sprintf("install is busy with %s", e.OpID) }

// ExistsError answers a submission with FailIfExists: WordPress is there already.
type ExistsError struct{ SiteID string }

func (e *ExistsError) Error() string { return fmt.Sprintf("install %s exists already", e.SiteID) }
