package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// groupFiles answers a directory of the kernel's control groups for the test, in which
// limits hold as far as the machine's controllers are version 2.
func groupFiles(t *testing.T) (*Groups, *met) {
	t.Helper()
	mount, err := groupMount("/proc/self/mountinfo")
	if err != nil || !asRoot() {
		t.Skipf("no control groups to try: %v, root %v", err, asRoot())
	}
	dir, err := os.MkdirTemp(mount, "wptk-test-")
	if err != nil {
		t.Skipf("control groups cannot be made here: %v", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	seen := &met{limits: make(chan string, 100)}
	cfg := GroupsConfig{Dir: dir, Name: "n1", Limits: GroupLimits{Memory: 64 << 20, Processes: 20, CPUs: .5}, Observe: func(l string) { seen.limits <- l }}
	g, err := OpenGroups(cfg)
	if errors.Is(err, ErrNoGroups) {
		// Without controllers groups still are places to be put in and to be ended by.
		g = &Groups{dir: filepath.Join(dir, "runs-n1"), log: nil, observe: cfg.Observe}
		err = os.Mkdir(g.dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(g.dir)
		for _, e := range left {
			if e.IsDir() {
				t.Errorf("control group %s is left", e.Name())
				err = errors.Join(err, endGroup(filepath.Join(g.dir, e.Name()), killPatience))
			}
		}
		if err := errors.Join(err, unix.Rmdir(g.dir), unix.Rmdir(dir)); err != nil {
			t.Error(err)
		}
	})
	return g, seen
}

// met are the limits that runs have met.
type met struct{ limits chan string }

func (m *met) all() (all []string) {
	for {
		select {
		case l := <-m.limits:
			all = append(all, l)
		default:
			return all
		}
	}
}

// limited is for what only controllers can show. Elsewhere a machine without them says so.
func limited(t *testing.T, g *Groups) {
	t.Helper()
	if len(g.Controllers()) == 0 {
		t.Skip("memory and pids are not controllers of version 2 on this machine")
	}
}

func TestRunIsInAGroupOfItsOwnWithAllThatItStarts(t *testing.T) {
	t.Parallel()
	g, _ := groupFiles(t)
	s := shell(`cat /proc/self/cgroup; sh -c "cat /proc/self/cgroup"; setsid cat /proc/self/cgroup`)
	s.within = &Containment{Groups: g}
	var paths []string
	for line := range strings.Lines(output(t, s)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			paths = append(paths, path)
		}
	}
	if len(paths) != 3 || len(slices.Compact(paths)) != 1 || !strings.Contains(paths[0], "/runs-n1/") {
		t.Errorf("groups of the run: %q", paths)
	}
}

func TestWhatDetachesDiesWithItsGroup(t *testing.T) {
	t.Parallel()
	g, _ := groupFiles(t)
	s := shell(`trap "" TERM; for i in 1 2 3; do ( setsid sh -c 'trap "" TERM HUP; sleep 600' & ) & done; echo begun`)
	s.within = &Containment{Groups: g}
	if got := output(t, s); got != "begun\n" {
		t.Fatal(got)
	}
	assertNoProcessOf(t, s.As)
}

func TestRecordedGroupIsEndedWhenItsSupervisorIsGone(t *testing.T) {
	t.Parallel()
	g, _ := groupFiles(t)
	said := newLineSink()
	// A process that has left the session is out of reach of the session's end.
	s := shell(`setsid sh -c 'echo $$; exec sleep 600' & wait`)
	s.within, s.Stdout = &Containment{Groups: g}, said
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	said.next(t)
	if err := unix.Kill(p.Record().PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); !errors.Is(err, ErrLost) {
		t.Errorf("a run without its supervisor: %v", err)
	}
	assertNoProcessOf(t, s.As)
	if err := p.Record().KillGroup(); err != nil {
		t.Errorf("ending a run that is over: %v", err)
	}
}

func TestGroupsOfAnEarlierWorkerAreEndedAtStart(t *testing.T) {
	t.Parallel()
	g, _ := groupFiles(t)
	s := shell("sleep 600")
	s.within = &Containment{Groups: g}
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.sweep(); err != nil {
		t.Error(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Signal != unix.SIGKILL {
		t.Errorf("%+v, %v", exit, err)
	}
}

func TestCallRunsInAGroup(t *testing.T) {
	t.Parallel()
	g, _ := groupFiles(t)
	var text string
	if err := Call(t.Context(), tenant(), CallOptions{within: &Containment{Groups: g}}, "test.read", "/proc/self/cgroup", &text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "/runs-n1/") {
		t.Errorf("its groups: %s", text)
	}
}

func TestForkBombStaysWithinItsGroup(t *testing.T) {
	t.Parallel()
	g, seen := groupFiles(t)
	limited(t, g)
	s := shell(`b() { b | b & }; b; i=0; while [ $i -lt 200 ]; do (:) & i=$((i+1)); done; true`)
	s.within, s.Limits.Processes = &Containment{Groups: g}, 100_000
	ctx, cancel := context.WithTimeout(t.Context(), killPatience)
	defer cancel()
	_, _ = Run(ctx, s) // however it ends
	assertNoProcessOf(t, s.As)
	if !slices.Contains(seen.all(), "processes") {
		t.Error("nobody was told of the limit")
	}
}

func TestMemoryOfAllProcessesOfARunTogetherIsLimited(t *testing.T) {
	t.Parallel()
	g, seen := groupFiles(t)
	limited(t, g)
	// Each is far below the limit of one process.
	s := shell(`for i in 1 2 3 4 5 6; do head -c 20000000 /dev/zero | tail & done; wait; echo survived`)
	s.within = &Containment{Groups: g}
	exit, err := Run(t.Context(), s)
	if err != nil || !exit.OutOfMemory || exit.Signal != unix.SIGKILL {
		t.Errorf("%+v, %v", exit, err)
	}
	if !slices.Contains(seen.all(), "memory") {
		t.Error("nobody was told of the limit")
	}
	assertNoProcessOf(t, s.As)
}

const delegateArg = "delegate"

// delegate is a worker that was started in a group that is its own to divide.
func delegate() {
	g, err := OpenGroups(GroupsConfig{Name: "n1", Undelegated: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	where, _ := os.ReadFile("/proc/self/cgroup")
	fmt.Printf("%s in %s", g.Controllers(), where)
}

func TestWorkerMovesDownToDivideItsGroup(t *testing.T) {
	t.Parallel()
	g, _ := groupFiles(t)
	limited(t, g)
	unit := filepath.Join(filepath.Dir(g.dir), "wptk.service")
	if err := os.Mkdir(unit, 0o755); err != nil {
		t.Fatal(err)
	}
	defer endGroup(unit, killPatience)
	dir, err := os.Open(unit)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, text := range []string{"made", "found again"} {
		var said bytes.Buffer
		worker := exec.Command(selfExe, delegateArg)
		worker.Stdout, worker.SysProcAttr = &said, &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		if text == "found again" { // by a worker that is in the lower one already
			lower, err := os.Open(filepath.Join(unit, homeGroup))
			if err != nil {
				t.Fatal(err)
			}
			defer lower.Close()
			worker.SysProcAttr.CgroupFD = int(lower.Fd())
		}
		if err := worker.Run(); err != nil {
			t.Fatal(err)
		}
		if got := said.String(); !strings.HasPrefix(got, "[memory pids cpu] in ") || !strings.Contains(got, "/wptk.service/worker\n") {
			t.Errorf("%s: %s", text, got)
		}
	}
	for _, left := range []string{"runs-n1", homeGroup} {
		if err := endGroup(filepath.Join(unit, left), killPatience); err != nil {
			t.Error(err)
		}
	}
}

func TestGroupsAreFoundInWhatTheKernelSays(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "mountinfo")
	text := "24 1 0:22 / /proc rw - proc proc rw\n30 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := groupMount(file); got != "/sys/fs/cgroup/unified" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for text, want := range map[string]string{
		"4:memory:/x\n0::/system.slice/wptk-worker.service\n": "/system.slice/wptk-worker.service", "0::/\n": "/",
		"0::/../up\n": "", "4:memory:/x\n": "", "": "",
	} {
		if got, err := unifiedPath(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
