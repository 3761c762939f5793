package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/wispanel/wptk/tasks"
)

func opFrom(account, domain string, class tasks.Class) tasks.Op {
	op := newOp(domain)
	op.Class, op.Site.Account = class, account
	op.Site.ID = tasks.SiteID(op.Site.Node, account, domain, op.Site.Path)
	return op
}

// What one account has asked for in one go does not keep another's one op waiting: it is run
// after a few of them, in every lane.
func TestManyOpsOfOneAccountLetAnotherAccountsOpPass(t *testing.T) {
	t.Parallel()
	for _, class := range []tasks.Class{tasks.Interactive, tasks.Standard, tasks.Bulk} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			s := registryStore(t)
			c := NewClient(s)
			var many []string
			for i := range 60 {
				op := opFrom("alice", fmt.Sprintf("a%d.example", i), class)
				submit(t, c, op)
				many = append(many, op.ID)
			}
			one := opFrom("bob", "b.example", class)
			submit(t, c, one)
			var mu sync.Mutex
			var order []string
			serve(t, s, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, op.ID)
				return succeeded, nil
			}})
			for _, id := range append(many, one.ID) {
				if op := final(t, s, id); op.State != tasks.Succeeded || op.Attempt != 1 {
					t.Errorf("%s: %s after %d attempts", id, op.State, op.Attempt)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if at := slices.Index(order, one.ID); at < 0 || at > 6 || len(order) != 61 {
				t.Errorf("the one op was run as number %d of %d", at, len(order))
			}
		})
	}
}

// Whoever is alone has all slots, and an op that was moved is found by whoever looks for it.
func TestOpInTheLateLaneIsCancelledAndNotQueuedAgain(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	n := testNode(t, s, "n1")
	op := opFrom("alice", "a.example", tasks.Standard)
	submit(t, c, op)
	ok(t, n.enqueueIn(t.Context(), lane("n1", lateFast), op))
	ok(t, n.inspector.DeleteTask(lane("n1", tasks.Standard), op.ID)) // what the end of its delivery does
	_, states, err := NewReconciler(s, c).transport(t.Context(), []tasks.Op{op})
	ok(t, err)
	if states[0] != "pending" {
		t.Errorf("its task is %q", states[0])
	}
	if got := must[tasks.Op](t)(c.Cancel(t.Context(), op.ID)); got.State != tasks.Cancelled {
		t.Errorf("it is %s", got.State)
	}
	if waiting := s.rdb.LLen(t.Context(), lanePending(lane("n1", lateFast))).Val(); waiting != 0 {
		t.Errorf("%d tasks are left", waiting)
	}
}
