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
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// copyWorkers: more than two are not faster on two cores, and with two a copy
// leaves something of the machine to the others.
const copyWorkers = 2

// copied is one line of progress, in bytes.
type copied struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

func childStage(ctx context.Context, c child) (any, error) {
	stage, err := openStage(c.root, c.Stage)
	if err != nil {
		return nil, fmt.Errorf("making stage: %w", err)
	}
	defer stage.Close()
	return nil, copyTree(ctx, c.Source, stage, c.out)
}

// openStage opens the stage of an earlier attempt, or makes a new one. What is
// there but does not carry the mark, be it a link laid out beforehand, is removed.
func openStage(root *os.Root, name string) (*os.Root, error) {
	if dir, err := ownStage(root, name); err == nil {
		return dir, nil
	}
	if err := removeAll(root, name); err != nil {
		return nil, err
	}
	if err := root.Mkdir(name, 0o755); err != nil {
		return nil, err
	}
	dir, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	if err := writeMark(dir, mark{Stage: name, Boot: bootID()}); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

func ownStage(root *os.Root, name string) (*os.Root, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fs.ErrExist
	}
	dir, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	m, err := readMark(dir)
	if err == nil && (m.Stage != name || m.Boot != bootID()) {
		err = errors.New("not the stage of this operation")
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

func childCopy(ctx context.Context, c child) (any, error) {
	if err := c.root.MkdirAll(c.Target, 0o755); err != nil {
		return nil, fmt.Errorf("making %s: %w", c.Target, err)
	}
	dir, err := c.root.OpenRoot(c.Target)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", c.Target, err)
	}
	defer dir.Close()
	return nil, copyTree(ctx, c.Source, dir, nil)
}

// folder is one directory of a copy: the unit of work, so that its files are
// opened by name in an open directory, not by path from the top.
type folder struct {
	rel   string // "." is the top
	files []fs.FileInfo
}

// copyTree copies regular files and directories, then syncs the file system once.
// It stops at the first error.
func copyTree(ctx context.Context, source string, target *os.Root, out io.Writer) error {
	folders, total, err := survey(source)
	if err != nil {
		return err
	}
	return copyFolders(ctx, source, folders, total, target, out)
}

// copyFolders copies some folders of a tree, total bytes together.
func copyFolders(ctx context.Context, source string, folders []folder, total int64, target *os.Root, out io.Writer) error {
	c := &copier{source: source, target: target, out: out, total: total}
	for _, f := range folders { // parents come before their children
		if err := makeDir(target, f.rel); err != nil {
			return fmt.Errorf("making %s: %w", f.rel, err)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan folder)
	var wg sync.WaitGroup
	for range copyWorkers {
		wg.Go(func() {
			for f := range work {
				if err := c.folder(ctx, f); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, f := range folders {
		work <- f
	}
	close(work)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("copying files: %w", err)
	}
	return syncAll(target)
}

// survey lists the tree to copy. It is ours, so anything but files and directories
// in it is a mistake.
func survey(source string) ([]folder, int64, error) {
	var folders []folder
	var total int64
	index := map[string]int{}
	err := filepath.WalkDir(source, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			index[rel] = len(folders)
			folders = append(folders, folder{rel: rel})
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither file nor directory", p)
		}
		i := index[filepath.Dir(rel)]
		folders[i].files = append(folders[i].files, info)
		total += info.Size()
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("listing files to copy: %w", err)
	}
	return folders, total, nil
}

func makeDir(target *os.Root, rel string) error {
	if rel == "." {
		return nil
	}
	err := target.Mkdir(rel, 0o755)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := target.Stat(rel)
	if err == nil && !info.IsDir() {
		return fs.ErrExist
	}
	return err
}

type copier struct {
	source string
	target *os.Root
	total  int64
	done   atomic.Int64

	mu   sync.Mutex // of out and said
	out  io.Writer
	said int64 // per cent that was last reported
}

func (c *copier) folder(ctx context.Context, f folder) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	dir, err := c.target.OpenRoot(f.rel)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, info := range f.files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := copyFile(filepath.Join(c.source, f.rel, info.Name()), dir, info); err != nil {
			return fmt.Errorf("%s: %w", path.Join(f.rel, info.Name()), err)
		}
		c.report(c.done.Add(info.Size()))
	}
	return nil
}

// copyFile copies one file unless it is there. The time is set last: a file that
// has size and time of its source is complete.
func copyFile(source string, dir *os.Root, info fs.FileInfo) error {
	name := info.Name()
	if there, err := dir.Lstat(name); err == nil {
		if there.Mode().IsRegular() && there.Size() == info.Size() && there.ModTime().Equal(info.ModTime()) {
			return nil
		}
		if err := dir.Remove(name); err != nil {
			return err
		}
	}
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) // copy_file_range, by (*os.File).ReadFrom
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return dir.Chtimes(name, info.ModTime(), info.ModTime())
}

// report writes a line for every per cent.
func (c *copier) report(done int64) {
	if c.out == nil || c.total == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if percent := done * 100 / c.total; percent > c.said {
		c.said = percent
		line, err := json.Marshal(copied{Done: done, Total: c.total})
		if err == nil {
			_, _ = c.out.Write(append(line, '\n')) // progress that nobody reads is no failure
		}
	}
}

// syncAll puts everything on the disk at once: one syncfs instead of an fsync for
// each of some thousand files.
func syncAll(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return fmt.Errorf("syncing files: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncing files: %w", err)
	}
	return nil
}
