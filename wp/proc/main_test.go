package proc

import (
	"bytes"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Main()
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case miniWorkerArg:
			miniWorker()
			return
		case miniStorerArg:
			miniStorer()
			return
		case delegateArg:
			delegate()
			return
		case forgetfulArg:
			forgetful()
			return
		}
	}
	goleak.VerifyTestMain(m)
}

var lastTenant atomic.Uint32

// tenant is a new identity for a run under test: as root a user that nothing else runs as
// (no account is needed), otherwise the invoking user.
func tenant() Identity {
	if os.Geteuid() != 0 {
		return Identity{}
	}
	id := 30000 + lastTenant.Add(1)
	return Identity{UID: id, GID: id + 10000, Home: "/nonexistent"}
}

func asRoot() bool { return os.Geteuid() == 0 }

// shell is a Spec that runs a script as a new tenant.
func shell(script string, args ...string) Spec {
	return Spec{Path: "/bin/sh", Args: append([]string{"-c", script}, args...), Env: []string{"PATH=/usr/bin:/bin"}, As: tenant()}
}

// output runs s, which must end with status 0, and returns what it wrote to stdout.
func output(t *testing.T, s Spec) string {
	t.Helper()
	var out, errs bytes.Buffer
	s.Stdout, s.Stderr = &out, &errs
	exit, err := Run(t.Context(), s)
	if err != nil || exit.Code != 0 {
		t.Fatalf("running %s: %+v, %v\n%s", s.Path, exit, err, errs.String())
	}
	return out.String()
}

// assertGone waits until the process pid has ended, by its pidfd.
func assertGone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if gone, err := waitGone(fd, 10*time.Second); !gone || err != nil {
		t.Errorf("process %d lives on: %v", pid, err)
	}
}

// assertNoProcessOf fails if the tenant owns any living process. Only root's tenants have
// a user of their own.
func assertNoProcessOf(t *testing.T, id Identity) {
	t.Helper()
	if !asRoot() {
		return
	}
	err := processes(func(s stat) {
		if (Record{UID: id.UID}).owns(s.pid) && !s.dead() && uidOf(s.pid) == id.UID {
			t.Errorf("process %d of the tenant is left", s.pid)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func uidOf(pid int) uint32 {
	var st unix.Stat_t
	if unix.Stat("/proc/"+itoa(pid), &st) != nil {
		return 0
	}
	return st.Uid
}

// lineSink hands each complete line to a channel, so that tests wait on what a child says.
type lineSink struct {
	lineWriter
	C chan string
}

func newLineSink() *lineSink {
	s := &lineSink{C: make(chan string, 1000)}
	s.lineWriter = lineWriter{max: 1 << 16, emit: func(b []byte) { s.C <- string(b) }}
	return s
}

func (s *lineSink) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-s.C:
		return strings.TrimSpace(line)
	case <-time.After(20 * time.Second):
		t.Fatal("the child says nothing")
		return ""
	}
}
