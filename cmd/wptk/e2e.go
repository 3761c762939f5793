package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/deploy/devtools"
)

// e2eCmd asks for everything that the API offers, on real sites of several versions of
// WordPress, and looks in WordPress, in its files and at its pages whether it is so. The
// API's own word counts for nothing.
type e2eCmd struct {
	Versions   []string       `help:"Versions of WordPress, each a site of its own." default:"6.2.6,6.5.5,latest" env:"-"`
	RequireAll bool           `help:"What is not built yet counts as not held." env:"-"`
	Only       *regexp.Regexp `help:"Only the rows that match, with install and delete; then not all is proved." placeholder:"REGEXP" env:"-"`
	Artefacts  string         `help:"Folder for screenshots; a temporary one when empty." placeholder:"DIR" env:"-"`
}

// e2ePatience bounds the whole run, which on two idle cores takes a few minutes.
const e2ePatience = 30 * time.Minute

// e2e is one run: the demo's servers and API, one node, a tenant with a site for each
// version, all of them behind one address.
type e2e struct {
	*demo
	cmd       *e2eCmd
	front     *front
	cache     *devstack.Server  // the Redis that the node offers to sites
	browser   *devtools.Browser // nil until a row needs one
	browserMu sync.Mutex
	artefacts string
	sites     []*e2eSite
	far       farNode

	mu      sync.Mutex
	results map[string]map[string]*e2eResult // by row and version
}

// e2eResult is one row on one site.
type e2eResult struct {
	err  error
	took time.Duration
}

// e2eFigures is the last line of a run.
type e2eFigures struct {
	Name      string   `json:"name"`
	Cases     int      `json:"cases"` // rows × versions
	Held      int      `json:"held"`
	Met       bool     `json:"met"`
	Rows      int      `json:"rows"`
	Versions  []string `json:"versions"`
	Later     int      `json:"later"`   // rows that are not built yet
	Skipped   int      `json:"skipped"` // rows that were not asked for
	Seconds   float64  `json:"seconds"`
	Artefacts string   `json:"artefacts"`
}

// Run checks every row on every site and prints the table.
func (cmd *e2eCmd) Run(ctx context.Context, a *app) (err error) {
	e := &e2e{demo: &demo{app: a, findings: newFindings(a), root: os.Geteuid() == 0}, cmd: cmd,
		results: map[string]map[string]*e2eResult{}}
	if e.artefacts, err = artefacts(cmd.Artefacts); err != nil {
		return err
	}
	if e.state, err = newRunState(ctx, a.log); err != nil {
		return err
	}
	e.stack = newStack(e.state)
	limited, cancel := context.WithTimeoutCause(ctx, e2ePatience, fmt.Errorf("not all rows were checked after %s", short(e2ePatience)))
	defer cancel()
	rows, failure := e.examined(limited)
	failure = whyEnded(limited, failure)
	f := e.judge(rows, failure == nil)
	if !f.Met && f.Skipped == 0 {
		e.showLogs(failure)
	}
	failure = errors.Join(failure, e.takeDown(failure != nil || f.Held < f.Cases))
	f.Met = f.Met && failure == nil && e.allHeld()
	f.Seconds = inSeconds(e.since())
	e.failures(rows)
	return errors.Join(e.measured(f, f.Met, e.header(), e.table(rows)), failure)
}

func artefacts(dir string) (string, error) {
	if dir == "" {
		dir, err := os.MkdirTemp("", "wptk-e2e-")
		if err != nil {
			return "", fmt.Errorf("making folder for screenshots: %w", err)
		}
		return dir, nil
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("making folder for screenshots: %w", err)
	}
	return dir, nil
}

// examined brings everything up and checks all rows, the sites at the same time.
func (e *e2e) examined(ctx context.Context) ([]e2eRow, error) {
	rows := e2eRows
	if err := e.up(ctx); err != nil {
		return rows, err
	}
	documented, err := e.documented(ctx)
	if err != nil {
		return rows, err
	}
	rows = withUnchecked(rows, documented)
	var wg sync.WaitGroup
	for _, s := range e.sites {
		wg.Go(func() {
			for _, row := range rows {
				if ctx.Err() == nil && e.wanted(row) && row.later == "" {
					e.row(ctx, s, row)
				}
			}
		})
	}
	wg.Wait()
	return rows, ctx.Err()
}

// wanted tells whether a row is to be checked. Without the first there is no site, and
// the last takes it away.
func (e *e2e) wanted(row e2eRow) bool {
	return e.cmd.Only == nil || e.cmd.Only.MatchString(row.name) || row.name == installRow || row.name == deleteRow
}

// row checks one row on one site.
func (e *e2e) row(ctx context.Context, s *e2eSite, row e2eRow) {
	began := time.Now()
	var err error
	switch {
	case row.check == nil:
		err = errors.New("nothing checks it")
	case s.id == "" && row.name != installRow:
		err = errors.New("there is no site to check it on")
	default:
		err = s.examine(ctx, row.check)
	}
	r := &e2eResult{err: err, took: time.Since(began)}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.results[row.name] == nil {
		e.results[row.name] = map[string]*e2eResult{}
	}
	e.results[row.name][s.version] = r
	line := struct {
		Row     string  `json:"row"`
		Version string  `json:"version"`
		OK      bool    `json:"ok"`
		Seconds float64 `json:"seconds"`
		Error   string  `json:"error,omitempty"`
	}{Row: row.name, Version: s.version, OK: err == nil, Seconds: inSeconds(r.took)}
	if err != nil {
		line.Error = clean(err.Error())
		e.tell("  %s %s on %s: %s", e.paint(red, "FAIL"), row.name, s.version, line.Error)
	}
	e.emit(line)
}
