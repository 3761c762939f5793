package proc

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// freezeRounds bounds the hunt for newcomers before killing begins; the sweep itself is
// repeated by its caller until nothing is left.
const freezeRounds = 32

// killAll kills the processes that list returns. It first stops all of them, until a look
// finds no new one: a stopped process cannot fork, and as none has been killed yet a fork
// bomb finds no room under its process limit. Only then does it kill.
func killAll(list func() ([]stat, error)) error {
	frozen := map[stat]bool{}
	for range freezeRounds {
		found, err := list()
		if err != nil {
			return err
		}
		fresh := false
		for _, s := range found {
			key := stat{pid: s.pid, ticks: s.ticks}
			if frozen[key] {
				continue
			}
			if err := signalProcess(s, syscall.SIGSTOP); err != nil {
				return err
			}
			frozen[key], fresh = true, true
		}
		if !fresh {
			break
		}
	}
	for s := range frozen {
		if err := signalProcess(s, syscall.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

// descendants lists the living processes below root, nearest first.
func descendants(root int) ([]stat, error) {
	children := map[int][]stat{}
	if err := processes(func(s stat) { children[s.ppid] = append(children[s.ppid], s) }); err != nil {
		return nil, err
	}
	var out []stat
	queue := []int{root}
	for len(queue) > 0 {
		for _, s := range children[queue[0]] {
			queue = append(queue, s.pid)
			if !s.dead() {
				out = append(out, s)
			}
		}
		queue = queue[1:]
	}
	return out, nil
}

// signalProcess signals exactly the process that s was read from. The pid may have passed
// to a stranger since, so it is pinned by a pidfd and then compared. A process that is gone
// is no error.
func signalProcess(s stat, sig syscall.Signal) error {
	fd, err := openProcess(s.pid, s.ticks)
	if err != nil || fd < 0 {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("sending %v to process %d: %w", sig, s.pid, err)
	}
	return nil
}

// openProcess returns a pidfd of the process that has this pid and start time, or -1 when
// there is none.
func openProcess(pid int, ticks uint64) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH || err == unix.EINVAL {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("opening process %d: %w", pid, err)
	}
	if now, err := readStat(pid); err != nil || now.ticks != ticks {
		unix.Close(fd)
		return -1, nil // it is gone, or another process by now
	}
	return fd, nil
}
