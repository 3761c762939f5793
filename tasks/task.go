package tasks

import (
	"fmt"
	"strings"
	"time"
)

// Class is the lane an op takes on its node. A lane is an asynq queue and a
// metric label, so the values are on the wire for ever.
type Class string

// The lanes of a node, most urgent first.
const (
	Interactive Class = "hi"   // somebody is watching: install, login link, toggle
	Standard    Class = "std"  // updates and other work that may wait a little
	Bulk        Class = "bulk" // clone, backup, rollout: long, never in front of the others
)

// Task is one typed request, the payload of its kind. A kind is a type with
// these methods, in a file of the kind's own name.
type Task interface {
	// Kind is the name on the wire: "install", "plugin.update".
	Kind() string
	// Validate reports every problem of the payload at once. It is pure: what
	// needs the node (does the directory exist?) is a step.
	Validate() []Problem
	// Steps lists what has to be done, in order. It is called on the node only.
	Steps(r *Run) []Step
}

// Spec says how a kind is queued and made.
type Spec struct {
	Kind  string
	Class Class
	// Deadline bounds all the steps of one attempt together, undo excluded.
	Deadline time.Duration
	// New makes an empty payload to decode into.
	New func() Task
}

// Problem is one thing wrong with a payload, and what to do about it.
type Problem struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// InvalidError carries every problem of a payload.
type InvalidError struct{ Problems []Problem }

func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("%s: %s", p.Field, p.Reason)
	}
	return "invalid payload: " + strings.Join(lines, "; ")
}

// Generator is a task that may leave a secret to be made up for it, shown once
// to whoever asked.
type Generator interface {
	Task
	// Generates says where the secret is kept, and which field of the result
	// shows it. A result that already has that field, with SecretMark in it, gets
	// the secret in place of the mark: a link, for instance.
	Generates() (secret *Secret, field string)
}

// Drawer is a Generator whose secret is no password for people: it draws its own.
type Drawer interface {
	Generator
	Draw() Secret
}

// SecretMark stands in a result where a generated secret belongs.
const SecretMark = "{secret}"
