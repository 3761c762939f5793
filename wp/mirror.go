package wp

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Mirror fills a directory with the layout of Packages, for nodes to use in place or behind
// a web server. Every package is complete and on the disk before it has its name, and what
// has its name never changes: a version is a version.
type Mirror struct{ dir string }

// MirrorPackage is one package of a mirror.
type MirrorPackage struct {
	Kind    string   `json:"kind"` // core, plugins, themes
	Slug    string   `json:"slug,omitempty"`
	Version string   `json:"version"`
	Locales []string `json:"locales,omitempty"` // of a core
	Added   bool     `json:"added"`             // false: it was there
}

// String names it for people.
func (p MirrorPackage) String() string {
	if p.Kind == kindCore {
		return "WordPress " + p.Version
	}
	return strings.TrimSuffix(p.Kind, "s") + " " + p.Slug + " " + p.Version
}

// ErrOtherContent says that the mirror has the version, and it is not the same.
var ErrOtherContent = errors.New("the mirror has this version with other content")

// OpenMirror opens a mirror, or begins one.
func OpenMirror(dir string) (*Mirror, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening mirror: %w", err)
	}
	for _, kind := range []string{kindCore, kindPlugin, kindTheme} {
		if err := os.MkdirAll(filepath.Join(dir, kind), 0o755); err != nil {
			return nil, fmt.Errorf("opening mirror: %w", err)
		}
	}
	return &Mirror{dir}, nil
}

// List names everything that the mirror has, the newest version of each first.
func (m *Mirror) List() ([]MirrorPackage, error) {
	var all []MirrorPackage
	cores, err := m.versions(kindCore, "")
	if err != nil {
		return nil, err
	}
	for _, v := range cores {
		locales, err := m.locales(v.String())
		if err != nil {
			return nil, err
		}
		all = append(all, MirrorPackage{Kind: kindCore, Version: v.String(), Locales: locales})
	}
	for _, kind := range []string{kindPlugin, kindTheme} {
		slugs, err := os.ReadDir(filepath.Join(m.dir, kind))
		if err != nil {
			return nil, fmt.Errorf("listing mirror: %w", err)
		}
		for _, slug := range slugs {
			if ValidSlug(slug.Name()) != "" {
				continue
			}
			versions, err := m.versions(kind, slug.Name())
			if err != nil {
				return nil, err
			}
			for _, v := range versions {
				all = append(all, MirrorPackage{Kind: kind, Slug: slug.Name(), Version: v.String()})
			}
		}
	}
	return all, nil
}

func (m *Mirror) versions(kind, slug string) ([]Version, error) {
	entries, err := os.ReadDir(filepath.Join(m.dir, kind, slug))
	if err != nil {
		return nil, fmt.Errorf("listing mirror: %w", err)
	}
	var list []Version
	for _, e := range entries {
		name, isZip := strings.CutSuffix(e.Name(), ".zip")
		if v, err := ParseVersion(name); err == nil && isZip == (kind != kindCore) {
			list = append(list, v)
		}
	}
	newestFirst(list)
	return list, nil
}

func (m *Mirror) locales(version string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(m.dir, kindCore, version, "LOCALES"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing mirror: %w", err)
	}
	return strings.Fields(string(data)), nil
}

// index writes what a mirror behind a web server is asked for, since HTTP lists no directory.
func (m *Mirror) index(kind, slug string) error {
	list, err := m.versions(kind, slug)
	if err != nil {
		return err
	}
	dir, err := os.OpenRoot(filepath.Join(m.dir, kind, slug))
	if err != nil {
		return fmt.Errorf("writing index: %w", err)
	}
	defer dir.Close()
	err = replace(dir, "VERSIONS", []byte(strings.Join(texts(list), "\n")+"\n"), 0o644)
	if latest, ok := pick(list, "latest", false); ok && kind == kindCore {
		err = errors.Join(err, replace(dir, "LATEST", []byte(latest.String()+"\n"), 0o644))
	}
	if err != nil {
		return fmt.Errorf("writing index: %w", err)
	}
	return nil
}

// FetchCore brings a WordPress and its translations from another source.
func (m *Mirror) FetchCore(ctx context.Context, from *Packages, request string, locales []string) (MirrorPackage, error) {
	tree, err := from.Core(ctx, request, "")
	if err != nil {
		return MirrorPackage{}, err
	}
	p := MirrorPackage{Kind: kindCore, Version: tree.Version}
	if p.Added, err = m.putCore(tree.Version, tree.Dir); err != nil {
		return p, err
	}
	for _, locale := range locales {
		with, err := from.Core(ctx, Exactly(tree.Version), locale)
		if err != nil {
			return p, err
		}
		if with.Languages == "" {
			continue
		}
		if err := m.putLanguage(tree.Version, locale, with.Languages); err != nil {
			return p, fmt.Errorf("adding translation %s: %w", locale, err)
		}
	}
	if p.Locales, err = m.locales(tree.Version); err != nil {
		return p, err
	}
	return p, m.index(kindCore, "")
}

// putCore copies a checked tree.
func (m *Mirror) putCore(version, tree string) (added bool, err error) {
	place := filepath.Join(m.dir, kindCore, version)
	stage := func(dir string) error {
		if err := os.CopyFS(filepath.Join(dir, "wordpress"), os.DirFS(tree)); err != nil {
			return fmt.Errorf("copying WordPress: %w", err)
		}
		return writeManifest(filepath.Join(dir, "wordpress"), filepath.Join(dir, "SHA256SUMS"))
	}
	manifest, err := os.ReadFile(filepath.Join(place, "SHA256SUMS"))
	if errors.Is(err, fs.ErrNotExist) {
		return true, fill(place, stage)
	}
	if err != nil {
		return false, fmt.Errorf("reading manifest: %w", err)
	}
	sums, err := parseManifest(manifest)
	if err != nil {
		return false, err
	}
	if err := verifyTree(tree, sums); err != nil {
		return false, fmt.Errorf("WordPress %s: %w: %w", version, ErrOtherContent, err)
	}
	return false, nil
}

// putLanguage adds the files of one locale, then says that they are there.
func (m *Mirror) putLanguage(version, locale, from string) error {
	core := filepath.Join(m.dir, kindCore, version)
	if err := os.MkdirAll(filepath.Join(core, "languages"), 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	dir, err := os.OpenRoot(core)
	if err != nil {
		return err
	}
	defer dir.Close()
	languages, err := dir.OpenRoot("languages")
	if err != nil {
		return err
	}
	defer languages.Close()
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err == nil && ofLocale(e.Name(), locale) {
			err = replace(languages, e.Name(), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	const sums = "LANGUAGES.SHA256SUMS"
	if err := errors.Join(writeManifest(filepath.Join(core, "languages"), filepath.Join(core, sums+".new")), dir.Rename(sums+".new", sums)); err != nil {
		return err
	}
	known, err := m.locales(version)
	if err != nil {
		return err
	}
	if !slices.Contains(known, locale) {
		known = append(known, locale)
	}
	slices.Sort(known)
	return replace(dir, "LOCALES", []byte(strings.Join(known, "\n")+"\n"), 0o644)
}

// FetchPlugin brings the archive of a plugin from another source.
func (m *Mirror) FetchPlugin(ctx context.Context, from *Packages, slug, version string) (MirrorPackage, error) {
	archive, err := from.Plugin(ctx, slug, version)
	if err != nil {
		return MirrorPackage{}, err
	}
	return m.putArchive(MirrorPackage{Kind: kindPlugin, Slug: slug, Version: ArchiveVersion(archive)}, archive)
}

// FetchTheme brings the archive of a theme from another source.
func (m *Mirror) FetchTheme(ctx context.Context, from *Packages, slug, version string) (MirrorPackage, error) {
	archive, err := from.Theme(ctx, slug, version)
	if err != nil {
		return MirrorPackage{}, err
	}
	return m.putArchive(MirrorPackage{Kind: kindTheme, Slug: slug, Version: ArchiveVersion(archive)}, archive)
}

func (m *Mirror) putArchive(p MirrorPackage, archive string) (MirrorPackage, error) {
	if err := errors.Join(checkZip(archive), CheckRoot(archive, p.Slug)); err != nil {
		return p, fmt.Errorf("checking %s: %w", p, err)
	}
	place := filepath.Join(m.dir, p.Kind, p.Slug, p.Version+".zip")
	want, err := sha256File(archive)
	if err != nil {
		return p, err
	}
	switch got, err := sha256File(place); {
	case errors.Is(err, fs.ErrNotExist):
		p.Added = true
	case err != nil:
		return p, err
	case got != want:
		return p, fmt.Errorf("%s: %w", p, ErrOtherContent)
	}
	if p.Added {
		err := fill(place, func(stage string) error {
			in, err := os.Open(archive)
			if err != nil {
				return err
			}
			defer in.Close()
			return writeCapped(in, stage, maxArchive)
		})
		if err != nil {
			return p, err
		}
	}
	return p, m.index(p.Kind, p.Slug)
}

// Add takes a zip file: a WordPress, a plugin or a theme, which it tells by what is in it.
func (m *Mirror) Add(ctx context.Context, archive string) (MirrorPackage, error) {
	if err := checkZip(archive); err != nil {
		return MirrorPackage{}, fmt.Errorf("checking %s: %w", filepath.Base(archive), err)
	}
	p, err := identify(archive)
	switch {
	case err != nil:
		return MirrorPackage{}, fmt.Errorf("looking into %s: %w", filepath.Base(archive), err)
	case p.Kind == kindCore:
		return m.addCore(p, archive)
	}
	return m.putArchive(p, archive)
}

func (m *Mirror) addCore(p MirrorPackage, archive string) (_ MirrorPackage, err error) {
	dir, err := os.MkdirTemp(m.dir, ".add-")
	if err != nil {
		return p, fmt.Errorf("unpacking WordPress: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := unzip(archive, dir); err != nil {
		return p, fmt.Errorf("unpacking WordPress: %w", err)
	}
	if p.Added, err = m.putCore(p.Version, filepath.Join(dir, "wordpress")); err != nil {
		return p, err
	}
	return p, m.index(kindCore, "")
}

// headerPattern reads as WordPress does: up to the end of the line or of the comment.
var headerPattern = regexp.MustCompile(`(?m)^[ \t/*#@]*(Plugin Name|Theme Name|Version):[ \t]*(.*?)[ \t]*(?:(?:\*/|\?>).*)?\r?$`)

// headerSize is how much of a file WordPress reads for its header (get_file_data).
const headerSize = 8 << 10

// identify tells what an archive is.
func identify(archive string) (MirrorPackage, error) {
	var p MirrorPackage
	top := map[string]bool{}
	err := eachZip(archive, func(f *zip.File, in io.Reader) error {
		slug, below, _ := strings.Cut(f.Name, "/")
		top[slug] = true
		wanted := f.Name == "wordpress/"+versionFile || below == "style.css" || path.Ext(below) == ".php" && !strings.Contains(below, "/")
		if !wanted {
			return nil
		}
		src, err := io.ReadAll(io.LimitReader(in, 64<<10))
		if err != nil {
			return err
		}
		if f.Name == "wordpress/"+versionFile {
			p = MirrorPackage{Kind: kindCore, Version: versionText(src, "wp_version")}
			return nil
		}
		if kind, version := header(src[:min(len(src), headerSize)]); kind != "" && p.Kind == "" {
			p = MirrorPackage{Kind: kind, Slug: slug, Version: version}
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	switch {
	case p.Kind == "":
		return p, errors.New("it is no WordPress, and no plugin or theme in a directory of its own")
	case len(top) != 1:
		return p, fmt.Errorf("%w: it has more than one directory", errBadZip)
	case p.Kind != kindCore && ValidSlug(p.Slug) != "":
		return p, fmt.Errorf("its directory %s", ValidSlug(p.Slug))
	}
	_, err = ParseVersion(p.Version)
	return p, err
}

// header reads the head of a plugin's or theme's main file.
func header(src []byte) (kind, version string) {
	for _, m := range headerPattern.FindAllSubmatch(src, -1) {
		switch string(m[1]) {
		case "Plugin Name":
			kind = kindPlugin
		case "Theme Name":
			kind = kindTheme
		case "Version":
			version = string(m[2])
		}
	}
	return kind, version
}
