package wp

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"time"
)

// An install is deleted in two moves: Retire renames it into a stage, where no visitor gets
// and from where Unretire brings it back, and Remove deletes the stage.

// Belongings are the files that go with an install.
type Belongings struct {
	Files int64 `json:"files"` // directories and links are counted too
	Bytes int64 `json:"bytes"`
	// Keeps: the docroot stays as an empty directory, since the web server's configuration
	// names it.
	Keeps bool `json:"keeps"`
	// Nested are other installs below this one, relative to the docroot.
	Nested []string `json:"nested,omitempty"`
	// Complete is false when the account may not read all of it.
	Complete bool `json:"complete"`
}

const (
	maxNested     = 50
	belongingTime = 5 * time.Minute
)

// Belongings looks through all that Retire would take away.
func (f Files) Belongings(ctx context.Context, site Site) (Belongings, error) {
	f.Timeout = belongingTime
	var b Belongings
	if err := f.call(ctx, site, "wp.belongings", fileRequest{}, nil, &b); err != nil {
		return Belongings{}, err
	}
	for i, name := range b.Nested {
		b.Nested[i] = cleanLine(name, 300)
	}
	b.Files, b.Bytes = max(b.Files, 0), max(b.Bytes, 0)
	return b, nil
}

// Retire moves an install into a stage: one rename where the docroot may go, else its entries
// one by one, index.php first. A wp-config.php above the docroot that serves no other install
// goes along. Done again after a crash it goes on.
func (f Files) Retire(ctx context.Context, site Site, stage string) error {
	return f.call(ctx, site, "wp.retire", fileRequest{Stage: stage}, nil, nil)
}

// Unretire undoes Retire, as far as nothing new is in the way. No stage is no error.
func (f Files) Unretire(ctx context.Context, site Site, stage string) error {
	return f.call(ctx, site, "wp.unretire", fileRequest{Stage: stage}, nil, nil)
}

// keepsDocroot: the directory that the web server serves is not the install's to remove.
func keepsDocroot(target string) bool { return target == "." || target == webroot }

// coreEntry is what WordPress puts into its directory. In the domain's own directory nothing
// else is taken for a part of it: logs, mail and other sites live there as well.
var coreEntry = regexp.MustCompile(`^(wp-(admin|includes|content)|wp-[a-z-]+\.php|index\.php|xmlrpc\.php|license\.txt|readme\.html|\.htaccess|\.maintenance)$`)

// goes lists the entries of a docroot that belong to the install, index.php first.
func goes(dir *os.Root, target string) ([]string, error) {
	names, err := list(dir, -1)
	if err != nil {
		return nil, err
	}
	if target == "." {
		names = slices.DeleteFunc(names, func(name string) bool { return !coreEntry.MatchString(name) })
	}
	slices.SortFunc(names, func(a, b string) int { return rankName(b) - rankName(a) })
	return names, nil
}

func init() {
	register("wp.belongings", childBelongings)
	register("wp.retire", childRetire)
	register("wp.unretire", childUnretire)
}

func childBelongings(ctx context.Context, c child) (any, error) {
	dir, err := c.root.OpenRoot(c.Target)
	if err != nil {
		return nil, fmt.Errorf("opening docroot: %w", err)
	}
	defer dir.Close()
	names, err := goes(dir, c.Target)
	if err != nil {
		return nil, err
	}
	count := belongingCount{ctx: ctx, Belongings: Belongings{Complete: true, Keeps: keepsDocroot(c.Target)}}
	for _, name := range names {
		count.entry(dir, name, name, 0)
	}
	return count.Belongings, ctx.Err()
}

type belongingCount struct {
	Belongings
	ctx context.Context
}

func (b *belongingCount) entry(dir *os.Root, name, rel string, depth int) {
	info, err := dir.Lstat(name)
	if err != nil || b.ctx.Err() != nil {
		return // gone since it was listed
	}
	b.Files++
	b.Bytes += info.Size()
	if !info.IsDir() {
		return
	}
	below, err := dir.OpenRoot(name)
	if err != nil || depth > maxTreeDepth {
		b.Complete = false
		return
	}
	defer below.Close()
	if _, err := below.Lstat("wp-includes/version.php"); err == nil && len(b.Nested) < maxNested {
		b.Nested = append(b.Nested, rel)
	}
	f, err := below.Open(".")
	if err != nil {
		b.Complete = false
		return
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		for _, entry := range names {
			b.entry(below, entry, path.Join(rel, entry), depth+1)
		}
		if err != nil {
			b.Complete = b.Complete && err == io.EOF
			return
		}
	}
}
