package wp

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// Usage is what an install takes on disk: everything below its docroot, other installs
// there included. Links count as themselves.
type Usage struct {
	Bytes        int64 `json:"bytes"`
	Files        int64 `json:"files"`
	UploadsBytes int64 `json:"uploads_bytes"`
	// Complete is false when there was more than could be counted, or than the account may read.
	Complete bool `json:"complete"`
}

// Bounds of a count; the numbers are then too low, and say so.
const (
	usageEntries = 1_000_000
	usageTime    = 8 * time.Second
)

// Usage counts what the site takes on disk.
func (f Files) Usage(ctx context.Context, site Site) (Usage, error) {
	f.Timeout = usageTime + 3*time.Second
	var u Usage
	if err := f.call(ctx, site, "wp.usage", fileRequest{}, nil, &u); err != nil {
		return Usage{}, err
	}
	u.Bytes, u.Files, u.UploadsBytes = max(u.Bytes, 0), max(u.Files, 0), max(u.UploadsBytes, 0)
	return u, nil
}

func init() { register("wp.usage", childUsage) }

func childUsage(ctx context.Context, c child) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, usageTime)
	defer cancel()
	dir, err := c.root.OpenRoot(c.Target)
	if err != nil {
		return nil, fmt.Errorf("opening docroot: %w", err)
	}
	defer dir.Close()
	count := usageCount{ctx: ctx, Usage: Usage{Complete: true}}
	count.directory(dir, ".", 0)
	return count.Usage, nil
}

type usageCount struct {
	Usage
	ctx context.Context
}

func (u *usageCount) directory(dir *os.Root, rel string, depth int) {
	f, err := dir.Open(".")
	if err != nil {
		u.Complete = false
		return
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			if u.Files > usageEntries || depth > maxTreeDepth || u.ctx.Err() != nil {
				u.Complete = false
				return
			}
			u.entry(dir, name, path.Join(rel, name), depth)
		}
		if err != nil {
			u.Complete = u.Complete && err == io.EOF
			return
		}
	}
}

func (u *usageCount) entry(dir *os.Root, name, rel string, depth int) {
	info, err := dir.Lstat(name)
	if err != nil {
		return // gone since it was listed
	}
	u.Files++
	u.Bytes += info.Size()
	if strings.HasPrefix(rel, "wp-content/uploads/") {
		u.UploadsBytes += info.Size()
	}
	if !info.IsDir() {
		return
	}
	below, err := dir.OpenRoot(name)
	if err != nil {
		u.Complete = false
		return
	}
	defer below.Close()
	u.directory(below, rel, depth+1)
}
