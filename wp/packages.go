package wp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrPackageUnavailable is the class of *UnavailableError.
var ErrPackageUnavailable = errors.New("package not available")

// UnavailableError says what was asked for and what there is instead.
type UnavailableError struct {
	Package   string   // "WordPress", "plugin akismet", "translation de_DE of WordPress 7.1.1"
	Version   string   // as requested; "" where it does not matter
	Available []string // newest first, at most 20
	Cause     error    // why nothing could be asked, may be nil
}

func (e *UnavailableError) Error() string {
	what := strings.TrimSpace(e.Package + " " + e.Version)
	switch {
	case len(e.Available) > 0:
		return fmt.Sprintf("%s is not in the package source; available: %s", what, strings.Join(e.Available, ", "))
	case e.Cause != nil:
		return fmt.Sprintf("%s cannot be fetched from the package source: %v", what, e.Cause)
	}
	return what + " is not in the package source"
}

// Unwrap gives the class and the cause.
func (e *UnavailableError) Unwrap() []error { return []error{ErrPackageUnavailable, e.Cause} }

// WordPressOrg is the source that needs no mirror.
const WordPressOrg = "wordpress.org"

// Kinds of packages, also their folders in the layout.
const (
	kindCore   = "core"
	kindPlugin = "plugins"
	kindTheme  = "themes"
)

// Packages is where everything comes from that is not written by us: WordPress,
// translations, plugins, themes, WP-CLI. Sources:
//
//	/srv/wptk/packages      a directory with the layout below
//	https://mirror/packages the same layout over HTTPS
//	internal+https://…      the same on a private address (also internal+http://)
//	wordpress.org           downloads.wordpress.org and api.wordpress.org
//
// Layout:
//
//	core/LATEST, core/<version>/{wordpress/…,SHA256SUMS,languages/…,LANGUAGES.SHA256SUMS,LOCALES}
//	plugins/<slug>/<version>.zip, themes/<slug>/<version>.zip, wp-cli/wp-cli.phar
//	core/VERSIONS, plugins/<slug>/VERSIONS (a mirror only, as HTTP lists no directory; a line each)
//
// A directory that nobody but root and this process can write to is used where it
// is. Everything else is fetched once into the store, checked there, and used from
// there. Paths that are handed out are world-readable and stay as they are.
type Packages struct {
	source packageSource
	inUse  string // source directory that is used in place, or ""
	store  string
	log    *slog.Logger

	mu       sync.Mutex // of the maps; never held while fetching
	fetching map[string]*sync.Mutex
	checked  map[string]fingerprint
	lists    map[string]versionList
}

// packageSource is where versions are listed and fetched from.
type packageSource interface {
	// versions lists what there is, in any order; none is no error.
	versions(ctx context.Context, kind, slug string) ([]Version, error)
	// core makes dir/wordpress and dir/SHA256SUMS.
	core(ctx context.Context, v Version, dir string) error
	// language makes dir/<files> of one locale and returns their names, or which
	// locales there are.
	language(ctx context.Context, v Version, locale, dir string) (locales []string, err error)
	// zip writes one archive to file.
	zip(ctx context.Context, kind, slug string, v Version, file string) error
}

type versionList struct {
	versions []Version
	at       time.Time
}

// versionsFresh is how long a list of versions is believed.
const versionsFresh = 10 * time.Minute

// OpenPackages opens a source; cacheDir is the store, made 0755 if missing, and
// should lie where tenants can read.
func OpenPackages(source, cacheDir string) (*Packages, error) {
	if !filepath.IsAbs(cacheDir) {
		return nil, fmt.Errorf("opening package store: %q is not an absolute path", cacheDir)
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return nil, fmt.Errorf("opening package store: %w", err)
	}
	if err := safeChain(cacheDir); err != nil {
		return nil, fmt.Errorf("opening package store: %w", err)
	}
	p := &Packages{
		store: cacheDir, log: slog.Default(),
		fetching: map[string]*sync.Mutex{}, checked: map[string]fingerprint{}, lists: map[string]versionList{},
	}
	return p, p.open(source)
}

func (p *Packages) open(source string) error {
	if source == "" || source == WordPressOrg {
		p.source = newWordPressOrg(publicClient())
		return nil
	}
	if filepath.IsAbs(source) {
		dir := filepath.Clean(source)
		root, err := os.OpenRoot(dir)
		if err != nil {
			return fmt.Errorf("opening package source: %w", err)
		}
		p.source = layoutSource{dirFiles{root}}
		if err := safeChain(dir); err != nil {
			p.log.Warn("package source is writable for others, packages are copied before use", "path", dir, "err", err)
			return nil
		}
		p.inUse = dir
		return nil
	}
	address, internal := strings.CutPrefix(source, "internal+")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && (!internal || u.Scheme != "http") {
		return fmt.Errorf("opening package source: %q must be an absolute directory, an https:// address or %s", source, WordPressOrg)
	}
	client := publicClient()
	if internal {
		client = internalClient(u.Scheme)
	}
	p.source = layoutSource{mirrorFiles{client: client, base: strings.TrimRight(address, "/")}}
	return nil
}

// CoreTree is a WordPress on this node, checked.
type CoreTree struct {
	Version string
	Dir     string // absolute; regular files and directories only, world-readable
	// Languages is a directory with the files of the locale that was asked for, and
	// LanguageFiles their names in it; empty for English.
	Languages     string
	LanguageFiles []string
}

// Core provides a WordPress tree. request is "latest", a branch ("6.5": its newest
// version) or a version; locale may be empty.
func (p *Packages) Core(ctx context.Context, request, locale string) (CoreTree, error) {
	v, err := p.resolve(ctx, kindCore, "", request)
	if err != nil {
		return CoreTree{}, err
	}
	dir, err := p.coreDir(ctx, v)
	if err != nil {
		return CoreTree{}, fmt.Errorf("providing WordPress %s: %w", v, err)
	}
	tree := CoreTree{Version: v.String(), Dir: filepath.Join(dir, "wordpress")}
	if locale == "" || locale == "en_US" {
		return tree, nil
	}
	if reason := ValidLocale(locale); reason != "" {
		return CoreTree{}, fmt.Errorf("locale %s", reason)
	}
	tree.Languages, tree.LanguageFiles, err = p.languageDir(ctx, v, locale)
	return tree, err
}

// coreDir is the checked folder of one version.
func (p *Packages) coreDir(ctx context.Context, v Version) (string, error) {
	rel := filepath.Join(kindCore, v.String())
	defer p.lock(rel)()
	dir := filepath.Join(p.store, rel)
	if p.inUse != "" {
		dir = filepath.Join(p.inUse, rel)
	} else if _, err := os.Stat(filepath.Join(dir, "SHA256SUMS")); err != nil {
		if err := fill(dir, func(stage string) error { return p.source.core(ctx, v, stage) }); err != nil {
			return "", err
		}
	}
	return dir, p.check(filepath.Join(dir, "wordpress"), filepath.Join(dir, "SHA256SUMS"))
}

func (p *Packages) languageDir(ctx context.Context, v Version, locale string) (string, []string, error) {
	rel := filepath.Join(kindCore, v.String()+"-languages", locale)
	defer p.lock(rel)()
	dir := filepath.Join(p.store, rel)
	if _, err := os.Stat(dir); err != nil {
		var locales []string
		err := fill(dir, func(stage string) (err error) {
			locales, err = p.source.language(ctx, v, locale, stage)
			return err
		})
		if err != nil {
			return "", nil, &UnavailableError{Package: fmt.Sprintf("translation %s of WordPress %s", locale, v), Available: locales, Cause: err}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, fmt.Errorf("listing translation: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return dir, names, nil
}

// Plugin provides the archive of a plugin; version may be "" or "latest".
func (p *Packages) Plugin(ctx context.Context, slug, version string) (string, error) {
	return p.archive(ctx, kindPlugin, slug, version)
}

// Theme provides the archive of a theme; version may be "" or "latest".
func (p *Packages) Theme(ctx context.Context, slug, version string) (string, error) {
	return p.archive(ctx, kindTheme, slug, version)
}

func (p *Packages) archive(ctx context.Context, kind, slug, request string) (string, error) {
	if reason := ValidSlug(slug); reason != "" {
		return "", fmt.Errorf("slug %s", reason)
	}
	v, err := p.resolve(ctx, kind, slug, request)
	if err != nil {
		return "", err
	}
	rel := filepath.Join(kind, slug, v.String()+".zip")
	defer p.lock(rel)()
	file := filepath.Join(p.store, rel)
	if p.inUse != "" {
		file = filepath.Join(p.inUse, rel)
	} else if _, err := os.Stat(file); err != nil {
		if err := fill(file, func(stage string) error { return p.source.zip(ctx, kind, slug, v, stage) }); err != nil {
			return "", fmt.Errorf("fetching %s %s: %w", slug, v, err)
		}
	}
	return file, p.checkArchive(file)
}

// CoreVersions lists the versions of WordPress that there are, newest first.
func (p *Packages) CoreVersions(ctx context.Context) ([]string, error) {
	vs, err := p.versions(ctx, kindCore, "")
	return texts(vs), err
}

// WPCLI is the path of wp-cli.phar in a directory source, or "" if it has none.
func (p *Packages) WPCLI() string {
	file := filepath.Join(p.inUse, "wp-cli", "wp-cli.phar")
	if info, err := os.Lstat(file); p.inUse == "" || err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return file
}

func (p *Packages) resolve(ctx context.Context, kind, slug, request string) (Version, error) {
	unavailable := &UnavailableError{Package: "WordPress", Version: request}
	if kind != kindCore {
		unavailable.Package = strings.TrimSuffix(kind, "s") + " " + slug
	}
	available, err := p.versions(ctx, kind, slug)
	v, ok := pick(available, request, kind == kindCore)
	switch {
	case ok:
		return v, nil
	case err != nil && p.inUse == "":
		unavailable.Cause = err
	}
	unavailable.Available = texts(available[:min(len(available), 20)])
	return Version{}, unavailable
}

// versions lists the newest first. When the source does not answer, an old list
// and what the store has are better than nothing.
func (p *Packages) versions(ctx context.Context, kind, slug string) ([]Version, error) {
	key := kind + "/" + slug
	p.mu.Lock()
	known, ok := p.lists[key]
	p.mu.Unlock()
	if ok && time.Since(known.at) < versionsFresh && p.inUse == "" {
		return known.versions, nil
	}
	list, err := p.source.versions(ctx, kind, slug)
	if err != nil {
		p.log.Warn("package source does not answer", "path", key, "err", err)
		list = slices.Concat(known.versions, p.stored(kind, slug))
	}
	newestFirst(list)
	list = slices.CompactFunc(list, func(a, b Version) bool { return a.raw == b.raw })
	if err == nil {
		p.mu.Lock()
		p.lists[key] = versionList{list, time.Now()}
		p.mu.Unlock()
	}
	return list, err
}

func (p *Packages) stored(kind, slug string) []Version {
	root, err := os.OpenRoot(p.store)
	if err != nil {
		return nil
	}
	defer root.Close()
	list, _ := layoutSource{dirFiles{root}}.versions(context.Background(), kind, slug)
	return list
}

// lock serialises the work on one package.
func (p *Packages) lock(key string) (unlock func()) {
	p.mu.Lock()
	m := p.fetching[key]
	if m == nil {
		m = &sync.Mutex{}
		p.fetching[key] = m
	}
	p.mu.Unlock()
	m.Lock()
	return m.Unlock
}

func texts(vs []Version) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = v.String()
	}
	return out
}
