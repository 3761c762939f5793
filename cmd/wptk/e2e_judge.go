package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// judge counts. Only a run that has left no row out can have met the goal.
func (e *e2e) judge(rows []e2eRow, whole bool) e2eFigures {
	f := e2eFigures{Name: "e2e", Rows: len(rows), Versions: e.cmd.Versions, Artefacts: e.artefacts}
	for _, row := range rows {
		switch {
		case row.later != "":
			f.Later++
			if e.cmd.RequireAll {
				f.Cases += len(f.Versions)
			}
			continue
		case !e.wanted(row):
			f.Skipped++
			continue
		}
		f.Cases += len(f.Versions)
		for _, version := range f.Versions {
			if r := e.results[row.name][version]; r != nil && r.err == nil {
				f.Held++
			}
		}
	}
	f.Met = whole && f.Held == f.Cases && f.Skipped == 0 && f.Cases > 0
	return f
}

func (e *e2e) header() string { return "ENDPOINT " + strings.Join(e.cmd.Versions, " ") }

// table has a row for each endpoint, with what came of it on each version.
func (e *e2e) table(rows []e2eRow) (cells [][]string) {
	for _, row := range rows {
		line := []string{row.name}
		for _, version := range e.cmd.Versions {
			line = append(line, e.cell(row, version))
		}
		cells = append(cells, line)
	}
	return cells
}

func (e *e2e) cell(row e2eRow, version string) string {
	r := e.results[row.name][version]
	switch {
	case row.later != "":
		return e.paint(yellow, "not built yet")
	case r == nil && !e.wanted(row):
		return "left out"
	case r == nil:
		return e.paint(red, "NOT REACHED")
	case r.err != nil:
		return e.paint(red, "FAILED")
	}
	return e.paint(green, "held") + " " + digits(r.took.Seconds(), 1) + "s"
}

// failures says once more, in one place, why what did not hold.
func (e *e2e) failures(rows []e2eRow) {
	if e.json {
		return
	}
	for _, row := range rows {
		for _, version := range e.cmd.Versions {
			if r := e.results[row.name][version]; r != nil && r.err != nil {
				e.tell("%s on %s: %s", row.name, version, clean(r.err.Error()))
			}
		}
	}
	var later []string
	for _, row := range rows {
		if row.later != "" && !slices.Contains(later, row.later) {
			later = append(later, row.later)
		}
	}
	if later != nil {
		e.tell("not built yet: %s", strings.Join(later, ", "))
	}
}

// documented lists what the API says it serves below /wordpress, as "POST /install".
func (e *e2e) documented(ctx context.Context) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.stack.apiURL()+"/openapi.json", nil)
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reading the API's document: %w", err)
	}
	defer res.Body.Close()
	return endpoints(res.Body)
}

func endpoints(document io.Reader) ([]string, error) {
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.NewDecoder(document).Decode(&doc); err != nil {
		return nil, fmt.Errorf("reading the API's document: %w", err)
	}
	var all []string
	for path, methods := range doc.Paths {
		below, ok := strings.CutPrefix(path, apiRoot+"/wordpress")
		for method := range methods {
			if ok {
				all = append(all, strings.ToUpper(method)+" "+below)
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

// withUnchecked adds a row, without a check, for every endpoint that has none, and takes
// "not built yet" from those that are.
func withUnchecked(rows []e2eRow, documented []string) []e2eRow {
	all := slices.Clone(rows)
	for _, name := range documented {
		i := slices.IndexFunc(all, func(r e2eRow) bool { return r.name == name })
		switch {
		case i < 0:
			all = append(all, e2eRow{name: name})
		default:
			all[i].later = ""
		}
	}
	return all
}
