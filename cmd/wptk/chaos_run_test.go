package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/wispanel/wptk/cmd/internal/verdict"
	"github.com/wispanel/wptk/tasks"
)

func TestUnknownScenarioListsThoseThereAre(t *testing.T) {
	t.Parallel()
	got := runIn(t.Context(), t, nil, "chaos", "earthquake")
	if got.status != exitUsage {
		t.Errorf("exit status %d", got.status)
	}
	for _, s := range scenarios {
		if !strings.Contains(got.err, s.name+": "+s.help) {
			t.Errorf("%s is not listed:\n%s", s.name, got.err)
		}
	}
}

func TestScenariosAreNamedBoundedAndExplained(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range scenarios {
		if seen[s.name] || s.name == "" || s.help == "" || s.patient == 0 || s.set == nil || s.run == nil {
			t.Errorf("%+v", s.name)
		}
		seen[s.name] = true
		for _, short := range []bool{false, true} {
			if set := s.set(&chaosRunCmd{Short: short, Duration: soakEvery}); set.domains < 1 {
				t.Errorf("%s: %d domains", s.name, set.domains)
			}
		}
	}
}

// The boundaries are written down by name; when the install gets other steps, they have
// to follow.
func TestBoundariesAreThoseOfTheInstall(t *testing.T) {
	t.Parallel()
	var names, undone []string
	for _, step := range (&tasks.Install{}).Steps(&tasks.Run{}) {
		names = append(names, step.Name)
		if step.Undo != nil {
			undone = append(undone, step.Name)
		}
	}
	slices.Reverse(undone)
	if !slices.Equal(names, installSteps) || !slices.Equal(undone, undoneSteps) {
		t.Errorf("steps %q, taken back %q", names, undone)
	}
	forwards, backwards := chosenBoundaries(&chaosRunCmd{Short: true})
	if len(forwards) < 4 || len(backwards) < 2 {
		t.Errorf("the short run has %q and %q", forwards, backwards)
	}
}

func TestTotalIsMetOnlyWhenEveryScenarioIs(t *testing.T) {
	t.Parallel()
	good := scenarioFigures{Name: "chaos.a", Cases: 2, Held: 2, Met: true}
	bad := scenarioFigures{Name: "chaos.b", Cases: 2, Held: 1, Lost: 1, Violations: []verdict.Violation{{Rule: verdict.Ends}}}
	for _, c := range []struct {
		all []scenarioFigures
		met bool
	}{{[]scenarioFigures{good, good}, true}, {[]scenarioFigures{good, bad}, false}, {nil, false}} {
		if total := sum(c.all, 1, true); total.Met != c.met {
			t.Errorf("%d scenarios: %+v", len(c.all), total)
		}
	}
}

func TestRollingRestartShort(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers; make test does it")
	}
	t.Parallel()
	status, out, errs := call(t, "chaos", "rolling", "--short", "--json")
	var total chaosTotal
	lastLine(t, out, &total)
	if status != exitOK || !total.Met || total.Held != 12 || total.Lost != 0 || total.Duplicated != 0 || len(total.Scenarios) != 1 {
		t.Errorf("exit status %d\n%s%s", status, errs, out)
	}
}
