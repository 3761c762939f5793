package tasks

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wispanel/wptk/wp"
)

// failureOf is FailureOf, in the words of plugins and themes.
func (x *extensionOp) failureOf(err error) Failure {
	word := x.family.word
	var step *StepError
	switch {
	case errors.As(err, &step):
	case errors.Is(err, wp.ErrBadArchive):
		return Failure{CodePackageDamaged, "The package of the " + word + " in the node's package source is damaged.",
			"Have the operator replace it; the details are in the worker's log."}
	case errors.Is(err, wp.ErrFatal):
		return Failure{CodePHPFatal, "PHP ended with a fatal error on the way.",
			"What PHP said is in the operation's log. The " + word + " may not fit this version of PHP or WordPress."}
	case errors.Is(err, context.DeadlineExceeded):
		return Failure{CodeTimeout, "The " + word + " took longer than it may.", "It was stopped. Look at the operation's log, or leave it out."}
	}
	return FailureOf(err)
}

func refuse(code, message, hint string) error {
	return Permanent(nil, Failure{Code: code, Message: message, Hint: hint})
}

func notInstalled(f family, name string) error {
	return refuse(CodeNotInstalled, fmt.Sprintf("The %s %s is not installed.", f.word, name),
		fmt.Sprintf("GET /wordpress/%ss?id=… lists those that are there.", f.word))
}

func mustUse(a wp.Addon) error {
	kind := "a must-use plugin"
	if a.Status == wp.AddonDropIn {
		kind = "a drop-in"
	}
	return refuse(CodeMustUse, fmt.Sprintf("%s is %s: WordPress always loads it.", a.Slug, kind),
		"Whoever put the file there has to take it away.")
}

func elsewhere(f family, slug string) error {
	return refuse(CodePermission, fmt.Sprintf("The files of the %s %s are outside of the domain's directory.", f.word, slug),
		"They belong to somebody else, who has to change them.")
}

func linked(f family, slug string) Failure {
	return Failure{CodeLinked, fmt.Sprintf("The %s %s is a symbolic link to files that are kept elsewhere.", f.word, slug),
		"Change the files that the link leads to, or replace the link by a directory."}
}

func siteDown(h wp.Health) error {
	return refuse(CodeSiteDown, "The site does not come up: "+h.Reason+".",
		"Repair it first: deactivate the plugin or the theme that breaks it, then try again.")
}

func siteBroken(f family, c itemChange, h wp.Health) Failure {
	return Failure{CodeSiteBroken, fmt.Sprintf("With the change of the %s %s the site did not come up any more: %s.", f.word, c.Slug, h.Reason),
		"It was taken back, and the site is as before. What PHP said is in the operation's log."}
}

func stillBroken(h wp.Health) Failure {
	return Failure{CodeUnconfirmed, "It was done, but the site did not come up before and does not now: " + h.Reason + ".",
		"Deactivate the plugin or the theme that breaks it."}
}

func notApplied(f family, c itemChange, what string) error {
	return Permanent(wp.ErrNotApplied, Failure{CodeVerifyFailed,
		fmt.Sprintf("WordPress said that all went well with the %s %s, but its %s did not change as it should.", f.word, c.Slug, what),
		"A plugin that interferes is the usual reason; what was said is in the operation's log."})
}

// itemsFailed is the failure of an op on several items.
func itemsFailed(f family, bad []ExtensionItem, r ExtensionResult) Failure {
	const most = 5
	var names []string
	for _, item := range bad[:min(len(bad), most)] {
		names = append(names, item.Slug)
	}
	if len(bad) > most {
		names = append(names, fmt.Sprintf("%d more", len(bad)-most))
	}
	hint := "The result has the reason for each of them; they are as they were before."
	if r.Succeeded > 0 {
		hint += fmt.Sprintf(" The %d that succeeded stay changed.", r.Succeeded)
	}
	return Failure{CodeItemsFailed, fmt.Sprintf("%d of %d %ss failed: %s.", len(bad), len(r.Items), f.word, strings.Join(names, ", ")), hint}
}
