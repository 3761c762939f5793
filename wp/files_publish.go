package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

func childPublish(_ context.Context, c child) (any, error) {
	if c.Target == "." {
		return nil, errors.New("publishing: the domain's directory itself cannot be a docroot")
	}
	if published(c) {
		return nil, removeAll(c.root, c.Stage) // an emptied rest, if anything
	}
	stage, err := c.root.OpenRoot(c.Stage)
	if err != nil {
		return nil, fmt.Errorf("opening stage: %w", err)
	}
	defer stage.Close()
	m, err := readMark(stage)
	if err != nil {
		return nil, fmt.Errorf("looking at stage: %w", err)
	}
	if err := makeParents(c, stage, &m); err != nil {
		return nil, fmt.Errorf("making directories above the docroot: %w", err)
	}
	if err := place(c, stage, m); err != nil {
		return nil, fmt.Errorf("publishing: %w", err)
	}
	return nil, syncParents(c)
}

// published: a tree of this stage is at the docroot, and the stage itself has no
// mark any more, so it is gone or on its way.
func published(c child) bool {
	m, err := markAt(c, c.Target)
	if err != nil || m.Stage != c.Stage {
		return false
	}
	_, err = markAt(c, c.Stage)
	return errors.Is(err, fs.ErrNotExist)
}

func markAt(c child, name string) (mark, error) {
	info, err := c.root.Lstat(name)
	if err != nil {
		return mark{}, err
	}
	if !info.IsDir() {
		return mark{}, fs.ErrNotExist
	}
	dir, err := c.root.OpenRoot(name)
	if err != nil {
		return mark{}, err
	}
	defer dir.Close()
	return readMark(dir)
}

// makeParents writes down what it is about to make, then makes it.
func makeParents(c child, stage *os.Root, m *mark) error {
	var missing []string
	for dir := path.Dir(c.Target); dir != "."; dir = path.Dir(dir) {
		if _, err := c.root.Stat(dir); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, dir)
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Reverse(missing)
	for _, dir := range missing {
		if !slices.Contains(m.Made, dir) {
			m.Made = append(m.Made, dir)
		}
	}
	if err := writeMark(stage, *m); err != nil {
		return err
	}
	return c.root.MkdirAll(path.Dir(c.Target), 0o755)
}

// place moves the stage to the docroot. rename(2) replaces an empty directory and
// refuses one that is not, a file and a link, which is exactly what is wanted.
func place(c child, stage *os.Root, m mark) error {
	info, err := c.root.Lstat(c.Target)
	if errors.Is(err, fs.ErrNotExist) {
		return rename(c, c.Stage, c.Target)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is in the way: %w", c.Target, fs.ErrExist)
	}
	m.Existed, m.Mode = true, info.Mode().Perm()|0o700
	if err := stage.Chmod(".", m.Mode); err != nil {
		return err
	}
	if keep(info) || len(m.Moved) > 0 {
		return moveInto(c, stage, m)
	}
	if err := writeMark(stage, m); err != nil {
		return err
	}
	err = rename(c, c.Stage, c.Target)
	if errors.Is(err, syscall.EBUSY) { // a mount point
		return moveInto(c, stage, m)
	}
	return err
}

// rename is renameat(2) between two open directories. Root.Rename would not do: it
// refuses every directory at the target, the empty one included.
func rename(c child, from, to string) error {
	source, err := openDir(c.root, path.Dir(from))
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openDir(c.root, path.Dir(to))
	if err != nil {
		return err
	}
	defer target.Close()
	err = unix.Renameat(int(source.Fd()), path.Base(from), int(target.Fd()), path.Base(to))
	switch {
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EEXIST):
		return fmt.Errorf("%s is not empty any more: %w", to, fs.ErrExist)
	case err != nil:
		return &os.LinkError{Op: "renameat", Old: from, New: to, Err: err}
	}
	return nil
}

// openDir opens a directory itself; links are followed inside the root only.
func openDir(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

// keep says that a directory has something that a new one of the tenant would not
// have: another group (the web server's, on many hosts) or a set-group-id bit.
func keep(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid() || info.Mode()&fs.ModeSetgid != 0)
}

// moveInto moves the entries of the stage into the docroot, the mark first and
// index.php last: visitors see nothing of it before it is all there. The list of
// what is moved is in the mark, for Unpublish and for a second attempt.
func moveInto(c child, stage *os.Root, m mark) error {
	target, err := c.root.OpenRoot(c.Target)
	if err != nil {
		return err
	}
	defer target.Close()
	if m.Moved == nil {
		if m.Moved, err = list(stage, -1); err != nil {
			return err
		}
		m.Moved = slices.DeleteFunc(m.Moved, func(name string) bool { return name == Marker })
		slices.SortFunc(m.Moved, func(a, b string) int { return rankName(a) - rankName(b) })
		if err := onlyOurs(target, m.Stage); err != nil {
			return err
		}
		if err := writeMark(stage, m); err != nil {
			return err
		}
	}
	if err := onlyOurs(target, m.Stage, m.Moved...); err != nil {
		return err
	}
	if err := writeMark(target, m); err != nil {
		return err
	}
	for _, name := range m.Moved {
		if err := moveEntry(c, name); err != nil {
			return err
		}
	}
	return removeAll(c.root, c.Stage)
}

// moveEntry moves one entry without replacing anything. A directory is renamed;
// for a file rename(2) would overwrite, link(2) does not.
func moveEntry(c child, name string) error {
	from, to := path.Join(c.Stage, name), path.Join(c.Target, name)
	info, err := c.root.Lstat(from)
	there, missing := c.root.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist) && missing == nil:
		return nil // moved by an earlier attempt
	case err != nil:
		return err
	case info.IsDir():
		return rename(c, from, to)
	case missing == nil && !os.SameFile(info, there):
		return fmt.Errorf("%s is in the docroot: %w", to, fs.ErrExist)
	case missing != nil:
		if err := c.root.Link(from, to); err != nil {
			return err
		}
	}
	return c.root.Remove(from)
}

func rankName(name string) int {
	if name == "index.php" {
		return 1
	}
	return 0
}

// onlyOurs refuses a directory with entries other than the mark of this stage and
// the names given.
func onlyOurs(target *os.Root, stage string, ours ...string) error {
	names, err := list(target, -1)
	if err != nil {
		return err
	}
	if m, err := readMark(target); err == nil && m.Stage == stage {
		ours = append([]string{Marker}, ours...)
	} else {
		ours = nil
	}
	for _, name := range names {
		if !slices.Contains(ours, name) {
			return fmt.Errorf("%s is in the docroot: %w", cleanLine(name, 100), fs.ErrExist)
		}
	}
	return nil
}

func syncParents(c child) error {
	for _, name := range []string{path.Dir(c.Target), "."} {
		dir, err := c.root.OpenRoot(name)
		if err != nil {
			return fmt.Errorf("syncing directories: %w", err)
		}
		if err := errors.Join(syncDir(dir), dir.Close()); err != nil {
			return fmt.Errorf("syncing directories: %w", err)
		}
	}
	return nil
}

// childUnpublish is written so that it may be interrupted and done again: the mark
// leaves the docroot last, or together with the whole tree.
func childUnpublish(_ context.Context, c child) (any, error) {
	m, err := markAt(c, c.Target)
	if err != nil || m.Stage != c.Stage {
		// Not published, or not ours. An attempt may still have made directories.
		staged, err := markAt(c, c.Stage)
		if err != nil || staged.Stage != c.Stage {
			return nil, nil
		}
		return nil, errors.Join(restoreDocroot(c, staged), removeAll(c.root, c.Stage), removeMade(c, staged))
	}
	if len(m.Moved) > 0 {
		return nil, takeBack(c, m)
	}
	if err := removeAll(c.root, c.Stage); err != nil {
		return nil, err
	}
	if err := c.root.Rename(c.Target, c.Stage); err != nil {
		return nil, fmt.Errorf("taking back the docroot: %w", err)
	}
	return nil, errors.Join(restoreDocroot(c, m), removeAll(c.root, c.Stage), removeMade(c, m))
}

// takeBack removes what was moved into a kept directory; what came there since
// stays.
func takeBack(c child, m mark) error {
	for _, name := range append(slices.Clone(m.Moved), Marker) {
		if err := removeAll(c.root, path.Join(c.Target, name)); err != nil {
			return err
		}
	}
	return errors.Join(removeAll(c.root, c.Stage), removeMade(c, m))
}

// restoreDocroot puts the empty directory back that a rename has replaced.
func restoreDocroot(c child, m mark) error {
	if !m.Existed {
		return nil
	}
	err := c.root.Mkdir(c.Target, m.Mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restoring the empty docroot: %w", err)
	}
	return c.root.Chmod(c.Target, m.Mode)
}

// removeMade removes the directories that Publish made, as far as they are empty.
func removeMade(c child, m mark) error {
	for _, dir := range slices.Backward(m.Made) {
		err := c.root.Remove(dir)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist):
			return nil // somebody uses it by now
		default:
			return fmt.Errorf("removing %s: %w", dir, err)
		}
	}
	return nil
}

func childCommit(_ context.Context, c child) (any, error) {
	m, err := markAt(c, c.Target)
	if errors.Is(err, fs.ErrNotExist) || err == nil && m.Stage != c.Stage {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking at marker: %w", err)
	}
	if err := c.root.Remove(path.Join(c.Target, Marker)); err != nil {
		return nil, fmt.Errorf("removing marker: %w", err)
	}
	return nil, nil
}
