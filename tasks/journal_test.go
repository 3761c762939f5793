package tasks

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func openJournal(t testing.TB) (*FileJournal, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, dir
}

func mustAppend(t testing.TB, j *FileJournal, op string, entries ...Entry) {
	t.Helper()
	for _, e := range entries {
		if err := j.Append(op, e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJournalGivesBackWhatWasAppended(t *testing.T) {
	t.Parallel()
	j, dir := openJournal(t)
	op := NewOpID("n")
	want := []Entry{
		{Attempt: 1, Mark: MarkBegin, Step: "a"},
		{Attempt: 1, Mark: MarkSet, Key: "db", Value: "line\nbreak \x00 \" ü"},
		{Attempt: 2, Mark: MarkRollback, State: Failed, Failure: &Failure{Code: "x", Message: "y"}},
		{Attempt: 2, Mark: MarkOutcome, Outcome: &Outcome{State: Failed}},
	}
	mustAppend(t, j, op, want...)
	rec, err := j.Load(op)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rec.Entries); diff != "" {
		t.Fatal(diff)
	}
	if rec.Attempt() != 2 || rec.Outcome() == nil || rec.Outcome().State != Failed {
		t.Fatalf("attempt %d, outcome %v", rec.Attempt(), rec.Outcome())
	}
	info, err := os.Stat(filepath.Join(dir, op+".jsonl"))
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestJournalOfAnUnknownOpIsEmpty(t *testing.T) {
	t.Parallel()
	j, _ := openJournal(t)
	rec, err := j.Load(NewOpID("n"))
	if err != nil || len(rec.Entries) != 0 || rec.Outcome() != nil || rec.Attempt() != 0 {
		t.Fatal(rec, err)
	}
}

// Whatever prefix of the file a power cut leaves, the entries that were
// acknowledged and lie in it are read, and the next append is not glued to the rest.
func TestTornLastLineIsCutOff(t *testing.T) {
	t.Parallel()
	j, dir := openJournal(t)
	rapid.Check(t, func(rt *rapid.T) {
		op := NewOpID("n")
		n := rapid.IntRange(1, 5).Draw(rt, "entries")
		var ends []int64
		file := filepath.Join(dir, op+".jsonl")
		for i := range n {
			mustAppend(t, j, op, Entry{Mark: MarkBegin, Step: fmt.Sprint(i)})
			info, err := os.Stat(file)
			if err != nil {
				rt.Fatal(err)
			}
			ends = append(ends, info.Size())
		}
		cutAt := rapid.Int64Range(0, ends[n-1]).Draw(rt, "cut")
		if err := os.Truncate(file, cutAt); err != nil {
			rt.Fatal(err)
		}
		whole := 0
		for whole < n && ends[whole] <= cutAt {
			whole++
		}
		rec, err := j.Load(op)
		if err != nil || len(rec.Entries) != whole {
			rt.Fatalf("cut at %d: %d entries, %v; want %d", cutAt, len(rec.Entries), err, whole)
		}
		mustAppend(t, j, op, Entry{Mark: MarkDone, Step: "next"})
		rec, err = j.Load(op)
		if err != nil || len(rec.Entries) != whole+1 || rec.Entries[whole].Step != "next" {
			rt.Fatalf("after the next append: %v, %v", rec, err)
		}
	})
}

func TestCorruptMiddleLineParksTheOp(t *testing.T) {
	t.Parallel()
	j, dir := openJournal(t)
	op := NewOpID("n")
	mustAppend(t, j, op, Entry{Mark: MarkBegin, Step: "a"}, Entry{Mark: MarkDone, Step: "a"})
	file := filepath.Join(dir, op+".jsonl")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(data, []byte("{"), []byte("\x00"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Load(op); !errors.Is(err, ErrCorruptJournal) {
		t.Fatalf("got %v", err)
	}
	if _, err := Execute(t.Context(), ExecuteConfig{Op: Op{ID: op}, Run: &Run{}, Task: &Install{}, Journal: j}); !errors.Is(err, ErrCorruptJournal) {
		t.Fatalf("the op went on: %v", err)
	}
}

func TestJournalStaysInItsDirectory(t *testing.T) {
	t.Parallel()
	j, dir := openJournal(t)
	outside := filepath.Join(t.TempDir(), "outside")
	op := NewOpID("n")
	if err := os.Symlink(outside, filepath.Join(dir, op+".jsonl")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{op, "../../etc/passwd", "", "op_", op + "/x"} {
		if err := j.Append(id, Entry{Mark: MarkBegin}); err == nil {
			t.Errorf("Append(%q) worked", id)
		}
		if _, err := j.Load(id); err == nil {
			t.Errorf("Load(%q) worked", id)
		}
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Fatal("the link was followed")
	}
}

func TestListNamesUnsettledOpsOldestFirst(t *testing.T) {
	t.Parallel()
	j, dir := openJournal(t)
	var want []string
	for range 5 {
		op := NewOpID("n")
		mustAppend(t, j, op, Entry{Mark: MarkBegin, Step: "a"})
		want = append(want, op)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second removal is a worker that was killed after the first
		if err := j.Remove(want[2]); err != nil {
			t.Fatal(err)
		}
	}
	want = append(want[:2], want[3:]...)
	got, err := j.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestOpsJournalSideBySide(t *testing.T) {
	t.Parallel()
	j, _ := openJournal(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			op := NewOpID("n")
			for i := range 10 {
				if err := j.Append(op, Entry{Mark: MarkSet, Key: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			}
			if rec, err := j.Load(op); err != nil || len(rec.Entries) != 10 {
				t.Error(len(rec.Entries), err)
			}
		})
	}
	wg.Wait()
}

// A full disk is known before the effect, and the half line it may leave does
// not spoil what comes after.
func TestFullDiskFailsTheAppendAndKeepsTheJournal(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := writeLine(full, []byte("{}\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
}

func FuzzJournalLoad(f *testing.F) {
	f.Add([]byte(`{"mark":"begin","step":"a"}` + "\n"))
	f.Add([]byte("{\n\n"))
	f.Add([]byte(`{"mark":"outcome"}` + "\n" + `{"mark":"set"}` + "\n" + `{"ma`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, dir := openJournal(t)
		op := NewOpID("n")
		if err := os.WriteFile(filepath.Join(dir, op+".jsonl"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		rec, err := j.Load(op)
		if err != nil {
			return
		}
		again, err := j.Load(op)
		if err != nil || !cmp.Equal(rec, again) {
			t.Fatalf("two loads differ: %v", err)
		}
		_, _ = replay(rec)
	})
}
