package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Record names one run so that a later worker can find and end what is left of it. It is
// the run's supervisor, which outlives every process of the run, identified across pid
// reuse and reboots. It is meant to be stored as JSON.
type Record struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"`     // /proc/PID/stat field 22
	Boot       string `json:"boot"`            // /proc/sys/kernel/random/boot_id
	UID        uint32 `json:"uid"`             // the user the program runs as
	Group      string `json:"group,omitempty"` // directory of its control group
}

// killPatience bounds the wait for killed processes to go. Only uninterruptible sleep (a
// dead disk or network file system) takes that long.
const killPatience = 10 * time.Second

var bootID = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
})

// newRecord reads the identity of the supervisor pid, which the caller has not reaped.
func newRecord(pid int, uid uint32) (Record, error) {
	boot, err := bootID()
	if err != nil {
		return Record{}, err
	}
	s, err := readStat(pid)
	if err != nil {
		return Record{}, err
	}
	return Record{PID: pid, StartTicks: s.ticks, Boot: boot, UID: uid}, nil
}

// Alive reports whether the supervisor or, if that was killed, any other process of its
// session still lives.
func (r Record) Alive() bool {
	if !r.thisBoot() {
		return false
	}
	if s, err := readStat(r.PID); err == nil && s.ticks == r.StartTicks && !s.dead() {
		return true
	}
	left, err := r.session()
	return err != nil || len(left) > 0 // in doubt there is something to end
}

// KillGroup ends the run: it asks the supervisor to kill all descendants, waits until it
// has (at most killPatience), and kills what is left of the session if the supervisor was
// gone or does not answer. A run that is over is no error; processes that survive are
// ErrStillAlive.
func (r Record) KillGroup() error {
	if !r.thisBoot() {
		return nil
	}
	if err := r.endSupervisor(); err != nil {
		return fmt.Errorf("ending supervisor %d: %w", r.PID, err)
	}
	if err := r.killSession(killPatience); err != nil {
		return fmt.Errorf("ending session %d: %w", r.PID, err)
	}
	if r.Group != "" {
		return endGroup(r.Group, killPatience)
	}
	return nil
}

func (r Record) thisBoot() bool {
	boot, err := bootID()
	return r.PID > 1 && (err != nil || r.Boot == boot)
}

func (r Record) endSupervisor() error {
	fd, err := openProcess(r.PID, r.StartTicks)
	if err != nil || fd < 0 {
		return err
	}
	defer unix.Close(fd)
	for _, sig := range []syscall.Signal{sweepSignal, syscall.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("sending %v: %w", sig, err)
		}
		if gone, err := waitGone(fd, killPatience); gone || err != nil {
			return err
		}
	}
	return ErrStillAlive
}

// waitGone waits for the end of the process behind a pidfd.
func waitGone(fd int, patience time.Duration) (bool, error) {
	for deadline := time.Now().Add(patience); ; {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline)).Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("waiting for process: %w", err)
		}
		return n > 0, nil
	}
}

// session lists living members of the supervisor's session. While a session has members the
// kernel does not hand its number out as a pid again, so a stranger under that pid proves
// that nothing is left. The user is compared as well: the number may have had a second life.
func (r Record) session() ([]stat, error) {
	if s, err := readStat(r.PID); err == nil && s.ticks != r.StartTicks {
		return nil, nil
	}
	var out []stat
	err := processes(func(s stat) {
		if s.session == r.PID && s.ticks >= r.StartTicks && !s.dead() && r.owns(s.pid) {
			out = append(out, s)
		}
	})
	return out, err
}

func (r Record) owns(pid int) bool {
	var st unix.Stat_t
	err := unix.Stat("/proc/"+strconv.Itoa(pid), &st)
	return err == nil && (st.Uid == r.UID || st.Uid == uint32(os.Geteuid()))
}

func (r Record) killSession(patience time.Duration) error {
	// Nothing tells when a process that is no child of ours is gone.
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		left, err := r.session()
		if err != nil || len(left) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes left: %w", len(left), ErrStillAlive)
		}
		if err := killAll(r.session); err != nil {
			return err
		}
	}
}
