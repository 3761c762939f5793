package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script is a task whose steps are given by the test.
type script struct {
	steps func(r *Run) []Step
}

func (*script) Kind() string          { return "script" }
func (*script) Validate() []Problem   { return nil }
func (s *script) Steps(r *Run) []Step { return s.steps(r) }

// memory is a journal in memory. fail, when set, is asked before an entry is kept.
type memory struct {
	mu      sync.Mutex // a drain is journalled beside the step
	entries []Entry
	fail    func(Entry) error
}

func (m *memory) Load(op string) (Record, error) {
	return Record{Op: op, Entries: m.snapshot()}, nil
}

func (m *memory) Append(_ string, e Entry) error {
	if m.fail != nil {
		if err := m.fail(e); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, e)
	return nil
}

func (m *memory) snapshot() []Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries)
}

func (m *memory) marks() []string {
	var marks []string
	for _, e := range m.entries {
		marks = append(marks, strings.TrimSpace(string(e.Mark)+" "+e.Step))
	}
	return marks
}

// bench is one op under test with a clock that does not pass.
type bench struct {
	journal *memory
	cfg     ExecuteConfig
	waits   []time.Duration
	events  []Event
}

func newBench(steps ...Step) *bench {
	b := &bench{journal: &memory{}}
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	b.cfg = ExecuteConfig{
		Op:      Op{ID: NewOpID("n"), Kind: "script", Attempt: 1},
		Run:     &Run{},
		Spec:    Spec{Kind: "script"},
		Task:    &script{func(*Run) []Step { return steps }},
		Journal: b.journal,
		Report:  func(e Event) { b.events = append(b.events, e) },
		Now:     func() time.Time { return now },
		Log:     slog.New(slog.DiscardHandler),
		Wait: func(ctx context.Context, d time.Duration) error {
			b.waits = append(b.waits, d)
			return ctx.Err()
		},
	}
	return b
}

func (b *bench) execute(t *testing.T) (Outcome, error) {
	t.Helper()
	b.cfg.Run = &Run{Op: b.cfg.Op} // what an attempt starts with
	return Execute(t.Context(), b.cfg)
}

func (b *bench) mustEnd(t *testing.T, state State) Outcome {
	t.Helper()
	o, err := b.execute(t)
	if err != nil {
		t.Fatal(err)
	}
	if o.State != state {
		t.Fatalf("ended as %s (%v), want %s", o.State, o.Error, state)
	}
	return o
}

func noop(context.Context) error { return nil }

func recording(log *[]string, word string, err error) func(context.Context) error {
	return func(context.Context) error {
		*log = append(*log, word)
		return err
	}
}

func TestStepsRunInOrderAndTheOutcomeIsJournalledFirst(t *testing.T) {
	t.Parallel()
	var log []string
	b := newBench(
		Step{Name: "a", Do: recording(&log, "do a", nil), Verify: recording(&log, "verify a", nil)},
		Step{Name: "b", Check: func(context.Context) (bool, error) { return true, nil },
			Do: recording(&log, "do b", nil), Verify: recording(&log, "verify b", nil)},
	)
	o := b.mustEnd(t, Succeeded)
	if diff := cmp.Diff([]string{"do a", "verify a", "verify b"}, log); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"begin a", "done a", "begin b", "done b", "outcome"}, b.journal.marks()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&o, b.journal.entries[4].Outcome); diff != "" {
		t.Error(diff)
	}
}

func TestJournalSaysOnceWhatWasOrdered(t *testing.T) {
	t.Parallel()
	b := newBench(Step{Name: "a", Do: noop}, Step{Name: "b", Do: noop})
	op := &b.cfg.Op
	op.Class, op.Site, op.Payload = Interactive, SiteRef{ID: "wp_x", Node: "n", Domain: "d"}, []byte(`{"a":"<b>" }`)
	op.Parent, op.KeyID, op.RequestID, op.Revealed, op.Signature = "p", "k", "r", "v", "s"
	b.mustEnd(t, Succeeded)
	said := 0
	for _, e := range b.journal.entries {
		if e.Order != nil {
			said++
		}
	}
	got, ok := Record{Op: op.ID, Entries: b.journal.entries}.Accepted()
	if diff := cmp.Diff(*op, got); !ok || said != 1 || diff != "" {
		t.Errorf("said %d times: %s", said, diff)
	}
}

func TestFinishedOpIsAnsweredFromTheJournal(t *testing.T) {
	t.Parallel()
	runs := 0
	var b *bench
	b = newBench(Step{Name: "a", Do: func(context.Context) error {
		runs++
		return b.cfg.Run.SetResult(map[string]int{"n": 7})
	}})
	first := b.mustEnd(t, Succeeded)
	second := b.mustEnd(t, Succeeded)
	if runs != 1 || string(second.Result) != `{"n":7}` || string(first.Result) != string(second.Result) {
		t.Fatalf("%d runs, %s then %s", runs, first.Result, second.Result)
	}
}

func TestTransientErrorsAreRetriedInPlace(t *testing.T) {
	t.Parallel()
	tries := 0
	b := newBench(Step{Name: "a", Do: func(context.Context) error {
		if tries++; tries < 5 {
			return errors.New("connection lost")
		}
		return nil
	}})
	b.mustEnd(t, Succeeded)
	if diff := cmp.Diff(retryDelays, b.waits); diff != "" {
		t.Error(diff)
	}
}

func TestPatienceEndsAndTheStepsAreUndoneInReverse(t *testing.T) {
	t.Parallel()
	var log []string
	b := newBench(
		Step{Name: "a", Do: noop, Undo: recording(&log, "undo a", nil)},
		Step{Name: "b", Do: noop},
		Step{Name: "c", Do: recording(&log, "do c", errors.New("no connection")), Undo: recording(&log, "undo c", nil)},
		Step{Name: "d", Do: recording(&log, "do d", nil), Undo: recording(&log, "undo d", nil)},
	)
	o := b.mustEnd(t, Failed)
	want := []string{"do c", "do c", "do c", "do c", "do c", "undo c", "undo a"}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Error(diff)
	}
	if o.Error.Code != CodeInternal || strings.Contains(o.Error.Message, "no connection") {
		t.Errorf("an unclassified error left the node: %+v", o.Error)
	}
}

func TestPermanentErrorsAreNotRetried(t *testing.T) {
	t.Parallel()
	want := Failure{Code: CodeTargetNotEmpty, Message: "There are files.", Hint: "Move them."}
	for name, c := range map[string]struct {
		err  error
		code string
	}{
		"permanent": {Permanent(errors.New("x"), want), CodeTargetNotEmpty},
		"wrapped":   {fmt.Errorf("checking target: %w", Permanent(nil, want)), CodeTargetNotEmpty},
		"disk full": {fmt.Errorf("copying: %w", syscall.ENOSPC), CodeDiskFull},
		"quota":     {fmt.Errorf("copying: %w", syscall.EDQUOT), CodeQuotaExceeded},
	} {
		b := newBench(Step{Name: "a", Do: func(context.Context) error { return c.err }})
		o := b.mustEnd(t, Failed)
		if o.Error.Code != c.code || o.Error.Hint == "" || len(b.waits) != 0 {
			t.Errorf("%s: %+v after %d waits", name, o.Error, len(b.waits))
		}
	}
}

func TestBadEffectIsRolledBack(t *testing.T) {
	t.Parallel()
	var log []string
	b := newBench(Step{Name: "a", Do: noop, Undo: recording(&log, "undo a", nil),
		Verify: func(context.Context) error { return Permanent(nil, Failure{Code: CodeVerifyFailed, Message: "m"}) }})
	o := b.mustEnd(t, RolledBack)
	if o.Error.Code != CodeVerifyFailed || len(log) != 1 {
		t.Fatal(o.Error, log)
	}
}

func TestUnconfirmedEffectEndsUnverified(t *testing.T) {
	t.Parallel()
	var log []string
	b := newBench(
		Step{Name: "a", Do: noop, Undo: recording(&log, "undo a", nil),
			Verify: func(context.Context) error { return Unconfirmed(nil, Failure{Code: CodeUnconfirmed, Message: "m"}) }},
		Step{Name: "b", Do: recording(&log, "do b", nil)},
	)
	o := b.mustEnd(t, Unverified)
	if o.Error == nil || o.Error.Code != CodeUnconfirmed || !slices.Equal(log, []string{"do b"}) {
		t.Fatal(o.Error, log)
	}
}

func TestNothingIsTakenBackBehindThePointOfNoReturn(t *testing.T) {
	t.Parallel()
	var log []string
	cancelled := make(chan struct{})
	b := newBench(
		Step{Name: "a", Do: noop, Undo: recording(&log, "undo a", nil)},
		Step{Name: "b", Commit: true, Do: func(ctx context.Context) error {
			close(cancelled)
			return errors.Join(ctx.Err(), Permanent(nil, Failure{Code: CodeInternal, Message: "m"}))
		}},
	)
	b.cfg.Cancelled = cancelled
	if o := b.mustEnd(t, Unverified); o.Error.Code != CodeInternal || len(log) != 0 {
		t.Fatal(o.Error, log)
	}
}

func TestLeftoverOfAFailedUndoIsNamed(t *testing.T) {
	t.Parallel()
	var log []string
	undos := 0
	b := newBench(
		Step{Name: "files", Do: noop, Undo: recording(&log, "undo files", nil)},
		Step{Name: "database", Do: noop, Undo: func(context.Context) error { undos++; return errors.New("no connection") }},
		Step{Name: "c", Do: func(context.Context) error { return Permanent(nil, Failure{Code: "x", Message: "m", Hint: "h."}) }},
	)
	o := b.mustEnd(t, Failed)
	if undos != 1+len(retryDelays) || !slices.Equal(log, []string{"undo files"}) {
		t.Errorf("%d tries to undo, then %v", undos, log)
	}
	if !strings.HasPrefix(o.Error.Hint, "h. ") || !strings.Contains(o.Error.Hint, "database") || strings.Contains(o.Error.Hint, "files,") {
		t.Errorf("hint %q", o.Error.Hint)
	}
}

func TestCancelStopsTheRunningStepAndUndoes(t *testing.T) {
	t.Parallel()
	var log []string
	cancelled := make(chan struct{})
	b := newBench(
		Step{Name: "a", Do: noop, Undo: recording(&log, "undo a", nil)},
		Step{Name: "b", Undo: recording(&log, "undo b", nil), Do: func(ctx context.Context) error {
			close(cancelled)
			<-ctx.Done()
			// What a killed child looks like; the cancellation is the reason all the same.
			return Permanent(errors.New("signal: killed"), Failure{Code: CodeWPCLI, Message: "m"})
		}},
	)
	b.cfg.Cancelled = cancelled
	o := b.mustEnd(t, Cancelled)
	if o.Error.Code != CodeCancelled || !slices.Equal(log, []string{"undo b", "undo a"}) {
		t.Fatal(o.Error, log)
	}
}

func TestDrainStopsAtTheNextBoundaryAndTheOpResumes(t *testing.T) {
	t.Parallel()
	var log []string
	stop := make(chan struct{})
	b := newBench(
		Step{Name: "a", Do: func(context.Context) error { log = append(log, "do a"); close(stop); return nil }},
		Step{Name: "b", Do: recording(&log, "do b", nil)},
	)
	b.cfg.Stop = stop
	if _, err := b.execute(t); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v", err)
	}
	b.cfg.Stop = nil
	b.mustEnd(t, Succeeded)
	if diff := cmp.Diff([]string{"do a", "do b"}, log); diff != "" {
		t.Fatal(diff)
	}
}

func TestDrainDoesNotWaitForTheNextTry(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	b := newBench(Step{Name: "a", Do: func(context.Context) error { return errors.New("busy") }})
	b.cfg.Stop = stop
	b.cfg.Wait = func(ctx context.Context, _ time.Duration) error {
		close(stop)
		<-ctx.Done()
		return ctx.Err()
	}
	if _, err := b.execute(t); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v", err)
	}
	h, err := replay(Record{Entries: b.journal.entries})
	if err != nil || len(h.crashes) != 0 {
		t.Fatalf("the drain counts as a crash: %v %v", h.crashes, err)
	}
}

func TestEndOfTheWorkerIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	b := newBench(Step{Name: "a", Do: func(ctx context.Context) error { end(); <-ctx.Done(); return ctx.Err() }})
	if o, err := Execute(ctx, b.cfg); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v, %v", o, err)
	}
}

func TestBusyIsRedeliveredNotFailed(t *testing.T) {
	t.Parallel()
	b := newBench(Step{Name: "a", Do: func(context.Context) error { return fmt.Errorf("locking: %w", Later(3*time.Second)) }})
	for range maxCrashes + 2 {
		_, err := b.execute(t)
		var later *LaterError
		if !errors.As(err, &later) || later.After != 3*time.Second {
			t.Fatalf("got %v", err)
		}
	}
}

func TestDeadlineFailsTheOpAndLeavesTimeToUndo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // its clock jumps to the deadline
		undo := errors.New("not run")
		b := newBench(Step{Name: "a",
			Do:   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			Undo: func(ctx context.Context) error { undo = ctx.Err(); return undo }})
		b.cfg.Spec.Deadline = 10 * time.Minute
		o := b.mustEnd(t, Failed)
		if o.Error.Code != CodeTimeout || undo != nil {
			t.Fatal(o.Error, undo)
		}
	})
}

func TestStepThatKillsTheWorkerIsGivenUp(t *testing.T) {
	t.Parallel()
	tries := 0
	var log []string
	b := newBench(
		Step{Name: "a", Do: noop, Undo: recording(&log, "undo a", nil)},
		Step{Name: "b", Do: func(context.Context) error { tries++; panic("the worker dies") }, Undo: recording(&log, "undo b", nil)},
	)
	for range maxCrashes {
		func() {
			defer func() { _ = recover() }()
			o, err := b.execute(t)
			t.Errorf("survived: %v %v", o, err)
		}()
	}
	o := b.mustEnd(t, Failed)
	if o.Error.Code != CodePoison || tries != maxCrashes || !slices.Equal(log, []string{"undo b", "undo a"}) {
		t.Fatal(o.Error, tries, log)
	}
}

func TestJournalThatCannotBeWrittenStopsBeforeTheEffect(t *testing.T) {
	t.Parallel()
	var log []string
	b := newBench(Step{Name: "a", Do: recording(&log, "do a", nil), Undo: recording(&log, "undo a", nil)})
	b.journal.fail = func(Entry) error { return syscall.ENOSPC }
	if o, err := b.execute(t); !errors.Is(err, syscall.ENOSPC) || o.State != "" {
		t.Fatalf("got %v, %v", o, err)
	}
	if len(log) != 0 {
		t.Fatalf("effects without a journal: %v", log)
	}
}

func TestMemoryOfAStepIsOnDiskBeforeItsEffect(t *testing.T) {
	t.Parallel()
	var b *bench
	made := false
	b = newBench(Step{Name: "a",
		Do: func(context.Context) error {
			if err := b.cfg.Run.Set("owner", "me"); err != nil {
				return err
			}
			made = true
			return nil
		}})
	b.journal.fail = func(e Entry) error {
		if e.Mark == MarkSet {
			return syscall.ENOSPC
		}
		return nil
	}
	// However the step reports it, the op is not over: it was the journal that failed.
	if _, err := b.execute(t); !errors.Is(err, syscall.ENOSPC) || made {
		t.Fatalf("got %v, made %v", err, made)
	}
}

func TestRandomChoicesAreMadeOnce(t *testing.T) {
	t.Parallel()
	var b *bench
	draws, seen := 0, []string{}
	b = newBench(Step{Name: "a", Do: func(context.Context) error {
		v, err := b.cfg.Run.Recall("name", func() (string, error) { draws++; return fmt.Sprint("n", draws), nil })
		seen = append(seen, v)
		if len(seen) < 3 {
			panic("the worker dies")
		}
		return err
	}})
	for range 2 {
		func() { defer func() { _ = recover() }(); _, _ = b.execute(t) }()
	}
	b.mustEnd(t, Succeeded)
	if !slices.Equal(seen, []string{"n1", "n1", "n1"}) {
		t.Fatal(seen)
	}
}

func TestProgressFollowsTheWeightsAndNeverGoesDown(t *testing.T) {
	t.Parallel()
	var b *bench
	b = newBench(
		Step{Name: "a", Message: "A", Weight: 20, Do: func(context.Context) error {
			for _, f := range []float64{0.25, 0.5, 0.5, 0.1, -1, 2, 0} {
				b.cfg.Run.Report(f, "")
			}
			b.cfg.Run.Report(0, "still A")
			return nil
		}},
		Step{Name: "b", Message: "B", Weight: 80, Do: noop},
	)
	b.mustEnd(t, Succeeded)
	var got []string
	for _, e := range b.events {
		got = append(got, fmt.Sprintf("%d %s %d/%d %s", e.Progress, e.Step, e.StepIndex, e.StepsTotal, e.Message))
	}
	want := []string{"0 a 1/2 A", "5 a 1/2 A", "10 a 1/2 A", "20 a 1/2 A", "20 a 1/2 still A", "20 b 2/2 B"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestJournalOfAnotherVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]Entry{
		"unknown step": {Mark: MarkBegin, Step: "moved_elsewhere"},
		"unknown mark": {Mark: "checkpoint", Step: "a"},
	} {
		b := newBench(Step{Name: "a", Do: noop})
		b.journal.entries = []Entry{e}
		if o, err := b.execute(t); err == nil || len(b.journal.entries) != 1 {
			t.Errorf("%s: went on to %v", name, o)
		}
	}
}

func TestUndoThatCannotSeeTheOldStateEndsAsUnverified(t *testing.T) {
	t.Parallel()
	doubt := Unconfirmable(errors.New("page 500"), Failure{Code: CodeUnconfirmed, Message: "It does not answer as before.", Hint: "Look at it."})
	for cause, want := range map[error]State{
		errors.New("bad effect"): Unverified, // of a Verify
		Permanent(nil, Failure{Code: CodeDatabaseError, Message: "Away."}): Failed,
	} {
		var verify func(context.Context) error
		var step *StepError
		doing := noop
		if errors.As(cause, &step) {
			verify, doing = noop, func(context.Context) error { return cause }
		} else {
			verify = func(context.Context) error {
				return Permanent(cause, Failure{Code: CodeUpdateBrokeSite, Message: "Broken."})
			}
		}
		b := newBench(
			Step{Name: "made", Do: noop, Undo: func(context.Context) error { return doubt }},
			Step{Name: "looked", Do: doing, Verify: verify},
		)
		o := b.mustEnd(t, want)
		if o.Error.Hint != "It does not answer as before. Look at it." || o.Error.Code == CodeUnconfirmed {
			t.Errorf("%+v", o.Error)
		}
		// Of a worker that died in front of the outcome nothing else is to be expected.
		b.journal.entries = b.journal.entries[:len(b.journal.entries)-1]
		if again := b.mustEnd(t, want); again.Error.Hint != o.Error.Hint {
			t.Errorf("%+v", again.Error)
		}
	}
}
