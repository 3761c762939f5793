package tasks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

var checksumsVerifySpec = Spec{
	Kind:     "checksums.verify",
	Class:    Standard,
	Deadline: 20 * time.Minute,
	New:      func() Task { return new(ChecksumsVerify) },
}

// ChecksumsVerify compares the files of WordPress and of the plugins with their packages, and
// looks for PHP where none belongs. Nothing is changed, and none of the site's files is run
// for it; only the list of plugins is WordPress's own.
type ChecksumsVerify struct {
	Ignore []string `json:"ignore,omitempty" maxItems:"100" example:"[\"wp-content/plugins/own/**\"]" doc:"Paths that may differ, relative to the document root: * and ? within one directory, /** for everything below."`
}

// ChecksumsResult is what was found.
type ChecksumsResult struct {
	OK        bool            `json:"ok" doc:"Everything that could be compared is as its package has it, or differs in ways that do not matter."`
	CheckedAt time.Time       `json:"checked_at"`
	Core      PackageReport   `json:"core"`
	Plugins   []PackageReport `json:"plugins"`
	// PluginsReason says why Plugins is empty though there may be some.
	PluginsReason string       `json:"plugins_reason,omitempty"`
	Findings      []wp.Finding `json:"findings" doc:"The worst first, at most 300."`
	More          int          `json:"more" doc:"Findings that are not in the list."`
	Complete      bool         `json:"complete" doc:"False when there were too many files to look at all of them."`
}

// PackageReport is one package.
type PackageReport struct {
	Slug    string           `json:"slug" example:"akismet"`
	Version string           `json:"version"`
	Status  string           `json:"status" enum:"verified,differs,unknown"`
	Reason  string           `json:"reason,omitempty" doc:"Why it could not be compared."`
	Files   int              `json:"files" doc:"Files that were compared."`
	Counts  map[wp.Class]int `json:"counts"`
}

// The values of PackageReport.Status.
const (
	PackageVerified = "verified"
	PackageDiffers  = "differs"
	PackageUnknown  = "unknown"
)

const (
	maxIgnored       = 100
	maxIgnoredLength = 200
	maxReported      = 300
)

// Kind is "checksums.verify".
func (*ChecksumsVerify) Kind() string { return checksumsVerifySpec.Kind }

// Validate checks the patterns.
func (p *ChecksumsVerify) Validate() []Problem {
	var found problems
	if len(p.Ignore) > maxIgnored {
		found.add("ignore", fmt.Sprintf("has %d entries, at most %d are possible", len(p.Ignore), maxIgnored))
	}
	for _, pattern := range p.Ignore {
		if reason := validPattern(pattern); reason != "" {
			found.add("ignore", fmt.Sprintf("has the entry %q, which %s", shorten(pattern), reason))
			break
		}
	}
	return found
}

func validPattern(pattern string) string {
	if reason := validText(pattern, maxIgnoredLength); reason != "" {
		return reason
	}
	switch _, err := path.Match(strings.TrimSuffix(pattern, "/**"), ""); {
	case err != nil:
		return "is no pattern"
	case pattern == "" || pattern == "/**" || !filepath.IsLocal(strings.TrimSuffix(pattern, "/**")):
		return "must be relative to the document root, like wp-content/plugins/own/**"
	}
	return ""
}

// Steps looks; there is nothing to undo.
func (p *ChecksumsVerify) Steps(r *Run) []Step {
	v := &verifier{Run: r, ignore: p.Ignore}
	return []Step{{Name: "compare", Message: "Comparing files with their packages", Do: v.compare}}
}

type verifier struct {
	*Run
	ignore []string
	result ChecksumsResult
}

func (v *verifier) compare(ctx context.Context) error {
	site, err := v.existing()
	if err != nil {
		return err
	}
	found, err := v.Host.Files.Look(ctx, site)
	switch {
	case err != nil:
		return lookError(fmt.Errorf("looking at install: %w", err))
	case found.Shut:
		return Permanent(nil, shutFailure)
	case found.Version == "":
		return Permanent(nil, versionUnknown)
	}
	if site, err = v.Host.Addressed(ctx, site); err != nil {
		return lookError(err)
	}
	v.result = ChecksumsResult{OK: true, Complete: true, CheckedAt: time.Now().UTC(), Plugins: []PackageReport{}, Findings: []wp.Finding{}}
	// The list of plugins is a start of WordPress, and hashing needs nothing of it.
	listed := make(chan extensionList, 1)
	go func() {
		have, err := v.Host.CLI.Extensions(ctx, site)
		listed <- extensionList{have, err}
	}()
	err = v.core(ctx, site, found.Version)
	have := <-listed // in any case: nothing of the step outlives it
	if err != nil {
		return err
	}
	if err := v.scripts(ctx, site, have); err != nil {
		return err
	}
	v.Report(0.5, "Comparing plugins with their packages")
	if err := v.plugins(ctx, site, have); err != nil {
		return err
	}
	wp.WorstFirst(v.result.Findings)
	if over := len(v.result.Findings) - maxReported; over > 0 {
		v.result.Findings, v.result.More = v.result.Findings[:maxReported], v.result.More+over
	}
	return v.SetResult(v.result)
}

// extensionList is what WordPress says of its plugins.
type extensionList struct {
	wp.Extensions
	err error
}

// usualContent is where uploads and plugins mostly are, relative to the docroot.
const usualContent = "wp-content"

// scripts looks for PHP among the uploads of a site that has them in an unusual place.
func (v *verifier) scripts(ctx context.Context, site wp.Site, have extensionList) error {
	rel, err := filepath.Rel(site.Docroot, have.Content)
	if have.err != nil || have.Content == "" || err != nil || !filepath.IsLocal(rel) || rel == usualContent {
		return nil
	}
	compared, err := v.Host.Files.Compare(ctx, site, wp.Compare{Dir: ".", NoScripts: []string{path.Join(rel, "uploads")}, Ignore: v.ignore})
	if err != nil {
		return fmt.Errorf("looking for PHP among the uploads: %w", err)
	}
	v.result.Findings = append(v.result.Findings, compared.Findings...)
	v.result.More += compared.More
	v.result.Complete = v.result.Complete && compared.Complete
	v.result.OK = v.result.OK && compared.Complete && !slices.ContainsFunc(compared.Findings, func(f wp.Finding) bool { return f.Severity.AtLeast(wp.SeverityWarning) })
	return nil
}

func (v *verifier) core(ctx context.Context, site wp.Site, version string) error {
	sums, err := v.Host.Packages.CoreSums(ctx, version)
	if err != nil {
		return fmt.Errorf("fetching checksums of WordPress: %w", err)
	}
	compared, err := v.Host.Files.Compare(ctx, site, wp.Compare{
		Dir: ".", Sums: sums, Closed: wp.CoreDirs(), Scripts: true,
		NoScripts: []string{path.Join(usualContent, "uploads")}, Ignore: v.ignore,
	})
	if err != nil {
		return fmt.Errorf("comparing files of WordPress: %w", err)
	}
	v.result.Core = v.take("wordpress", version, compared)
	return nil
}

// take counts findings into the result.
func (v *verifier) take(slug, version string, c wp.Comparison) PackageReport {
	r := PackageReport{Slug: slug, Version: version, Status: PackageVerified, Files: c.Files, Counts: map[wp.Class]int{}}
	for _, f := range c.Findings {
		r.Counts[f.Class]++
		if f.Severity.AtLeast(wp.SeverityWarning) {
			r.Status = PackageDiffers
		}
	}
	v.result.Findings = append(v.result.Findings, c.Findings...)
	v.result.More += c.More
	v.result.Complete = v.result.Complete && c.Complete
	v.result.OK = v.result.OK && c.Complete && r.Status == PackageVerified
	return r
}

func (v *verifier) plugins(ctx context.Context, site wp.Site, have extensionList) error {
	if have.err != nil {
		if ctx.Err() != nil || errors.Is(have.err, wp.ErrDatabaseConnection) {
			return have.err
		}
		v.logf("The plugins could not be listed: WordPress does not come up.")
		v.result.PluginsReason = "WordPress does not come up, so that its plugins could not be listed"
		v.result.OK = false
		return nil // told in the result
	}
	for _, a := range have.Plugins {
		if isFixed(a) {
			continue
		}
		r, err := v.plugin(ctx, site, a)
		if err != nil {
			return fmt.Errorf("comparing plugin %s: %w", a.Slug, err)
		}
		v.result.Plugins = append(v.result.Plugins, r)
	}
	return nil
}

func (v *verifier) plugin(ctx context.Context, site wp.Site, a wp.Addon) (PackageReport, error) {
	unknown := func(reason string) PackageReport {
		return PackageReport{Slug: a.Slug, Version: a.Version, Status: PackageUnknown, Reason: reason, Counts: map[wp.Class]int{}}
	}
	rel, err := filepath.Rel(site.Docroot, a.Path)
	switch {
	case a.Path == "" || err != nil:
		return unknown("its files are outside of the domain's directory"), nil
	case !strings.Contains(a.File, "/"):
		return unknown("it is a single file, which no package brings"), nil
	case a.Version == "":
		return unknown("it does not tell its version"), nil
	}
	archive, err := v.Host.Packages.Plugin(ctx, a.Slug, a.Version)
	switch {
	case errors.Is(err, wp.ErrPackageUnavailable):
		return unknown("this version is not in the package source"), nil
	case err != nil && wp.ValidSlug(a.Slug) != "":
		return unknown("its directory is named as no package is"), nil
	case errors.Is(err, wp.ErrBadArchive):
		return unknown("its package is damaged"), nil
	case err != nil:
		return PackageReport{}, err
	}
	sums, err := wp.ArchiveSums(archive, a.Slug)
	if err != nil {
		return PackageReport{}, err
	}
	compared, err := v.Host.Files.Compare(ctx, site, wp.Compare{Dir: rel, Sums: sums, Closed: []string{"."}, Ignore: v.ignore})
	if errors.Is(err, fs.ErrNotExist) {
		return unknown("its directory is a link"), nil
	}
	if err != nil {
		return PackageReport{}, err
	}
	return v.take(a.Slug, a.Version, compared), nil
}
