package wp

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxEntries bounds what one directory listing costs us: a tenant may make as many
// directories as the quota has inodes.
const maxEntries = 1000

// Census is every domain of the node, and what was passed over and why.
type Census struct {
	Domains []DomainDir
	Skipped []error
}

// Census lists the domains of all roots. A root that cannot be read is an error, so that an
// unmounted /home is never taken for an empty one; a tenant's directory that cannot be used
// is only skipped.
func (l Layout) Census() (Census, error) {
	var c Census
	for _, r := range l.roots {
		base, err := openBase(r.base)
		if err != nil {
			return Census{}, fmt.Errorf("listing accounts: %w", err)
		}
		accounts, err := base.Readdirnames(-1)
		base.Close()
		if err != nil {
			return Census{}, fmt.Errorf("listing accounts of %s: %w", r.base, err)
		}
		for _, account := range accounts {
			if ValidAccount(account) == "" {
				l.countAccount(&c, r, account)
			}
		}
	}
	return c, nil
}

func (l Layout) countAccount(c *Census, r root, account string) {
	names, err := domainNames(r, account)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errNotDirectory) {
		return // a home without domains, or a file beside the homes
	}
	if err != nil {
		c.Skipped = append(c.Skipped, fmt.Errorf("listing domains of %s: %w", account, err))
		return
	}
	for _, name := range names {
		if ValidDomain(name) != "" {
			continue
		}
		d, err := l.domain(r, account, name)
		if err != nil {
			c.Skipped = append(c.Skipped, fmt.Errorf("looking at %s of %s: %w", name, account, err))
			continue
		}
		c.Domains = append(c.Domains, d)
	}
}

func domainNames(r root, account string) ([]string, error) {
	dir, err := openBase(r.base)
	if err != nil {
		return nil, err
	}
	defer func() { dir.Close() }()
	for _, name := range append([]string{account}, r.middle...) {
		next, err := openBelow(dir, name)
		if err != nil {
			return nil, err
		}
		dir.Close()
		dir = next
	}
	names, err := dir.Readdirnames(maxEntries)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return names, err
}
