package proc

import (
	"encoding/json"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// becomeProgram is the child between fork and execve: already the tenant's user, it waits
// for its order, puts the rest in place, and becomes the program. It returns only failure.
func becomeProgram() int {
	runtime.LockOSThread()
	o, gate, f := enter()
	if f == nil {
		path := string(o.Path)
		argv := append([]string{filepath.Base(path)}, toStrings(o.Args)...)
		// Limits come last: they may be too small for the Go program that we still are.
		if err := o.Walls.enclose(); err != nil {
			f = failed(stageEnclose, err)
		} else if err := resetSignals(); err != nil {
			f = failed(stageSignals, err)
		} else if err := applyLimits(o.Limits); err != nil {
			f = failed(stageLimits, err)
		} else {
			f = failed(stageExec, syscall.Exec(path, argv, toStrings(o.Env)))
		}
	}
	_ = json.NewEncoder(gate).Encode(f) // no reader: no supervisor, and then no us
	return exitHelper
}

// enter does what both kinds of children begin with. The gate stays open until execve.
func enter() (o order, gate rawFD, f *failure) {
	gate = rawFD(controlFD)
	from, kept := orderFD()
	if err := json.NewDecoder(from).Decode(&o); err != nil {
		return o, gate, failed(stageUnknown, err)
	}
	if kept {
		unix.Close(int(from))
	}
	if err := verifySandbox(&o); err != nil {
		return o, gate, failed(stageVerify, err)
	}
	gate, err := arrange(o.Keep)
	if err != nil {
		return o, gate, failed(stageDescriptors, err)
	}
	if err := unix.Chdir(string(o.Dir)); err != nil {
		return o, gate, failed(stageDir, err)
	}
	return o, gate, nil
}

// arrange moves the kept descriptors down to 3, 4, … over the gate, which moves behind
// them, and marks all others close-on-exec.
func arrange(keep int) (gate rawFD, err error) {
	moved, err := unix.FcntlInt(controlFD, unix.F_DUPFD_CLOEXEC, controlFD+1+keep)
	if err != nil {
		return controlFD, err
	}
	for i := range keep {
		if err := unix.Dup3(controlFD+1+i, controlFD+i, 0); err != nil {
			return rawFD(moved), err
		}
	}
	err = unix.CloseRange(uint(controlFD+keep), ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	return rawFD(moved), err
}
