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
func (s *state) lockSite(id string) (*os.File, error) { return s.flock(id, unix.LOCK_EX) }

// shareSite holds an install that an op reads but does not change: any number of ops may, and
// none that changes it meanwhile.
func (s *state) shareSite(id string) (*os.File, error) { return s.flock(id, unix.LOCK_SH) }

func (s *state) flock(id string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.locksDir(), id+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening site lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, tasks.Later(busyPause)
		}
		return nil, fmt.Errorf("locking site: %w", err)
	}
	return f, nil
}

// reader is a task that reads other installs than its own.
type reader interface {
	Reads() []tasks.SiteRef
}

// shareSites puts shared locks of what a task reads behind the op's own lock. All or none is
// held: an op that waits for one must not keep others waiting.
func (h *handler) shareSites(task tasks.Task, site string, own *os.File) ([]*os.File, error) {
	held := []*os.File{own}
	r, ok := task.(reader)
	if !ok {
		return held, nil
	}
	for _, ref := range r.Reads() {
		if !tasks.IsSiteID(ref.ID) || ref.ID == site || ref.Node != h.host.Node {
			continue // the plan refuses it, or it is not this node's to lock
		}
		f, err := h.state.shareSite(ref.ID)
		if err != nil {
			closeAll(held[1:])
			return nil, err
		}
		held = append(held, f)
	}
	return held, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close() // a lock that was only read from
	}
}
