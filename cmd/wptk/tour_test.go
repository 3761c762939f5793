package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// tourStep is one block of commands of docs/api.md, and what the block behind it says
// that they print; kind is json, text or empty.
type tourStep struct{ commands, kind, prints string }

var fence = regexp.MustCompile("(?ms)^```(sh|json|text)\n(.*?)^```$")

func readTour(t *testing.T) (steps []tourStep) {
	t.Helper()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range fence.FindAllStringSubmatch(string(page), -1) {
		switch last := len(steps) - 1; {
		case block[1] == "sh":
			steps = append(steps, tourStep{commands: block[2]})
		case last < 0 || steps[last].kind != "":
			t.Fatalf("nothing prints %q", block[2])
		default:
			steps[last].kind, steps[last].prints = block[1], block[2]
		}
	}
	if n := strings.Count(string(page), "\n```"); n != 2*len(fence.FindAllString(string(page), -1)) {
		t.Fatalf("%d fences do not belong to blocks that are run or compared", n)
	}
	return steps
}

// The page promises that it is run: all of it, in one shell, on a real demo.
func TestTourOfTheAPIWorksAsWritten(t *testing.T) {
	if testing.Short() {
		t.Skip("starts every server there is")
	}
	steps := readTour(t)
	d := startedDemo(t)
	env := []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=/", "WPTK_API=" + d.stack.apiURL(), "WPTK_KEY=" + d.key}
	var script strings.Builder
	for i, s := range steps {
		fmt.Fprintf(&script, "%s\nprintf '\\n\\036'\n", strings.TrimSuffix(s.commands, "\n"))
		if i == 0 { // what a reader would notice
			script.WriteString("set -u\n")
		}
	}
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	bash, err := program("bash")
	if err != nil {
		t.Fatal(err)
	}
	exit, err := proc.Run(ctx, proc.Spec{Path: bash, Args: []string{"-s"}, Dir: t.TempDir(), Env: env, Trusted: true,
		Stdin: strings.NewReader(script.String()), Stdout: &out, Stderr: &errs})
	if err != nil || exit.Code != 0 || errs.Len() > 0 {
		t.Errorf("exit status %d, %v: %s", exit.Code, err, errs.String())
	}
	printed := strings.Split(out.String(), "\n\x1e")
	if len(printed) != len(steps)+1 {
		t.Fatalf("%d blocks were run, %d are there", len(printed)-1, len(steps))
	}
	for i, s := range steps {
		if wrong := s.compare(printed[i]); wrong != "" {
			t.Errorf("%s\nprints\n%s\n%s", s.commands, printed[i], wrong)
		}
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

func (s tourStep) compare(got string) string {
	switch s.kind {
	case "json":
		var want, have any
		if err := json.Unmarshal([]byte(s.prints), &want); err != nil {
			return "what the page shows is no JSON: " + err.Error()
		}
		if err := json.Unmarshal([]byte(got), &have); err != nil {
			return "this is no JSON: " + err.Error()
		}
		return unlike(want, have, "")
	case "text":
		if !elided(strings.TrimSpace(s.prints), strings.TrimSpace(got)) {
			return "the page shows " + s.prints
		}
	default:
		if strings.TrimSpace(got) != "" {
			return "the page does not show that"
		}
	}
	return ""
}

// unlike says where a value differs from what is shown of it.
func unlike(want, have any, at string) string {
	switch w := want.(type) {
	case string:
		if h, ok := have.(string); ok && elided(w, h) || w == "…" {
			return ""
		}
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			break
		}
		_, more := w["…"]
		for name, value := range w {
			if _, there := h[name]; !there && name != "…" {
				return at + "." + name + " is not there"
			} else if wrong := unlike(value, h[name], at+"."+name); wrong != "" && name != "…" {
				return wrong
			}
		}
		for name := range h {
			if _, shown := w[name]; !shown && !more {
				return at + "." + name + " is not shown"
			}
		}
		return ""
	case []any:
		h, ok := have.([]any)
		if last := len(w) - 1; ok && last >= 0 && w[last] == "…" {
			w, h = w[:last], h[:min(last, len(h))]
		}
		if !ok || len(w) != len(h) {
			break
		}
		for i := range w {
			if wrong := unlike(w[i], h[i], fmt.Sprintf("%s[%d]", at, i)); wrong != "" {
				return wrong
			}
		}
		return ""
	default:
		if reflect.DeepEqual(want, have) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %s, the page shows %s", at, inJSON(have), inJSON(want))
}

// elided reports whether a text is what is shown, where … is any text within a line.
func elided(shown, text string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(shown), "…", ".*") + "$").MatchString(text)
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
