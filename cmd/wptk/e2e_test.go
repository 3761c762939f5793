package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whoever adds an endpoint adds the row that checks it: this says so long before make e2e.
func TestEveryEndpointHasARowThatChecksIt(t *testing.T) {
	t.Parallel()
	document, err := os.Open("../api/testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer document.Close()
	documented, err := endpoints(document)
	if err != nil || len(documented) < 40 {
		t.Fatalf("%d endpoints, %v", len(documented), err)
	}
	for _, row := range withUnchecked(e2eRows, documented) {
		if row.check == nil && row.later == "" {
			t.Errorf("nothing checks %s", row.name)
		}
		if row.check != nil && !row.beside && !slices.Contains(documented, row.name) {
			t.Errorf("%s is checked, and not served", row.name)
		}
	}
	names := map[string]bool{}
	for _, row := range e2eRows {
		if names[row.name] {
			t.Errorf("%s has two rows", row.name)
		}
		names[row.name] = true
	}
	if first, last := e2eRows[0].name, e2eRows[len(e2eRows)-1].name; first != installRow || last != deleteRow {
		t.Errorf("the rows begin with %s and end with %s", first, last)
	}
}

func TestEndpointThatIsBuiltIsNoLongerLater(t *testing.T) {
	t.Parallel()
	rows := withUnchecked([]e2eRow{{name: "POST /clone", later: "clone"}, {name: "POST /restore", later: "restore"}}, []string{"POST /clone", "POST /new"})
	if len(rows) != 3 || rows[0].later != "" || rows[1].later == "" || rows[2].name != "POST /new" || rows[2].check != nil {
		t.Errorf("%+v", rows)
	}
}

func judged(all bool, results map[string]*e2eResult) (e2eFigures, [][]string) {
	rows := []e2eRow{{name: installRow, check: checkInstall}, {name: "GET /a", check: checkStatus}, {name: "POST /b", later: "b"}}
	e := &e2e{demo: &demo{app: &app{console: &console{}}}, cmd: &e2eCmd{Versions: []string{"1"}, RequireAll: all}, results: map[string]map[string]*e2eResult{}}
	for name, r := range results {
		e.results[name] = map[string]*e2eResult{"1": r}
	}
	return e.judge(rows, true), e.table(rows)
}

func TestRunIsMetOnlyWhenEveryRowHeld(t *testing.T) {
	t.Parallel()
	good, bad := &e2eResult{took: time.Second}, &e2eResult{err: errors.New("x")}
	for name, c := range map[string]struct {
		all        bool
		results    map[string]*e2eResult
		held       int
		met        bool
		cell, last string
	}{
		"all held":      {false, map[string]*e2eResult{installRow: good, "GET /a": good}, 2, true, "held 1.0s", "not built yet"},
		"one failed":    {false, map[string]*e2eResult{installRow: good, "GET /a": bad}, 1, false, "FAILED", "not built yet"},
		"not reached":   {false, map[string]*e2eResult{installRow: good}, 1, false, "NOT REACHED", "not built yet"},
		"all is wanted": {true, map[string]*e2eResult{installRow: good, "GET /a": good}, 2, false, "held 1.0s", "not built yet"},
	} {
		f, table := judged(c.all, c.results)
		if f.Held != c.held || f.Met != c.met || table[1][1] != c.cell || table[2][1] != c.last || f.Later != 1 {
			t.Errorf("%s: %+v %v", name, f, table)
		}
	}
}

func TestExamStopsAtItsFirstFailureAndTakesBackWhatItDid(t *testing.T) {
	t.Parallel()
	var did []string
	s := &e2eSite{}
	err := s.examine(t.Context(), func(x *exam) {
		x.undo(func() { did = append(did, "first undone"); x.fail("not seen, there is an earlier failure") })
		x.undo(func() { did = append(did, "second undone") })
		x.fail("the reason")
		x.fail("a consequence")
		x.undo(func() { did = append(did, "never begun") })
		if x.wordpress(1, "return 2;"); x.file("wp-config.php") != "" {
			did = append(did, "went on")
		}
	})
	if err == nil || err.Error() != "the reason" || !slices.Equal(did, []string{"second undone", "first undone"}) {
		t.Errorf("%v %v", err, did)
	}
	err = s.examine(t.Context(), func(x *exam) { x.undo(func() { x.fail("it stays") }) })
	if err == nil || !strings.Contains(err.Error(), "taking it back: it stays") {
		t.Errorf("%v", err)
	}
}
