package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/wispanel/wptk/wp"
)

// Run is what the steps of one op work with: the op, the site it is about, the
// node's tools, and a small memory that outlives a crash.
type Run struct {
	Op   Op
	Host *wp.Host
	// Catalog is the fleet's list of backups.
	Catalog Catalog
	// Ops are those of the fleet, for a task that needs something done on another node.
	Ops Ops

	// Site is where the op works. When there is none on this node (any more),
	// Missing says why: an op still has to undo what it did elsewhere.
	Site    wp.Site
	Missing error

	// Open opens a sealed secret with the node's key.
	Open func(sealed string) (string, error)
	// Log takes one line of the op's log, which the requester may read. What
	// writes to it has redacted it.
	Log func(line string)

	// Inspected is what an op has read about the whole install, for the inventory. It does
	// not outlive a crash: then it is read again.
	Inspected *wp.Details

	mu     sync.Mutex // a step may have goroutines of its own
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
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == nil {
		r.state = map[string]string{}
	}
	r.state[key] = value
	return nil
}

// Get gives what Set remembered, in this attempt or an earlier one, else "".
func (r *Run) Get(key string) string {
	v, _ := r.remembered(key)
	return v
}

func (r *Run) remembered(key string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.state[key]
	return v, ok
}

// Recall gives what was remembered under key; the first time it remembers what
// draw gives. Random choices go through it, so that a step that is done again
// chooses the same.
func (r *Run) Recall(key string, draw func() (string, error)) (string, error) {
	if v, ok := r.remembered(key); ok {
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

// keyPart marks a failure that tells its result.
const (
	keyPart   = "part"
	partStays = "stays" // a part of what was asked for is done
	partTold  = "told"  // nothing is, and the result tells what happened
)

// keepPart says that the op is about to fail, and that what its result tells stays: Undo of
// the steps asks keptPart, and the failure carries the result.
func (r *Run) keepPart(result any) error {
	if err := r.SetResult(result); err != nil {
		return err
	}
	return r.Set(keyPart, partStays)
}

func (r *Run) keptPart() bool { return r.Get(keyPart) == partStays }

// tell has the failure that the op ends with carry a result.
func (r *Run) tell(result any) error {
	if err := r.SetResult(result); err != nil || r.keptPart() {
		return err
	}
	return r.Set(keyPart, partTold)
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
