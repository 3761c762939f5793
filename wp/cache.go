package wp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
)

// DropInOwner says whose a drop-in is.
type DropInOwner string

// The owners of a drop-in.
const (
	DropInNone    DropInOwner = "none"
	DropInOurs    DropInOwner = "ours"
	DropInForeign DropInOwner = "foreign"
)

// ObjectCacheFile is the drop-in below the content directory.
const ObjectCacheFile = "object-cache.php"

// ourDropIns are their names, by file.
var ourDropIns = map[string]string{ObjectCacheFile: ObjectCacheName, PageCacheFile: PageCacheName}

var pluginName = regexp.MustCompile(`(?m)^[ \t/*#@]*Plugin Name:[ \t]*([^\r\n]*)`)

// DropIn looks whose a drop-in is; path is absolute, inside the docroot. name is what a
// foreign one calls itself, "" when it does not.
func (f Files) DropIn(ctx context.Context, site Site, path string) (owner DropInOwner, name string, err error) {
	rel, err := filepath.Rel(site.Docroot, path)
	if err != nil {
		return "", "", fmt.Errorf("finding drop-in: %w", err)
	}
	src, err := f.ReadFile(ctx, site, rel, MaxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return DropInNone, "", nil
	case err != nil && ctx.Err() == nil:
		return DropInForeign, "", nil // no file, or one that is not to be read: in any case not ours
	case err != nil:
		return "", "", fmt.Errorf("reading drop-in: %w", err)
	}
	if m := pluginName.FindSubmatch(src[:min(len(src), 8<<10)]); m != nil {
		name = cleanField(string(bytes.TrimSpace(m[1])))
	}
	if name == ourDropIns[filepath.Base(path)] {
		return DropInOurs, name, nil
	}
	return DropInForeign, name, nil
}

// TestObjectCache tries a drop-in from PHP, as the site's user, before it is put in place. The
// text says what is wrong; it is empty when values can be written and read.
func (c *CLI) TestObjectCache(ctx context.Context, site Site, u ObjectCacheUser) (wrong string, err error) {
	code, err := u.DropIn()
	if err != nil {
		return "", err
	}
	in, err := json.Marshal(map[string]string{"code": string(code)})
	if err != nil {
		return "", fmt.Errorf("encoding drop-in: %w", err)
	}
	cmd := cacheCommand("cache-test", in).hiding(u.secret)
	out, err := c.must(ctx, site, cmd)
	if err != nil {
		return "", err
	}
	var answer struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if err := parseJSON(out, &answer); err != nil {
		return "", fmt.Errorf("reading test of the object cache: %w", err)
	}
	switch {
	case answer.OK:
		return "", nil
	case answer.Error == "":
		return "what was written could not be read", nil
	}
	return cleanLine(answer.Error, 100), nil
}

// CacheState is how a running WordPress sees its object cache.
type CacheState struct {
	Using   bool   // something outlives the request
	Ours    bool   // and it is our drop-in
	Error   string // what keeps ours from being used
	Note    string // what NoteInCache has left, of another process
	Flushed bool
	Content string // the content directory, absolute; "" when it is not inside the domain's
}

// Cache asks it. The site's plugins and theme are not loaded; drop-ins are.
func (c *CLI) Cache(ctx context.Context, site Site) (CacheState, error) {
	return c.cache(ctx, site, map[string]any{})
}

// NoteInCache writes a text into the cache, for another process to find (CacheState.Note).
func (c *CLI) NoteInCache(ctx context.Context, site Site, text string) error {
	_, err := c.cache(ctx, site, map[string]any{"set": text})
	return err
}

// FlushCache empties the object cache, whoever's it is.
func (c *CLI) FlushCache(ctx context.Context, site Site) (CacheState, error) {
	return c.cache(ctx, site, map[string]any{"flush": true})
}

func (c *CLI) cache(ctx context.Context, site Site, ask map[string]any) (CacheState, error) {
	in, err := json.Marshal(ask)
	if err != nil {
		return CacheState{}, fmt.Errorf("encoding question: %w", err)
	}
	out, err := c.must(ctx, site, cacheCommand("cache", in).withoutPlugins())
	if err != nil {
		return CacheState{}, err
	}
	var p struct {
		Using   bool   `json:"using"`
		Ours    bool   `json:"ours"`
		Error   string `json:"error"`
		Note    string `json:"note"`
		Flushed bool   `json:"flushed"`
		Root    string `json:"root"`
		Content string `json:"content"`
	}
	if err := parseJSON(out, &p); err != nil {
		return CacheState{}, fmt.Errorf("reading state of the cache: %w", err)
	}
	return CacheState{
		Using: p.Using, Ours: p.Ours, Error: cleanLine(p.Error, 100), Note: cleanLine(p.Note, 200), Flushed: p.Flushed,
		Content: insideHome(site, cleanField(p.Root), cleanField(p.Content)),
	}, nil
}

// PagePurge is what came of PurgePages.
type PagePurge struct {
	Provider string `json:"provider"` // "" when no known plugin caches pages
	Emptied  bool   `json:"emptied"`
	Whole    bool   `json:"whole"` // everything, also when single pages were asked for
}

// PurgePages has the plugin that caches pages forget some of them, or all without urls.
func (c *CLI) PurgePages(ctx context.Context, site Site, urls []string) (PagePurge, error) {
	return c.pages(ctx, site, map[string]any{"urls": urls})
}

func (c *CLI) pages(ctx context.Context, site Site, ask map[string]any) (PagePurge, error) {
	in, err := json.Marshal(ask)
	if err != nil {
		return PagePurge{}, fmt.Errorf("encoding question: %w", err)
	}
	out, err := c.must(ctx, site, cacheCommand("page-cache", in))
	if err != nil {
		return PagePurge{}, err
	}
	var p PagePurge
	if err := parseJSON(out, &p); err != nil {
		return PagePurge{}, fmt.Errorf("reading result: %w", err)
	}
	p.Provider = cleanField(p.Provider)
	return p, nil
}

func cacheCommand(verb literal, in []byte) Command {
	return command("wptk", verb).input(string(in)).loading("cache.php").forParser().within(factsTime)
}
