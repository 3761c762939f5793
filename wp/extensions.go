package wp

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"
)

// Extensions is what has to be known of an install's plugins and themes before one of them
// is changed. Every text in it is the tenant's word, cleaned and capped.
type Extensions struct {
	Plugins []Addon
	Themes  []Addon // without a File
	// PluginRoot and ThemeRoot are where new ones go, Content is where these and the uploads
	// are; absolute, as this node writes paths; "" when that is not inside the domain's
	// directory.
	PluginRoot, ThemeRoot, Content string
	Multisite                      bool
	Stylesheet                     string // slug of the active theme, which may not be there
	DefaultTheme                   string // newest theme of WordPress itself that is there; "" for none
}

// Addon is a plugin or theme that is there.
type Addon struct {
	Slug    string
	File    string // of a plugin, as WordPress names it: "akismet/akismet.php", "hello.php"
	Version string
	Status  string // active, active-network, inactive, parent, must-use, drop-in
	Parent  string // of a child theme: the slug of the other
	Error   string // why WordPress cannot use a theme
	// Used is how many other sites of the network use it, -1 when they are too many to ask.
	Used int
	// Path is where its files are, absolute, inside the domain's directory; "" when they
	// are somewhere else, where nothing of them may be changed.
	Path string
}

// Active reports whether the site loads it; the parent of the active theme counts.
func (i Addon) Active() bool {
	return i.Status == AddonActive || i.Status == AddonNetwork || i.Status == AddonParent
}

// Values of Addon.Status.
const (
	AddonActive   = "active"
	AddonNetwork  = "active-network"
	AddonParent   = "parent"
	AddonInactive = "inactive"
	AddonMustUse  = "must-use"
	AddonDropIn   = "drop-in"
)

// Extensions lists plugins and themes. The site's own plugins and theme are not loaded, so it
// works on one that they have broken.
func (c *CLI) Extensions(ctx context.Context, site Site) (Extensions, error) {
	return c.extensions(ctx, site, true)
}

func (c *CLI) extensions(ctx context.Context, site Site, bare Bare) (Extensions, error) {
	out, err := c.must(ctx, site, bare.apply(siteExtensions()))
	if err != nil {
		return Extensions{}, err
	}
	found, err := parseAddons(out, site)
	if err != nil {
		return Extensions{}, fmt.Errorf("reading plugins and themes: %w", err)
	}
	return found, nil
}

func siteExtensions() Command {
	return command("wptk", "extensions").loading("extensions.php").forParser().within(factsTime)
}

// printedExtensions is what extensions.php prints.
type printedExtensions struct {
	Root       string             `json:"root"`
	PluginRoot string             `json:"plugin_root"`
	ThemeRoot  string             `json:"theme_root"`
	Content    string             `json:"content"`
	Multisite  bool               `json:"multisite"`
	Stylesheet string             `json:"stylesheet"`
	Default    string             `json:"default"`
	Plugins    []printedExtension `json:"plugins"`
	Themes     []printedExtension `json:"themes"`
}

type printedExtension struct {
	Slug    string `json:"slug"`
	File    string `json:"file"`
	Dir     string `json:"dir"`  // below its root
	Root    string `json:"root"` // of a theme: there may be several
	Version string `json:"version"`
	Status  string `json:"status"`
	Parent  string `json:"parent"`
	Error   string `json:"error"`
	Used    int    `json:"used"`
}

func parseAddons(out []byte, site Site) (Extensions, error) {
	var p printedExtensions
	if err := parseJSON(out, &p); err != nil {
		return Extensions{}, err
	}
	if p.Root == "" {
		return Extensions{}, fmt.Errorf("%w: no place", ErrOutput)
	}
	cleanTexts(reflect.ValueOf(&p).Elem())
	found := Extensions{
		PluginRoot: insideHome(site, p.Root, p.PluginRoot), ThemeRoot: insideHome(site, p.Root, p.ThemeRoot),
		Content:   insideHome(site, p.Root, p.Content),
		Multisite: p.Multisite, Stylesheet: p.Stylesheet, DefaultTheme: p.Default,
	}
	for _, e := range p.Plugins {
		found.Plugins = append(found.Plugins, e.addon(found.PluginRoot))
	}
	for _, e := range p.Themes {
		found.Themes = append(found.Themes, e.addon(insideHome(site, p.Root, e.Root)))
	}
	return found, nil
}

func (e printedExtension) addon(root string) Addon {
	in := Addon{
		Slug: e.Slug, File: e.File, Version: e.Version, Status: e.Status,
		Parent: e.Parent, Error: e.Error, Used: e.Used,
	}
	if root != "" && e.Dir != "" && filepath.IsLocal(e.Dir) && filepath.Clean(e.Dir) != "." {
		in.Path = filepath.Join(root, e.Dir)
	}
	return in
}

// insideHome turns a path that PHP has resolved into one of this node, or "" when it is not
// inside the domain's directory. root is what PHP calls the docroot.
func insideHome(site Site, root, path string) string {
	if path == "" || !filepath.IsAbs(root) || !filepath.IsAbs(path) {
		return ""
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return ""
	}
	here := filepath.Join(site.Docroot, rel)
	if !strings.HasPrefix(here, site.Home+"/") {
		return ""
	}
	return here
}

// PluginInFile is the slug of a plugin named by its file, as WordPress lists it:
// "akismet/akismet.php" is akismet, "hello.php" is hello. Of a slug it gives the slug.
func PluginInFile(name string) (slug string, isFile bool) {
	dir, file, nested := strings.Cut(name, "/")
	switch {
	case nested && strings.HasSuffix(file, ".php"):
		return dir, true
	case !nested && strings.HasSuffix(name, ".php") && name != ".php":
		return strings.TrimSuffix(name, ".php"), true
	}
	return name, false
}

// CheckRoot refuses an archive of which anything would land outside the directory slug.
func CheckRoot(archive, slug string) error {
	return eachZip(archive, func(f *zip.File, _ io.Reader) error {
		if top, _, _ := strings.Cut(f.Name, "/"); top != slug {
			return fmt.Errorf("%w: %s is not below %s/", errBadZip, cleanLine(f.Name, 100), slug)
		}
		return nil
	})
}

// ErrBadArchive is the class of errors about archives that are not used.
var ErrBadArchive = errBadZip

// ArchiveVersion is the version of an archive that Packages has provided.
func ArchiveVersion(archive string) string {
	return strings.TrimSuffix(filepath.Base(archive), ".zip")
}
