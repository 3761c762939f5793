package tasks

import (
	"time"

	"github.com/wispanel/wptk/wp"
)

var coreUpdateSpec = Spec{
	Kind:     "core.update",
	Class:    Standard,
	Deadline: time.Hour, // the tables are copied in it
	New:      func() Task { return new(CoreUpdate) },
}

// CoreUpdate brings another version of WordPress. The files change places with the old ones
// by rename. Unless safe is false, the site is closed meanwhile, its tables are copied before,
// and when it looks worse afterwards, files and tables are what they were. With safe=false a
// failure puts the old files back; tables that were upgraded by then stay upgraded.
type CoreUpdate struct {
	Version   string `json:"version,omitempty" maxLength:"32" example:"6.5.5" doc:"A version, a branch such as 6.5 (its newest), or latest; latest when left out."`
	MinorOnly bool   `json:"minor_only,omitempty" doc:"Stay in the branch that is installed."`
	Force     bool   `json:"force,omitempty" doc:"Also to an older version. The tables stay as the newer one has made them."`
	Safe      *bool  `json:"safe,omitempty" default:"true" doc:"Copy the tables before, compare the pages of the site afterwards, and take everything back when it is worse. True when left out."`
	DryRun    bool   `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "core.update".
func (*CoreUpdate) Kind() string { return coreUpdateSpec.Kind }

// Validate checks the version's form.
func (p *CoreUpdate) Validate() []Problem {
	var found problems
	found.optional("version", p.Version, validVersion)
	if p.MinorOnly && p.Version != "" {
		found.add("minor_only", "cannot be given together with version")
	}
	return found
}

// Steps exchanges the files, upgrades the tables, and looks whether the site comes up.
func (p *CoreUpdate) Steps(r *Run) []Step {
	return (&coreChange{Run: r, want: p.want, force: p.Force, dryRun: p.DryRun, safe: asksSafe(p.Safe)}).steps()
}

func (p *CoreUpdate) want(have string) (string, error) {
	if !p.MinorOnly {
		return p.Version, nil
	}
	v, err := wp.ParseVersion(have)
	if err != nil {
		return "", Permanent(err, versionUnknown)
	}
	return v.Branch(), nil
}

var versionUnknown = Failure{
	Code:    CodeVersionUnknown,
	Message: "The files of the site do not tell which version of WordPress they are.",
	Hint:    "Name the version in the request.",
}
