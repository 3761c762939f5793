package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/wispanel/wptk/docs"
	"github.com/wispanel/wptk/wp/proc"
)

// tourStep is one block of commands of docs/api.md, and what the block behind it says
// that they print; kind is json, text or empty.
type tourStep struct{ commands, kind, prints string }

var (
	fence   = regexp.MustCompile("(?ms)^```(sh|json|text)\n(.*?)^```$")
	heading = regexp.MustCompile("(?m)^## .*$")
)

// readTour takes the guide apart: the sections of those headings, or all without any.
func readTour(headings ...string) (steps []tourStep, err error) {
	found := 0
	at := heading.FindAllStringIndex(docs.API, -1)
	for i, h := range at {
		end := len(docs.API)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		if headings != nil && !slices.Contains(headings, strings.TrimPrefix(docs.API[h[0]:h[1]], "## ")) {
			continue
		}
		found++
		if steps, err = readSteps(steps, docs.API[h[1]:end]); err != nil {
			return nil, err
		}
	}
	if headings != nil && found != len(headings) {
		return nil, fmt.Errorf("reading the guide: of %q it has %d", headings, found)
	}
	return steps, nil
}

func readSteps(steps []tourStep, section string) ([]tourStep, error) {
	blocks := fence.FindAllStringSubmatch(section, -1)
	for _, block := range blocks {
		switch last := len(steps) - 1; {
		case block[1] == "sh":
			steps = append(steps, tourStep{commands: block[2]})
		case last < 0 || steps[last].kind != "":
			return nil, fmt.Errorf("reading the guide: nothing prints %q", block[2])
		default:
			steps[last].kind, steps[last].prints = block[1], block[2]
		}
	}
	if n := strings.Count(section, "\n```"); n != 2*len(blocks) {
		return nil, fmt.Errorf("reading the guide: %d fences do not belong to blocks that are run or compared", n)
	}
	return steps, nil
}

// tour does what the steps say, all in one shell, and answers what was not as they show.
func tour(ctx context.Context, api, key string, steps []tourStep) (err error) {
	dir, err := os.MkdirTemp("", "wptk-tour-")
	if err != nil {
		return fmt.Errorf("making folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bash, err := program("bash")
	if err != nil {
		return err
	}
	var script strings.Builder
	for i, s := range steps {
		fmt.Fprintf(&script, "%s\nprintf '\\n\\036'\n", strings.TrimSuffix(s.commands, "\n"))
		if i == 0 { // what a reader would notice
			script.WriteString("set -u\n")
		}
	}
	var out, errs bytes.Buffer
	exit, err := proc.Run(ctx, proc.Spec{Path: bash, Args: []string{"-s"}, Dir: dir, Trusted: true,
		Env:   []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=/", "WPTK_API=" + api, "WPTK_KEY=" + key},
		Stdin: strings.NewReader(script.String()), Stdout: &out, Stderr: &errs})
	if err == nil && (exit.Code != 0 || errs.Len() > 0) {
		err = fmt.Errorf("running the guide: exit status %d: %s", exit.Code, errs.String())
	}
	return errors.Join(err, compareTour(steps, strings.Split(out.String(), "\n\x1e")))
}

func compareTour(steps []tourStep, printed []string) error {
	if len(printed) != len(steps)+1 {
		return fmt.Errorf("running the guide: %d blocks were run, %d are there", len(printed)-1, len(steps))
	}
	var all []error
	for i, s := range steps {
		if wrong := s.compare(printed[i]); wrong != "" {
			all = append(all, fmt.Errorf("%s\nprints\n%s\n%s", s.commands, printed[i], wrong))
		}
	}
	return errors.Join(all...)
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
