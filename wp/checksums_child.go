package wp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// This file runs as the tenant.

func init() {
	proc.Register("wp.compare", func(ctx context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		var request compareRequest
		if err := json.Unmarshal(in, &request); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		return childCompare(ctx, request)
	})
}

// compareRequest and compareAnswer cross the process boundary.
type compareRequest struct {
	Home      string   `json:"home"`
	Target    string   `json:"target"` // relative to Home
	Sums      Sums     `json:"sums"`
	Closed    []string `json:"closed"`
	Scripts   bool     `json:"scripts"`
	NoScripts []string `json:"no_scripts"`
	NamesOnly bool     `json:"names_only"`
}

type compareAnswer struct {
	Files       int          `json:"files"`
	Differences []difference `json:"differences"`
	More        int          `json:"more"`
	Complete    bool         `json:"complete"`
}

type difference struct {
	Path  string `json:"path"`
	Class Class  `json:"class"`
	Top   bool   `json:"top,omitempty"`
	Note  string `json:"note,omitempty"`
}

func childCompare(ctx context.Context, request compareRequest) (any, error) {
	root, err := os.OpenRoot(request.Home)
	if err != nil {
		return nil, fmt.Errorf("opening domain directory: %w", err)
	}
	defer root.Close()
	if info, err := root.Lstat(request.Target); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", request.Target, err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory: %w", request.Target, fs.ErrNotExist)
	}
	dir, err := root.OpenRoot(request.Target)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", request.Target, err)
	}
	defer dir.Close()
	c := &comparer{compareRequest: request, ctx: ctx, below: map[string]bool{}, seen: map[string]bool{}, work: make(chan opened, 16)}
	c.answer.Complete = true
	for name := range c.Sums {
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			c.below[d] = true
		}
	}
	for range compareWorkers {
		c.workers.Go(c.hash)
	}
	c.walk(dir, ".", 0)
	close(c.work)
	c.workers.Wait()
	c.missing()
	return c.answer, ctx.Err()
}

// comparer walks one tree, and hashes what it finds on the way.
type comparer struct {
	compareRequest
	ctx     context.Context
	below   map[string]bool // directories that have some of Sums below
	seen    map[string]bool // of Sums
	entries int
	work    chan opened
	workers sync.WaitGroup

	mu     sync.Mutex // of answer
	answer compareAnswer
}

// opened is a file of Sums on its way to be hashed.
type opened struct {
	path string
	file *os.File
}

func (c *comparer) found(d difference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answer.Differences) == maxFindings {
		c.answer.More++
		return
	}
	c.answer.Differences = append(c.answer.Differences, d)
}

func (c *comparer) walk(dir *os.Root, rel string, depth int) {
	names, err := list(dir, -1)
	c.entries += len(names)
	if err != nil || c.ctx.Err() != nil || c.entries > maxCompared || depth > maxTreeDepth {
		c.answer.Complete = false
		return
	}
	closed, scriptless := within(c.Closed, rel), within(c.NoScripts, rel)
	for _, name := range names {
		p := path.Join(rel, name)
		info, err := dir.Lstat(name)
		switch {
		case err != nil: // gone meanwhile
		case info.IsDir():
			if closed || scriptless || c.leads(p) {
				c.enter(dir, p, depth)
			}
		case c.Sums[p] != "":
			c.seen[p] = true
			c.open(dir, p, info)
		case closed:
			c.found(difference{Path: p, Class: Unexpected, Note: noteOf(info)})
		case scriptless && isScript(name) && !isSilence(dir, info):
			c.found(difference{Path: p, Class: Unexpected, Note: "no PHP belongs here"})
		case c.Scripts && rel == "." && isScript(name) && name != "wp-config.php":
			c.found(difference{Path: p, Class: Unexpected, Top: true, Note: noteOf(info)})
		}
	}
}

// leads: something to look at is below p.
func (c *comparer) leads(p string) bool {
	reaches := func(dir string) bool { return dir == p || strings.HasPrefix(dir, p+"/") }
	return c.below[p] || slices.ContainsFunc(c.Closed, reaches) || slices.ContainsFunc(c.NoScripts, reaches)
}

func (c *comparer) enter(dir *os.Root, p string, depth int) {
	sub, err := dir.OpenRoot(path.Base(p))
	if err != nil {
		c.answer.Complete = false
		return
	}
	defer sub.Close()
	c.walk(sub, p, depth+1)
}

func (c *comparer) open(dir *os.Root, p string, info fs.FileInfo) {
	if !info.Mode().IsRegular() {
		c.found(difference{Path: p, Class: Modified, Note: noteOf(info)})
		return
	}
	if c.NamesOnly {
		return
	}
	f, err := dir.OpenFile(path.Base(p), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		c.found(difference{Path: p, Class: Modified, Note: "it cannot be read"})
		return
	}
	c.work <- opened{p, f}
}

func (c *comparer) hash() {
	for o := range c.work {
		h := sha256.New()
		_, err := io.Copy(h, o.file)
		d := difference{Path: o.path, Class: Modified}
		switch {
		case err != nil:
			d.Note = "it cannot be read"
		case hex.EncodeToString(h.Sum(nil)) == c.Sums[o.path]:
			d.Class = ""
		case o.path == versionFile && c.isLocal(o.file):
			d.Class = Locale
		}
		_ = o.file.Close() // only read from
		if d.Class != "" {
			c.found(d)
		}
		c.mu.Lock()
		c.answer.Files++
		c.mu.Unlock()
	}
}

const versionFile = "wp-includes/version.php"

// localPackage is the one line that a translated package of WordPress adds to version.php.
var localPackage = regexp.MustCompile(`\n\$wp_local_package = '([A-Za-z0-9_]{2,20})';\n$`)

// isLocal: the file is that of the package but for that line.
func (c *comparer) isLocal(f *os.File) bool {
	data := make([]byte, 64<<10)
	n, err := f.ReadAt(data, 0)
	if err != io.EOF {
		return false
	}
	data = localPackage.ReplaceAll(data[:n], nil)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]) == c.Sums[versionFile]
}

// missing reports what was not found, and takes back what a translated package differs in.
func (c *comparer) missing() {
	for p := range c.Sums {
		if !c.seen[p] && c.answer.Complete {
			c.found(difference{Path: p, Class: Missing})
		}
	}
	translated := slices.ContainsFunc(c.answer.Differences, func(d difference) bool { return d.Class == Locale })
	for i, d := range c.answer.Differences {
		if translated && d.Class == Modified && (d.Path == "readme.html" || d.Path == "wp-config-sample.php") {
			c.answer.Differences[i].Class = Locale
		}
	}
}

// within: rel is one of the directories, or below one.
func within(dirs []string, rel string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return dir == "." || rel == dir || strings.HasPrefix(rel, dir+"/")
	})
}

func noteOf(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return ""
	case mode&fs.ModeSymlink != 0:
		return "it is a link"
	}
	return "it is no regular file"
}

var phpComment = regexp.MustCompile(`^<\?php\s*(//[^\n?]*)?\s*(\?>)?\s*$`)

// isSilence: an index.php that does nothing, which keeps directories from being listed.
func isSilence(dir *os.Root, info fs.FileInfo) bool {
	if info.Name() != "index.php" || !info.Mode().IsRegular() || info.Size() > 128 {
		return false
	}
	data, err := readCapped(dir, info.Name(), 128)
	return err == nil && phpComment.Match(data)
}
