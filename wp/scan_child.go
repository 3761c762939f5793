package wp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/wispanel/wptk/wp/proc"
)

func init() {
	register("wp.look", childLook)
	proc.Register("wp.scan", func(ctx context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		var request scanRequest
		if err := json.Unmarshal(in, &request); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		return childScan(ctx, request), nil
	})
}

func childScan(ctx context.Context, request scanRequest) scanAnswerJSON {
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	var answer scanAnswerJSON
	for i, dir := range request.Dirs {
		if ctx.Err() != nil {
			break
		}
		s := scanner{ctx: ctx}
		if root, err := os.OpenRoot(dir); err == nil {
			s.walk(root, ".", 0)
			root.Close()
		} else {
			s.cut = !errors.Is(err, fs.ErrNotExist)
			if info, statErr := os.Lstat(dir); statErr == nil && errors.Is(err, fs.ErrPermission) {
				s.cut, s.closed = false, []closed{{Path: ".", Mode: info.Mode()}}
			}
		}
		for _, c := range s.closed {
			c.Dir = i
			answer.Closed = append(answer.Closed, c)
		}
		for _, f := range s.found {
			f.Dir = i
			answer.Found = append(answer.Found, f)
		}
		if !s.cut && ctx.Err() == nil {
			answer.Complete = append(answer.Complete, i)
		}
	}
	return answer
}

func childLook(_ context.Context, c child) (any, error) {
	dir, err := c.root.OpenRoot(c.Target)
	if info, statErr := c.root.Lstat(c.Target); statErr == nil && errors.Is(err, fs.ErrPermission) {
		return found{Path: c.Target, Shut: true, NoMode: info.Mode().Perm() == 0, Problems: []string{"its directory cannot be entered"}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening docroot: %w", err)
	}
	defer dir.Close()
	var parent *os.Root
	if c.Target != "." {
		if parent, err = c.root.OpenRoot(path.Dir(c.Target)); err != nil {
			return nil, fmt.Errorf("opening directory above docroot: %w", err)
		}
		defer parent.Close()
	}
	got, ok := readInstall(dir, parent)
	if !ok {
		return nil, fmt.Errorf("looking for WordPress: %w", fs.ErrNotExist)
	}
	got.Path = c.Target
	return got, nil
}

// scanner walks one domain. Links are not followed: what they lead to inside the
// domain is found at its own place, and the rest is not ours to read.
type scanner struct {
	ctx     context.Context
	entries int
	found   []found
	closed  []closed
	cut     bool
}

// skipped directories are large and hold no install of their own.
var skipped = setOf("wp-admin", "wp-includes", "wp-content", "node_modules", "uploads", "vendor", "cgi-bin", "cache", "lost+found")

func (s *scanner) walk(parent *os.Root, rel string, depth int) {
	dir, err := parent.OpenRoot(path.Base(rel))
	if err != nil {
		info, statErr := parent.Lstat(path.Base(rel))
		switch {
		case errors.Is(err, fs.ErrPermission) && statErr == nil && len(s.closed) < scanInstalls:
			s.closed = append(s.closed, closed{Path: rel, Mode: info.Mode()})
		case !errors.Is(err, fs.ErrNotExist):
			s.cut = true
		}
		return
	}
	defer dir.Close()
	above := parent
	if rel == "." {
		above = nil
	}
	if got, ok := readInstall(dir, above); ok {
		got.Path = rel
		s.found = append(s.found, got)
	}
	if depth == scanDepth {
		return
	}
	for _, name := range s.directories(dir) {
		if s.ctx.Err() != nil || len(s.found) >= scanInstalls {
			s.cut = true
			return
		}
		s.walk(dir, path.Join(rel, name), depth+1)
	}
}

// directories lists the directories to enter, in batches, so that a directory with
// a million files costs no more than the bound.
func (s *scanner) directories(dir *os.Root) []string {
	f, err := dir.Open(".")
	if err != nil {
		return nil // the tenant closed it for itself
	}
	defer f.Close()
	var names []string
	for {
		batch, err := f.ReadDir(512)
		for _, e := range batch {
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !skipped[e.Name()] {
				names = append(names, e.Name())
			}
		}
		s.entries += len(batch)
		if err != nil {
			s.cut = s.cut || err != io.EOF
			return names
		}
		if s.entries > scanEntries || s.ctx.Err() != nil {
			s.cut = true
			return names
		}
	}
}

// readInstall decides by WordPress's own rule (wp-load.php): the configuration is
// beside the core, or one directory up if no other WordPress is there.
func readInstall(dir, parent *os.Root) (found, bool) {
	var got found
	version, versionErr := readCapped(dir, "wp-includes/version.php", 64<<10)
	config, configErr := readCapped(dir, "wp-config.php", MaxConfigSize)
	if errors.Is(configErr, fs.ErrNotExist) && parent != nil {
		if _, err := parent.Lstat("wp-settings.php"); errors.Is(err, fs.ErrNotExist) && versionErr == nil {
			config, configErr = readCapped(parent, "wp-config.php", MaxConfigSize)
		}
	}
	if errors.Is(configErr, fs.ErrNotExist) {
		return found{}, false // no WordPress, or one that nobody has installed yet
	}
	if errors.Is(versionErr, fs.ErrNotExist) && serves(dir) {
		return found{}, false // the configuration of a core in a directory below
	}
	if versionErr != nil {
		got.Problems = append(got.Problems, "wp-includes/version.php cannot be read")
	} else if got.Version = CoreVersionOf(version); got.Version == "" {
		got.Problems = append(got.Problems, "wp-includes/version.php names no version")
	}
	if configErr != nil {
		got.Problems = append(got.Problems, "wp-config.php cannot be read")
		return got, true
	}
	var err error
	if got.Config, err = ParseConfig(config); err != nil {
		got.Problems = append(got.Problems, "wp-config.php: "+err.Error())
	}
	return got, true
}

// serves: some directory right below has a core.
func serves(dir *os.Root) bool {
	f, err := dir.Open(".")
	if err != nil {
		return false
	}
	defer f.Close()
	entries, _ := f.ReadDir(512)
	for _, e := range entries {
		if e.IsDir() {
			if _, err := dir.Lstat(e.Name() + "/wp-includes/version.php"); err == nil {
				return true
			}
		}
	}
	return false
}

// CoreVersionOf reads $wp_version out of the source of wp-includes/version.php; ""
// when it is not there.
func CoreVersionOf(src []byte) string { return versionText(src, "wp_version") }
