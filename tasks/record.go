package tasks

import (
	"fmt"
	"time"
)

// Mark is what a journal entry says.
type Mark string

// The marks of a journal, as on disk.
const (
	MarkBegin    Mark = "begin"    // a step is entered; from here on it may have had an effect
	MarkPause    Mark = "pause"    // the worker is stopping; if the process ends now, the step is not to blame
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
	Failure *Failure  `json:"failure,omitempty"` // with rollback and unsure: why; with undone: what is not as before
	Outcome *Outcome  `json:"outcome,omitempty"`
	Order   *Order    `json:"order,omitempty"` // with the first entry, so that the op outlives its ledger
}

// Order is what the ledger knows of an op when it is accepted, secrets sealed to the node.
type Order struct {
	Kind      string  `json:"kind"`
	Class     Class   `json:"class"`
	Site      SiteRef `json:"site"`
	Payload   []byte  `json:"payload"` // no RawMessage, which is written in another form than the one that was signed
	Parent    string  `json:"parent,omitempty"`
	KeyID     string  `json:"key,omitempty"`
	RequestID string  `json:"request,omitempty"`
	Revealed  string  `json:"revealed,omitempty"`
	Signature string  `json:"signature,omitempty"`
}

func orderOf(op Op) *Order {
	return &Order{Kind: op.Kind, Class: op.Class, Site: op.Site, Payload: op.Payload, Parent: op.Parent,
		KeyID: op.KeyID, RequestID: op.RequestID, Revealed: op.Revealed, Signature: op.Signature}
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

// Outcome is how the op ended, nil as long as it has not.
func (r Record) Outcome() *Outcome {
	if n := len(r.Entries); n > 0 {
		return r.Entries[n-1].Outcome
	}
	return nil
}

// Attempt is the newest attempt that wrote to the journal, 0 when none did.
func (r Record) Attempt() int {
	if n := len(r.Entries); n > 0 {
		return r.Entries[n-1].Attempt
	}
	return 0
}

// Accepted is the op as it was accepted, with the newest attempt; false when the record does
// not say, as one that an older program began.
func (r Record) Accepted() (Op, bool) {
	for _, e := range r.Entries {
		if o := e.Order; o != nil {
			return Op{ID: r.Op, Kind: o.Kind, Class: o.Class, Site: o.Site, Payload: o.Payload, Parent: o.Parent, KeyID: o.KeyID,
				RequestID: o.RequestID, Revealed: o.Revealed, Signature: o.Signature, Attempt: r.Attempt()}, true
		}
	}
	return Op{}, false
}

// history is a record read from the beginning to the end: where the op stands.
type history struct {
	state    map[string]string
	begun    map[string]bool // steps that may have had an effect
	done     map[string]bool
	undone   map[string]bool // settled by undo, well or badly
	left     []string        // what an undo could not take back
	unsure   *Failure
	doubt    *Failure // that what was taken back is as before
	rollback *Entry   // set when the direction is backwards
	outcome  *Outcome

	inFlight flight // what the process was in when it ended
	crashes  map[flight]int
}

// flight is one entered step, or its undo.
type flight struct {
	mark Mark // MarkBegin or MarkUndo
	step string
}

// replay folds a record. It fails on a mark that it does not know: a newer
// program wrote that, and half an understanding is worse than none.
func replay(rec Record) (history, error) {
	h := history{
		state: map[string]string{},
		begun: map[string]bool{}, done: map[string]bool{}, undone: map[string]bool{},
		crashes: map[flight]int{},
	}
	for i, e := range rec.Entries {
		if err := h.apply(e); err != nil {
			return history{}, fmt.Errorf("replaying journal of %s, entry %d: %w", rec.Op, i+1, err)
		}
	}
	h.crashed() // it is in flight no more: we are reading this after its end
	return h, nil
}

func (h *history) apply(e Entry) error {
	if h.outcome != nil {
		return fmt.Errorf("%q after the outcome", e.Mark)
	}
	switch e.Mark {
	case MarkSet:
		h.state[e.Key] = e.Value
		return nil // inside a step: what is in flight stays in flight
	case MarkBegin, MarkUndo:
		h.crashed()
		h.inFlight = flight{e.Mark, e.Step}
		h.begun[e.Step] = true
		return nil
	case MarkPause:
	case MarkDone:
		h.done[e.Step] = true
	case MarkUnsure:
		h.done[e.Step], h.unsure = true, e.Failure
	case MarkRollback:
		h.rollback = &e
	case MarkUndone:
		h.undone[e.Step] = true
		if e.Failure != nil {
			h.doubt = e.Failure
		}
	case MarkLeft:
		h.undone[e.Step] = true
		h.left = append(h.left, e.Step)
	case MarkOutcome:
		h.outcome = e.Outcome
	default:
		return fmt.Errorf("unknown mark %q", e.Mark)
	}
	h.inFlight = flight{}
	return nil
}

// crashed counts the end of a process in the middle of a step.
func (h *history) crashed() {
	if h.inFlight != (flight{}) {
		h.crashes[h.inFlight]++
		h.inFlight = flight{}
	}
}
