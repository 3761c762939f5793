package tasks

import (
	"encoding/json"
	"time"
)

// State is where an op stands. Final states never change.
type State string

// The states of an op, as on the wire.
const (
	Queued     State = "queued"
	Running    State = "running"
	Succeeded  State = "succeeded"
	Failed     State = "failed"      // nothing of the op remains, unless the error says so
	RolledBack State = "rolled_back" // the effect was made, found bad, and taken back
	Unverified State = "unverified"  // done, but the effect could not be confirmed
	Cancelled  State = "cancelled"   // stopped on request, what it made is undone
)

// Rollout reports whether the op stands for ops on many installs: it has no install and no
// node of its own.
func (o Op) Rollout() bool { return o.ID != "" && o.Site.ID == "" }

// Final reports whether a state is an end.
func (s State) Final() bool {
	switch s {
	case Succeeded, Failed, RolledBack, Unverified, Cancelled:
		return true
	}
	return false
}

// SiteRef names the install an op works on. Node and ID are decided by the
// API; the node checks them against what it finds on its own disk.
type SiteRef struct {
	ID      string `json:"id"`      // wp_…
	Node    string `json:"node"`    // the node that owns the files
	Account string `json:"account"` // the hosting account, also the Unix user
	Domain  string `json:"domain"`
	Path    string `json:"path"` // relative to the domain's directory
}

// Op is one run of a task, as the ledger knows it.
type Op struct {
	ID      string
	Kind    string
	Class   Class
	Site    SiteRef
	Payload json.RawMessage // the task, secrets sealed to the node

	State   State
	Attempt int   // how often a worker began it; the fencing token of every write
	Seq     int64 // grows with every visible change, within and across attempts

	Progress   int // 0-100, never goes down
	Step       string
	StepIndex  int // 1-based; 0 before the first step
	StepsTotal int
	Message    string

	Position int // operations in front of it on the same install

	CreatedAt, StartedAt, UpdatedAt, FinishedAt time.Time // zero when not yet

	CancelRequested bool
	Result          json.RawMessage
	Error           *Failure

	Parent    string // the rollout that made it; "" for what was asked for itself
	KeyID     string // the API key that asked
	RequestID string
	// Revealed is a secret that the requester may read once, sealed to the API.
	Revealed string
	// Signature is the accepting API's, over all that it decided (see queue.Signer); "" for none.
	Signature string
}

// Failure says why an op did not succeed: a stable code for programs, a message
// and a hint for people. It never carries secrets or file system internals.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Outcome is how an op ended.
type Outcome struct {
	State  State           `json:"state"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Failure        `json:"error,omitempty"`
}

// Event is one visible change of an op, in order of Seq.
type Event struct {
	Seq        int64     `json:"seq"`
	At         time.Time `json:"at"`
	State      State     `json:"status"`
	Progress   int       `json:"progress"`
	Step       string    `json:"step,omitempty"`
	StepIndex  int       `json:"step_index,omitempty"`
	StepsTotal int       `json:"steps_total,omitempty"`
	Message    string    `json:"message,omitempty"`
}
