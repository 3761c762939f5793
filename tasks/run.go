package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Run is what the steps of one op work with: the op, the site it is about, the
// node's tools, and a small memory that outlives a crash.
type Run struct {
	Op Op

	// Open opens a sealed secret with the node's key.
	Open func(sealed string) (string, error)
	// Log takes one line of the op's log, which the requester may read. What
	// writes to it has redacted it.
	Log func(line string)

	state  map[string]string
	append func(Entry) error
	report func(fraction float64, message string)
}

// resultKey is where SetResult keeps the result between crashes.
const resultKey = "result"

// Set remembers a value under a key for the rest of the op. It is on disk when
// Set returns, so a step sets what its Undo must know before it makes the
// effect. Secrets do not belong here: the journal is a file.
func (r *Run) Set(key, value string) error {
	if r.append != nil {
		if err := r.append(Entry{Mark: MarkSet, Key: key, Value: value}); err != nil {
			return err
		}
	}
	if r.state == nil {
		r.state = map[string]string{}
	}
	r.state[key] = value
	return nil
}

// Get gives what Set remembered, in this attempt or an earlier one, else "".
func (r *Run) Get(key string) string { return r.state[key] }

// Recall gives what was remembered under key; the first time it remembers what
// draw gives. Random choices go through it, so that a step that is done again
// chooses the same.
func (r *Run) Recall(key string, draw func() (string, error)) (string, error) {
	if v, ok := r.state[key]; ok {
		return v, nil
	}
	v, err := draw()
	if err != nil {
		return "", fmt.Errorf("choosing %s: %w", key, err)
	}
	return v, r.Set(key, v)
}

// SetResult keeps what the op answers when it succeeds. No secrets.
func (r *Run) SetResult(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding result: %w", err)
	}
	return r.Set(resultKey, string(b))
}

// Reveal opens a secret of the payload. The empty secret opens to "".
func (r *Run) Reveal(s Secret) (string, error) {
	switch {
	case s == "":
		return "", nil
	case !s.Sealed():
		return "", Permanent(errors.New("a payload arrived with a plain secret"), internalFailure)
	case r.Open == nil:
		return "", errors.New("opening secret: the node has no key")
	}
	plain, err := r.Open(string(s))
	if err != nil {
		return "", Permanent(fmt.Errorf("opening secret: %w", err), Failure{
			Code:    CodeInvalidPayload,
			Message: "The node could not open a secret of the request.",
			Hint:    "The request was sealed to another key, which happens when the node got a new one. Send it again.",
		})
	}
	return plain, nil
}

// Report moves the progress bar inside the current step: fraction 0 to 1 of
// it, and optionally other words than the step's own. Calls are cheap; how many
// of them are shown is decided by whoever listens.
func (r *Run) Report(fraction float64, message string) {
	if r.report != nil {
		r.report(fraction, message)
	}
}

func (r *Run) logf(format string, args ...any) {
	if r.Log != nil {
		r.Log(fmt.Sprintf(format, args...))
	}
}

// Mark is what a journal entry says.
type Mark string

// The marks of a journal, as on disk.
const (
	MarkBegin    Mark = "begin"    // a step is entered; from here on it may have had an effect
	MarkPause    Mark = "pause"    // it was left on purpose and is not in flight any more
	MarkDone     Mark = "done"     // its effect is there and was seen
	MarkUnsure   Mark = "unsure"   // done, but nobody could look
	MarkSet      Mark = "set"      // Run.Set
	MarkRollback Mark = "rollback" // the decision to take everything back
	MarkUndo     Mark = "undo"     // the undo of a step is entered
	MarkUndone   Mark = "undone"   // nothing of the step is left
	MarkLeft     Mark = "left"     // the undo was given up, something of the step remains
	MarkOutcome  Mark = "outcome"  // the end
)

// Entry is one line of an op's journal. Which fields are set follows from Mark.
type Entry struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"` // fencing token of whoever wrote it
	Mark    Mark      `json:"mark"`
	Step    string    `json:"step,omitempty"`
	Key     string    `json:"key,omitempty"`
	Value   string    `json:"value,omitempty"`
	State   State     `json:"state,omitempty"`   // with rollback: how the op will end
	Failure *Failure  `json:"failure,omitempty"` // with rollback and unsure: why
	Outcome *Outcome  `json:"outcome,omitempty"`
}

// Record is the journal of one op.
type Record struct {
	Op      string
	Entries []Entry
}

// Journal keeps the records of a node's unfinished ops. Append returns when the
// entry would survive a power cut.
type Journal interface {
	// Load gives an empty record for an op that it has never heard of.
	Load(opID string) (Record, error)
	Append(opID string, e Entry) error
}
