package wp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// This file, exchange_swap.go and exchange_units.go run as the tenant.

func init() {
	registerExchange("wp.exchange.ground", (*exchanger).ground)
	registerExchange("wp.exchange.open", (*exchanger).open)
	registerExchange("wp.exchange.seal", (*exchanger).seal)
	registerExchange("wp.exchange", (*exchanger).exchange)
	registerExchange("wp.exchange.back", (*exchanger).back)
	registerExchange("wp.exchange.drop", (*exchanger).drop)
	registerExchange("wp.exchange.raise", (*exchanger).raise)
}

func registerExchange(name string, fn func(*exchanger) (any, error)) {
	proc.Register(name, func(ctx context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		x := &exchanger{ctx: ctx}
		if err := json.Unmarshal(in, &x.exchangeRequest); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		root, err := os.OpenRoot(x.Home)
		if err != nil {
			return nil, fmt.Errorf("opening domain directory: %w", err)
		}
		defer root.Close()
		x.root = root
		return fn(x)
	})
}

// exchanger has a docroot and a stage, both below root, change places.
type exchanger struct {
	exchangeRequest
	ctx  context.Context
	root *os.Root
}

func (x *exchanger) here(name string) string   { return path.Join(x.Target, name) }
func (x *exchanger) staged(name string) string { return path.Join(x.Stage, name) }

// child is the view that older helpers have.
func (x *exchanger) child() child {
	return child{fileRequest: fileRequest{Home: x.Home, Target: x.Target, Stage: x.Stage}, root: x.root}
}

func (x *exchanger) ground() (any, error) {
	dir, err := x.root.OpenRoot(x.Target)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	found, err := x.inspect()
	if err != nil {
		return nil, err
	}
	g := ExchangeGround{Nested: found.nested, Mounts: found.mounts}
	if _, err := dir.Lstat(configName); errors.Is(err, fs.ErrNotExist) && x.Target != "." {
		_, err := x.root.Lstat(path.Join(path.Dir(x.Target), configName))
		g.Above = err == nil
		g.Shared = g.Above && x.child().sharedConfig()
	}
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("asking for free space: %w", err)
	}
	g.Free = int64(st.Bavail) * st.Bsize
	return g, nil
}

func (x *exchanger) open() (any, error) {
	if x.record() != nil {
		return nil, fmt.Errorf("opening %s: the old files of the site are in it", x.Stage)
	}
	if err := removeAll(x.root, x.Stage); err != nil {
		return nil, err
	}
	if err := x.root.Mkdir(x.Stage, 0o700); err != nil {
		return nil, fmt.Errorf("making stage: %w", err)
	}
	info, err := x.root.Lstat(x.Target)
	if err != nil {
		return nil, fmt.Errorf("looking at docroot: %w", err)
	}
	if err := x.inherit(); err != nil {
		return nil, fmt.Errorf("making stage: %w", err)
	}
	return nil, x.root.Chmod(x.Stage, 0o700|info.Mode()&fs.ModeSetgid)
}

// inherit gives the stage the group and the access lists of the docroot, as far as the
// account may. Where it may not, the docroot stays and its entries are exchanged (oneStep).
func (x *exchanger) inherit() error {
	from, err := openDir(x.root, x.Target)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := openDir(x.root, x.Stage)
	if err != nil {
		return err
	}
	defer to.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return err
	}
	if err := to.Chown(-1, int(st.Gid)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	for _, list := range []string{"system.posix_acl_default", "system.posix_acl_access"} {
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(int(from.Fd()), list, value)
		if err != nil || n == 0 {
			continue // it has none, or the file system knows none
		}
		if err := unix.Fsetxattr(int(to.Fd()), list, value[:n], 0); err != nil {
			return fmt.Errorf("copying access list: %w", err)
		}
	}
	return nil
}

func (x *exchanger) seal() (any, error) {
	if x.record() != nil {
		return nil, nil // exchanged before
	}
	if err := x.carrySign(); err != nil {
		return nil, fmt.Errorf("carrying the sign of maintenance over: %w", err)
	}
	info, err := x.root.Lstat(x.Target)
	if err != nil {
		return nil, fmt.Errorf("looking at docroot: %w", err)
	}
	dir, err := openDir(x.root, x.Stage)
	if err != nil {
		return nil, fmt.Errorf("opening stage: %w", err)
	}
	defer dir.Close()
	err = dir.Chmod(info.Mode().Perm() | info.Mode()&(fs.ModeSetgid|fs.ModeSticky))
	if err = errors.Join(err, unix.Syncfs(int(dir.Fd()))); err != nil {
		return nil, fmt.Errorf("sealing stage: %w", err)
	}
	return nil, nil
}

// carrySign: whether a site is closed is no part of what was saved of it.
func (x *exchanger) carrySign() error {
	if err := removeAll(x.root, x.staged(closedSign)); err != nil {
		return err
	}
	data, err := readCapped(x.root, x.here(closedSign), maxMaintenance)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return x.root.WriteFile(x.staged(closedSign), data, 0o644)
}

func (x *exchanger) drop() (any, error) {
	if x.record() != nil && !x.Sure {
		return nil, fmt.Errorf("removing %s: the old files of the site are in it", x.Stage)
	}
	// The record goes last: without it nobody would know that the rest is not precious.
	return nil, errors.Join(removeAll(x.root, x.Stage), removeAll(x.root, x.Stage+exchangeSuffix))
}

func (x *exchanger) raise() (any, error) {
	from, to := x.here(configName), path.Join(path.Dir(x.Target), configName)
	info, err := x.root.Lstat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case x.Target == "." || !info.Mode().IsRegular():
		return nil, fmt.Errorf("raising wp-config.php: %w", fs.ErrInvalid)
	}
	if err := rename(x.child(), from, to); err != nil {
		return nil, fmt.Errorf("raising wp-config.php: %w", err)
	}
	return nil, syncParents(x.child())
}

// inode is 0 for what is not there.
func (x *exchanger) inode(name string) (uint64, error) {
	info, err := x.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return inodeOf(info).Ino, nil
}

func inodeOf(info fs.FileInfo) *syscall.Stat_t {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return &syscall.Stat_t{} // not on this system
	}
	return st
}

// sorted lists a directory; none has nothing.
func (x *exchanger) sorted(name string) ([]string, error) {
	dir, err := x.root.OpenRoot(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := list(dir, -1)
	slices.Sort(names)
	return names, err
}
