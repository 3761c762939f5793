package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/wispanel/wptk/wp"
)

// Names is one plugin or theme, or a list of them. In JSON it is a string or an array of
// strings; it is always written as an array.
type Names []string

// UnmarshalJSON takes both forms.
func (n *Names) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]string)(n))
	}
	var one string
	if err := json.Unmarshal(data, &one); err != nil {
		return fmt.Errorf("reading a slug or a list of slugs: %w", err)
	}
	*n = Names{one}
	return nil
}

// maxNames is how many plugins or themes one op may name.
const maxNames = 50

// reference is one entry of Names, taken apart.
type reference struct {
	slug    string
	file    string // of a plugin that was named by its file: "akismet/akismet.php"
	version string // behind an @
}

var pluginFilePattern = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._ -]*\.php$`)

// refer reads how people and WordPress name a plugin or theme: by its slug or, of a plugin,
// by its file, either with a version behind an @. It does not validate.
func refer(entry string) reference {
	name, version := splitPackage(entry)
	slug, isFile := wp.PluginInFile(name)
	r := reference{slug: slug, version: version}
	if isFile {
		r.file = name
	}
	return r
}

// String is the name without the version.
func (r reference) String() string {
	if r.file != "" {
		return r.file
	}
	return r.slug
}

func (r reference) problem(f family) string {
	if r.file != "" && (f.word != "plugin" || !pluginFilePattern.MatchString(r.file)) {
		return "is no " + f.word + "; write its slug"
	}
	return wp.ValidSlug(r.slug)
}

// selection is which plugins or themes an op is about.
type selection struct {
	family   family
	names    Names
	all      bool
	version  string
	versions bool // names may have a version behind an @
}

// problems names everything that is wrong with the selection.
func (s selection) problems() problems {
	var found problems
	field := s.family.word
	switch {
	case s.all && len(s.names) > 0:
		found.add(field, "cannot be given together with all")
	case !s.all && len(s.names) == 0:
		found.add(field, "is missing; write a slug or a list of slugs")
	case len(s.names) > maxNames:
		found.add(field, fmt.Sprintf("has %d entries, at most %d are possible in one request", len(s.names), maxNames))
	default:
		found.add(field, s.badName())
	}
	found.optional("version", s.version, validPackageVersion)
	if s.version != "" && (s.all || len(s.names) > 1) {
		found.add("version", "can be given for one "+field+" only; in a list write akismet@5.3")
	}
	return found
}

func (s selection) badName() string {
	seen := map[string]bool{}
	for _, entry := range s.names {
		r := refer(entry)
		reason := r.problem(s.family)
		switch {
		case reason != "":
		case strings.Contains(entry, "@") && (!s.versions || s.version != ""):
			reason = "may not have a version behind it here"
		case strings.Contains(entry, "@"):
			reason = validPackageVersion(r.version)
		}
		if reason == "" && seen[r.String()] {
			reason = "is there twice"
		}
		if reason == "" {
			seen[r.String()] = true
			continue
		}
		if len(s.names) == 1 {
			return reason
		}
		return fmt.Sprintf("has the entry %q, which %s", shorten(entry), reason)
	}
	return ""
}

// validPackageVersion checks a version of a plugin or theme, or "latest".
func validPackageVersion(version string) string {
	if !packagePattern.MatchString(version) {
		return "must be a version, like 5.3, or latest"
	}
	return ""
}

// references are the names taken apart, with the version of the request for the only one.
func (s selection) references() []reference {
	refs := make([]reference, len(s.names))
	for i, entry := range s.names {
		refs[i] = refer(entry)
		if refs[i].version == "" {
			refs[i].version = s.version
		}
	}
	return refs
}

// family is what plugins and themes do not have in common.
type family struct {
	word   string // "plugin": for people, and the field of the payloads
	list   func(wp.Extensions) []wp.Addon
	root   func(wp.Extensions) string
	fetch  func(p *wp.Packages, ctx context.Context, slug, version string) (string, error)
	unpack func(c *wp.CLI, ctx context.Context, site wp.Site, zip string, bare wp.Bare) error
}

var pluginFamily = family{
	word:   "plugin",
	list:   func(e wp.Extensions) []wp.Addon { return e.Plugins },
	root:   func(e wp.Extensions) string { return e.PluginRoot },
	fetch:  (*wp.Packages).Plugin,
	unpack: (*wp.CLI).UnpackPlugin,
}

var themeFamily = family{
	word:   "theme",
	list:   func(e wp.Extensions) []wp.Addon { return e.Themes },
	root:   func(e wp.Extensions) string { return e.ThemeRoot },
	fetch:  (*wp.Packages).Theme,
	unpack: (*wp.CLI).UnpackTheme,
}

// find gives the one that a slug or file names. Where a directory has several plugins, its
// slug names the first, as in WP-CLI; what can be changed goes before what cannot.
func (f family) find(have wp.Extensions, slug, file string) (wp.Addon, bool) {
	var fixed *wp.Addon
	for _, a := range f.list(have) {
		if file != "" && a.File != file || file == "" && a.Slug != slug {
			continue
		}
		if a.Status != wp.AddonMustUse && a.Status != wp.AddonDropIn {
			return a, true
		}
		if fixed == nil {
			fixed = &a
		}
	}
	if fixed != nil {
		return *fixed, true
	}
	return wp.Addon{}, false
}

// ItemStatus is how one plugin or theme of an op ended.
type ItemStatus string

// How an item ends.
const (
	ItemSucceeded ItemStatus = "succeeded"
	ItemUnchanged ItemStatus = "unchanged" // it was as it was asked for already
	ItemFailed    ItemStatus = "failed"    // it is as it was before; error says why
	ItemSkipped   ItemStatus = "skipped"   // all was asked for, and it cannot be done to this one
	ItemPlanned   ItemStatus = "planned"   // of a dry run
)

// ExtensionItem is one plugin or theme in a result.
type ExtensionItem struct {
	Slug   string     `json:"slug"`
	From   string     `json:"from"` // version before; "" when it was not there
	To     string     `json:"to"`   // version after; "" when it is gone
	Active bool       `json:"active"`
	Status ItemStatus `json:"status"`
	Error  *Failure   `json:"error,omitempty"`
}

// ExtensionResult is what an op on plugins or themes answers, also when it failed: each item
// tells for itself, and those that succeeded stay.
type ExtensionResult struct {
	Items     []ExtensionItem `json:"items"`
	Succeeded int             `json:"succeeded"`
	Unchanged int             `json:"unchanged"`
	Failed    int             `json:"failed"`
	Skipped   int             `json:"skipped"`
	// ActiveTheme is of themes only.
	ActiveTheme string      `json:"active_theme,omitempty"`
	Safe        *SafeReport `json:"safe,omitempty" doc:"Of a safe update: what was looked at, and what the snapshot was."`
}

// ExtensionPreview is the result of a dry run.
type ExtensionPreview struct {
	DryRun bool            `json:"dry_run"`
	Would  ExtensionResult `json:"would"`
}
