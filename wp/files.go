package wp

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// Files works in tenants' trees. Every method runs in a short-lived child as the
// tenant, inside an os.Root of the domain's directory (files_child.go): what the
// tenant has put in the way, links above all, can at most spoil the tenant's own
// files. The process that holds Files never opens a path in there. The hooks of
// WithRun hold for these children too. The zero value is usable.
type Files struct {
	// Timeout bounds one call; 0 is ten minutes.
	Timeout time.Duration
	// Calm is kept around exchanges that a request could see half of.
	Calm Calm
}

// DirState is what stands where WordPress should go.
type DirState struct {
	Kind DirKind `json:"kind"`
	// What names up to five entries that make the directory occupied.
	What []string `json:"what,omitempty"`
	// Stage is the stage that this directory was published from, while that is not
	// committed: the mark by which an interrupted install knows its own work.
	Stage string `json:"stage,omitempty"`
}

// DirKind is the class of a DirState.
type DirKind string

// The kinds of a docroot.
const (
	DirAbsent    DirKind = "absent"
	DirEmpty     DirKind = "empty"
	DirWordPress DirKind = "wordpress" // has wp-includes/version.php or a wp-config.php
	DirOccupied  DirKind = "occupied"  // has anything else, or is not a directory
)

// Marker is the file that a tree carries from its first byte until Commit. It
// names the stage and so the operation that the tree belongs to.
const Marker = ".wptk-op"

const stagePrefix = ".wptk-"

var stagePattern = regexp.MustCompile(`^\.wptk-[A-Za-z0-9_-]{1,80}$`)

// StageName is the directory, right below the domain's, where an operation builds.
// Scans and web servers pass over names that begin with a dot.
func StageName(op string) string { return stagePrefix + op }

// fileRequest is what crosses to the child; each call uses the fields it needs.
type fileRequest struct {
	Home   string      `json:"home"`
	Target string      `json:"target"` // relative to Home
	Stage  string      `json:"stage,omitempty"`
	Source string      `json:"source,omitempty"`
	Data   []byte      `json:"data,omitempty"`
	Mode   fs.FileMode `json:"mode,omitempty"`
	Max    int64       `json:"max,omitempty"`
	Sum    string      `json:"sum,omitempty"` // of the content that may be replaced
	Gone   bool        `json:"gone,omitempty"`
	Modes  []PathMode  `json:"modes,omitempty"`
}

// State looks at the docroot of a site. A link is never followed out of the
// domain's directory; a docroot that is a link is occupied.
func (f Files) State(ctx context.Context, site Site) (DirState, error) {
	var out DirState
	if err := f.call(ctx, site, "wp.state", fileRequest{}, nil, &out); err != nil {
		return DirState{}, err
	}
	for i, name := range out.What {
		out.What[i] = cleanLine(name, 100)
	}
	return out, nil
}

// StageCore copies a core tree into a stage: directories 0755, files 0644, synced
// when it returns. progress gets bytes done and bytes in all. After a crash it may
// be called again and copies what is missing.
func (f Files) StageCore(ctx context.Context, site Site, coreDir, stage string, progress func(done, total int64)) error {
	if !filepath.IsAbs(coreDir) {
		return fmt.Errorf("staging core: %q is not an absolute path", coreDir)
	}
	return f.call(ctx, site, "wp.stage", fileRequest{Stage: stage, Source: coreDir}, progress, nil)
}

// CopyTree copies a directory of ours, such as translations, into a directory of
// the site, where it may add and replace files. rel is relative to the docroot.
func (f Files) CopyTree(ctx context.Context, site Site, dir, rel string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("copying tree: %q is not an absolute path", dir)
	}
	return f.callAt(ctx, site, rel, "wp.copy", fileRequest{Source: dir}, nil)
}

// MaxFile is the most that WriteFile and ReadFile move, in bytes.
const MaxFile = 8 << 20

// WriteFile replaces a file of the site, rel being relative to the docroot: the
// new content is complete and synced before it has the name, and a link or hard
// link of that name is replaced, not written through. The parent must exist.
func (f Files) WriteFile(ctx context.Context, site Site, rel string, data []byte, mode fs.FileMode) error {
	if len(data) > MaxFile || mode&^0o777 != 0 {
		return fmt.Errorf("writing %s: %d bytes with mode %v are not allowed", rel, len(data), mode)
	}
	return f.callAt(ctx, site, rel, "wp.write", fileRequest{Data: data, Mode: mode}, nil)
}

// ReadFile reads a regular file of the site, rel being relative to the docroot;
// one larger than max is an error, not cut.
func (f Files) ReadFile(ctx context.Context, site Site, rel string, max int64) ([]byte, error) {
	var out []byte
	err := f.callAt(ctx, site, rel, "wp.read", fileRequest{Max: min(max, MaxFile)}, &out)
	return out, err
}

// Publish puts a stage where the site's docroot is, which must be absent or an
// empty directory: nothing is ever overwritten. Directories above it are made. It
// is one rename, so that no visitor meets half a WordPress; only into a directory
// whose owner, group or mount point must be kept, entries are moved one by one.
// Done again after success it does nothing. errors.Is fs.ErrExist when the
// docroot has filled up meanwhile.
func (f Files) Publish(ctx context.Context, site Site, stage string) error {
	return f.call(ctx, site, "wp.publish", fileRequest{Stage: stage}, nil, nil)
}

// Unpublish undoes Publish: the docroot is as before, the tree is gone. A docroot
// without this stage's marker is left alone, without error.
func (f Files) Unpublish(ctx context.Context, site Site, stage string) error {
	return f.call(ctx, site, "wp.unpublish", fileRequest{Stage: stage}, nil, nil)
}

// Commit removes the marker: from here on the tree is the tenant's alone.
func (f Files) Commit(ctx context.Context, site Site, stage string) error {
	return f.call(ctx, site, "wp.commit", fileRequest{Stage: stage}, nil, nil)
}

// Remove deletes a stage, whatever it is; none is no error.
func (f Files) Remove(ctx context.Context, site Site, stage string) error {
	return f.call(ctx, site, "wp.remove", fileRequest{Stage: stage}, nil, nil)
}

// RemoveTree deletes a file or directory below the docroot, or with rel "." the
// docroot itself; links are removed, not followed. None is no error.
func (f Files) RemoveTree(ctx context.Context, site Site, rel string) error {
	return f.callAt(ctx, site, rel, "wp.removetree", fileRequest{}, nil)
}

// callAt is call with a target below the docroot.
func (f Files) callAt(ctx context.Context, site Site, rel, name string, req fileRequest, out any) error {
	if !filepath.IsLocal(rel) || filepath.Clean(rel) != rel || strings.ContainsRune(rel, 0) {
		return fmt.Errorf("%s: %q must be a clean path below the docroot", name, rel)
	}
	req.Target = rel
	return f.call(ctx, site, name, req, nil, out)
}

func (f Files) call(ctx context.Context, site Site, name string, req fileRequest, progress func(done, total int64), out any) error {
	if err := site.check(); err != nil {
		return err
	}
	if req.Stage != "" && !stagePattern.MatchString(req.Stage) {
		return fmt.Errorf("%s: %q is no stage name", name, req.Stage)
	}
	docroot, err := filepath.Rel(site.Home, site.Docroot)
	if err != nil {
		return fmt.Errorf("%s: finding docroot: %w", name, err)
	}
	req.Home, req.Target = site.Home, filepath.Join(docroot, req.Target)
	return proc.Call(ctx, site.User, f.options(ctx, progress), name, req, out)
}

func (f Files) options(ctx context.Context, progress func(done, total int64)) proc.CallOptions {
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	opt := proc.CallOptions{Timeout: f.Timeout, Keep: hooks.Keep, Started: hooks.Started}
	if opt.Timeout == 0 {
		opt.Timeout = 10 * time.Minute
	}
	if progress != nil {
		opt.Progress = func(line []byte) {
			var p copied
			if json.Unmarshal(line, &p) == nil && p.Done >= 0 && p.Done <= p.Total {
				progress(p.Done, p.Total)
			}
		}
	}
	return opt
}

// cleanLine makes a tenant's text fit for one line of a message.
func cleanLine(s string, limit int) string {
	s = strings.Join(strings.Fields(proc.CleanText([]byte(s))), " ")
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return s
}
