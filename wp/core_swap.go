package wp

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// Files of WordPress are replaced by exchange. The new ones are staged beside the docroot,
// complete and on the disk; then wp-admin, wp-includes and the files beside them change
// places with what is there, one rename each, and the old ones wait in the stage until
// DropCore. wp-content and wp-config.php are never touched.

// coreDirs are the directories of WordPress that hold nothing of the owner's.
var coreDirs = []string{"wp-admin", "wp-includes"}

// CoreDirs are the directories that belong to WordPress alone.
func CoreDirs() []string { return slices.Clone(coreDirs) }

// dispensable files are not brought back where their owner has deleted them.
var dispensable = setOf("readme.html", "license.txt", "wp-config-sample.php")

// StageNewCore copies the WordPress of a core tree, wp-content left out, into a stage. After
// a crash it may be called again, until SwapCore was called.
func (f Files) StageNewCore(ctx context.Context, site Site, coreDir, stage string, progress func(done, total int64)) error {
	if !filepath.IsAbs(coreDir) {
		return fmt.Errorf("staging core: %q is not an absolute path", coreDir)
	}
	return f.call(ctx, site, "wp.core.stage", fileRequest{Stage: stage, Source: coreDir}, progress, nil)
}

// CarryOver takes files that are no part of WordPress along into a stage, such as the
// .htaccess of wp-admin. paths are relative to the docroot and below CoreDirs. It answers
// those that could not be taken.
func (f Files) CarryOver(ctx context.Context, site Site, stage string, paths []string) (left []string, err error) {
	var kept []string
	for _, p := range paths {
		if !filepath.IsLocal(p) || filepath.Clean(p) != p || !within(coreDirs, p) || strings.ContainsRune(p, 0) {
			left = append(left, p)
			continue
		}
		kept = append(kept, p)
	}
	var not []string
	err = f.swapCall(ctx, site, "wp.core.carry", swapRequest{Stage: stage, Names: kept}, &not)
	for _, p := range not[:min(len(not), len(kept))] {
		left = append(left, cleanLine(p, 400))
	}
	return left, err
}

// SwapCore exchanges the files of the docroot with those of the stage. gone are files beside
// the new ones that WordPress has no more. A crash in the middle is made good by calling it
// again, or undone by SwapBack. errors.Is fs.ErrExist: a directory of the core is a link to
// somewhere else, whose files are not this site's.
func (f Files) SwapCore(ctx context.Context, site Site, coreDir, stage string, gone []string) error {
	entries, err := os.ReadDir(coreDir)
	if err != nil {
		return fmt.Errorf("listing core: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "wp-content" {
			names = append(names, e.Name())
		}
	}
	for _, name := range append(slices.Clone(gone), names...) {
		if !isCoreEntry(name) {
			return fmt.Errorf("exchanging core: %q is no entry of a core: %w", name, fs.ErrInvalid)
		}
	}
	return f.swapCall(ctx, site, "wp.core.swap", swapRequest{Stage: stage, Names: names, Gone: gone}, nil)
}

// SwapBack undoes SwapCore. Where that did nothing, it does nothing.
func (f Files) SwapBack(ctx context.Context, site Site, stage string) error {
	return f.swapCall(ctx, site, "wp.core.swapback", swapRequest{Stage: stage}, nil)
}

// DropStage removes the stage before SwapCore, or after SwapBack. While old files are in it
// that are nowhere else it is an error.
func (f Files) DropStage(ctx context.Context, site Site, stage string) error {
	return f.swapCall(ctx, site, "wp.core.drop", swapRequest{Stage: stage}, nil)
}

// DropCore removes the old files after SwapCore, for good.
func (f Files) DropCore(ctx context.Context, site Site, stage string) error {
	return f.swapCall(ctx, site, "wp.core.drop", swapRequest{Stage: stage, Sure: true}, nil)
}

// isCoreEntry refuses what is never WordPress's own, wherever a tree comes from.
func isCoreEntry(name string) bool {
	return filepath.Base(name) == name && !strings.HasPrefix(name, ".") && name != "wp-config.php" && name != "wp-content"
}

// swapRequest is what crosses to the child.
type swapRequest struct {
	Home   string   `json:"home"`
	Target string   `json:"target"` // the docroot, relative to Home
	Stage  string   `json:"stage"`
	Names  []string `json:"names,omitempty"`
	Gone   []string `json:"gone,omitempty"`
	Sure   bool     `json:"sure,omitempty"`
	Calm   Calm     `json:"calm"`
}

// Calm is how long a site is closed at least before files change places in it that belong
// together, and how long it stays closed afterwards. The sign of maintenance keeps out those
// who come while it is there. Those who came before it go on, and where they load a file of
// another version than the rest, PHP ends with an error that WordPress does not show, since
// it is being updated (WP_Fatal_Error_Handler::handle): an empty page with status 500. And
// whoever comes after it may be given old files by PHP's opcode cache, beside new ones.
type Calm struct {
	Before time.Duration `json:"before,omitempty"`
	After  time.Duration `json:"after,omitempty"`
}

// RequestTime is what nearly every request is done within. One that takes longer may still
// see files of two versions.
const RequestTime = time.Second

func (f Files) swapCall(ctx context.Context, site Site, name string, req swapRequest, out any) error {
	if err := site.check(); err != nil {
		return err
	}
	if !stagePattern.MatchString(req.Stage) {
		return fmt.Errorf("%s: %q is no stage name", name, req.Stage)
	}
	docroot, err := filepath.Rel(site.Home, site.Docroot)
	if err != nil {
		return fmt.Errorf("%s: finding docroot: %w", name, err)
	}
	req.Home, req.Target, req.Calm = site.Home, docroot, f.Calm
	return proc.Call(ctx, site.User, f.options(ctx, nil), name, req, out)
}
