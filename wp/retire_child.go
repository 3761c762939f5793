package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// aboveMark, in a stage, says that its wp-config.php came from above the docroot.
const aboveMark = ".wptk-from-above"

func childRetire(_ context.Context, c child) (any, error) {
	began, err := isDir(c.root, c.Stage)
	if err != nil {
		return nil, fmt.Errorf("looking at stage: %w", err)
	}
	if _, err := isDir(c.root, c.Target); err != nil {
		return nil, fmt.Errorf("looking at docroot: %w", err)
	}
	switch {
	case keepsDocroot(c.Target):
		err = c.empty()
	case !began:
		err = c.move(c.Target, c.Stage)
	}
	if err == nil {
		err = c.takeConfigAbove()
	}
	if err != nil {
		return nil, fmt.Errorf("taking the install away: %w", err)
	}
	return nil, syncParents(c)
}

// isDir reports a directory. Anything else of that name is in the way, a link above all.
func isDir(root *os.Root, name string) (bool, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.IsDir():
		return false, fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	return true, nil
}

// empty moves the entries of the docroot into the stage.
func (c child) empty() error {
	if err := c.root.Mkdir(c.Stage, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return c.moveAll(c.Target, c.Stage)
}

// moveAll moves what belongs to the install from one directory to another, where nothing is
// replaced.
func (c child) moveAll(from, to string) error {
	source, err := c.root.OpenRoot(from)
	if err != nil {
		return err
	}
	defer source.Close()
	names, err := goes(source, c.Target)
	if err != nil {
		return err
	}
	if from == c.Stage {
		slices.Reverse(names) // index.php last: no visitor meets half a site
	}
	for _, name := range names {
		at := path.Join(to, name)
		if _, err := c.root.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is in the way: %w", cleanLine(at, 200), fs.ErrExist)
		}
		if err := c.move(path.Join(from, name), at); err != nil {
			return err
		}
	}
	return nil
}

// move is rename, also where the account has made things read-only for itself: neither a
// directory nor what is in one can be moved then. Their modes are as before afterwards.
func (c child) move(from, to string) error {
	err := rename(c, from, to)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	defer c.loosen(from, to)()
	defer c.loosen(path.Dir(from), path.Dir(from))()
	return rename(c, from, to)
}

// loosen lets the account write into a directory of its own, until what it returns is called;
// the directory may be elsewhere then.
func (c child) loosen(now, then string) func() {
	info, err := c.root.Lstat(now)
	if err != nil || !info.IsDir() || info.Mode()&0o200 != 0 || c.root.Chmod(now, info.Mode()|0o200) != nil {
		return func() {}
	}
	return func() {
		if c.root.Chmod(then, info.Mode()) != nil { // it was not moved
			_ = c.root.Chmod(now, info.Mode()) // if this fails too, its owner may write into it
		}
	}
}

// takeConfigAbove takes the configuration along that WordPress finds one directory up
// (wp-load.php), unless another install finds it there too.
func (c child) takeConfigAbove() error {
	if c.Target == "." {
		return nil
	}
	if _, err := c.root.Lstat(path.Join(c.Stage, "wp-config.php")); !errors.Is(err, fs.ErrNotExist) {
		return err // it has its own, or this was done before
	}
	above := path.Join(path.Dir(c.Target), "wp-config.php")
	if info, err := c.root.Lstat(above); err != nil || !info.Mode().IsRegular() || c.sharedConfig() {
		return nil
	}
	defer c.loosen(c.Stage, c.Stage)()
	mark, err := c.root.Create(path.Join(c.Stage, aboveMark))
	if err != nil {
		return err
	}
	mark.Close()
	return rename(c, above, path.Join(c.Stage, "wp-config.php"))
}

// sharedConfig: the directory above is an install itself, or another one right below it has
// no configuration of its own.
func (c child) sharedConfig() bool {
	parent, err := c.root.OpenRoot(path.Dir(c.Target))
	if err != nil {
		return true
	}
	defer parent.Close()
	there := func(name string) bool { _, err := parent.Lstat(name); return err == nil }
	if there("wp-settings.php") {
		return true
	}
	names, err := list(parent, -1)
	if err != nil {
		return true
	}
	for _, name := range names {
		if name != path.Base(c.Target) && !strings.HasPrefix(name, stagePrefix) && there(name+"/wp-settings.php") && !there(name+"/wp-config.php") {
			return true
		}
	}
	return false
}

func childUnretire(_ context.Context, c child) (any, error) {
	if there, err := isDir(c.root, c.Stage); err != nil || !there {
		return nil, err
	}
	if err := c.returnConfig(); err != nil {
		return nil, fmt.Errorf("putting wp-config.php back: %w", err)
	}
	var err error
	if keepsDocroot(c.Target) {
		if err = c.moveAll(c.Stage, c.Target); err == nil {
			err = c.root.Remove(c.Stage)
		}
	} else {
		err = c.move(c.Stage, c.Target)
	}
	if err != nil {
		return nil, fmt.Errorf("putting the install back: %w", err)
	}
	return nil, syncParents(c)
}

func (c child) returnConfig() error {
	mark := path.Join(c.Stage, aboveMark)
	if _, err := c.root.Lstat(mark); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	defer c.loosen(c.Stage, c.Stage)()
	above := path.Join(path.Dir(c.Target), "wp-config.php")
	if _, err := c.root.Lstat(above); errors.Is(err, fs.ErrNotExist) {
		err = rename(c, path.Join(c.Stage, "wp-config.php"), above)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return c.root.Remove(mark)
}
