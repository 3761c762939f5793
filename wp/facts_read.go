package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"time"
)

// Culprit is what breaks a site, as far as PHP's message tells.
type Culprit struct {
	Type string `json:"type" enum:"plugin,must-use,theme,drop-in,core,config"`
	Slug string `json:"slug"`
	File string `json:"file" doc:"Relative to the document root, where it is below it."`
	Line string `json:"line"`
}

// Examine reads everything about an install. Its files come first, then its tables, and
// then, if there is hope that it runs, WordPress: with its plugins and its theme, and when
// those break it without them. A broken site is no error; errors.Is fs.ErrNotExist says that
// there is no WordPress. Nothing in the site is changed, nobody is asked for updates.
func (h *Host) Examine(ctx context.Context, site Site) (Details, error) {
	found, err := h.Files.Look(ctx, site)
	if err != nil {
		return Details{}, fmt.Errorf("looking at install: %w", err)
	}
	facts, err := Inspect(ctx, h, found)
	if err != nil {
		return Details{}, err
	}
	site.Suspended = found.Site.Suspended
	usage, err := h.Files.Usage(ctx, site)
	if err != nil && !errors.Is(err, fs.ErrPermission) { // counts as nothing, not complete
		return Details{}, fmt.Errorf("counting files: %w", err)
	}
	d, err := h.boot(ctx, addressed(site, facts[0]), found, facts[0])
	if err != nil {
		return Details{}, err
	}
	if o := d.Options; o != nil {
		o.Home, o.SiteURL = cleanURL(o.Home), cleanURL(o.SiteURL)
	}
	if d.Core == nil { // what the files say is better than nothing
		d.Core = &CoreFacts{Version: facts[0].Version, Multisite: facts[0].Multisite}
	}
	if site.Suspended {
		d.Status, d.Reason = StatusSuspended, reasonSuspended
	}
	if err := h.measured(ctx, addressed(site, facts[0]), &d); err != nil {
		return Details{}, err
	}
	if d.Cache != nil {
		d.Cache.Offered = h.ObjectCache != nil
		d.Cache.Opcode.Web = h.opcacheOf(ctx, site)
	}
	d.Files, d.ReadAt = &usage, time.Now().UTC()
	d.Issues = issuesOf(d)
	return d, nil
}

// addressed gives the site the address that it has given itself: a network answers to no other.
func addressed(site Site, f Facts) Site {
	if own, err := site.WithURL(f.URL); err == nil {
		return own
	}
	return site
}

// boot starts WordPress and says what came of it. The error is the caller's context alone.
func (h *Host) boot(ctx context.Context, site Site, found Found, f Facts) (Details, error) {
	if f.Status == StatusBroken || len(found.Problems) > 0 {
		return Details{Status: f.Status, Reason: f.Reason}, nil
	}
	d, err := h.CLI.facts(ctx, site, true)
	if err == nil {
		d.Status = StatusOK
		return d, nil
	}
	if ctx.Err() != nil {
		return Details{}, fmt.Errorf("reading install: %w", ctx.Err())
	}
	if errors.Is(err, ErrDatabaseConnection) || errors.Is(err, ErrNotInstalled) {
		return Details{Status: StatusBroken, Reason: reasonOfRun(err, nil)}, nil
	}
	bare, bareErr := h.CLI.facts(ctx, site, false)
	if ctx.Err() != nil {
		return Details{}, fmt.Errorf("reading install: %w", ctx.Err())
	}
	if bareErr != nil && !errors.Is(bareErr, ErrFatal) && !errors.Is(err, ErrFatal) {
		// WP-CLI does not get along with it; visitors may.
		return Details{Status: StatusUnreadable, Reason: reasonOfRun(bareErr, nil)}, nil
	}
	culprit := culpritOf(site, err)
	bare.Status, bare.Limited, bare.Culprit = StatusBroken, bareErr == nil, culprit
	bare.Reason = reasonOfRun(err, culprit)
	return bare, nil
}

const reasonSuspended = "the account or the domain is suspended"

// reasonOfRun says in one line what keeps WordPress from starting.
func reasonOfRun(err error, culprit *Culprit) string {
	whose := "its code"
	if culprit != nil {
		whose = "the " + culprit.Type + " " + culprit.Slug
		if culprit.Type == "core" || culprit.Type == "config" {
			whose = culprit.File
		}
	}
	var exit *ExitError
	switch {
	case errors.Is(err, ErrDatabaseConnection):
		return "WordPress cannot connect to its database"
	case errors.Is(err, ErrNotInstalled):
		return "WordPress is not installed in its database"
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not come up in time; a plugin or the theme holds it up"
	case errors.Is(err, ErrFatal):
		said := ""
		if errors.As(err, &exit) {
			said = fatalMessage(exit.Stderr)
		}
		return cleanLine(strings.TrimSuffix("PHP ends with a fatal error in "+whose+": "+said, ": "), 300)
	case errors.As(err, &exit):
		return cleanLine("WP-CLI cannot read it: "+firstError(exit.Stderr), 300)
	}
	return "a plugin or the theme ends PHP, or prints what WordPress would not"
}

// PHP writes "… in /path/file.php:12" for what was thrown and "… in /path/file.php on line
// 12" for the rest.
var fatalPattern = regexp.MustCompile(`(?:PHP )?(?:Fatal|Parse) error:\s+(?:Uncaught )?(.*?) in (/\S.*?\.php)(?::(\d+)|\(\d+\)| on line (\d+))`)

func fatalMessage(stderr string) string {
	if m := fatalPattern.FindStringSubmatch(stderr); m != nil {
		return m[1]
	}
	return ""
}

// culpritOf finds the file that PHP blames.
func culpritOf(site Site, err error) *Culprit {
	var exit *ExitError
	if !errors.As(err, &exit) {
		return nil
	}
	m := fatalPattern.FindStringSubmatch(exit.Stderr)
	if m == nil {
		return nil
	}
	file := strings.TrimPrefix(m[2], site.Docroot+"/")
	c := &Culprit{File: cleanLine(strings.TrimPrefix(file, site.Home+"/"), 300), Line: m[3] + m[4]}
	c.Type, c.Slug = blame(file)
	return c
}

// contentDirs are the directories of wp-content, wherever that is.
var contentDirs = []struct{ dir, kind string }{{"/mu-plugins/", "must-use"}, {"/plugins/", "plugin"}, {"/themes/", "theme"}}

func blame(file string) (kind, slug string) {
	for _, c := range contentDirs {
		if _, below, ok := strings.Cut("/"+file, c.dir); ok {
			slug, _, _ := strings.Cut(below, "/")
			return c.kind, cleanLine(strings.TrimSuffix(slug, ".php"), 100)
		}
	}
	switch base := path.Base(file); base {
	case "object-cache.php", "advanced-cache.php", "db.php", "sunrise.php", "maintenance.php", "fatal-error-handler.php":
		return "drop-in", base
	case "wp-config.php":
		return "config", base
	}
	return "core", ""
}
