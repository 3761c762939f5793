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
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// Everything in this file and in files_copy.go, files_publish.go and scan_child.go
// runs as the tenant. os.Root keeps honest mistakes inside the domain's directory;
// the user id is what keeps a hostile tenant there.

func init() {
	register("wp.state", childState)
	register("wp.stage", childStage)
	register("wp.copy", childCopy)
	register("wp.write", childWrite)
	register("wp.read", childRead)
	register("wp.publish", childPublish)
	register("wp.unpublish", childUnpublish)
	register("wp.commit", childCommit)
	register("wp.remove", childRemove)
	register("wp.removetree", childRemoveTree)
}

// child is a call's view: the domain's directory, open, and what was asked.
type child struct {
	fileRequest
	root *os.Root
	out  io.Writer // progress lines
}

func register(name string, fn func(context.Context, child) (any, error)) {
	proc.Register(name, func(ctx context.Context, in json.RawMessage, out io.Writer) (any, error) {
		var c child
		if err := json.Unmarshal(in, &c.fileRequest); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		root, err := os.OpenRoot(c.Home)
		if err != nil {
			return nil, fmt.Errorf("opening domain directory: %w", err)
		}
		defer root.Close()
		c.root, c.out = root, out
		return fn(ctx, c)
	})
}

func childState(_ context.Context, c child) (any, error) {
	info, err := c.root.Lstat(c.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return DirState{Kind: DirAbsent}, nil
	case errors.Is(err, syscall.ENOTDIR):
		return DirState{Kind: DirOccupied, What: []string{"a file in place of a directory"}}, nil
	case err != nil:
		return nil, fmt.Errorf("looking at docroot: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return DirState{Kind: DirOccupied, What: []string{"a symbolic link"}}, nil
	case !info.IsDir():
		return DirState{Kind: DirOccupied, What: []string{"a file"}}, nil
	}
	dir, err := c.root.OpenRoot(c.Target)
	if err != nil {
		return nil, fmt.Errorf("opening docroot: %w", err)
	}
	defer dir.Close()
	return stateOf(dir)
}

func stateOf(dir *os.Root) (DirState, error) {
	s := DirState{Kind: DirEmpty}
	if mark, err := readMark(dir); err == nil {
		s.Stage = mark.Stage
	}
	for _, telling := range []string{"wp-includes/version.php", "wp-config.php"} {
		if _, err := dir.Lstat(telling); err == nil {
			s.Kind = DirWordPress
			return s, nil
		}
	}
	names, err := list(dir, 5)
	if err != nil {
		return DirState{}, err
	}
	if len(names) > 0 {
		s.Kind, s.What = DirOccupied, names
	}
	return s, nil
}

// list names entries of a directory, n at most; n < 0 is all.
func list(dir *os.Root, n int) ([]string, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, fmt.Errorf("opening directory: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("listing directory: %w", err)
	}
	return names, nil
}

func childWrite(_ context.Context, c child) (any, error) {
	dir, err := c.root.OpenRoot(path.Dir(c.Target))
	if err != nil {
		return nil, fmt.Errorf("opening parent of %s: %w", c.Target, err)
	}
	defer dir.Close()
	if err := replace(dir, path.Base(c.Target), c.Data, c.Mode); err != nil {
		return nil, fmt.Errorf("writing %s: %w", c.Target, err)
	}
	return nil, nil
}

// replace writes beside and renames. The name beside is random and taken with
// O_EXCL, so nothing that lies in wait is opened. What an earlier replace of the same
// file left there when it was killed goes first: it may hold a password, under a name
// that a web server shows as text.
func replace(dir *os.Root, name string, data []byte, mode fs.FileMode) error {
	beside := stagePrefix + "new-" + name[:min(len(name), 100)] + "-"
	if err := sweepBeside(dir, beside); err != nil {
		return err
	}
	beside += randomText("abcdefghijklmnopqrstuvwxyz0123456789", 12)
	f, err := dir.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = dir.Rename(beside, name)
	}
	if err != nil {
		return errors.Join(err, dir.Remove(beside))
	}
	return syncDir(dir)
}

func sweepBeside(dir *os.Root, prefix string) error {
	names, err := list(dir, -1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func syncDir(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func childRead(_ context.Context, c child) (any, error) {
	data, err := readCapped(c.root, c.Target, c.Max)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.Target, err)
	}
	return data, nil
}

var errTooLarge = errors.New("file is larger than allowed")

// readCapped reads a regular file. It is opened without blocking, since the name
// may be a FIFO that nobody writes to.
func readCapped(dir *os.Root, name string, max int64) ([]byte, error) {
	f, err := dir.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = errTooLarge
	}
	return data, err
}

func childRemove(_ context.Context, c child) (any, error) {
	return nil, removeAll(c.root, c.Stage)
}

func childRemoveTree(_ context.Context, c child) (any, error) {
	if c.Target == "." {
		return nil, errors.New("removing tree: the domain's directory itself is never removed")
	}
	return nil, removeAll(c.root, c.Target)
}

// removeAll also removes directories that the tenant has made unreadable.
func removeAll(root *os.Root, name string) error {
	err := root.RemoveAll(name)
	if errors.Is(err, fs.ErrPermission) {
		openUp(root, name, 0)
		err = root.RemoveAll(name)
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}

// maxTreeDepth is how many directories may be below each other in a tree that is walked, and
// maxTreePath how many bytes a path in it may have. All walks have the same bounds, so that what
// can be backed up can be restored, cloned and removed. PHP reaches nothing beyond maxTreePath,
// and a walk keeps one file open for each level.
const (
	maxTreeDepth = 500
	maxTreePath  = 4096 // PATH_MAX
)

// tooDeep is the error of a walk that is beyond these bounds: errors.Is ENAMETOOLONG, also on
// the other side of proc.Call.
func tooDeep(rel string) error {
	return fmt.Errorf("%s: more than %d directories below each other, or more than %d bytes: %w", cleanLine(rel, 100), maxTreeDepth, maxTreePath, syscall.ENAMETOOLONG)
}

// openUp makes the directories of a tree passable again. Its errors show when the
// removal is tried again.
func openUp(root *os.Root, name string, depth int) {
	info, err := root.Lstat(name)
	if err != nil || !info.IsDir() || depth > maxTreeDepth {
		return
	}
	_ = root.Chmod(name, 0o700)
	dir, err := root.OpenRoot(name)
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := list(dir, -1)
	for _, entry := range names {
		openUp(dir, entry, depth+1)
	}
}

// mark is the content of Marker.
type mark struct {
	Stage string `json:"stage"`
	// Boot is the kernel's boot id when the tree was begun. After a reboot file
	// contents may lag behind sizes and times, so the copy is begun anew.
	Boot string `json:"boot,omitempty"`
	// Existed: the docroot was an empty directory before Publish, of this mode.
	Existed bool        `json:"existed,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"`
	// Made are the directories above the docroot that Publish made, topmost first.
	Made []string `json:"made,omitempty"`
	// Moved are the entries that were moved into a directory that had to be kept.
	Moved []string `json:"moved,omitempty"`
}

func readMark(dir *os.Root) (mark, error) {
	var m mark
	data, err := readCapped(dir, Marker, 64<<10)
	if err != nil {
		return mark{}, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return mark{}, fmt.Errorf("reading marker: %w", err)
	}
	return m, nil
}

func writeMark(dir *os.Root, m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return replace(dir, Marker, data, 0o600)
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
