package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keepsPassword searches everything that the run has written for the site's
// password: Redis's append-only file, which has every command that was ever sent,
// the databases, the nodes' journals and state, all logs, and the site itself.
func (s *demoSite) keepsPassword(dir string) error {
	secret := []byte(s.result.AdminPassword)
	if len(secret) == 0 {
		return errors.New("there is no password to look for")
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // servers are at work in there
		case err != nil:
			return fmt.Errorf("looking for the password: %w", err)
		case entry.IsDir() && (entry.Name() == "wp-includes" || entry.Name() == "wp-admin"):
			return filepath.SkipDir // WordPress's own, the same in every site
		case !entry.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("looking for the password: %w", err)
		}
		if bytes.Contains(data, secret) {
			return fmt.Errorf("the password is in %s", path)
		}
		return nil
	})
}
