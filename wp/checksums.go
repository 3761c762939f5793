package wp

import (
	"archive/zip"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wispanel/wptk/wp/proc"
)

// Finding is one file that is not as its package has it.
type Finding struct {
	Path     string   `json:"path" doc:"Relative to the document root."`
	Class    Class    `json:"class" enum:"modified,missing,unexpected,locale,ignored"`
	Severity Severity `json:"severity" enum:"critical,warning,notice,none"`
	Note     string   `json:"note,omitempty"`
}

// Class says in which way a file differs.
type Class string

// The classes of findings.
const (
	Modified   Class = "modified"
	Missing    Class = "missing"
	Unexpected Class = "unexpected" // it belongs to no package
	Locale     Class = "locale"     // it differs as translated packages do
	Ignored    Class = "ignored"    // the request says that it may differ
)

// SeverityNone is that of a finding that is as it should be after all.
const SeverityNone Severity = "none"

var severityRank = map[Severity]int{SeverityNone: 0, SeverityNotice: 1, SeverityWarning: 2, SeverityCritical: 3}

// AtLeast compares severities.
func (s Severity) AtLeast(o Severity) bool { return severityRank[s] >= severityRank[o] }

// Sums is what files should be: path, relative to the directory that is compared, to SHA-256
// in hex.
type Sums map[string]string

// Comparison is how a directory compares with its package.
type Comparison struct {
	Files    int       // that were compared
	Findings []Finding // the worst first
	// More is how many findings are not in the list, which ends at maxFindings.
	More int
	// Complete is false when there was too much to look at all of it.
	Complete bool
}

// Compare asks for one comparison. Dir is relative to the docroot, "." is the docroot.
type Compare struct {
	Dir  string
	Sums Sums
	// Closed are directories below Dir in which there should be nothing but Sums, "." for all
	// of it.
	Closed []string
	// Scripts: a PHP file in Dir itself should be one of Sums.
	Scripts bool
	// NoScripts are directories below Dir in which no PHP file belongs.
	NoScripts []string
	// NamesOnly: nothing is read. What is missing or unexpected is found, modified files are not.
	NamesOnly bool
	// Ignore are patterns of paths, relative to the docroot: see MatchPath.
	Ignore []string
}

const (
	maxFindings    = 2000
	maxCompared    = 400_000 // entries
	compareWorkers = 2
)

// Compare hashes files of a site as the tenant. No link is followed: one in place of a file
// has replaced it. A file of which nothing can be read counts as modified.
func (f Files) Compare(ctx context.Context, site Site, c Compare) (Comparison, error) {
	if err := site.check(); err != nil {
		return Comparison{}, err
	}
	docroot, err := filepath.Rel(site.Home, site.Docroot)
	if err != nil || !filepath.IsLocal(filepath.Join(docroot, c.Dir)) {
		return Comparison{}, fmt.Errorf("comparing files: %q is not inside the domain's directory", c.Dir)
	}
	request := compareRequest{
		Home: site.Home, Target: filepath.Join(docroot, c.Dir), Sums: c.Sums,
		Closed: c.Closed, Scripts: c.Scripts, NoScripts: c.NoScripts, NamesOnly: c.NamesOnly,
	}
	var answer compareAnswer
	opt := f.options(ctx, nil)
	opt.MaxAnswer = 4 << 20
	if err := proc.Call(ctx, site.User, opt, "wp.compare", request, &answer); err != nil {
		return Comparison{}, err
	}
	out := Comparison{Files: answer.Files, More: answer.More, Complete: answer.Complete}
	for _, raw := range answer.Differences[:min(len(answer.Differences), maxFindings)] {
		out.Findings = append(out.Findings, judge(raw, c))
	}
	WorstFirst(out.Findings)
	return out, nil
}

// WorstFirst sorts by severity, then path.
func WorstFirst(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(severityRank[b.Severity]-severityRank[a.Severity], cmp.Compare(a.Path, b.Path))
	})
}

// judge makes a finding of what the child saw. Its words are the tenant's.
func judge(raw difference, c Compare) Finding {
	f := Finding{Path: cleanLine(path.Join(c.Dir, raw.Path), 400), Class: raw.Class, Note: cleanLine(raw.Note, 100)}
	switch raw.Class {
	case Modified, Missing:
		f.Severity = severityOf(raw.Path)
	case Unexpected:
		f.Severity = severityOfUnexpected(raw)
	case Locale:
		f.Severity = SeverityNone
	default:
		f.Class, f.Severity = Modified, SeverityCritical
	}
	if slices.ContainsFunc(c.Ignore, func(pattern string) bool { return MatchPath(pattern, f.Path) }) {
		f.Class, f.Severity = Ignored, SeverityNone
	}
	return f
}

// severityOf a file that is not what the package has. Texts for people are edited and
// deleted by their owners, and differ between the builds of one version.
func severityOf(p string) Severity {
	base := strings.ToLower(path.Base(p))
	switch {
	case base == "wp-config-sample.php", strings.HasPrefix(base, "readme"), strings.HasPrefix(base, "license"), strings.HasPrefix(base, "changelog"):
		return SeverityNotice
	case isScript(base), strings.HasSuffix(base, ".js"), strings.HasSuffix(base, ".mjs"), strings.HasSuffix(base, ".html"):
		return SeverityCritical
	}
	return SeverityWarning
}

func severityOfUnexpected(raw difference) Severity {
	base := strings.ToLower(path.Base(raw.Path))
	switch {
	case raw.Top: // the owner's own scripts live there
		return SeverityWarning
	case isScript(base):
		return SeverityCritical
	case base == ".htaccess", base == ".user.ini", base == "php.ini": // can make anything a script
		return SeverityWarning
	}
	return SeverityNotice
}

// scriptEndings are those that web servers are set up to hand to PHP.
var scriptEndings = setOf(".php", ".php3", ".php4", ".php5", ".php7", ".php8", ".phtml", ".pht", ".phps", ".phar", ".inc")

func isScript(name string) bool {
	name = strings.ToLower(name)
	// "shell.php.jpg" runs where a server is set up the old way.
	return scriptEndings[path.Ext(name)] || strings.Contains(name, ".php.") || strings.Contains(name, ".phtml.")
}

// MatchPath matches a path with a pattern: path.Match, and behind "/**" everything below.
func MatchPath(pattern, name string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/**"); ok {
		for p := path.Dir(name); p != "." && p != "/"; p = path.Dir(p) {
			if ok, err := path.Match(dir, p); ok && err == nil {
				return true
			}
		}
		return false
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// CoreSums is what the files of a WordPress should be, wp-content left out: what came with
// it in there is the owner's to change.
func (p *Packages) CoreSums(ctx context.Context, version string) (Sums, error) {
	v, err := p.resolve(ctx, kindCore, "", Exactly(version))
	if err != nil {
		return nil, err
	}
	dir, err := p.coreDir(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("providing WordPress %s: %w", v, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		return nil, fmt.Errorf("reading manifest: %w", err)
	}
	sums, err := parseManifest(data)
	maps.DeleteFunc(sums, func(name, _ string) bool { return strings.HasPrefix(name, "wp-content/") })
	return sums, err
}

// Exactly makes "6.5" mean the first release of the branch, as WordPress itself calls that,
// and not its newest.
func Exactly(version string) string {
	if branchPattern.MatchString(version) {
		return version + ".0"
	}
	return version
}

// ArchiveSums is what the files of an archive are below its directory slug.
func ArchiveSums(archive, slug string) (Sums, error) {
	sums := Sums{}
	err := eachZip(archive, func(f *zip.File, in io.Reader) error {
		rel, ok := strings.CutPrefix(f.Name, slug+"/")
		if !ok || f.FileInfo().IsDir() {
			return nil
		}
		h := sha256.New()
		if _, err := io.Copy(h, in); err != nil {
			return err
		}
		sums[rel] = hex.EncodeToString(h.Sum(nil))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("hashing archive %s: %w", filepath.Base(archive), err)
	}
	return sums, nil
}
