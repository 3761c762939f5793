package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// victim is a worker or an API that can be killed as a crash or the kernel would. It is not
// started by wp/proc: a supervisor of ours would clean up behind it, and whether that
// happens without one is what is to be seen.
type victim struct {
	process *os.Process
	began   time.Time
	ended   chan struct{}
}

func startVictim(path string, args []string, dir, log string, env ...string) (*victim, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening log of a process: %w", err)
	}
	defer out.Close()
	in, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", os.DevNull, err)
	}
	defer in.Close()
	v := &victim{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The death signal comes when the thread ends that started the process, so this
		// one stays until the process is gone; see prctl(2), PR_SET_PDEATHSIG.
		runtime.LockOSThread()
		v.began = time.Now()
		var err error
		v.process, err = os.StartProcess(path, append([]string{path}, args...), &os.ProcAttr{
			Dir: dir, Env: append(env, toolEnv...), Files: []*os.File{in, out, out},
			Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
		})
		started <- err
		if err != nil {
			return
		}
		defer close(v.ended)
		v.process.Wait() //nolint:errcheck // of a child of ours it cannot fail, and how it ended is in its log
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(path), err)
	}
	return v, nil
}

// end sends a signal and waits for the end; a process that has ended already is no error.
func (v *victim) end(signal syscall.Signal) error {
	if err := v.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending a process: %w", err)
	}
	<-v.ended
	return nil
}
