package main

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"
)

// The page promises that it is run: all of it, in one shell, on a real demo.
func TestTourOfTheAPIWorksAsWritten(t *testing.T) {
	if testing.Short() {
		t.Skip("starts every server there is")
	}
	steps, err := readTour()
	if err != nil {
		t.Fatal(err)
	}
	d := startedDemo(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := tour(ctx, d.stack.apiURL(), d.key, steps); err != nil {
		t.Error(err)
	}
}

// startedDemo is what `wptk demo` shows, taken down with the test.
func startedDemo(t *testing.T) *demo {
	t.Helper()
	con := &console{out: t.Output(), err: t.Output(), now: time.Now, pause: pause, getenv: os.Getenv}
	a := &app{console: con, log: slog.New(slog.DiscardHandler)}
	d := &demo{app: a, findings: newFindings(a), root: os.Geteuid() == 0}
	var err error
	if d.state, err = newRunState(t.Context(), a.log); err != nil {
		t.Fatal(err)
	}
	d.stack = newStack(d.state)
	t.Cleanup(func() {
		if err := d.down(t.Failed()); err != nil {
			t.Error(err)
		}
	})
	if err := d.upAndChecked(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPageIsComparedStrictly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shown, got string
		alike      bool
	}{
		{`{"a": 1}`, `{"a":1}`, true}, {`{"a": 1}`, `{"a":1,"b":2}`, false}, {`{"a": 1, "…": "…"}`, `{"a":1,"b":2}`, true},
		{`{"a": 1, "b": 2}`, `{"a":1}`, false}, {`{"a": "x…"}`, `{"a":"xyz"}`, true}, {`{"a": "x…"}`, `{"a":"yz"}`, false},
		{`["a", "…"]`, `["a","b"]`, true}, {`["a", "…"]`, `["b"]`, false}, {`["a"]`, `["a","b"]`, false}, {`{"a": "…"}`, `{"a":5}`, true}, {`{"a": null}`, `{"a":0}`, false},
	} {
		if wrong := (tourStep{kind: "json", prints: c.shown}).compare(c.got); (wrong == "") != c.alike {
			t.Errorf("%s and %s: %q", c.shown, c.got, wrong)
		}
	}
}

func TestLifeOfASiteIsAPartOfTheTour(t *testing.T) {
	t.Parallel()
	all, err := readTour()
	if err != nil {
		t.Fatal(err)
	}
	life, err := readTour(lifeInTour...)
	if err != nil || len(life) < 6 || len(life) >= len(all) {
		t.Errorf("%d of %d blocks, %v", len(life), len(all), err)
	}
	if _, err := readTour("No such heading"); err == nil {
		t.Error("a section that is not there is not missed")
	}
}
