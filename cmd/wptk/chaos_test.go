package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/tasks"
)

func TestChaosInstallShort(t *testing.T) {
	if testing.Short() {
		t.Skip("installs WordPress for real; make test does it")
	}
	t.Parallel()
	status, out, errs := call(t, "chaos", "install", "--rounds", "2", "--json")
	var f chaosFigures
	lastLine(t, out, &f)
	if status != exitOK || !f.Met || f.Held != 2 || f.Kills < 2 || f.Lost != 0 || f.Duplicated != 0 {
		t.Errorf("exit status %d\n%s%s", status, errs, out)
	}
	if f.Artefacts != "" {
		t.Errorf("logs are in %s", f.Artefacts)
	}
}

func TestWitnessSeesBrokenPromises(t *testing.T) {
	t.Parallel()
	end := time.Now()
	final := operation{Status: tasks.Succeeded, Done: true, Progress: 100, Attempt: 2, Seq: 9, FinishedAt: end}
	for name, c := range map[string]struct {
		before, after operation
		broken        bool
	}{
		"forward":           {operation{Progress: 10, Attempt: 1, Seq: 1}, operation{Progress: 10, Attempt: 2, Seq: 2}, false},
		"progress back":     {operation{Progress: 10}, operation{Progress: 9}, true},
		"attempt back":      {operation{Attempt: 2}, operation{Attempt: 1}, true},
		"final stays":       {final, final, false},
		"final changes":     {final, operation{Status: tasks.Failed, Done: true, Progress: 100, Attempt: 2, Seq: 9, FinishedAt: end}, true},
		"final again":       {final, operation{Status: tasks.Succeeded, Done: true, Progress: 100, Attempt: 2, Seq: 10, FinishedAt: end.Add(1)}, true},
		"succeeded halfway": {operation{}, operation{Status: tasks.Succeeded, Done: true, Progress: 90}, true},
	} {
		w := &witness{last: c.before}
		if w.hold(c.after); (len(w.broken) > 0) != c.broken {
			t.Errorf("%s: %q", name, w.broken)
		}
	}
}

func TestJudgeIsMetOnlyWhenEveryKilledInstallHeld(t *testing.T) {
	t.Parallel()
	hit := func(broken ...string) *round {
		return &round{kills: []kill{{resumed: time.Second}}, broken: broken}
	}
	for name, c := range map[string]struct {
		rounds []*round
		whole  bool
		met    bool
	}{
		"all held":           {[]*round{hit(), hit()}, true, true},
		"one missed as well": {[]*round{hit(), {}, hit()}, true, true},
		"too few":            {[]*round{hit(), {}}, true, false},
		"one broken":         {[]*round{hit(), hit("two databases")}, true, false},
		"a missed one broke": {[]*round{hit(), hit(), {broken: []string{"x"}}}, true, false},
		"the run broke off":  {[]*round{hit(), hit()}, false, false},
	} {
		if f := judge(&chaosInstallCmd{Rounds: 2}, c.rounds, c.whole); f.Met != c.met {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestSecondCopiesAreFound(t *testing.T) {
	t.Parallel()
	s := &demoSite{root: t.TempDir(), domain: "a.localhost"}
	if err := os.MkdirAll(s.docroot(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := onlyDocroot(s); err != nil {
		t.Error(err)
	}
	for _, left := range []string{filepath.Join(s.docroot(), ".wptk-op"), filepath.Join(s.homeDir(), ".wptk-0123")} {
		if err := os.Mkdir(left, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := onlyDocroot(s); err == nil || !strings.Contains(err.Error(), ".wptk-") {
			t.Errorf("%s is not found: %v", left, err)
		}
		if err := os.Remove(left); err != nil {
			t.Fatal(err)
		}
	}
}
