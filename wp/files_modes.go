package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// PathMode is a file or directory below the docroot whose mode is too wide, or was
// before it was narrowed.
type PathMode struct {
	Path string      `json:"path"`
	Was  fs.FileMode `json:"was"`
	Now  fs.FileMode `json:"now"`
}

// What a mode may have: others cannot write anywhere, files are not programs, and
// nobody but owner and group reads the configuration. Bits are only taken away, so
// nothing gets more open than its owner has made it.
const (
	dirBits    = fs.FileMode(0o755)
	fileBits   = fs.FileMode(0o644)
	configBits = fs.FileMode(0o640)

	maxModes = 200_000
)

// WideModes lists what has a mode too wide, without changing anything: files are to
// be 0644, directories 0755, wp-config.php 0640, or less. Other installs below the
// docroot, links, and what belongs to somebody else are passed over.
func (f Files) WideModes(ctx context.Context, site Site) ([]PathMode, error) {
	var out []PathMode
	err := f.call(ctx, site, "wp.modes", fileRequest{}, nil, &out)
	return out, err
}

// SetModes gives each path the mode Now, if its mode is Was. Done again it does
// nothing; what has changed meanwhile or is gone is left alone.
func (f Files) SetModes(ctx context.Context, site Site, modes []PathMode) error {
	for len(modes) > 0 {
		batch := modes[:min(len(modes), 20_000)]
		modes = modes[len(batch):]
		if err := f.call(ctx, site, "wp.chmod", fileRequest{Modes: batch}, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// Reversed is how modes are taken back.
func Reversed(modes []PathMode) []PathMode {
	back := make([]PathMode, len(modes))
	for i, m := range modes {
		back[len(modes)-1-i] = PathMode{Path: m.Path, Was: m.Now, Now: m.Was}
	}
	return back
}

func init() {
	register("wp.modes", childModes)
	register("wp.chmod", childChmod)
}

func childModes(ctx context.Context, c child) (any, error) {
	dir, err := c.root.OpenRoot(c.Target)
	if err != nil {
		return nil, fmt.Errorf("opening docroot: %w", err)
	}
	defer dir.Close()
	w := modeWalk{ctx: ctx, found: []PathMode{}}
	if err := w.directory(dir, ".", 0); err != nil {
		return nil, fmt.Errorf("looking at modes: %w", err)
	}
	return w.found, nil
}

type modeWalk struct {
	ctx   context.Context
	found []PathMode
}

func (w *modeWalk) directory(dir *os.Root, rel string, depth int) error {
	if depth > maxTreeDepth {
		return nil
	}
	names, err := list(dir, -1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(dir, name, path.Join(rel, name), depth); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

func (w *modeWalk) entry(dir *os.Root, name, rel string, depth int) error {
	info, err := dir.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() && !info.Mode().IsRegular() || !owned(info) {
		return nil
	}
	if info.IsDir() {
		below, err := dir.OpenRoot(name)
		if err != nil {
			return err
		}
		defer below.Close()
		if _, err := below.Lstat("wp-includes/version.php"); err == nil {
			return nil // another install
		}
		// Directories come behind what is in them: undone the other way round.
		if err := w.directory(below, rel, depth+1); err != nil {
			return err
		}
	}
	was := info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	if now := narrowed(rel, info.IsDir(), was); now != was {
		if len(w.found) >= maxModes {
			return fmt.Errorf("more than %d files have too wide a mode", maxModes)
		}
		w.found = append(w.found, PathMode{Path: rel, Was: was, Now: now})
	}
	return nil
}

func narrowed(rel string, dir bool, was fs.FileMode) fs.FileMode {
	switch {
	case dir: // set-group-id on a directory is how hosts share a group
		return was & (dirBits | fs.ModeSetgid)
	case rel == "wp-config.php":
		return was & configBits
	}
	return was & fileBits
}

func owned(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

func childChmod(ctx context.Context, c child) (any, error) {
	dir, err := c.root.OpenRoot(c.Target)
	if err != nil {
		return nil, fmt.Errorf("opening docroot: %w", err)
	}
	defer dir.Close()
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	for _, m := range c.Modes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info, err := dir.Lstat(m.Path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (info.Mode()&bits != m.Was || !owned(info) || info.Mode()&fs.ModeSymlink != 0) {
			continue
		}
		if err == nil {
			err = dir.Chmod(m.Path, m.Now)
		}
		if err != nil {
			return nil, fmt.Errorf("changing mode of %s: %w", m.Path, err)
		}
	}
	return nil, nil
}
