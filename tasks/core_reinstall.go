package tasks

import (
	"time"

	"github.com/wispanel/wptk/wp"
)

var coreReinstallSpec = Spec{
	Kind:     "core.reinstall",
	Class:    Standard,
	Deadline: 30 * time.Minute,
	New:      func() Task { return new(CoreReinstall) },
}

// CoreReinstall replaces the files of WordPress by those of the package source, of the same
// version unless another one is named. Content and configuration are left alone.
type CoreReinstall struct {
	Version          string `json:"version,omitempty" maxLength:"32" example:"6.5.5" doc:"The version to put in place; the installed one when left out."`
	RemoveUnexpected bool   `json:"remove_unexpected,omitempty" doc:"Do not keep files in wp-admin and wp-includes that are no part of WordPress. Settings such as .htaccess go too."`
	DryRun           bool   `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

// Kind is "core.reinstall".
func (*CoreReinstall) Kind() string { return coreReinstallSpec.Kind }

// Validate checks the version's form.
func (p *CoreReinstall) Validate() []Problem {
	var found problems
	found.optional("version", p.Version, validVersion)
	return found
}

// Steps exchanges the files, whatever state they are in.
func (p *CoreReinstall) Steps(r *Run) []Step {
	return (&coreChange{Run: r, want: p.want, force: true, again: true, clean: p.RemoveUnexpected, dryRun: p.DryRun}).steps()
}

func (p *CoreReinstall) want(have string) (string, error) {
	if p.Version != "" {
		return p.Version, nil
	}
	if _, err := wp.ParseVersion(have); err != nil {
		return "", Permanent(err, versionUnknown)
	}
	return wp.Exactly(have), nil
}
