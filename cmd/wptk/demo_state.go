package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/proc"
)

// runState remembers on disk what a run has made, before it makes it. A run that was
// killed cannot clean up; the next one does it by this file. The lock is held for as
// long as the run lives.
//
//	<cache>/demo/runs/<name>/lock, state.json
type runState struct {
	home string // its folder under runs
	lock *os.File

	mu   sync.Mutex
	data leftovers
}

// leftovers is what a run may leave behind.
type leftovers struct {
	Dir   string        `json:"dir"`   // everything of the run
	Users []string      `json:"users"` // Unix users
	Runs  []proc.Record `json:"runs"`  // process trees
}

func demoDir() (string, error) {
	cache, err := devstack.CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "demo"), nil
}

// newRunState removes what dead runs have left and makes the folder of a new one.
func newRunState(ctx context.Context, log *slog.Logger) (*runState, error) {
	demos, err := demoDir()
	if err != nil {
		return nil, err
	}
	runs := filepath.Join(demos, "runs")
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return nil, fmt.Errorf("making the demo's folder: %w", err)
	}
	if err := sweepRuns(ctx, runs, log); err != nil {
		return nil, err
	}
	// Made under a name that sweeps pass over, until it is locked.
	making, err := os.MkdirTemp(runs, ".new-")
	if err != nil {
		return nil, fmt.Errorf("making the run's state: %w", err)
	}
	s := &runState{home: filepath.Join(runs, filepath.Base(making)[len(".new-"):])}
	if s.lock, err = lockRun(making); err != nil {
		return nil, errors.Join(err, os.RemoveAll(making))
	}
	if s.data.Dir, err = runDir(); err == nil {
		if err = s.saveTo(making); err == nil {
			err = os.Rename(making, s.home)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the run's state: %w", err), os.RemoveAll(making), removeDir(s.data.Dir), s.lock.Close())
	}
	return s, nil
}

func removeDir(dir string) error {
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}

// runDir makes the run's folder where tenants can reach it: root's own temporary
// folder may be closed to them.
func runDir() (string, error) {
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if !open(parent) {
			continue
		}
		dir, err := os.MkdirTemp(parent, "wptk-demo-")
		if err != nil {
			return "", fmt.Errorf("making the run's folder: %w", err)
		}
		return dir, os.Chmod(dir, 0o711)
	}
	return "", errors.New("making the run's folder: no temporary folder can be entered by all users")
}

func open(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == "/" || dir == "." {
			return true
		}
	}
}

func lockRun(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking a demo's run: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("locking a demo's run: %w", err)
	}
	return lock, nil
}

func (s *runState) dir(elem ...string) string {
	return filepath.Join(append([]string{s.data.Dir}, elem...)...)
}

// willAddUser and started are called before the thing itself happens.
func (s *runState) willAddUser(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.Users = append(s.data.Users, name)
	return s.saveTo(s.home)
}

func (s *runState) started(r proc.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.Runs = append(s.data.Runs, r)
	return s.saveTo(s.home)
}

func (s *runState) saveTo(home string) error {
	raw, err := json.Marshal(s.data)
	if err != nil {
		return fmt.Errorf("encoding the run's state: %w", err)
	}
	tmp := filepath.Join(home, "state.tmp")
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return fmt.Errorf("writing the run's state: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(home, "state.json")); err != nil {
		return fmt.Errorf("writing the run's state: %w", err)
	}
	return nil
}

// forget ends the run's state: there is nothing left to clean up.
func (s *runState) forget() error {
	return errors.Join(os.RemoveAll(s.home), s.lock.Close())
}

// sweepRuns cleans up after runs that nobody holds the lock of.
func sweepRuns(ctx context.Context, runs string, log *slog.Logger) error {
	entries, err := os.ReadDir(runs)
	if err != nil {
		return fmt.Errorf("looking for earlier runs: %w", err)
	}
	for _, e := range entries {
		home := filepath.Join(runs, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		lock, err := lockRun(home)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // it runs, or is just being forgotten
		}
		if err != nil {
			return err
		}
		left, err := readLeftovers(home)
		if err == nil {
			log.Warn("removing what a killed demo left behind", "path", left.Dir)
			err = left.remove(ctx)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("cleaning up after an earlier demo (%s): %w", home, err), lock.Close())
		}
		if err := (&runState{home: home, lock: lock}).forget(); err != nil {
			return fmt.Errorf("cleaning up after an earlier demo: %w", err)
		}
	}
	return nil
}

func readLeftovers(home string) (leftovers, error) {
	var left leftovers
	raw, err := os.ReadFile(filepath.Join(home, "state.json"))
	if err != nil {
		return left, fmt.Errorf("reading its state: %w", err)
	}
	if err := json.Unmarshal(raw, &left); err != nil {
		return left, fmt.Errorf("reading its state: %w", err)
	}
	return left, nil
}

// remove ends the processes, then removes users and files.
func (l leftovers) remove(ctx context.Context) error {
	var errs []error
	for _, r := range l.Runs {
		errs = append(errs, r.KillGroup())
	}
	for _, name := range l.Users {
		errs = append(errs, removeUser(ctx, name))
	}
	// Only what runDir makes is removed, whatever the file says.
	if strings.HasPrefix(filepath.Base(l.Dir), "wptk-demo-") {
		errs = append(errs, os.RemoveAll(l.Dir))
	}
	return errors.Join(errs...)
}
