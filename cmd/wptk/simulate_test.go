package main

import (
	"slices"
	"testing"
)

// What it takes depends on the machine; that everything was measured, and that all promises
// held, does not.
func TestSimulateTenNodesMeasuresAllAndBreaksNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers; make test does it")
	}
	t.Parallel()
	_, out, errs := call(t, "simulate", "--nodes", "10", "--installs", "300", "--ops-per-day", "400000", "--for", "8s", "--json")
	var f simulateFigures
	lastLine(t, out, &f)
	if f.Name != "simulate" || len(f.Broken) > 0 || len(f.Growth) != 2 || f.Growth[1].Nodes != 10 || f.Idle.Commands <= 0 || f.Idle.Connections <= f.Growth[0].Connections {
		t.Errorf("%s%s", out, errs)
	}
	for name, n := range map[string]float64{
		"memory of a node": f.Memory.Node, "memory of an install": f.Memory.Install, "scrape": f.Scrape.Median, "list": f.List.First.Median,
		"list of few": f.List.Small.Median, "last page": f.List.Last.Median, "start": f.Start.Asked50, "operations": float64(f.Start.N), "reconciling": float64(f.Reconcile.N),
	} {
		if n <= 0 {
			t.Errorf("%s was not measured\n%s%s", name, out, errs)
		}
	}
}

func TestSimulateMeasuresOnTheWayToItsSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][]int{1: {0, 1}, 10: {0, 10}, 250: {0, 10, 100, 250}, 1000: {0, 10, 100, 300, 1000}} {
		if got := sizesTo(n); !slices.Equal(got, want) {
			t.Errorf("to %d: %v", n, got)
		}
	}
}

func TestSeriesIsReadByItsWholeName(t *testing.T) {
	t.Parallel()
	text := []byte("# HELP a_sum of a\na_sum_more 3\na_sum{x=\"y\"} 4\na_sum 1.5\n")
	if got := series(text, "a_sum"); got != 1.5 {
		t.Errorf("%v", got)
	}
	if got := series(text, "b"); got != 0 {
		t.Errorf("%v", got)
	}
}
