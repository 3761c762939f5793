package tasks

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// turnsOf records which steps asked for a turn, and which wanted to be alone.
func turnsOf(b *bench) *[]string {
	var asked []string
	b.cfg.Turn = func(_ context.Context, alone bool) (func(), error) {
		word := "shared"
		if alone {
			word = "alone"
		}
		asked = append(asked, word)
		return func() { asked = append(asked, "over") }, nil
	}
	return &asked
}

// A step that was in flight twice when the worker died may be the culprit, or may have
// run beside it: the third time tells, if it is alone.
func TestStepUnderSuspicionRunsAlone(t *testing.T) {
	t.Parallel()
	for crashes, want := range map[int][]string{0: {"shared", "over"}, 1: {"shared", "over"}, 2: {"alone", "over"}} {
		ran := 0
		b := newBench(Step{Name: "one", Do: func(context.Context) error { ran++; return nil }})
		asked := turnsOf(b)
		for range crashes {
			b.journal.entries = append(b.journal.entries, Entry{Mark: MarkBegin, Step: "one", Attempt: 1})
		}
		b.mustEnd(t, Succeeded)
		if ran != 1 || !slices.Equal(*asked, want) {
			t.Errorf("after %d crashes: ran %d times, turns %v", crashes, ran, *asked)
		}
	}
}

func TestUndoUnderSuspicionRunsAlone(t *testing.T) {
	t.Parallel()
	b := newBench(Step{Name: "one", Do: idle, Undo: idle}, Step{Name: "two", Do: func(context.Context) error {
		return Permanent(errors.New("no"), Failure{Code: "x", Message: "No."})
	}})
	asked := turnsOf(b)
	b.journal.entries = []Entry{
		{Mark: MarkBegin, Step: "one", Attempt: 1}, {Mark: MarkDone, Step: "one", Attempt: 1},
		{Mark: MarkRollback, State: Failed, Failure: &Failure{Code: "x"}, Attempt: 1},
		{Mark: MarkUndo, Step: "one", Attempt: 1}, {Mark: MarkUndo, Step: "one", Attempt: 2},
	}
	b.mustEnd(t, Failed)
	if !slices.Equal(*asked, []string{"alone", "over"}) {
		t.Errorf("turns %v", *asked)
	}
}

// Who waits for a turn has begun nothing, so a drain may have it at once.
func TestDrainEndsTheWaitForATurn(t *testing.T) {
	t.Parallel()
	b := newBench(Step{Name: "one", Do: idle})
	stop := make(chan struct{})
	b.cfg.Stop = stop
	b.cfg.Turn = func(ctx context.Context, _ bool) (func(), error) {
		close(stop)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, err := b.execute(t); !errors.Is(err, ErrInterrupted) {
		t.Errorf("ended with %v", err)
	}
	if got := b.journal.marks(); len(got) != 0 {
		t.Errorf("journal has %v", got)
	}
}

func idle(context.Context) error { return nil }
