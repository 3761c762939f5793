package queue

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/hibiken/asynq"
	"github.com/wispanel/wptk/tasks"
)

// A lane is first come, first served, so five hundred ops of one account would keep the one op
// of another waiting for all of them. Therefore each server has one more lane behind the
// others: while somebody else waits, an account has a few turns, and what more of its ops are
// met then goes there, in its order. That lane is served when the others are empty.

// The lanes of what waits for other accounts. No kind is of these classes.
const (
	lateFast tasks.Class = "late"
	lateBulk tasks.Class = "bulklate"
)

// laneClasses are all lanes of a node.
var laneClasses = append(slices.Clone(classes), lateFast, lateBulk)

func lateOf(class tasks.Class) tasks.Class {
	if class == tasks.Bulk {
		return lateBulk
	}
	return lateFast
}

// lanesFor are those in which the task of an op may be.
func lanesFor(op tasks.Op) [2]string {
	return [2]string{lane(op.Site.Node, op.Class), lane(op.Site.Node, lateOf(op.Class))}
}

// unqueue takes the task of an op out of whichever lane has it.
func (p publisher) unqueue(op tasks.Op) error {
	for _, queue := range lanesFor(op) {
		err := p.inspector.DeleteTask(queue, op.ID)
		if err != nil && !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound) {
			return err
		}
	}
	return nil
}

// rounds counts the turns that accounts have had on the slots of one server. A round is over
// when an op of the late lane comes: nobody waits in front any more.
type rounds struct {
	share int // turns of an account in a round

	moving sync.Mutex // one op after the other, so that they keep their order

	mu    sync.Mutex
	turns map[string]int
}

func newRounds(slots int) *rounds {
	return &rounds{share: max(slots/2, 1), turns: make(map[string]int)}
}

// turn counts one, and says whether the account has had its share before.
func (r *rounds) turn(account string) (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turns[account] >= r.share {
		return true
	}
	r.turns[account]++
	return false
}

func (r *rounds) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.turns)
}

// letPass moves the task of an op that has not begun into the late lane, when its account has
// had its turns. It costs a millisecond; to ask before whether others wait costs the same. True means that this delivery is done: the op comes
// again. What goes wrong here only costs fairness.
func (s *server) letPass(ctx context.Context, r *rounds, op tasks.Op) bool {
	late := lane(s.node.ID(), lateOf(op.Class))
	if queue, _ := asynq.GetQueueName(ctx); queue == late {
		r.over()
		return false
	}
	if op.Attempt > 0 || op.State.Final() || !r.turn(op.Site.Account) {
		return false
	}
	r.moving.Lock()
	defer r.moving.Unlock()
	// A death behind this leaves two tasks of the op, of which one runs.
	if err := s.node.enqueueIn(ctx, late, op); err != nil {
		s.node.survived("fairness", "letting other accounts pass", err, "op", op.ID)
		return false
	}
	s.gate.ring(lanePending(late))
	return true
}
