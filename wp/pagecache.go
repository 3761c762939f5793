package wp

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	// PageCacheFile is the drop-in below the content directory.
	PageCacheFile = "advanced-cache.php"
	// PageCacheName is how ours is listed, and how it is known for ours.
	PageCacheName = "WisPanel Page Cache"
	// PageCacheHeader tells a visitor whether a page was kept: hit, miss or bypass.
	PageCacheHeader = "X-Wptk-Cache"
	// PageCacheConst is the constant of wp-config.php that has WordPress load the drop-in.
	PageCacheConst = "WP_CACHE"

	pageCacheDir = "cache/wptk-page" // below the content directory; only ours keeps anything there
)

//go:embed php/dropin/advanced-cache.php
var pageCacheDropIn string

// PageSecret is the key of the names of one install's pages, 256 bits in hex.
type PageSecret string

var pageSecret = regexp.MustCompile(`'secret' => '([0-9a-f]{64})'`)

// NewPageSecret draws one.
func NewPageSecret() PageSecret {
	key := make([]byte, 32)
	rand.Read(key) // never fails: the process ends if the system has no randomness
	return PageSecret(hex.EncodeToString(key))
}

// PageSecretOf reads it from a drop-in of ours; "" when there is none.
func PageSecretOf(dropIn []byte) PageSecret {
	if m := pageSecret.FindSubmatch(dropIn); m != nil {
		return PageSecret(m[1])
	}
	return ""
}

// DropIn is the drop-in with this secret.
func (s PageSecret) DropIn() []byte {
	return []byte(strings.Replace(pageCacheDropIn, settingsMark, "array( 'secret' => '"+string(s)+"' )", 1))
}

var percents = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// names are the files in which the page of an address may be kept, whoever has asked for it
// in whatever way: the drop-in's address() with all values of its variables. With a slash at
// the end and without it is the same page.
func (s PageSecret) names(u *url.URL) []string {
	path := strings.TrimRight(percents.ReplaceAllStringFunc(u.EscapedPath(), strings.ToLower), "/")
	var names []string
	for _, p := range []string{path, path + "/"} {
		for _, scheme := range []string{"http", "https"} {
			for _, forwarded := range []string{"", "http", "https"} {
				for _, phone := range []string{"0", "1"} {
					h := hmac.New(sha256.New, []byte(s))
					h.Write([]byte(strings.Join([]string{scheme, strings.ToLower(u.Host), p, forwarded, phone}, "\n")))
					names = append(names, hex.EncodeToString(h.Sum(nil))+".html")
				}
			}
		}
	}
	return names
}

// ForgetPages empties the page cache below a content directory (absolute, inside the
// domain's); none is no error. What a visit that is under way keeps afterwards nobody finds.
func (f Files) ForgetPages(ctx context.Context, site Site, content string) error {
	return f.callPath(ctx, site, "wp.forgetpages", filepath.Join(content, pageCacheDir), fileRequest{}, nil)
}

// PurgePages is ForgetPages for some addresses.
func (f Files) PurgePages(ctx context.Context, site Site, content string, secret PageSecret, addresses []string) error {
	var names []string
	for _, a := range addresses {
		u, err := url.Parse(a)
		if err != nil {
			return fmt.Errorf("purging pages: %w", err)
		}
		names = append(names, secret.names(u)...)
	}
	data, err := json.Marshal(names)
	if err != nil {
		return fmt.Errorf("purging pages: %w", err)
	}
	return f.callPath(ctx, site, "wp.purgepages", filepath.Join(content, pageCacheDir), fileRequest{Data: data}, nil)
}

// DropPages removes the page cache's directory.
func (f Files) DropPages(ctx context.Context, site Site, content string) error {
	return f.callPath(ctx, site, "wp.removetree", filepath.Join(content, pageCacheDir), fileRequest{}, nil)
}

// PageDropIn is the drop-in that is in place, if it is ours; owner and name are as of DropIn.
func (f Files) PageDropIn(ctx context.Context, site Site, content string) (code []byte, owner DropInOwner, name string, err error) {
	file := filepath.Join(content, PageCacheFile)
	if owner, name, err = f.DropIn(ctx, site, file); err != nil || owner != DropInOurs {
		return nil, owner, name, err
	}
	t, err := f.Load(ctx, site, file, MaxFile)
	if err == nil && !bytes.Contains(t.Data, []byte(PageCacheName)) {
		return nil, DropInForeign, "", nil // changed meanwhile
	}
	return t.Data, owner, name, err
}

// TestPageCache has the drop-in that is in place keep a page and read it back, as the site's
// user. The text says what is wrong; it is empty when that works.
func (c *CLI) TestPageCache(ctx context.Context, site Site) (wrong string, err error) {
	out, err := c.must(ctx, site, cacheCommand("page-test", []byte("{}")).withoutPlugins())
	if err != nil {
		return "", err
	}
	var answer struct {
		Error string `json:"error"`
	}
	if err := parseJSON(out, &answer); err != nil {
		return "", fmt.Errorf("reading test of the page cache: %w", err)
	}
	return cleanLine(answer.Error, 200), nil
}

// PageProvider names the plugin of the site that caches pages and is known here; "" is none.
func (c *CLI) PageProvider(ctx context.Context, site Site) (string, error) {
	p, err := c.pages(ctx, site, map[string]any{"look": true})
	return p.Provider, err
}

// PageCacheMemory is what the node remembers of a page cache that it has switched on.
type PageCacheMemory struct {
	Op      string         `json:"op"`
	Content string         `json:"content"` // directory, relative to the domain's
	Config  []ConfigChange `json:"config,omitempty"`
}

// SetPageCache switches the constant of wp-config.php on, or takes back what had switched it
// on: before are the changes that did, nil when it was not this node. The changes of this
// call are what RevertConfig needs.
func SetPageCache(src []byte, on bool, before *PageCacheMemory) (next []byte, changes []ConfigChange, err error) {
	if before != nil {
		if src, err = RevertConfig(src, before.Config); err != nil {
			return nil, nil, err
		}
	}
	if on {
		return EditConfig(src, ConfigEdit{PageCacheConst, PHPBool(true)})
	}
	got, err := ConfigConsts(src, PageCacheConst)
	if err != nil || before != nil || !got[PageCacheConst].Defined || !got[PageCacheConst].True() {
		return src, nil, err
	}
	return EditConfig(src, ConfigEdit{PageCacheConst, PHPBool(false)})
}

var errNoPages = errors.New("the directory of the page cache is no directory")

func init() {
	register("wp.forgetpages", childForgetPages)
	register("wp.purgepages", childPurgePages)
}

var generationName = regexp.MustCompile(`^[0-9a-f]{32}$`)

// childForgetPages does what the drop-in's forget() does.
func childForgetPages(_ context.Context, c child) (any, error) {
	dir, err := c.openPages()
	if dir == nil || err != nil {
		return nil, err
	}
	defer dir.Close()
	now := randomText("0123456789abcdef", 32)
	if err := replace(dir, "generation", []byte(now), 0o600); err != nil {
		return nil, fmt.Errorf("beginning a generation of pages: %w", err)
	}
	names, err := list(dir, -1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name != now && generationName.MatchString(name) {
			if err := removeAll(dir, name); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// childPurgePages leaves empty files in the place of pages: a visit that is under way does
// not put the old page there again.
func childPurgePages(_ context.Context, c child) (any, error) {
	var names []string
	if err := json.Unmarshal(c.Data, &names); err != nil {
		return nil, fmt.Errorf("reading names of pages: %w", err)
	}
	dir, err := c.openPages()
	if dir == nil || err != nil {
		return nil, err
	}
	defer dir.Close()
	now, err := readCapped(dir, "generation", 64)
	if err != nil || !generationName.Match(now) {
		return nil, nil //nolint:nilerr // without a generation nothing is found
	}
	pages, err := dir.OpenRoot(string(now))
	if err != nil {
		return nil, nil //nolint:nilerr // it has no pages yet
	}
	defer pages.Close()
	for _, name := range names {
		if err := pages.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("purging page: %w", err)
		}
		f, err := pages.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			err = f.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrExist) { // a visit was faster, with a page of now
			return nil, fmt.Errorf("purging page: %w", err)
		}
	}
	return nil, nil
}

// openPages opens the page cache's directory; nil when there is none. A link is not followed:
// what it leads to is not the cache's.
func (c child) openPages() (*os.Root, error) {
	info, err := c.root.Lstat(c.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking at the page cache: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("looking at the page cache: %w: %w", errNoPages, fs.ErrPermission)
	}
	dir, err := c.root.OpenRoot(c.Target)
	if err != nil {
		return nil, fmt.Errorf("opening the page cache: %w", err)
	}
	return dir, nil
}
