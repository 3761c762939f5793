package tasks

import (
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

func securitySpec(kind string, make func() Task) Spec {
	return Spec{Kind: "security." + kind, Class: Interactive, Deadline: 5 * time.Minute, New: make}
}

var (
	securityDisableFileEditSpec = securitySpec("disable-file-edit", func() Task { return new(SecurityDisableFileEdit) })
	securityToggleDebugSpec     = securitySpec("toggle-debug", func() Task { return new(SecurityToggleDebug) })
	securityFileProtectionSpec  = securitySpec("file-protection", func() Task { return new(SecurityFileProtection) })
	securityMeasureSpec         = securitySpec("measure", func() Task { return new(SecurityMeasure) })
)

// SecurityDisableFileEdit takes the editors of plugins and themes out of the dashboard,
// by the constant DISALLOW_FILE_EDIT alone, or gives them back.
type SecurityDisableFileEdit struct {
	Enabled bool `json:"enabled" doc:"True: nobody edits files in the dashboard."`
}

// SecurityToggleDebug turns WordPress's debugging on, into a log that only the account can
// read and not on pages, and back to exactly what was there before.
type SecurityToggleDebug struct {
	Enabled bool  `json:"enabled"`
	Display bool  `json:"display,omitempty" doc:"Also show errors on the pages. Visitors see them too."`
	Log     *bool `json:"log,omitempty" doc:"Write errors to a log outside of the document root; true when left out."`
	Hours   int   `json:"hours,omitempty" minimum:"1" maximum:"720" doc:"Turn it off again by itself after so many hours."`
}

// SecurityFileProtection applies the named set of measures that keep files from being read
// or run by visitors, or takes them back.
type SecurityFileProtection struct {
	Enabled  bool     `json:"enabled"`
	Measures []string `json:"measures,omitempty" maxItems:"20" doc:"permissions, wp-config, dotfiles, php-in-uploads, php-in-includes, php-in-cache, sensitive-files; all of them when left out."`
	Server   string   `json:"server,omitempty" enum:"auto,apache,nginx" doc:"Whom the rules are for; auto is what the node is set up for."`
}

// SecurityMeasure applies one of the other measures, or takes it back.
type SecurityMeasure struct {
	Measure string `json:"measure"`
	Enabled bool   `json:"enabled"`
	Server  string `json:"server,omitempty" enum:"auto,apache,nginx"`
}

// Kind is "security.disable-file-edit".
func (*SecurityDisableFileEdit) Kind() string { return securityDisableFileEditSpec.Kind }

// Kind is "security.toggle-debug".
func (*SecurityToggleDebug) Kind() string { return securityToggleDebugSpec.Kind }

// Kind is "security.file-protection".
func (*SecurityFileProtection) Kind() string { return securityFileProtectionSpec.Kind }

// Kind is "security.measure".
func (*SecurityMeasure) Kind() string { return securityMeasureSpec.Kind }

// Validate finds nothing: both values of enabled are fine.
func (*SecurityDisableFileEdit) Validate() []Problem { return nil }

// Validate names every problem.
func (p *SecurityToggleDebug) Validate() []Problem {
	var found problems
	if p.Hours < 0 || p.Hours > 720 {
		found.add("hours", "must be 1 to 720")
	}
	if !p.Enabled && (p.Display || p.Log != nil || p.Hours != 0) {
		found.add("enabled", "is false: display, log and hours belong to true")
	}
	return found
}

// Validate names every problem.
func (p *SecurityFileProtection) Validate() []Problem {
	var found problems
	set := wp.FileProtection()
	for _, id := range p.Measures {
		if !slices.Contains(set, id) {
			found.add("measures", "knows "+strings.Join(set, ", "))
			break
		}
	}
	found.add("server", validServer(p.Server))
	return found
}

// Validate names every problem.
func (p *SecurityMeasure) Validate() []Problem {
	var found problems
	if m, ok := wp.FindMeasure(p.Measure); !ok || !slices.Contains(OtherMeasures(), m.ID) {
		found.add("measure", "must be one of "+strings.Join(OtherMeasures(), ", "))
	} else if m.Once && !p.Enabled {
		found.add("enabled", "must be true: this cannot be taken back, only done again")
	}
	found.add("server", validServer(p.Server))
	return found
}

func validServer(s string) string {
	if s == "" || s == "auto" || s == wp.Apache || s == wp.Nginx {
		return ""
	}
	return "must be auto, apache or nginx"
}

var ownKinds = []string{wp.MeasureFileEdit, wp.MeasureDebug, wp.MeasureHideLogin}

// OtherMeasures are those that have no kind of their own.
func OtherMeasures() []string {
	var ids []string
	for _, m := range wp.Measures {
		if !m.Set && !slices.Contains(ownKinds, m.ID) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// Steps edits wp-config.php.
func (p *SecurityDisableFileEdit) Steps(r *Run) []Step {
	return (&hardener{Run: r, enabled: p.Enabled, ids: []string{wp.MeasureFileEdit}}).steps()
}

// Steps edits wp-config.php.
func (p *SecurityToggleDebug) Steps(r *Run) []Step {
	return (&hardener{Run: r, enabled: p.Enabled, ids: []string{wp.MeasureDebug}, debug: p}).steps()
}

// Steps writes rules for the web server and narrows modes.
func (p *SecurityFileProtection) Steps(r *Run) []Step {
	var ids []string
	for _, id := range wp.FileProtection() { // in our order, each once
		if len(p.Measures) == 0 || slices.Contains(p.Measures, id) {
			ids = append(ids, id)
		}
	}
	return (&hardener{Run: r, enabled: p.Enabled, ids: ids, server: p.Server}).steps()
}

// Steps does what the measure is made of.
func (p *SecurityMeasure) Steps(r *Run) []Step {
	return (&hardener{Run: r, enabled: p.Enabled, ids: []string{p.Measure}, server: p.Server}).steps()
}
