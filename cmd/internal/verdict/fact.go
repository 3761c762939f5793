// Package verdict judges what was seen of a run: requests, answers, commands that ran
// on sites, and what is there at the end. It is pure, so that it can be shown to find
// each broken promise; what gathers the facts is in cmd/wptk. The way is that of etcd's
// robustness tests: faults, a history, and a small model that the history is held to.
package verdict

import (
	"time"

	"github.com/wispanel/wptk/tasks"
)

// What says which kind of fact a Fact is.
type What string

// The kinds of facts, in the order in which a run meets them.
const (
	Asked    What = "asked"    // a request goes out: Request, Domain
	Accepted What = "accepted" // 202: Request, Op, Domain
	Refused  What = "refused"  // another answer, or none: Request, Note
	Seen     What = "seen"     // an answer about an op: Op and the fields of State
	Missing  What = "missing"  // an accepted op is answered by "not found": Op
	Fault    What = "fault"    // something was broken on purpose: Note
	Died     What = "died"     // a process of ours ended that nobody had ended: Note
	Begin    What = "begin"    // a command began on a site: Run, PID, Domain, Verb, Op where known, Contended
	End      What = "end"      // and ended: Run
	Site     What = "site"     // at the end, a docroot: Domain, Database
	Exists   What = "exists"   // at the end, something that was not there at first: Thing, Name
)

// Thing is what an Exists fact is about.
type Thing string

// Database and User belong to the site of that name; everything else must be gone.
const (
	Database Thing = "database"
	User     Thing = "user"
	Process  Thing = "process"
	Stage    Thing = "folder"
	Journal  Thing = "journal"
	RunFile  Thing = "record of a run"
)

// Fact is one thing that was seen. Which fields are set follows from What.
type Fact struct {
	// Millis since the run began, by the one monotonic clock of the machine, so that
	// facts of several processes can be compared.
	Millis  float64 `json:"ms"`
	What    What    `json:"what"`
	Request string  `json:"request,omitempty"` // its Idempotency-Key
	Op      string  `json:"op,omitempty"`
	Domain  string  `json:"domain,omitempty"`

	Status   tasks.State `json:"status,omitempty"`
	Done     bool        `json:"done,omitempty"`
	Progress int         `json:"progress,omitempty"`
	Attempt  int         `json:"attempt,omitempty"`
	Seq      int64       `json:"seq,omitempty"`
	Finished time.Time   `json:"finished,omitzero"`
	Step     string      `json:"step,omitempty"`
	Code     string      `json:"code,omitempty"` // of a failure

	Run       string `json:"run,omitempty"` // of one command
	PID       int    `json:"pid,omitempty"`
	Verb      string `json:"verb,omitempty"`
	Contended bool   `json:"contended,omitempty"` // the kernel says that another command holds the site

	Database string `json:"database,omitempty"` // a site's own, from its wp-config.php or its op's result
	Thing    Thing  `json:"thing,omitempty"`
	Name     string `json:"name,omitempty"`
	Note     string `json:"note,omitempty"`
}
