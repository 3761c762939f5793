package wp

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var errNotDirectory = errors.New("not a directory")

// openBase opens a directory of the host itself. Links are followed here, since /home may
// well be one, but nobody else than root or the invoking user may be able to swap it.
func openBase(path string) (*os.File, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening site root: %w", err)
	}
	st, err := stat(f)
	if err == nil && st.Uid != 0 && st.Uid != uint32(os.Geteuid()) {
		err = fmt.Errorf("site root %s belongs to uid %d, it must belong to root or to this process", path, st.Uid)
	}
	if err == nil && st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		err = fmt.Errorf("site root %s is writable for others", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openBelow opens a directory inside another one, by handle and without following a link:
// what a tenant swaps in between is at worst a different directory of the same tenant,
// whose owner is looked at afterwards through the same handle.
func openBelow(dir *os.File, name string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(int(dir.Fd()), name, flags, 0)
	switch {
	case err == unix.ELOOP || err == unix.ENOTDIR:
		// O_DIRECTORY with O_NOFOLLOW on a link is ENOTDIR on some kernels.
		if isLink(dir, name) {
			return nil, fmt.Errorf("%w: %s is a symbolic link", ErrForeign, name)
		}
		return nil, fmt.Errorf("%s: %w", name, errNotDirectory)
	case err != nil:
		return nil, &os.PathError{Op: "openat", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func isLink(dir *os.File, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}

// has reports whether the directory has an entry of that name, whatever it is.
func has(dir *os.File, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

func stat(f *os.File) (*syscall.Stat_t, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at directory: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("looking at %s: no owner known", f.Name())
	}
	return st, nil
}
