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
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// What is in this file runs as the tenant; files_child.go says why.

func init() {
	register("wp.copyinstall", childCopyInstall)
	register("wp.makestage", childMakeStage)
	register("wp.room", childRoom)
	register("wp.relink", childRelink)
}

func childMakeStage(_ context.Context, c child) (any, error) {
	stage, err := openStage(c.root, c.Stage)
	if err != nil {
		return nil, fmt.Errorf("making stage: %w", err)
	}
	return nil, stage.Close()
}

func childRoom(_ context.Context, c child) (any, error) {
	dir, err := c.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("opening domain directory: %w", err)
	}
	defer dir.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return nil, fmt.Errorf("asking for free space: %w", err)
	}
	return Room{Bytes: int64(st.Bavail) * st.Bsize, Files: int64(st.Ffree)}, nil
}

func childCopyInstall(ctx context.Context, c child) (any, error) {
	var what TreeCopy
	if err := json.Unmarshal(c.Data, &what); err != nil {
		return nil, fmt.Errorf("reading what to copy: %w", err)
	}
	source, err := os.OpenRoot(c.Source)
	if err != nil {
		return nil, fmt.Errorf("opening install to copy: %w", err)
	}
	defer source.Close()
	stage, err := openStage(c.root, c.Stage)
	if err != nil {
		return nil, fmt.Errorf("making stage: %w", err)
	}
	defer stage.Close()
	t := &treeCopier{what: what, from: source, to: stage, ctx: ctx,
		links: [2]string{c.Source, path.Join(c.Home, c.Target)}}
	if err := t.list(source, ".", 0); err != nil {
		return nil, fmt.Errorf("listing files to copy: %w", err)
	}
	t.report = &copier{out: c.out, total: t.done.Bytes}
	if err := t.copy(); err != nil {
		return nil, fmt.Errorf("copying files: %w", err)
	}
	return t.done, syncAll(stage)
}

// treeFolder is one directory with its files: the unit of work.
type treeFolder struct {
	rel   string
	info  fs.FileInfo
	files []fs.FileInfo
	links []string
}

type treeCopier struct {
	ctx    context.Context //nolint:containedctx // a copier lives as long as one call
	what   TreeCopy
	from   *os.Root
	to     *os.Root
	links  [2]string // absolute targets below the first are moved below the second
	all    []treeFolder
	done   TreeCopied
	report *copier
}

// list looks at everything first, so that progress has a whole to be a part of.
func (t *treeCopier) list(dir *os.Root, rel string, depth int) error {
	if depth > maxTreeDepth || len(rel) > maxTreePath {
		return tooDeep(rel)
	}
	if err := t.ctx.Err(); err != nil {
		return err
	}
	info, err := dir.Stat(".")
	if err != nil {
		return fmt.Errorf("%s: %w", cleanLine(rel, 200), err)
	}
	names, err := list(dir, -1)
	if err != nil {
		return fmt.Errorf("%s: %w", cleanLine(rel, 200), err)
	}
	if t.what.Shared && rel == "." {
		names = slices.DeleteFunc(names, func(name string) bool { return !coreEntry.MatchString(name) })
	}
	slices.Sort(names)
	at := len(t.all)
	t.all = append(t.all, treeFolder{rel: rel, info: info})
	for _, name := range names {
		if err := t.entry(dir, at, name, depth); err != nil {
			return err
		}
	}
	return nil
}

func (t *treeCopier) entry(dir *os.Root, at int, name string, depth int) error {
	rel := path.Join(t.all[at].rel, name)
	if !t.what.Takes(rel) {
		return nil
	}
	info, err := dir.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // a session or a cache file that has gone since it was listed
	case err != nil:
		return fmt.Errorf("%s: %w", cleanLine(rel, 200), err)
	case info.IsDir():
		below, err := dir.OpenRoot(name)
		if err != nil {
			return fmt.Errorf("%s: %w", cleanLine(rel, 200), err)
		}
		return errors.Join(t.list(below, rel, depth+1), below.Close())
	case info.Mode().IsRegular():
		t.all[at].files = append(t.all[at].files, info)
		t.done.Files++
		t.done.Bytes += info.Size()
	case info.Mode()&fs.ModeSymlink != 0:
		t.all[at].links = append(t.all[at].links, name)
		t.done.Links++
	default:
		t.done.Odd++
	}
	return nil
}

// copy makes the directories, fills them by two workers, and gives them their modes and times
// last: one that its owner has closed could not be filled, and filling it changes its time.
func (t *treeCopier) copy() error {
	for _, f := range t.all[1:] {
		if err := makeDir(t.to, f.rel); err != nil {
			return fmt.Errorf("making %s: %w", cleanLine(f.rel, 200), err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range copyWorkers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(t.all)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := t.folder(ctx, t.all[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, f := range slices.Backward(t.all[1:]) {
		mode := f.info.Mode().Perm() | 0o700 // the account must be able to delete it again
		if err := errors.Join(t.to.Chmod(f.rel, mode), t.to.Chtimes(f.rel, f.info.ModTime(), f.info.ModTime())); err != nil {
			return fmt.Errorf("%s: %w", cleanLine(f.rel, 200), err)
		}
	}
	return nil
}

func (t *treeCopier) folder(ctx context.Context, f treeFolder) error {
	from, err := t.from.OpenRoot(f.rel)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := t.to.OpenRoot(f.rel)
	if err != nil {
		return err
	}
	defer to.Close()
	for _, info := range f.files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := takeFile(from, to, info); err != nil {
			return fmt.Errorf("%s: %w", cleanLine(path.Join(f.rel, info.Name()), 200), err)
		}
		t.report.report(t.report.done.Add(info.Size()))
	}
	for _, name := range f.links {
		if err := t.link(from, to, name); err != nil {
			return fmt.Errorf("%s: %w", cleanLine(path.Join(f.rel, name), 200), err)
		}
	}
	return nil
}

// takeFile copies one file unless it is there: its time is set last, so one with the size and
// the time of its source is complete. A source that has gone meanwhile is passed over.
func takeFile(from, to *os.Root, info fs.FileInfo) error {
	name := info.Name()
	if there, err := to.Lstat(name); err == nil {
		if there.Mode().IsRegular() && there.Size() == info.Size() && there.ModTime().Equal(info.ModTime()) {
			return nil
		}
		if err := to.RemoveAll(name); err != nil {
			return err
		}
	}
	// Without blocking, since the name may have become a FIFO.
	in, err := from.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	now, err := in.Stat()
	if err != nil {
		return err
	}
	if !now.Mode().IsRegular() {
		return errors.New("has become something else than a file")
	}
	out, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	// Shared blocks where the file system has them, else copy_file_range by io.Copy.
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) != nil {
		_, err = io.Copy(out, in)
	}
	err = errors.Join(err, out.Chmod(now.Mode().Perm()), out.Close())
	if err != nil {
		return err
	}
	return to.Chtimes(name, now.ModTime(), now.ModTime())
}

func (t *treeCopier) link(from, to *os.Root, name string) error {
	target, err := from.Readlink(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	target = movedLink(target, t.links)
	if there, err := to.Readlink(name); err == nil && there == target {
		return nil
	}
	if err := to.RemoveAll(name); err != nil {
		return err
	}
	return to.Symlink(target, name)
}

// movedLink is where a link of the copy leads.
func movedLink(target string, places [2]string) string {
	if target == places[0] || strings.HasPrefix(target, places[0]+"/") {
		return places[1] + strings.TrimPrefix(target, places[0])
	}
	return target
}

func childRelink(ctx context.Context, c child) (any, error) {
	stage, err := ownStage(c.root, c.Stage)
	if err != nil {
		return nil, fmt.Errorf("opening stage: %w", err)
	}
	defer stage.Close()
	places := [2]string{c.Source, path.Join(c.Home, c.Target)}
	err = fs.WalkDir(stage.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		target, err := stage.Readlink(name)
		if err != nil || movedLink(target, places) == target {
			return err
		}
		return errors.Join(stage.Remove(name), stage.Symlink(movedLink(target, places), name))
	})
	if err != nil {
		return nil, fmt.Errorf("moving links: %w", err)
	}
	return nil, nil
}
