package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/wp"
)

// packagesCmd fills a directory that nodes take WordPress, plugins and themes from.
type packagesCmd struct {
	Dir  string          `help:"The directory: the --packages of workers, or what a web server offers them." required:"" placeholder:"DIR"`
	List packagesListCmd `cmd:"" help:"What the directory has."`
	Add  packagesAddCmd  `cmd:"" help:"Add zip files: a WordPress, plugins, themes."`
	Sync packagesSyncCmd `cmd:"" help:"Fetch packages from another source."`
}

// mirrored prints a package as it comes.
func (a *app) mirrored(p wp.MirrorPackage) error {
	if a.json {
		return a.object(p)
	}
	word := "is there"
	if p.Added {
		word = "added"
	}
	locales := ""
	if len(p.Locales) > 0 {
		locales = "  (" + strings.Join(p.Locales, " ") + ")"
	}
	say(a.out, "%-9s %s%s", word, p, locales)
	return nil
}

type packagesListCmd struct{}

// Run prints the list.
func (*packagesListCmd) Run(a *app, all *packagesCmd) error {
	if _, err := os.Stat(all.Dir); err != nil { // opening would make it
		return fmt.Errorf("--dir: %w", err)
	}
	m, err := wp.OpenMirror(all.Dir)
	if err != nil {
		return err
	}
	list, err := m.List()
	if err != nil {
		return err
	}
	var rows [][]string
	for _, p := range list {
		if a.json {
			if err := a.object(p); err != nil {
				return err
			}
		}
		rows = append(rows, []string{p.Kind, orDash(p.Slug), p.Version, orDash(strings.Join(p.Locales, " "))})
	}
	if a.json {
		return nil
	}
	return a.table("KIND SLUG VERSION LOCALES", rows)
}

type packagesAddCmd struct {
	Files []string `arg:"" help:"Zip files; what each of them is, is told by what is in it." type:"existingfile"`
}

// Run adds them, up to the first that is refused.
func (cmd *packagesAddCmd) Run(ctx context.Context, a *app, all *packagesCmd) error {
	m, err := wp.OpenMirror(all.Dir)
	if err != nil {
		return err
	}
	for _, file := range cmd.Files {
		p, err := m.Add(ctx, file)
		if err != nil {
			return err
		}
		if err := a.mirrored(p); err != nil {
			return err
		}
	}
	return nil
}

type packagesSyncCmd struct {
	From   string   `help:"Where from: wordpress.org, a mirror's URL, or a directory." default:"wordpress.org" env:"-" placeholder:"SOURCE"`
	Core   []string `help:"Versions of WordPress: 6.5.5, 6.5 (its newest), latest." env:"-" placeholder:"VERSION"`
	Locale []string `help:"Translations of them, such as de_DE." env:"-"`
	Plugin []string `help:"Plugins, the newest version or slug@version." env:"-" placeholder:"SLUG"`
	Theme  []string `help:"Themes, the newest version or slug@version." env:"-" placeholder:"SLUG"`
}

// Run fetches them, up to the first that the source does not have.
func (cmd *packagesSyncCmd) Run(ctx context.Context, a *app, all *packagesCmd) error {
	if len(cmd.Core)+len(cmd.Plugin)+len(cmd.Theme) == 0 {
		return usage("nothing to fetch: name --core, --plugin or --theme")
	}
	m, err := wp.OpenMirror(all.Dir)
	if err != nil {
		return err
	}
	// Beside the packages: what is fetched there has the same disk and the same safe parents.
	store, err := os.MkdirTemp(all.Dir, ".sync-")
	if err != nil {
		return fmt.Errorf("making a place for what is fetched: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(store); err != nil {
			a.log.Warn("removing what was fetched", "path", store, "err", err)
		}
	}()
	from, err := openSource(cmd.From, store)
	if err != nil {
		return err
	}
	for _, fetch := range cmd.fetches(m, from) {
		p, err := fetch(ctx)
		if err != nil {
			return err
		}
		if err := a.mirrored(p); err != nil {
			return err
		}
	}
	return nil
}

func openSource(source, store string) (*wp.Packages, error) {
	store, err := filepath.Abs(store)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(source); err == nil && info.IsDir() {
		if source, err = filepath.Abs(source); err != nil {
			return nil, err
		}
	}
	from, err := wp.OpenPackages(source, store)
	if err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	return from, nil
}

type fetch func(context.Context) (wp.MirrorPackage, error)

func (cmd *packagesSyncCmd) fetches(m *wp.Mirror, from *wp.Packages) []fetch {
	var all []fetch
	for _, version := range cmd.Core {
		all = append(all, func(ctx context.Context) (wp.MirrorPackage, error) {
			return m.FetchCore(ctx, from, version, cmd.Locale)
		})
	}
	for _, entry := range cmd.Plugin {
		slug, version, _ := strings.Cut(entry, "@")
		all = append(all, func(ctx context.Context) (wp.MirrorPackage, error) { return m.FetchPlugin(ctx, from, slug, version) })
	}
	for _, entry := range cmd.Theme {
		slug, version, _ := strings.Cut(entry, "@")
		all = append(all, func(ctx context.Context) (wp.MirrorPackage, error) { return m.FetchTheme(ctx, from, slug, version) })
	}
	return all
}
