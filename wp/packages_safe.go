package wp

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// safeEntry refuses links and devices, what somebody else could change, and what a
// tenant could not read.
func safeEntry(path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is neither file nor directory", path)
	}
	need := fs.FileMode(0o004)
	if info.IsDir() {
		need = 0o005
	}
	if os.Geteuid() == 0 && info.Mode().Perm()&need != need {
		return fmt.Errorf("%s is not readable for everybody", path)
	}
	return safeOwner(path, info)
}

// safeOwner demands that only root and this process can change an entry.
func safeOwner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch mode := info.Mode(); {
	case !ok:
		return fmt.Errorf("%s has no owner", path)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to uid %d", path, st.Uid)
	case mode.Perm()&0o022 != 0 && mode&fs.ModeSticky == 0:
		return fmt.Errorf("%s is writable for others", path)
	}
	return nil
}

// safeChain checks a directory and everything above it: who can rename a parent
// can put another tree there.
func safeChain(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for {
		info, err := os.Lstat(real)
		if err != nil {
			return err
		}
		if err := safeOwner(real, info); err != nil {
			return err
		}
		if real == filepath.Dir(real) {
			return nil
		}
		real = filepath.Dir(real)
	}
}
