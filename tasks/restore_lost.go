package tasks

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/wispanel/wptk/wp"
)

// lostConfig says that the present has no wp-config.php that tells the database: deleted,
// emptied, or overwritten by whoever broke in.
func lostConfig(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, wp.ErrNotConfig) || errors.Is(err, wp.ErrUncertain)
}

// present is the login of the present database. Where the site has lost its wp-config.php,
// that of the backup has it: the backup is read once more for that.
func (c *restorer) present(ctx context.Context, site wp.Site, p restorePlan) (wp.Login, error) {
	if !p.Lost {
		login, err := c.Host.Login(ctx, site)
		if err != nil {
			return wp.Login{}, configError(err)
		}
		return login, nil
	}
	src, err := c.savedConfig(ctx, p.Backup)
	if err != nil {
		return wp.Login{}, err
	}
	login, err := c.Host.LoginOf(src)
	if err != nil {
		return wp.Login{}, savedConfigError(err)
	}
	return login, nil
}

// savedConfig is the wp-config.php of a backup. It holds a password, so it is in memory only.
func (c *restorer) savedConfig(ctx context.Context, id string) (_ []byte, err error) {
	if c.saved != nil {
		return c.saved, nil
	}
	b, err := c.Host.OpenBackup(ctx, c.Op.Site.Account, id)
	if err != nil {
		return nil, fmt.Errorf("opening backup: %w", err)
	}
	defer b.Close() //nolint:errcheck // a reader; what matters is checked at the end of the stream
	var inside, above []byte
	_, err = b.Unpack(ctx, wp.BackupTarget{
		Files: func(r io.Reader) (err error) { inside, err = pick(tar.NewReader(r), configFile); return err },
		Above: func(data []byte) error { above = append(above, data...); return nil },
	})
	if err != nil {
		return nil, fmt.Errorf("reading backup: %w", err)
	}
	if c.saved = inside; len(inside) == 0 {
		c.saved = above
	}
	if len(c.saved) == 0 {
		return nil, refuse(CodeNotInBackup, "Neither the site nor the backup has a wp-config.php.", "Write one for the site's database, then try again.")
	}
	return c.saved, nil
}

// pick reads one small file of a tar, and passes over the others.
func pick(r *tar.Reader, name string) (found []byte, err error) {
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading tar: %w", err)
		}
		if e.Name == name && e.Typeflag == tar.TypeReg {
			if found, err = io.ReadAll(io.LimitReader(r, wp.MaxConfigSize)); err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, err)
			}
		}
	}
}
