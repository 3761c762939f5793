package wp

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// TreeCopy says what of an install's files a copy takes.
type TreeCopy struct {
	// Skip are paths below the docroot that stay behind with all that is below them: other
	// installs above all, which have owners and databases of their own.
	Skip []string `json:"skip,omitempty"`
	// Only, unless empty, are the paths below wp-content that come along; WordPress itself and
	// what stands beside wp-content always does.
	Only []string `json:"only,omitempty"`
	// Shared is set by CopyInstall for an install in its domain's own directory, where logs,
	// mail and other sites live as well: only what WordPress puts there comes along.
	Shared bool `json:"shared,omitempty"`
}

// alwaysLeft has no meaning outside of the install that it was made for.
var alwaysLeft = []string{
	Marker, ".maintenance", "wp-content/cache", "wp-content/upgrade", "wp-content/upgrade-temp-backup",
}

// Takes reports whether a path below the docroot comes along.
func (c TreeCopy) Takes(rel string) bool {
	if atOrBelow(rel, alwaysLeft) || strings.HasPrefix(filepath.Base(rel), stagePrefix) || atOrBelow(rel, c.Skip) {
		return false
	}
	if len(c.Only) == 0 || rel == contentName || !strings.HasPrefix(rel, contentName+"/") || atOrBelow(rel, c.Only) {
		return true
	}
	for _, only := range c.Only { // a directory on the way to one of them
		if strings.HasPrefix(only, rel+"/") {
			return true
		}
	}
	return false
}

const contentName = "wp-content"

// atOrBelow reports whether a path is one of others, or below one.
func atOrBelow(rel string, others []string) bool {
	for _, other := range others {
		if rel == other || strings.HasPrefix(rel, other+"/") {
			return true
		}
	}
	return false
}

// TreeCopied is what CopyInstall has copied, and what it left behind because it is neither a
// file nor a directory nor a link.
type TreeCopied struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	Links int64 `json:"links"`
	Odd   int64 `json:"odd"`
}

// CopyInstall copies an install's files into a stage of another domain of the same account, as
// that account. Modes and times stay, links stay links: those that lead to an absolute place
// inside the docroot lead to the same place of the copy. Where the file system can share
// blocks between files, nothing is really copied. Done again after a crash it copies what is
// missing. Errors name the first file that could not be read or written.
func (f Files) CopyInstall(ctx context.Context, from, to Site, stage string, what TreeCopy, progress func(done, total int64)) (TreeCopied, error) {
	if err := from.check(); err != nil {
		return TreeCopied{}, err
	}
	if from.User != to.User {
		return TreeCopied{}, fmt.Errorf("copying install: %s and %s are different accounts", from.Account, to.Account)
	}
	what.Shared = from.Docroot == from.Home
	encoded, err := json.Marshal(what)
	if err != nil {
		return TreeCopied{}, fmt.Errorf("encoding what to copy: %w", err)
	}
	var done TreeCopied
	err = f.call(ctx, to, "wp.copyinstall", fileRequest{Stage: stage, Source: from.Docroot, Data: encoded}, progress, &done)
	return done, err
}

// Relink has links in a stage that lead into the docroot of from lead to the same place of the
// site's own docroot: CopyInstall does so by itself.
func (f Files) Relink(ctx context.Context, site Site, stage string, from Site) error {
	return f.call(ctx, site, "wp.relink", fileRequest{Stage: stage, Source: from.Docroot}, nil, nil)
}

// MakeStage makes an empty stage for the install to come, or finds the one of an earlier attempt.
func (f Files) MakeStage(ctx context.Context, site Site, stage string) error {
	return f.call(ctx, site, "wp.makestage", fileRequest{Stage: stage}, nil, nil)
}

// Room is how much the account's file system has left at the domain's directory, in bytes and
// files. A quota of the account is not in it: that only shows when it is used up.
type Room struct {
	Bytes int64 `json:"bytes"`
	Files int64 `json:"files"`
}

// Room asks for it.
func (f Files) Room(ctx context.Context, site Site) (Room, error) {
	var r Room
	err := f.call(ctx, site, "wp.room", fileRequest{}, nil, &r)
	return r, err
}
