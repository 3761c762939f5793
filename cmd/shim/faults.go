package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/wispanel/wptk/cmd/internal/verdict"
)

// leftRunning makes a copy of this program wait instead of working.
const leftRunning = "WPTK_SHIM_LEFT_RUNNING"

// misbehave does to the worker what a site's code may do.
func (s *shim) misbehave() error {
	switch s.config.Faults[s.domain] {
	case verdict.Hang:
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		select {}
	case verdict.Fork:
		return s.fork()
	case verdict.Flood:
		for line := strings.Repeat("x", 64<<10) + "\n"; ; {
			if _, err := fmt.Fprint(os.Stdout, line); err != nil {
				return fmt.Errorf("printing: %w", err)
			}
		}
	}
	return nil
}

// fork leaves a child behind that wants to outlive everything: its own session, no signals.
// It keeps the site's lock, so that a command that runs beside it is seen.
func (s *shim) fork() error {
	own, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	_, err = os.StartProcess(own, []string{own}, &os.ProcAttr{
		Dir: "/", Env: []string{leftRunning + "=1"}, Files: []*os.File{nil, nil, nil, s.lock},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("leaving a process behind: %w", err)
	}
	return nil
}

func init() {
	if os.Getenv(leftRunning) != "" {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		<-make(chan struct{})
	}
}
