package proc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// detach leaves a process in a session of its own, deaf to SIGTERM, whose parents are gone,
// and prints its pid.
const detach = `(setsid sh -c 'trap "" TERM HUP INT; echo $$; exec sleep 1000' &) & wait; `

func TestADetachedProcessDiesWithATimeout(t *testing.T) {
	t.Parallel()
	s, lines := shell(detach+`trap "" TERM; while :; do sleep 1000; done`), newLineSink()
	s.Stdout, s.Grace = lines, 100*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, err := Start(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(lines.next(t))
	if now, err := readStat(pid); err != nil || now.session == p.Record().PID {
		t.Fatalf("not detached: %+v, %v", now, err)
	}
	cancel()
	if exit, err := p.Wait(); !errors.Is(err, context.Canceled) || exit.Reason != ReasonCancelled {
		t.Errorf("%+v, %v", exit, err)
	}
	if now, err := readStat(pid); err == nil {
		t.Errorf("left behind: %+v", now)
	}
	assertNoProcessOf(t, s.As)
}

func TestADetachedProcessDiesWithItsProgram(t *testing.T) {
	t.Parallel()
	in, finish := io.Pipe()
	s, lines := shell(detach+`read line`), newLineSink()
	s.Stdin, s.Stdout = in, lines
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(lines.next(t))
	fmt.Fprintln(finish, "end now")
	finish.Close()
	if exit, err := p.Wait(); err != nil || exit.Code != 0 || exit.Reason != "" {
		t.Errorf("%+v, %v", exit, err)
	}
	if now, err := readStat(pid); pid == 0 || err == nil {
		t.Errorf("left behind: %d %+v", pid, now)
	}
	assertNoProcessOf(t, s.As)
}

// perl runs a script that the shell could not: its fork does not give up.
func perl(script string) Spec {
	return Spec{Path: "/usr/bin/perl", Args: []string{"-e", script}, As: tenant(), Grace: time.Millisecond}
}

func TestAForkBombEnds(t *testing.T) {
	t.Parallel()
	if !asRoot() {
		return // its process limit would count, and starve, everything else of the invoking user
	}
	s, lines := perl(`$| = 1; $SIG{TERM} = "IGNORE"; print "up\n"; while (1) { fork }`), newLineSink()
	s.Limits.Processes, s.Stdout = 150, lines
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, err := Start(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	lines.next(t)
	cancel()
	if exit, err := p.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", exit, err)
	}
	assertNoProcessOf(t, s.As)
}

func TestAChainOfForksIsCaught(t *testing.T) {
	t.Parallel()
	// Every generation begins a session of its own, starts the next and ends at once.
	s := perl(`use POSIX; $SIG{TERM} = $SIG{HUP} = "IGNORE"; while (1) { exit if fork; setsid }`)
	if exit, err := Run(t.Context(), s); err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
	assertNoProcessOf(t, s.As)
}

func TestASupervisorThatIsKilledTakesItsSessionAlong(t *testing.T) {
	t.Parallel()
	s, lines := shell(`sh -c 'trap "" TERM HUP; echo $$; exec sleep 1000' & wait`), newLineSink()
	s.Stdout = lines
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	background, _ := strconv.Atoi(lines.next(t))
	if err := syscall.Kill(p.Record().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); !errors.Is(err, ErrLost) {
		t.Errorf("%+v, %v", exit, err)
	}
	assertGone(t, p.PID())
	assertGone(t, background)
	if p.Record().Alive() {
		t.Error("record is still alive")
	}
}

func TestKillGroupEndsARunFromItsRecord(t *testing.T) {
	t.Parallel()
	s, lines := shell(detach+`trap "" TERM; exec sleep 1000`), newLineSink()
	s.Stdout = lines
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(lines.next(t))
	stored, err := json.Marshal(p.Record())
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if err := json.Unmarshal(stored, &r); err != nil || !r.Alive() {
		t.Fatalf("stored record is not alive: %v", err)
	}
	if err := r.KillGroup(); err != nil {
		t.Error(err)
	}
	assertGone(t, pid)
	if exit, err := p.Wait(); err != nil || exit.Reason != ReasonKilled {
		t.Errorf("%+v, %v", exit, err)
	}
	if r.Alive() {
		t.Error("record is still alive")
	}
	if err := r.KillGroup(); err != nil {
		t.Errorf("ending it twice: %v", err)
	}
}

func TestARecordNeverNamesAStranger(t *testing.T) {
	t.Parallel()
	self, err := newRecord(os.Getpid(), uint32(os.Getuid()))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Record){
		"other start": func(r *Record) { r.StartTicks-- },
		"other boot":  func(r *Record) { r.Boot = "x" },
		"zero":        func(r *Record) { *r = Record{} },
		"init":        func(r *Record) { r.PID = 1 },
	} {
		r := self
		change(&r)
		if r.Alive() {
			t.Errorf("%s: alive", name)
		}
		if err := r.KillGroup(); err != nil { // would end this test if it were wrong
			t.Errorf("%s: %v", name, err)
		}
	}
}

const miniWorkerArg = "mini-worker"

// miniWorker is a worker process that starts one run with a detached process in it, prints
// what a journal would hold, and waits to be killed.
func miniWorker() {
	s := shell(detach + `trap "" TERM; echo $$; exec sleep 1000`)
	s.Stdout = os.Stdout
	s.Started = func(r Record) error { return json.NewEncoder(os.Stdout).Encode(r) }
	exit, err := Run(context.Background(), s)
	fmt.Println("run ended before the worker was killed:", exit, err)
}

const miniStorerArg = "mini-storer"

// miniStorer is a worker that is killed while it feeds a program.
func miniStorer() {
	s := shell("echo up; " + takeover)
	in, _, err := os.Pipe() // nothing ever comes
	if err != nil {
		panic(err)
	}
	s.Stdin, s.StdinWhole, s.Stdout = io.MultiReader(strings.NewReader("some"), in), true, os.Stdout
	exit, err := Run(context.Background(), s)
	fmt.Println("run ended before the worker was killed:", exit, err)
}

func TestInputOfAKilledWorkerIsNeverTakenForWhole(t *testing.T) {
	t.Parallel()
	for range 10 { // it would be a race
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		worker, err := os.StartProcess(selfExe, []string{"worker", miniStorerArg}, &os.ProcAttr{Files: []*os.File{nil, w, os.Stderr}})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(r)
		if !lines.Scan() || lines.Text() != "up" {
			t.Fatalf("the program says %q", lines.Text())
		}
		if err := worker.Kill(); err != nil {
			t.Fatal(err)
		}
		if lines.Scan() { // else everybody who could write has gone
			t.Errorf("the program says %q", lines.Text())
		}
		if _, err := worker.Wait(); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
}

func TestAWorkerThatIsKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	worker, err := os.StartProcess(selfExe, []string{"worker", miniWorkerArg}, &os.ProcAttr{Files: []*os.File{nil, w, os.Stderr}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	var record Record
	var pids [2]int
	for i := range 3 {
		if !lines.Scan() {
			t.Fatal("the worker says nothing")
		}
		if i == 0 {
			err = json.Unmarshal(lines.Bytes(), &record)
		} else {
			pids[i-1], err = strconv.Atoi(lines.Text())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := worker.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := worker.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		assertGone(t, pid)
	}
	assertGone(t, record.PID)
	if record.Alive() {
		t.Error("record is still alive")
	}
	if err := record.KillGroup(); err != nil {
		t.Error(err)
	}
}
