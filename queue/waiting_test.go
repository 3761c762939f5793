package queue

import (
	"testing"

	"github.com/wispanel/wptk/tasks"
)

func TestWhatWaitsIsCountedByNodeAndClass(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	for _, domain := range []string{"a.example", "b.example"} {
		submit(t, c, newOp(domain))
	}
	bulk := newOp("c.example")
	bulk.Class = tasks.Bulk
	submit(t, c, bulk)
	submit(t, c, newOp("a.example")) // behind the first one: in no lane yet
	got := must[map[string]map[tasks.Class]int](t)(c.Waiting(t.Context(), []string{"n1", "n2"}))
	if n1 := got["n1"]; n1[tasks.Interactive] != 2 || n1[tasks.Bulk] != 1 || n1[tasks.Standard] != 0 || got["n2"][tasks.Bulk] != 0 {
		t.Errorf("%v", got)
	}
	if none := must[map[string]map[tasks.Class]int](t)(c.Waiting(t.Context(), nil)); len(none) != 0 {
		t.Errorf("%v", none)
	}
}
