package wp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Keep, TakeAway and PutBack change one file or directory of a site so that it can be taken
// back, with no need of PHP. What was there is kept in a stage right below the domain's
// directory, where web servers do not look; Files.Remove ends its keeping. Paths are
// absolute, and inside the domain's directory.

// Kept is how Keep found a path.
type Kept string

// What was there.
const (
	KeptTree Kept = "tree" // a file or directory, which is now kept
	KeptNone Kept = "none" // nothing, which is now noted
	KeptLink Kept = "link" // a symbolic link: what it leads to is not the site's to change, and nothing is kept
)

// Keep keeps a copy of what is at path. What is kept already stays, so the first call counts.
func (f Files) Keep(ctx context.Context, site Site, path, stage string) (Kept, error) {
	var out Kept
	err := f.callInside(ctx, site, "wp.keep", path, stage, &out)
	return out, err
}

// TakeAway moves what is at path out of the way and keeps it. Nothing there is no error; a
// link is moved, not followed.
func (f Files) TakeAway(ctx context.Context, site Site, path, stage string) error {
	return f.callInside(ctx, site, "wp.takeaway", path, stage, nil)
}

// PutBack makes path what it was when Keep or TakeAway came first. Where neither did, it does
// nothing, and so it does the second time.
func (f Files) PutBack(ctx context.Context, site Site, path, stage string) error {
	return f.callInside(ctx, site, "wp.putback", path, stage, nil)
}

func (f Files) callInside(ctx context.Context, site Site, name, file, stage string, out any) error {
	if err := site.check(); err != nil {
		return err
	}
	inHome, err := filepath.Rel(site.Home, file)
	if err != nil || !filepath.IsLocal(inHome) || inHome == "." || strings.ContainsRune(inHome, 0) {
		return fmt.Errorf("%s: %q is not inside the domain's directory: %w", name, cleanLine(file, 200), fs.ErrPermission)
	}
	inDocroot, err := filepath.Rel(site.Docroot, file) // call wants it so; it may lead up
	if err != nil {
		return fmt.Errorf("%s: finding %s: %w", name, cleanLine(file, 200), err)
	}
	return f.call(ctx, site, name, fileRequest{Target: inDocroot, Stage: stage}, nil, out)
}

func init() {
	register("wp.keep", childKeep)
	register("wp.takeaway", childTakeAway)
	register("wp.putback", childPutBack)
}

// keeping is the place of one path in a stage. Its name tells the path, but holds nothing of
// the path's own text.
type keeping struct {
	child
	stage *os.Root
	name  string
}

// The suffixes beside the name itself.
const (
	keepNone  = ".none"  // an empty file: there was nothing
	keepNew   = ".new"   // a copy that is being made
	keepStale = ".stale" // what has been put out of the way
)

func openKeeping(c child) (keeping, error) {
	sum := sha256.Sum256([]byte(c.Target))
	k := keeping{child: c, name: hex.EncodeToString(sum[:8])}
	info, err := c.root.Lstat(c.Stage)
	if err == nil && !info.IsDir() {
		err = errors.Join(removeAll(c.root, c.Stage), fs.ErrNotExist)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = c.root.Mkdir(c.Stage, 0o700)
	}
	if err == nil {
		k.stage, err = c.root.OpenRoot(c.Stage)
	}
	if err != nil {
		return keeping{}, fmt.Errorf("opening the place to keep things: %w", err)
	}
	return k, nil
}

// has reports whether the stage has the name with this suffix.
func (k keeping) has(suffix string) bool {
	_, err := k.stage.Lstat(k.name + suffix)
	return err == nil
}

// at is the name with a suffix as the root sees it.
func (k keeping) at(suffix string) string { return path.Join(k.Stage, k.name+suffix) }

func childKeep(ctx context.Context, c child) (any, error) {
	k, err := openKeeping(c)
	if err != nil {
		return nil, err
	}
	defer k.stage.Close()
	switch {
	case k.has(""):
		return KeptTree, nil
	case k.has(keepNone):
		return KeptNone, nil
	}
	info, err := c.root.Lstat(c.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return KeptNone, k.note()
	case err != nil:
		return nil, fmt.Errorf("looking at %s: %w", c.Target, err)
	case info.Mode()&fs.ModeSymlink != 0:
		return KeptLink, nil
	}
	return KeptTree, k.copy(ctx)
}

// note writes down that there was nothing.
func (k keeping) note() error {
	return replace(k.stage, k.name+keepNone, nil, 0o600)
}

// copy is complete and on the disk before it has its name.
func (k keeping) copy(ctx context.Context) error {
	if err := removeAll(k.stage, k.name+keepNew); err != nil {
		return err
	}
	from, err := k.root.OpenRoot(path.Dir(k.Target))
	if err != nil {
		return fmt.Errorf("opening parent of %s: %w", k.Target, err)
	}
	defer from.Close()
	if err := duplicate(ctx, from, path.Base(k.Target), k.stage, k.name+keepNew, 0); err != nil {
		return fmt.Errorf("keeping a copy of %s: %w", k.Target, err)
	}
	if err := syncAll(k.stage); err != nil {
		return fmt.Errorf("keeping a copy of %s: %w", k.Target, err)
	}
	if err := k.stage.Rename(k.name+keepNew, k.name); err != nil {
		return fmt.Errorf("keeping a copy of %s: %w", k.Target, err)
	}
	return syncDir(k.stage)
}

func childTakeAway(_ context.Context, c child) (any, error) {
	k, err := openKeeping(c)
	if err != nil {
		return nil, err
	}
	defer k.stage.Close()
	to := k.at("")
	if k.has("") || k.has(keepNone) { // what was there first is known
		if err := removeAll(k.stage, k.name+keepStale); err != nil {
			return nil, err
		}
		to = k.at(keepStale)
	}
	err = c.root.Rename(c.Target, to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("moving %s out of the way: %w", c.Target, err)
	}
	return nil, k.settle()
}

func childPutBack(_ context.Context, c child) (any, error) {
	if _, err := c.root.Lstat(c.Stage); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	k, err := openKeeping(c)
	if err != nil {
		return nil, err
	}
	defer k.stage.Close()
	if !k.has("") && !k.has(keepNone) {
		return nil, nil
	}
	if err := removeAll(k.stage, k.name+keepStale); err != nil {
		return nil, err
	}
	err = c.root.Rename(c.Target, k.at(keepStale))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = nil
		if k.has("") {
			err = c.root.Rename(k.at(""), c.Target)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("putting %s back: %w", c.Target, err)
	}
	if err := k.settle(); err != nil {
		return nil, err
	}
	return nil, removeAll(k.stage, k.name+keepStale)
}

// settle syncs both directories that a rename has changed.
func (k keeping) settle() error {
	dir, err := k.root.OpenRoot(path.Dir(k.Target))
	if err != nil {
		return fmt.Errorf("syncing directories: %w", err)
	}
	if err := errors.Join(syncDir(dir), dir.Close(), syncDir(k.stage)); err != nil {
		return fmt.Errorf("syncing directories: %w", err)
	}
	return nil
}

// duplicate copies one entry with what is below it. Links are copied as links, and what is
// neither file, directory nor link is left out: no plugin has any of it.
func duplicate(ctx context.Context, from *os.Root, name string, to *os.Root, as string, depth int) error {
	info, err := from.Lstat(name)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := from.Readlink(name)
		if err != nil {
			return err
		}
		return to.Symlink(target, as)
	case info.Mode().IsRegular():
		return duplicateFile(from, name, to, as)
	case !info.IsDir():
		return nil
	case depth > maxTreeDepth:
		return tooDeep(name)
	}
	if err := to.Mkdir(as, info.Mode().Perm()|0o700); err != nil {
		return err
	}
	source, err := from.OpenRoot(name)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := to.OpenRoot(as)
	if err != nil {
		return err
	}
	defer target.Close()
	names, err := list(source, -1)
	if err != nil {
		return err
	}
	for _, entry := range names {
		if err := duplicate(ctx, source, entry, target, entry, depth+1); err != nil {
			return fmt.Errorf("%s: %w", cleanLine(entry, 100), err)
		}
	}
	return errors.Join(target.Chmod(".", info.Mode().Perm()|0o700), target.Chtimes(".", info.ModTime(), info.ModTime()))
}

// duplicateFile keeps mode and time. It opens without blocking, since the name may have
// become a FIFO.
func duplicateFile(from *os.Root, name string, to *os.Root, as string) error {
	in, err := from.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	out, err := to.OpenFile(as, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(info.Mode().Perm()), out.Close(), to.Chtimes(as, info.ModTime(), info.ModTime()))
}
