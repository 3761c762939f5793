package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/tasks"
)

// busyPause is how long an op waits for an install that something else holds.
const busyPause = 3 * time.Second

// lockSite takes the install's lock: the ledger lets one op per install through,
// this makes it certain. Children inherit the descriptor, so an orphan that is
// still at work keeps the install locked for exactly as long as it lives. The
// error is tasks.Later when the install is busy.
func (s *state) lockSite(id string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.locksDir(), id+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening site lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, tasks.Later(busyPause)
		}
		return nil, fmt.Errorf("locking site: %w", err)
	}
	return f, nil
}
