package wp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Text is a small file of a site, as it was found.
type Text struct {
	Data   []byte      `json:"data"`
	Exists bool        `json:"exists"`
	Mode   fs.FileMode `json:"mode"`
	// Fixed says why the file cannot be replaced by one of the same owner and
	// kind: "is a symbolic link". Empty when it can.
	Fixed string `json:"fixed,omitempty"`
}

// ErrFixed is the answer to a change of a file that cannot be replaced.
var ErrFixed = errors.New("file cannot be replaced")

var errMoving = errors.New("the file keeps changing")

// Load reads a file of at most max bytes, which need not exist. file is absolute,
// inside the domain's directory.
func (f Files) Load(ctx context.Context, site Site, file string, max int64) (Text, error) {
	var out Text
	if err := f.callPath(ctx, site, "wp.load", file, fileRequest{Max: min(max, MaxFile)}, &out); err != nil {
		return Text{}, err
	}
	out.Fixed = cleanLine(out.Fixed, 100)
	return out, nil
}

// Change rewrites a file: edit gets it as it is and answers its new content, nil to
// remove it. The new file is complete and synced before it has the name, and keeps
// group and mode; a new one gets newMode. Content that is already there is not
// written. Should somebody else write in between, edit is asked again.
func (f Files) Change(ctx context.Context, site Site, file string, max int64, newMode fs.FileMode, edit func(Text) ([]byte, error)) error {
	for range 5 {
		was, err := f.Load(ctx, site, file, max)
		if err != nil {
			return err
		}
		next, err := edit(was)
		if err != nil {
			return err
		}
		if was.Exists == (next != nil) && bytes.Equal(was.Data, next) {
			return nil
		}
		if was.Fixed != "" {
			return fmt.Errorf("%w: %s %s", ErrFixed, filepath.Base(file), was.Fixed)
		}
		req := fileRequest{Data: next, Gone: next == nil, Sum: sumOf(was), Mode: was.Mode, Max: max}
		if !was.Exists {
			req.Mode = newMode
		}
		var done bool
		if err := f.callPath(ctx, site, "wp.swap", file, req, &done); err != nil {
			return err
		}
		if done {
			return nil
		}
	}
	return fmt.Errorf("changing %s: %w", filepath.Base(file), errMoving)
}

// sumOf names a content; a file that is not there has a name too.
func sumOf(t Text) string {
	if !t.Exists {
		return "none"
	}
	sum := sha256.Sum256(t.Data)
	return hex.EncodeToString(sum[:])
}

func (f Files) callPath(ctx context.Context, site Site, name, file string, req fileRequest, out any) error {
	if err := site.check(); err != nil {
		return err
	}
	inHome, err := filepath.Rel(site.Home, file)
	if err != nil || !filepath.IsLocal(inHome) || inHome == "." || strings.ContainsRune(inHome, 0) {
		return fmt.Errorf("%s: %q is not inside the domain's directory: %w", name, cleanLine(file, 200), fs.ErrPermission)
	}
	if req.Target, err = filepath.Rel(site.Docroot, file); err != nil { // call wants it so; it may lead up
		return fmt.Errorf("%s: finding %s: %w", name, cleanLine(file, 200), err)
	}
	return f.call(ctx, site, name, req, nil, out)
}

func init() {
	register("wp.load", childLoad)
	register("wp.swap", childSwap)
}

func childLoad(_ context.Context, c child) (any, error) {
	t, err := loadText(c.root, c.Target, c.Max)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.Target, err)
	}
	return t, nil
}

func loadText(root *os.Root, name string, max int64) (Text, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Text{}, nil
	}
	if err != nil {
		return Text{}, err
	}
	t := Text{Exists: true, Mode: info.Mode().Perm()}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		t.Fixed = "is a symbolic link"
	case ok && int(st.Uid) != os.Geteuid():
		t.Fixed = "belongs to another user"
	case ok && st.Nlink > 1:
		t.Fixed = "has more than one name (hard links)"
	}
	t.Data, err = readCapped(root, name, max)
	return t, err
}

// childSwap answers whether the file still was what the caller has seen.
func childSwap(_ context.Context, c child) (any, error) {
	dir, err := c.root.OpenRoot(path.Dir(c.Target))
	if err != nil {
		return nil, fmt.Errorf("opening parent of %s: %w", c.Target, err)
	}
	defer dir.Close()
	name := path.Base(c.Target)
	now, err := loadText(dir, name, c.Max)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.Target, err)
	}
	switch {
	case now.Fixed != "" || sumOf(now) != c.Sum:
		return false, nil
	case c.Gone:
		err = errors.Join(dir.Remove(name), syncDir(dir))
	default:
		err = replaceLike(dir, name, c.Data, c.Mode)
	}
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", c.Target, err)
	}
	return true, nil
}

// replaceLike is replace, with the group of the file that is there.
func replaceLike(dir *os.Root, name string, data []byte, mode fs.FileMode) error {
	gid := -1
	if info, err := dir.Lstat(name); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			gid = int(st.Gid)
		}
	}
	beside := stagePrefix + "new-" + randomText("abcdefghijklmnopqrstuvwxyz0123456789", 12)
	f, err := dir.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if info, statErr := f.Stat(); err == nil && gid >= 0 && statErr == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Gid) != gid {
			err = f.Chown(-1, gid) // refused for a group that the tenant is not in
		}
	}
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = dir.Rename(beside, name)
	}
	if err != nil {
		return errors.Join(err, dir.Remove(beside))
	}
	return syncDir(dir)
}
