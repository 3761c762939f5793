package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/cmd/internal/seal"
)

// state is the node's private directory, and the lock that makes this worker
// the only one of its node for as long as it lives.
type state struct {
	dir  string
	lock *os.File
	key  *seal.Key
}

// openState takes the node's lock before it touches anything else: whoever holds
// it may kill what an earlier worker left behind and take its ops over.
func openState(dir string) (*state, error) {
	// 0711: tenants pass through to WP-CLI's files, and can list nothing.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("making state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "worker.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening node lock: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another worker of this node runs: %s is locked", lock.Name())
		}
		return nil, fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	s := &state{dir: dir, lock: lock}
	for _, private := range []string{s.journalDir(), s.runsDir(), s.locksDir(), s.archivesDir(), s.backupsDir(), s.snapshotsDir()} {
		if err := os.MkdirAll(private, 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("making state directory: %w", err), s.Close())
		}
	}
	if s.key, err = seal.LoadOrCreate(filepath.Join(dir, "node.key")); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *state) journalDir() string { return filepath.Join(s.dir, "journal") }
func (s *state) runsDir() string    { return filepath.Join(s.dir, "runs") }
func (s *state) locksDir() string   { return filepath.Join(s.dir, "locks") }

// snapshotsDir has the records of tables that are copied for updates.
func (s *state) snapshotsDir() string { return filepath.Join(s.dir, "snapshots") }

// archivesDir has the final archives of deleted installs.
func (s *state) archivesDir() string { return filepath.Join(s.dir, "final") }

// signingKey signs what the node orders from itself.
func (s *state) signingKey() string { return filepath.Join(s.dir, "signing.key") }

// openEnded opens the memory of ended ops. Without keys there is nothing that could be replayed
// and would be noticed.
func (s *state) openEnded(cfg *Config) (*ended, error) {
	if cfg.SigningKeys == "" {
		return nil, nil
	}
	return openEnded(filepath.Join(s.dir, "ended"))
}

// backupsDir has what restic remembers, but no backups.
func (s *state) backupsDir() string { return filepath.Join(s.dir, "backups") }

// Close gives the node's lock back.
func (s *state) Close() error { return s.lock.Close() }
