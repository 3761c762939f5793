package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// MakeLog makes an empty file that only the tenant may read, and its directory if
// there is none (0700). What is there stays. file is absolute, inside the domain's
// directory.
func (f Files) MakeLog(ctx context.Context, site Site, file string) error {
	return f.callPath(ctx, site, "wp.makelog", file, fileRequest{}, nil)
}

// DropLog removes such a file if nothing was written to it, and its directory if
// that is empty then.
func (f Files) DropLog(ctx context.Context, site Site, file string) error {
	return f.callPath(ctx, site, "wp.droplog", file, fileRequest{}, nil)
}

func init() {
	register("wp.makelog", childMakeLog)
	register("wp.droplog", childDropLog)
}

func childMakeLog(_ context.Context, c child) (any, error) {
	if err := c.root.Mkdir(path.Dir(c.Target), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making directory of log: %w", err)
	}
	f, err := c.root.OpenFile(c.Target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("making log: %w", err)
	}
	return nil, f.Close()
}

func childDropLog(_ context.Context, c child) (any, error) {
	info, err := c.root.Lstat(c.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking at log: %w", err)
	case info.Size() > 0 || !info.Mode().IsRegular():
		return nil, nil // somebody may want to read it
	}
	if err := c.root.Remove(c.Target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing log: %w", err)
	}
	_ = c.root.Remove(path.Dir(c.Target)) // unless something else is in it
	return nil, nil
}
