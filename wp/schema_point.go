package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// ErrConfigComputed says that DB_NAME is not a plain literal of wp-config.php, so that it
// cannot be pointed at another database.
var ErrConfigComputed = errors.New("wp-config.php computes the name of its database")

// PointConfig has wp-config.php name another database, in one rename and without PHP: the
// site is on the old database, or on the new one. undo is the name that was there;
// PointConfig with it goes back. Done again it answers the schema itself. Nothing is
// changed with ErrConfigComputed and ErrFixed. errors.Is fs.ErrNotExist: there is no
// wp-config.php.
func (f Files) PointConfig(ctx context.Context, site Site, schema string) (undo string, err error) {
	name, err := PHPText(schema)
	if err != nil || schema == "" {
		return "", errors.Join(fmt.Errorf("pointing wp-config at %q", schema), err)
	}
	file, _, err := f.loadConfig(ctx, site)
	if err != nil {
		return "", fmt.Errorf("pointing wp-config at %s: %w", schema, err)
	}
	err = f.Change(ctx, site, file, MaxConfigSize, newConfigMode, func(t Text) ([]byte, error) {
		if !t.Exists {
			return nil, fs.ErrNotExist
		}
		if undo, err = databaseName(t.Data); err != nil || undo == schema {
			return t.Data, err
		}
		next, _, err := EditConfig(t.Data, ConfigEdit{Name: "DB_NAME", Value: name})
		return next, computed(err)
	})
	if err != nil {
		return "", fmt.Errorf("pointing wp-config at %s: %w", schema, err)
	}
	return undo, nil
}

// CanPointConfig says, without changing anything, whether PointConfig would do its work.
func (f Files) CanPointConfig(ctx context.Context, site Site) error {
	_, text, err := f.loadConfig(ctx, site)
	if err == nil && text.Fixed != "" {
		err = fmt.Errorf("%w: %s %s", ErrFixed, configName, text.Fixed)
	}
	if err == nil {
		_, err = databaseName(text.Data)
	}
	if err != nil {
		return fmt.Errorf("looking at wp-config: %w", err)
	}
	return nil
}

func databaseName(src []byte) (string, error) {
	c, err := ConfigConsts(src, "DB_NAME")
	if err != nil {
		return "", computed(err)
	}
	if c["DB_NAME"].Text == "" {
		return "", fmt.Errorf("%w: it does not define DB_NAME", ErrConfigComputed)
	}
	return c["DB_NAME"].Text, nil
}

func computed(err error) error {
	if errors.Is(err, ErrUncertain) || errors.Is(err, ErrNotConfig) {
		return fmt.Errorf("%w: %w", ErrConfigComputed, err)
	}
	return err
}
