package proc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

// status parses /proc/PID/status into name → value.
func status(text string) map[string]string {
	out := map[string]string{}
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), ":")
		out[name] = strings.TrimSpace(value)
	}
	return out
}

// dropped says what is wrong with the privileges that a status shows.
func dropped(st map[string]string, id Identity) error {
	want := map[string]string{"NoNewPrivs": "1"}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		want[set] = "0000000000000000"
	}
	if id.UID != 0 { // given only when the worker is root
		want["CapBnd"] = "0000000000000000"
		want["Uid"] = strings.TrimSpace(strings.Repeat(fmt.Sprintf("%d\t", id.UID), 4))
		want["Gid"] = strings.TrimSpace(strings.Repeat(fmt.Sprintf("%d\t", id.GID), 4))
		want["Groups"] = ""
	}
	for name, value := range want {
		if st[name] != value {
			return fmt.Errorf("%s is %q, want %q", name, st[name], value)
		}
	}
	return nil
}

func TestProgramRunsAsTenantWithoutPrivileges(t *testing.T) {
	t.Parallel()
	s := Spec{Path: "/bin/cat", Args: []string{"/proc/self/status"}, As: tenant()}
	st := status(output(t, s))
	if err := dropped(st, s.As); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"Umask": "0022", "SigIgn": "0000000000000000", "SigBlk": "0000000000000000"} {
		if st[name] != want {
			t.Errorf("%s is %q, want %q", name, st[name], want)
		}
	}
}

// A worker started by make, or under nohup, has signals ignored.
func TestProgramIgnoresNoSignalThatTheWorkerDoes(t *testing.T) {
	t.Parallel()
	signal.Ignore(syscall.SIGUSR2)
	s := Spec{Path: "/bin/cat", Args: []string{"/proc/self/status"}, As: tenant()}
	if got := status(output(t, s))["SigIgn"]; got != "0000000000000000" {
		t.Errorf("SigIgn is %q", got)
	}
}

func init() {
	Register("test.threads", func(context.Context, json.RawMessage, io.Writer) (any, error) {
		tasks, err := filepath.Glob("/proc/self/task/*/status")
		var all []string
		for _, task := range tasks {
			b, err := os.ReadFile(task)
			if err != nil {
				return nil, err
			}
			all = append(all, string(b))
		}
		return all, err
	})
}

func TestEveryThreadOfACallIsWithoutPrivileges(t *testing.T) {
	t.Parallel()
	id := tenant()
	var threads []string
	if err := Call(t.Context(), id, CallOptions{}, "test.threads", nil, &threads); err != nil {
		t.Fatal(err)
	}
	if len(threads) < 2 {
		t.Fatalf("only %d threads seen", len(threads))
	}
	for _, thread := range threads {
		if err := dropped(status(thread), id); err != nil {
			t.Error(err)
		}
	}
}

func TestEnvironmentAndArgumentsAreExactlyAsGiven(t *testing.T) {
	t.Parallel()
	env := []string{"ONE=1", "EMPTY=", "BYTES=\xff\xfe", "LINES=a\nb", "SPACE= x "}
	got := output(t, Spec{Path: "/usr/bin/env", Args: []string{"-0"}, Env: env, As: tenant()})
	if want := strings.Join(env, "\x00") + "\x00"; got != want {
		t.Errorf("environment %q, want %q", got, want)
	}
	args := []string{"%s|", "", "-x", "a b", "\xff", "é\n"}
	got = output(t, Spec{Path: "/usr/bin/printf", Args: args, As: tenant()})
	if want := "|-x|a b|\xff|é\n|"; got != want {
		t.Errorf("arguments %q, want %q", got, want)
	}
}

func TestOnlyStdioAndKeptDescriptorsAreOpen(t *testing.T) {
	t.Parallel()
	kept := make([]*os.File, 3)
	for i := range kept {
		f, err := os.Create(filepath.Join(t.TempDir(), "lock"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		kept[i] = f
	}
	// The shell looks at its own table by number: a listing would open one more.
	s := shell(`i=0; while [ $i -lt 300 ]; do [ -e /proc/$$/fd/$i ] && printf "$i "; i=$((i+1)); done; true`)
	if got := output(t, s); got != "0 1 2 " {
		t.Errorf("open descriptors %q", got)
	}
	s.Keep = kept
	if got := output(t, s); got != "0 1 2 3 4 5 " {
		t.Errorf("open descriptors with three kept %q", got)
	}
	s = shell(`readlink /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5`)
	s.Keep = kept
	if got, want := output(t, s), kept[0].Name()+"\n"+kept[1].Name()+"\n"+kept[2].Name()+"\n"; got != want {
		t.Errorf("kept descriptors are %q, want %q", got, want)
	}
}

func TestKeptLockIsHeldUntilTheRunIsOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s, lines := shell(`echo up; exec sleep 1000`), newLineSink()
	s.Keep, s.Stdout = []*os.File{lock}, lines
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	lines.next(t)
	lock.Close()
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("lock taken while the run lives: %v", err)
	}
	p.Kill()
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("lock still held after the run: %v", err)
	}
}

func TestLimitsHold(t *testing.T) {
	t.Parallel()
	s := Spec{Path: "/bin/cat", Args: []string{"/proc/self/limits"}, As: tenant(),
		Limits: Limits{CPUSeconds: 7, AddressSpace: 200 << 20, FileSize: 1 << 20, Processes: 300, OpenFiles: 77}}
	got := strings.Join(strings.Fields(output(t, s)), " ")
	for _, want := range []string{
		"Max cpu time 7 7", "Max address space 209715200 209715200", "Max file size 1048576 1048576",
		"Max processes 300 300", "Max open files 77 77", "Max core file size 0 0",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("limits lack %q:\n%s", want, got)
		}
	}
}

func TestTrustedRunKeepsTheInvokingUserAndLimits(t *testing.T) {
	t.Parallel()
	st := status(output(t, Spec{Path: "/bin/cat", Args: []string{"/proc/self/status"}, Trusted: true}))
	if uid := strings.Fields(st["Uid"])[0]; uid != itoa(os.Geteuid()) || st["NoNewPrivs"] != "0" {
		t.Errorf("uid %s, no-new-privs %s", uid, st["NoNewPrivs"])
	}
}

func TestSystemAccountsAndRootAreRefused(t *testing.T) {
	t.Parallel()
	const none = ^uint32(0)
	cases := []struct {
		as      Identity
		trusted bool
		euid    uint32
		ok      bool
	}{
		{Identity{}, false, 0, false},
		{Identity{}, true, 0, true},
		{Identity{UID: 33, GID: 33}, false, 0, false},
		{Identity{UID: 33, GID: 33}, true, 0, true},
		{Identity{UID: minUID() - 1, GID: 5000}, false, 0, false},
		{Identity{UID: 5000}, false, 0, false},
		{Identity{GID: 5000}, false, 0, false},
		{Identity{UID: none, GID: none}, false, 0, false},
		{Identity{UID: 5000, GID: none}, true, 0, false},
		{Identity{UID: 100000, GID: 100000}, false, 0, true},
		{Identity{}, false, 1001, true},
		{Identity{UID: 1001, GID: 1001}, false, 1001, true},
		{Identity{UID: 1002, GID: 1001}, false, 1001, false},
		{Identity{UID: 1001, GID: 27}, false, 1001, false},
	}
	for _, c := range cases {
		_, err := credentialFor(c.as, c.trusted, c.euid, c.euid)
		if (err == nil) != c.ok || (err != nil && !errors.Is(err, ErrIdentity)) {
			t.Errorf("uid %d gid %d trusted %v for worker %d: %v", c.as.UID, c.as.GID, c.trusted, c.euid, err)
		}
	}
	if _, err := Run(t.Context(), Spec{Path: "/bin/true", As: Identity{UID: 33, GID: 33}}); !errors.Is(err, ErrIdentity) {
		t.Errorf("ran as www-data: %v", err)
	}
}

func TestMinUIDIsNeverBelowTheSystemAccounts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint32{
		"": 1000, "UID_MIN 500": 1000, "# UID_MIN 9\nUID_MIN\t\t 2000\n": 2000, "SYS_UID_MIN 3000": 1000,
		"UID_MIN": 1000, "UID_MIN x": 1000, "UID_MIN -1": 1000, "UID_MIN 99999999999": 1000,
	} {
		if got := parseMinUID(strings.NewReader(text)); got != want {
			t.Errorf("%q gives %d, want %d", text, got, want)
		}
	}
}
