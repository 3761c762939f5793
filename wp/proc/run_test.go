package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestRunReportsHowTheProgramEnded(t *testing.T) {
	t.Parallel()
	exit, err := Run(t.Context(), shell("exit 3"))
	if err != nil || exit.Code != 3 || exit.Signal != 0 || exit.Reason != "" || exit.Wall <= 0 || exit.MaxRSS <= 0 {
		t.Errorf("exit 3: %+v, %v", exit, err)
	}
	exit, err = Run(t.Context(), shell("kill -USR1 $$"))
	if err != nil || exit.Code != -1 || exit.Signal != syscall.SIGUSR1 || exit.Reason != "" {
		t.Errorf("SIGUSR1: %+v, %v", exit, err)
	}
}

func TestRunRefusesAnInvalidSpec(t *testing.T) {
	t.Parallel()
	for _, s := range []Spec{
		{Path: "true"},
		{Path: "./true"},
		{Path: ""},
		{Path: "/bin/true\x00"},
		{Path: "/bin/true", Dir: "tmp"},
		{Path: "/bin/true", Args: []string{"a\x00b"}},
		{Path: "/bin/true", Env: []string{"NOVALUE"}},
		{Path: "/bin/true", Env: []string{"=x"}},
		{Path: "/bin/true", Keep: []*os.File{nil}},
	} {
		s.As = tenant()
		if _, err := Run(t.Context(), s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestAProgramThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		spec Spec
		want error
		text string
	}{
		{Spec{Path: "/nonexistent/php"}, fs.ErrNotExist, "executing program"},
		{Spec{Path: "/etc/passwd"}, fs.ErrPermission, "executing program"},
		{Spec{Path: "/bin/true", Dir: "/nonexistent"}, fs.ErrNotExist, "entering working folder"},
		{Spec{Path: "/bin/true", Dir: "/etc/passwd"}, syscall.ENOTDIR, "entering working folder"},
	}
	if asRoot() { // the tenant, not root, opens paths
		cases = append(cases, struct {
			spec Spec
			want error
			text string
		}{Spec{Path: "/bin/true", Dir: "/root"}, fs.ErrPermission, "entering working folder"})
	}
	for _, c := range cases {
		c.spec.As = tenant()
		_, err := Run(t.Context(), c.spec)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v, want %v while %s", c.spec, err, c.want, c.text)
		}
	}
}

func TestTimeoutAndCancellationAreToldApart(t *testing.T) {
	t.Parallel()
	why := errors.New("the operator said so")
	cases := []struct {
		reason string
		want   error
		ctx    func(started <-chan struct{}) (context.Context, context.CancelFunc)
	}{
		{ReasonTimeout, context.DeadlineExceeded, func(<-chan struct{}) (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 200*time.Millisecond)
		}},
		{ReasonCancelled, why, func(started <-chan struct{}) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() { <-started; cancel(why) }()
			return ctx, func() { cancel(nil) }
		}},
	}
	for _, c := range cases {
		started := make(chan struct{})
		s := shell("exec sleep 1000")
		s.Started = func(Record) error { close(started); return nil }
		ctx, cancel := c.ctx(started)
		defer cancel()
		exit, err := Run(ctx, s)
		if !errors.Is(err, c.want) || !errors.Is(err, ctx.Err()) {
			t.Errorf("%s: %+v, %v", c.reason, exit, err)
		}
		assertNoProcessOf(t, s.As)
	}
}

func TestStopLetsAProgramFinish(t *testing.T) {
	t.Parallel()
	s, lines := shell(`trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done`), newLineSink()
	s.Stdout = lines
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	lines.next(t)
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	exit, err := p.Wait()
	if err != nil || exit.Code != 7 || exit.Reason != ReasonKilled || lines.next(t) != "bye" {
		t.Errorf("stopped: %+v, %v", exit, err)
	}
}

func TestStopKillsAtTheEndOfItsContext(t *testing.T) {
	t.Parallel()
	s, lines := shell(`trap '' TERM; echo up; while :; do sleep 1000; done`), newLineSink()
	s.Stdout, s.Grace = lines, time.Hour
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	lines.next(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Signal != syscall.SIGKILL {
		t.Errorf("killed: %+v, %v", exit, err)
	}
}

func TestSignalReachesTheProgram(t *testing.T) {
	t.Parallel()
	s, lines := shell(`trap 'exit 9' USR2; echo $$; while :; do sleep 0.01; done`), newLineSink()
	s.Stdout = lines
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if pid := lines.next(t); pid != strconv.Itoa(p.PID()) {
		t.Errorf("PID is %d, the program says %s", p.PID(), pid)
	}
	if err := p.Signal(syscall.SIGUSR2); err != nil {
		t.Error(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 9 || exit.Reason != "" {
		t.Errorf("signalled: %+v, %v", exit, err)
	}
}

func TestARunThatCannotBeRecordedNeverHappens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	full := errors.New("journal is full")
	s := shell(`echo x > "$0"/ran`, dir)
	s.Started = func(Record) error { return full }
	if _, err := Run(t.Context(), s); !errors.Is(err, full) {
		t.Errorf("err = %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the program ran: %v, %v", left, err)
	}
}

func TestStartedIsCalledBeforeExec(t *testing.T) {
	t.Parallel()
	self, err := os.Readlink(selfExe)
	if err != nil {
		t.Fatal(err)
	}
	s := shell("exit 0")
	s.Started = func(r Record) error {
		if !r.Alive() {
			return errors.New("recorded run is not alive")
		}
		for { // until the child has been forked; it waits for our return
			below, err := descendants(r.PID)
			if err != nil {
				return err
			}
			if len(below) == 0 {
				continue
			}
			if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", below[0].pid)); err != nil || exe != self {
				return fmt.Errorf("child is %q already (%w)", exe, err)
			}
			return nil
		}
	}
	if _, err := Run(t.Context(), s); err != nil {
		t.Error(err)
	}
}

func TestInputReachesTheProgram(t *testing.T) {
	t.Parallel()
	in := strings.Repeat("0123456789abcdef", 1<<16)
	got := output(t, Spec{Path: "/bin/cat", Stdin: strings.NewReader(in), As: tenant()})
	if got != in {
		t.Errorf("%d of %d bytes came back", len(got), len(in))
	}
}

func TestUnreadInputIsNoError(t *testing.T) {
	t.Parallel()
	exit, err := Run(t.Context(), Spec{Path: "/bin/true", Stdin: io.LimitReader(zeros{}, 1<<24), As: tenant()})
	if err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
}

func TestAReaderThatBlocksDoesNotHoldTheRun(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	defer w.Close()
	if exit, err := Run(t.Context(), Spec{Path: "/bin/true", Stdin: r, As: tenant()}); err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestAFailingReaderOrWriterStopsTheRun(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk is full")
	for name, s := range map[string]Spec{
		"stdout": {Path: "/usr/bin/yes", Stdout: failingWriter{broken}},
		"both":   {Path: "/bin/sh", Args: []string{"-c", "trap '' PIPE TERM; while :; do echo x >&2; done"}, Stderr: failingWriter{broken}},
		"stdin":  {Path: "/bin/sleep", Args: []string{"1000"}, Stdin: failingReader{broken}},
	} {
		s.As = tenant()
		if exit, err := Run(t.Context(), s); !errors.Is(err, broken) {
			t.Errorf("%s: %+v, %v", name, exit, err)
		}
	}
}

// takeover is a program that, as one that stores things does, takes the end of its input for
// the whole and says so.
const takeover = `cat >/dev/null; echo whole`

func TestInputThatFailsIsNeverTakenForWhole(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk is full")
	for range 20 { // it would be a race
		out, s := Capped(100), shell(takeover)
		s.Stdin, s.StdinWhole, s.Stdout = io.MultiReader(strings.NewReader("some"), failingReader{broken}), true, out
		if _, err := Run(t.Context(), s); !errors.Is(err, broken) || out.Total() != 0 {
			t.Fatalf("%v, it said %q", err, out)
		}
	}
	s := shell(takeover)
	for range 40 { // nor is its end told before the order, however short it is
		s.Stdin, s.StdinWhole = strings.NewReader("all"), true
		if got := output(t, s); got != "whole\n" {
			t.Fatalf("whole input: %q", got)
		}
	}
	s.Stdin = nil
	if _, err := Run(t.Context(), s); !errors.Is(err, ErrInvalid) {
		t.Errorf("without input: %v", err)
	}
}

func TestAnOutsideHolderOfThePipeDoesNotHoldTheRun(t *testing.T) {
	t.Parallel()
	s, lines := shell(`echo up; exec sleep 1000`), newLineSink()
	s.Stdout = lines
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	lines.next(t)
	held, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/1", p.PID()), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	p.Kill()
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAFloodOfOutputIsCappedAndCounted(t *testing.T) {
	t.Parallel()
	out := Capped(64 << 10)
	exit, err := Run(t.Context(), Spec{Path: "/usr/bin/head", Args: []string{"-c", "1G", "/dev/zero"}, Stdout: out, Stderr: out, As: tenant()})
	if err != nil || exit.Code != 0 {
		t.Fatalf("%+v, %v", exit, err)
	}
	if kept := len(out.Bytes()); out.Total() != 1<<30 || kept > 65<<10 || cap(out.head)+cap(out.tail) > 128<<10 {
		t.Errorf("total %d, kept %d, memory %d", out.Total(), kept, cap(out.head)+cap(out.tail))
	}
}

func TestCPULimitEndsABusyProgram(t *testing.T) {
	t.Parallel()
	s := shell("while :; do :; done")
	s.Limits.CPUSeconds = 1
	if exit, err := Run(t.Context(), s); err != nil || (exit.Signal != syscall.SIGKILL && exit.Signal != syscall.SIGXCPU) || exit.Reason != "" {
		t.Errorf("%+v, %v", exit, err)
	}
}

func TestRunsDoNotMix(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			var out bytes.Buffer
			s := shell(`cat; echo "$0" >&2; exit "$0"`, strconv.Itoa(i))
			s.Stdin, s.Stdout, s.Stderr = strings.NewReader(fmt.Sprintf("%d\n", i)), &out, &out
			exit, err := Run(t.Context(), s)
			if want := fmt.Sprintf("%d\n%d\n", i, i); err != nil || exit.Code != i || out.String() != want {
				t.Errorf("run %d: %+v, %v, %q", i, exit, err, out.String())
			}
		})
	}
	wg.Wait()
}
