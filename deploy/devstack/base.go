package devstack

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// base is a server's folder. The folder itself is ours, 0711 so that sockets in it can be
// reached; data belongs to the server alone.
//
//	lock      held by this process while the server is wanted
//	log       what the server prints
//	data/     0700, configuration and data
//	run/      0711, Unix sockets
type base struct {
	dir   string
	owned bool // made by us, so removed by us
	lock  *os.File
}

const prefix = "wptk-dev-"

// newBase makes dir, or a fresh temporary folder when dir is "".
func newBase(dir, kind string, as owner) (*base, error) {
	b := &base{dir: dir}
	if dir == "" {
		sweep(os.TempDir())
		made, err := os.MkdirTemp("", prefix+kind+"-")
		if err != nil {
			return nil, fmt.Errorf("making server folder: %w", err)
		}
		b.dir, b.owned = made, true
	}
	if err := b.furnish(as); err != nil {
		return nil, errors.Join(err, b.remove())
	}
	return b, nil
}

func (b *base) furnish(as owner) error {
	if !filepath.IsAbs(b.dir) {
		return fmt.Errorf("making server folder: %s is not absolute", b.dir)
	}
	if err := os.MkdirAll(b.dir, 0o711); err != nil {
		return fmt.Errorf("making server folder: %w", err)
	}
	lock, err := os.OpenFile(b.path("lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("locking server folder: %w", err)
	}
	b.lock = lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("locking server folder %s: in use: %w", b.dir, err)
	}
	for name, mode := range map[string]fs.FileMode{".": 0o711, "data": 0o700, "run": 0o711} {
		path := b.path(name)
		if err := os.MkdirAll(path, mode); err != nil {
			return fmt.Errorf("making server folder: %w", err)
		}
		if err := os.Chmod(path, mode); err != nil { // the umask may have taken bits away
			return fmt.Errorf("opening server folder: %w", err)
		}
		if name == "." {
			continue
		}
		if err := as.give(path); err != nil {
			return err
		}
	}
	return nil
}

func (b *base) path(elem ...string) string { return filepath.Join(append([]string{b.dir}, elem...)...) }

// write puts a file into data that only the server can read: configuration holds passwords.
func (b *base) write(name, content string, as owner) error {
	path := b.path("data", name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("writing server configuration: %w", err)
	}
	return as.give(path)
}

// remove gives the folder up, and deletes it if it was made here.
func (b *base) remove() error {
	var err error
	if b.owned {
		err = os.RemoveAll(b.dir)
	}
	if b.lock != nil {
		b.lock.Close() // after the deletion: whoever gets the lock finds nothing to do
		b.lock = nil
	}
	if err != nil {
		return fmt.Errorf("removing server folder: %w", err)
	}
	return nil
}

// sweep removes folders of servers whose process died without cleaning up: nobody holds
// their lock any more. Folders of other users, and ones without a lock (just being made),
// are left alone.
func sweep(tmp string) {
	entries, err := os.ReadDir(tmp)
	if err != nil {
		slog.Warn("looking for left-over server folders", "path", tmp, "err", err)
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !e.IsDir() || !ours(filepath.Join(tmp, e.Name())) {
			continue
		}
		dir := filepath.Join(tmp, e.Name())
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			if err := os.RemoveAll(dir); err != nil {
				slog.Warn("removing left-over server folder", "path", dir, "err", err)
			}
		}
		lock.Close()
	}
}

func ours(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(st.Uid) == os.Geteuid()
}
