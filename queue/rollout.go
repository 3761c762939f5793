package queue

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/wispanel/wptk/tasks"
)

const (
	// MaxChildren is how many installs one rollout may have.
	MaxChildren = 10_000
	// MaxParallel is how many of its operations may be open at a time.
	MaxParallel = 500
	// judgedFrom is how many must have ended before their rate of failures says something.
	judgedFrom = 10
)

// childState is where an install of a rollout stands, one byte each: ten thousand of them
// are ten kilobytes, in Redis and here. The letters are stored.
type childState byte

const (
	childWaiting    childState = '.' // nothing has been asked of its node yet
	childOpen       childState = 'q' // its op is, or is about to be, in the ledger
	childRunning    childState = 'a' // … and has begun
	childSucceeded  childState = 's'
	childFailed     childState = 'f'
	childRolledBack childState = 'r'
	childUnverified childState = 'u'
	childCancelled  childState = 'c'
	childSkipped    childState = 'k' // nothing was done, the reason says why
)

// Skipped is the state of an install on which a rollout did nothing. No op has it.
const Skipped tasks.State = "skipped"

var childStates = map[childState]tasks.State{
	childWaiting: tasks.Queued, childOpen: tasks.Queued, childRunning: tasks.Running,
	childSucceeded: tasks.Succeeded, childFailed: tasks.Failed, childRolledBack: tasks.RolledBack,
	childUnverified: tasks.Unverified, childCancelled: tasks.Cancelled, childSkipped: Skipped,
}

func (s childState) open() bool  { return s == childOpen || s == childRunning }
func (s childState) ended() bool { return s != childWaiting && !s.open() }
func (s childState) bad() bool   { return s == childFailed || s == childRolledBack }

// ran reports an end that says something about the task: what was skipped or cancelled does not.
func (s childState) ran() bool { return s.ended() && s != childSkipped && s != childCancelled }

// childOf is the state of a child whose op is in a state.
func childOf(state tasks.State) childState {
	switch state {
	case tasks.Queued:
		return childOpen
	case tasks.Running:
		return childRunning
	case tasks.Succeeded:
		return childSucceeded
	case tasks.RolledBack:
		return childRolledBack
	case tasks.Unverified:
		return childUnverified
	case tasks.Cancelled:
		return childCancelled
	}
	return childFailed
}

// Why an install was skipped.
const (
	SkippedGone      = "gone"       // no install there any more
	SkippedSuspended = "suspended"  // closed on purpose
	SkippedBroken    = "broken"     // it does not work as it is
	SkippedStopped   = "error_rate" // too many before it failed
	SkippedCancelled = "cancelled"  // the rollout was
)

// RolloutPlan says in which order and how fast a rollout goes on. It is stored.
type RolloutPlan struct {
	// Waves are numbers of installs, all together as many as there are. A wave begins when
	// every install of the one before has ended.
	Waves       []int `json:"waves"`
	MaxParallel int   `json:"max_parallel"`      // open ops, 1 to MaxParallel
	PerNode     int   `json:"per_node_parallel"` // … of one node
	// StopRate is the share of failed among those that ended, above which nothing more begins.
	StopRate float64 `json:"stop_on_error_rate"`
	Window   *Window `json:"window,omitempty"`
	// Jitter spreads the installs over that many seconds after Base, each by a hash of its id.
	Jitter int       `json:"jitter_seconds,omitempty"`
	Base   time.Time `json:"base,omitzero"`
	// Broken installs are not skipped.
	Broken bool `json:"broken,omitempty"`
}

// Counts is how far a rollout is. It is the result of its op, from the first moment on.
type Counts struct {
	Total      int `json:"total"`
	Queued     int `json:"queued"`
	Running    int `json:"running"`
	Succeeded  int `json:"succeeded"`
	Failed     int `json:"failed"`
	RolledBack int `json:"rolled_back"`
	Unverified int `json:"unverified"`
	Skipped    int `json:"skipped"`
	Cancelled  int `json:"cancelled"`
	Wave       int `json:"wave"`
	Waves      int `json:"waves"`
	// Paused: nothing more begins until it is resumed.
	Paused bool `json:"paused"`
	// Stopped: too many had failed.
	Stopped bool `json:"stopped"`
}

func (c *Counts) add(s childState) {
	c.Total++
	switch s {
	case childWaiting, childOpen:
		c.Queued++
	case childRunning:
		c.Running++
	case childSucceeded:
		c.Succeeded++
	case childFailed:
		c.Failed++
	case childRolledBack:
		c.RolledBack++
	case childUnverified:
		c.Unverified++
	case childCancelled:
		c.Cancelled++
	case childSkipped:
		c.Skipped++
	}
}

// outcome is how a rollout ends when all of its children have.
func (c Counts) outcome(cancelled bool) tasks.Outcome {
	o := tasks.Outcome{State: tasks.Succeeded}
	bad := c.Failed + c.RolledBack
	switch {
	case c.Stopped:
		o = failedOutcome("error_rate", fmt.Sprintf("Stopped after %d of %d sites: %d failed.", c.Total-c.Skipped-c.Cancelled, c.Total, bad),
			"See the failed ones in children_url; retry runs them again.")
	case cancelled && c.Cancelled > 0:
		o.State, o.Error = tasks.Cancelled, &tasks.Failure{Code: tasks.CodeCancelled, Message: fmt.Sprintf("Cancelled; %d of %d sites had ended before.", c.Total-c.Cancelled, c.Total)}
	case bad > 0:
		o = failedOutcome(tasks.CodeItemsFailed, fmt.Sprintf("%d of %d sites failed; the others are done.", bad, c.Total),
			"See the failed ones in children_url; retry runs them again.")
	case c.Skipped == c.Total:
		o = failedOutcome("all_skipped", "Every site was skipped; nothing was done.", "Each has its reason in children_url.")
	case c.Unverified > 0:
		o.State = tasks.Unverified
	}
	return o
}

func failedOutcome(code, message, hint string) tasks.Outcome {
	return tasks.Outcome{State: tasks.Failed, Error: &tasks.Failure{Code: code, Message: message, Hint: hint}}
}

func (c Counts) json() string {
	text, err := json.Marshal(c)
	if err != nil {
		return "{}" // numbers and booleans can always be encoded
	}
	return string(text)
}
