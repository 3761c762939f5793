package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The tests below drive Execute through random steps, failures, crashes,
// drains and cancellations, and hold what happened against a model of a world
// in which every step makes one thing.

// plan is how one step behaves.
type plan struct {
	transient int  // how many tries fail in passing
	permanent bool // then it fails for good
	bad       bool // or its effect is found bad
	unsure    bool // or cannot be confirmed
	checked   bool // has a Check; without one, Do is written to be repeated
	undoFails bool // its Undo never works
	noUndo    bool
	commit    bool // is the point of no return; the last step only
}

var plans = rapid.Custom(func(t *rapid.T) plan {
	one := func(label string, in int) bool { return rapid.IntRange(1, in).Draw(t, label) == 1 }
	return plan{
		transient: max(0, rapid.IntRange(-6, len(retryDelays)+1).Draw(t, "transient")),
		permanent: one("permanent", 8), bad: one("bad", 10), unsure: one("unsure", 8),
		checked: !one("unchecked", 3), undoFails: one("undoFails", 6), noUndo: one("noUndo", 6),
	}
})

// crash is what a simulated kill -9 panics with.
type crash struct{}

// world is the outside that steps change, and that survives a crash.
type world struct {
	t      *rapid.T
	plans  []plan
	there  []bool
	tries  []int
	undone []int // indices in the order in which their things went away
	back   bool  // something has been undone: nothing may be made any more

	journal memory
	fuse    int // crash points until the next crash
	signal  int // crash points until onSignal is called
	onPoint func()
}

// point is a place where the process may die, and where signals arrive.
func (w *world) point() {
	if w.signal--; w.signal == 0 && w.onPoint != nil {
		w.onPoint()
	}
	if w.fuse--; w.fuse == 0 {
		panic(crash{})
	}
}

// Load and Append make the world the journal: the process may die before and
// after an entry is kept. A pause may come from another goroutine, where a
// crash would end the test itself, so it is no crash point.
func (w *world) Load(op string) (Record, error) { return w.journal.Load(op) }

func (w *world) Append(op string, e Entry) error {
	if e.Mark != MarkPause {
		w.point()
	}
	if err := w.journal.Append(op, e); err != nil {
		return err
	}
	if e.Mark != MarkPause {
		w.point()
	}
	return nil
}

func (w *world) step(i int) Step {
	p, name := w.plans[i], fmt.Sprint("s", i)
	s := Step{Name: name, Weight: i, Commit: p.commit,
		Do:     func(context.Context) error { return w.do(i, p) },
		Verify: func(context.Context) error { return w.verify(i, p) },
	}
	if p.checked {
		s.Check = func(context.Context) (bool, error) { w.point(); return w.there[i], nil }
	}
	if !p.noUndo {
		s.Undo = func(context.Context) error { return w.undo(i, p) }
	}
	return s
}

func (w *world) do(i int, p plan) error {
	w.point()
	switch {
	case w.back:
		w.t.Fatalf("step %d was done after the undo had begun", i)
	case p.checked && w.there[i], w.isDone(i):
		w.t.Fatalf("step %d was done twice", i)
	}
	for before := range i {
		if !w.there[before] {
			w.t.Fatalf("step %d was done before step %d", i, before)
		}
	}
	if w.tries[i]++; w.tries[i] <= p.transient {
		return errors.New("in passing")
	}
	if p.permanent {
		return Permanent(nil, Failure{Code: "permanent", Message: "m"})
	}
	w.there[i] = true
	w.point()
	return nil
}

func (w *world) isDone(i int) bool {
	return slices.ContainsFunc(w.journal.snapshot(), func(e Entry) bool {
		return e.Step == fmt.Sprint("s", i) && (e.Mark == MarkDone || e.Mark == MarkUnsure)
	})
}

func (w *world) verify(i int, p plan) error {
	w.point()
	switch {
	case !w.there[i]:
		w.t.Fatalf("step %d was verified without its effect", i)
	case p.bad:
		return Permanent(nil, Failure{Code: "bad", Message: "m"})
	case p.unsure:
		return Unconfirmed(nil, Failure{Code: "unsure", Message: "m"})
	}
	return nil
}

func (w *world) undo(i int, p plan) error {
	w.point()
	w.back = true
	if p.undoFails {
		return errors.New("will not go away")
	}
	if w.there[i] {
		w.there[i] = false
		w.undone = append(w.undone, i)
	}
	w.point()
	return nil
}

// attempt is one life of the worker. It reports whether the op is over.
func (w *world) attempt(op Op, stop, cancelled chan struct{}) (o Outcome, err error, crashed bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crash); !ok {
				panic(r)
			}
			crashed = true
		}
	}()
	last := -1
	steps := make([]Step, len(w.plans))
	for i := range steps {
		steps[i] = w.step(i)
	}
	o, err = Execute(w.t.Context(), ExecuteConfig{
		Op: op, Run: &Run{}, Spec: Spec{Deadline: time.Hour}, Journal: w,
		Task: &script{func(*Run) []Step { return steps }},
		Log:  slog.New(slog.DiscardHandler),
		Wait: func(ctx context.Context, _ time.Duration) error { w.point(); return ctx.Err() },
		Stop: stop, Cancelled: cancelled,
		Report: func(e Event) {
			if e.Progress < last || e.Progress > 99 {
				w.t.Fatalf("progress %d after %d", e.Progress, last)
			}
			last = e.Progress
		},
	})
	return o, err, false
}

func TestEveryOpEndsOnceWhateverCrashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{t: rt, plans: rapid.SliceOfN(plans, 1, 6).Draw(rt, "plans")}
		w.plans[len(w.plans)-1].commit = rapid.Bool().Draw(rt, "commit")
		w.there, w.tries = make([]bool, len(w.plans)), make([]int, len(w.plans))
		op := Op{ID: NewOpID("n"), Kind: "script"}
		lives := rapid.SliceOfN(rapid.IntRange(1, 40), 0, 8).Draw(rt, "crashes after")
		cancelLife := rapid.IntRange(0, 12).Draw(rt, "cancel in life")
		cancelled, asked := make(chan struct{}), false

		var o Outcome
		for life := 0; ; life++ {
			if life > 100 {
				rt.Fatal("the op does not end")
			}
			op.Attempt = life + 1
			w.fuse, w.signal, w.onPoint = 0, 0, nil
			stop := make(chan struct{})
			if life < len(lives) {
				w.fuse = lives[life]
				w.signal = rapid.IntRange(1, 40).Draw(rt, "signal at")
				if life == cancelLife && !asked {
					w.onPoint = func() { asked = true; close(cancelled) }
				} else if rapid.Bool().Draw(rt, "drain") {
					w.onPoint = func() { close(stop) }
				}
			}
			var err error
			var crashed bool
			o, err, crashed = w.attempt(op, stop, cancelled)
			if crashed || errors.Is(err, ErrInterrupted) {
				continue
			}
			if err != nil {
				rt.Fatal(err)
			}
			break
		}
		w.judge(o, asked)
	})
}

// judge holds the world after the end against the outcome.
func (w *world) judge(o Outcome, asked bool) {
	t, entries := w.t, w.journal.entries
	if diff := cmp.Diff(&o, entries[len(entries)-1].Outcome); diff != "" {
		t.Fatalf("the outcome was not journalled: %s", diff)
	}
	for n, i := range w.undone {
		if n > 0 && w.undone[n-1] < i {
			t.Fatalf("undone in the order %v", w.undone)
		}
	}
	switch o.State {
	case Succeeded, Unverified:
		w.judgeSuccess(o)
	case Failed, RolledBack, Cancelled:
		w.judgeFailure(o, asked)
	default:
		t.Fatalf("ended as %q", o.State)
	}
}

func (w *world) judgeSuccess(o Outcome) {
	unsure := false
	for i, p := range w.plans {
		if p.commit {
			continue // whatever happens in it, there is no way back
		}
		if !w.there[i] || p.permanent || p.bad || w.back {
			w.t.Fatalf("%s, but step %d is there: %v, %+v", o.State, i, w.there[i], p)
		}
		unsure = unsure || p.unsure
	}
	last := w.plans[len(w.plans)-1]
	if last.commit && (last.permanent || last.bad || last.unsure) {
		unsure = true
	}
	if unsure != (o.State == Unverified) && !last.commit {
		w.t.Fatalf("%s, unsure %v", o.State, unsure)
	}
	if unsure && o.State == Succeeded {
		w.t.Fatal("succeeded without having seen the effect")
	}
}

func (w *world) judgeFailure(o Outcome, asked bool) {
	left := 0
	if last := len(w.plans) - 1; w.plans[last].commit && w.tries[last] > 0 {
		w.t.Fatalf("%s behind the point of no return", o.State)
	}
	for i, p := range w.plans {
		named := strings.Contains(o.Error.Hint, fmt.Sprint("s", i))
		if w.there[i] && !p.noUndo && !named {
			w.t.Fatalf("step %d is left, and not named: %+v", i, o.Error)
		}
		if named {
			left++
		}
	}
	if left > 0 && o.State != Failed {
		w.t.Fatalf("%s with leftovers", o.State)
	}
	if o.Error.Code == CodeCancelled && !asked {
		w.t.Fatal("cancelled, and nobody asked")
	}
	if left == 0 && (o.State == Cancelled) != (o.Error.Code == CodeCancelled) {
		w.t.Fatalf("%s with code %s", o.State, o.Error.Code)
	}
	if left == 0 && (o.State == RolledBack) != (o.Error.Code == "bad") {
		w.t.Fatalf("%s with code %s", o.State, o.Error.Code)
	}
	if deaths := w.worstDeaths(); o.Error.Code == CodePoison && deaths < maxCrashes {
		w.t.Fatalf("poison after %d crashes in one step", deaths)
	}
}

// worstDeaths counts how often the process ended in the step in which it ended
// most often: entered again without having been left.
func (w *world) worstDeaths() int {
	worst, run := 0, map[string]int{}
	open := ""
	for _, e := range w.journal.entries {
		if (e.Mark == MarkBegin || e.Mark == MarkRollback) && open != "" {
			run[open]++
			worst = max(worst, run[open])
		}
		switch e.Mark {
		case MarkBegin:
			open = e.Step
		case MarkSet:
		default:
			open = ""
		}
	}
	return worst
}
