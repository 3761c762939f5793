package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// finding is any line that `wptk demo --json` prints.
type finding struct {
	Phase     string  `json:"phase"`
	Check     string  `json:"check"`
	Operation string  `json:"operation"`
	Status    string  `json:"status"`
	Account   string  `json:"account"`
	Site      string  `json:"site"`
	OK        bool    `json:"ok"`
	Error     string  `json:"error"`
	Name      string  `json:"name"`
	Cases     int     `json:"cases"`
	Held      int     `json:"held"`
	Met       bool    `json:"met"`
	Start     float64 `json:"start_seconds"`
}

// startDemo runs the demo as a program of its own; its standard error is the test's log.
func startDemo(t *testing.T, args ...string) (*os.Process, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	errs, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess(self, append([]string{"wptk", "demo", "--json"}, args...), &os.ProcAttr{
		Env: append(os.Environ(), asProgram+"=1"), Files: []*os.File{nil, w, errs},
	})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill() // it has usually ended
		p.Wait() // only to reap it
		if raw, err := os.ReadFile(errs.Name()); err == nil && len(raw) > 0 && t.Failed() {
			t.Logf("standard error of the demo:\n%s", raw)
		}
		errs.Close()
	})
	return p, bufio.NewScanner(out)
}

// findingsUntil reads findings until one is wanted or there are no more.
func findingsUntil(t *testing.T, lines *bufio.Scanner, wanted func(finding) bool) (all []finding) {
	t.Helper()
	for lines.Scan() {
		t.Log(lines.Text())
		var f finding
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		all = append(all, f)
		if wanted(f) {
			return all
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func never(finding) bool { return false }

// The end-to-end test: real Redis, MariaDB, API, workers, WP-CLI, WordPress and PHP.
func TestDemoOnceInstallsTwoRealSitesAndLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts every server there is")
	}
	p, lines := startDemo(t, "--once")
	all := findingsUntil(t, lines, never)
	state, err := p.Wait()
	if err != nil || state.ExitCode() != exitOK {
		t.Fatalf("it ended with %v, %v", state, err)
	}
	last := all[len(all)-1]
	if last.Name != "demo" || !last.Met || last.Held != last.Cases || last.Start <= 0 {
		t.Errorf("figures: %+v", last)
	}
	seen := map[string]int{}
	for _, f := range all {
		if f.Check != "" {
			seen[f.Check]++
			if !f.OK {
				t.Errorf("check %s of %s: %s", f.Check, f.Site, f.Error)
			}
		}
		if f.Operation != "" && f.Status == "succeeded" {
			seen["operation"]++
			// Not only by the demo's own word.
			if userExists(f.Account) || groupExists(f.Account) {
				t.Errorf("user %s is left", f.Account)
			}
		}
	}
	for name, want := range map[string]int{"operation": 2, "install_succeeded": 2, "site_http_200": 2, "site_shows_its_title": 2,
		"site_runs_as_its_tenant": 2, "password_logs_in": 2, "files_belong_to_tenant": 2, "listed_in_inventory": 2,
		"no_process_left": 1, "no_database_left": 1, "no_folder_left": 1} {
		if seen[name] != want {
			t.Errorf("%s was seen %d times, want %d", name, seen[name], want)
		}
	}
}

func TestNextDemoCleansUpAfterAKilledOne(t *testing.T) {
	if testing.Short() {
		t.Skip("starts every server there is")
	}
	p, lines := startDemo(t)
	all := findingsUntil(t, lines, func(f finding) bool { return f.Check == "nodes_up" })
	if len(all) == 0 || !all[len(all)-1].OK {
		t.Fatal("the nodes did not come up")
	}
	home, left := runOf(t, p.Pid)
	programs := processesIn(t, left.Dir)
	if len(programs) < 4 {
		t.Fatalf("processes of the run: %v", programs)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	for pid, fd := range programs {
		// Nothing but the death of their parent ends them now.
		if !ends(fd, 30*time.Second) {
			t.Errorf("process %d lives on without the demo", pid)
		}
		unix.Close(fd)
	}
	for _, name := range left.Users {
		if !userExists(name) {
			t.Errorf("user %s is gone before anybody cleaned up", name)
		}
	}
	if err := sweepRuns(t.Context(), filepath.Dir(home), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{left.Dir, home} {
		if err := gone(path); err != nil {
			t.Error(err)
		}
	}
	for _, name := range left.Users {
		if userExists(name) || groupExists(name) {
			t.Errorf("user %s is still there", name)
		}
	}
}

// ends waits for the end of the process behind a pidfd.
func ends(fd int, patience time.Duration) bool {
	for deadline := time.Now().Add(patience); ; {
		rest := max(0, time.Until(deadline).Milliseconds())
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(rest))
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}

func TestOnlyUsersOfTheDemoAreEverRemoved(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"root", "www-data", "wptkdemo", "wptkdemo0000000g", "wptkdemo00000000 ", "-r", ""} {
		if err := removeUser(t.Context(), name); err == nil {
			t.Errorf("%q would be removed", name)
		}
	}
}

// runOf finds the state of the demo with this pid: it holds the lock.
func runOf(t *testing.T, pid int) (home string, left leftovers) {
	t.Helper()
	demos, err := demoDir()
	if err != nil {
		t.Fatal(err)
	}
	fds := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(fds, e.Name()))
		if err != nil || filepath.Base(target) != "lock" || filepath.Dir(filepath.Dir(target)) != filepath.Join(demos, "runs") {
			continue
		}
		home = filepath.Dir(target)
		if left, err = readLeftovers(home); err != nil {
			t.Fatal(err)
		}
		return home, left
	}
	t.Fatal("the demo holds no lock")
	return "", leftovers{}
}

// processesIn answers a handle for every process whose command line mentions dir.
func processesIn(t *testing.T, dir string) map[int]int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]int{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(raw), dir) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err != nil {
			t.Fatal(err)
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			found[pid] = fd
		}
	}
	return found
}
