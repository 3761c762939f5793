package main

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// findings collects what the demo found and prints it as it comes: lines of JSON for
// programs, sentences for people.
type findings struct {
	app   *app
	began time.Time

	mu           sync.Mutex
	cases, held  int
	servingAfter time.Duration // until both sites answered
	phases       map[string]float64
}

func newFindings(a *app) *findings {
	return &findings{app: a, began: time.Now(), phases: map[string]float64{}}
}

func (f *findings) since() time.Duration { return time.Since(f.began) }

// tell is for people only.
func (f *findings) tell(format string, args ...any) {
	if !f.app.json {
		say(f.app.out, format, args...)
	}
}

// emit is for programs only.
func (f *findings) emit(v any) {
	if !f.app.json {
		return
	}
	if err := f.app.object(v); err != nil {
		f.app.log.Error("writing findings", "err", err)
	}
}

// labels says in words what the checks are about.
var labels = map[string]string{
	"api_ready":               "the API is ready",
	"nodes_up":                "both nodes are up",
	"install_succeeded":       "the install succeeded",
	"site_http_200":           "the site answers HTTP 200",
	"site_shows_its_title":    "the page has the site's title",
	"site_runs_as_its_tenant": "PHP runs as the site's own user",
	"password_logs_in":        "the generated password logs in",
	"files_belong_to_tenant":  "the files belong to the site's own user",
	"listed_in_inventory":     "the inventory lists the site",
	"password_is_nowhere":     "its password is in no queue, log, journal or file",
	"no_process_left":         "no process is left",
	"no_user_left":            "no Unix user is left",
	"no_database_left":        "no database is left",
	"no_folder_left":          "no folder is left",
}

// check notes whether one promise held; err says why not.
func (f *findings) check(name, site string, err error) {
	if errors.Is(err, context.Canceled) {
		return // interrupted by the user: neither held nor broken
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cases++
	line := struct {
		Check string `json:"check"`
		Site  string `json:"site,omitempty"`
		OK    bool   `json:"ok"`
		Error string `json:"error,omitempty"`
	}{Check: name, Site: site, OK: err == nil}
	mark, words := f.app.paint(green, "ok  "), labels[name]
	if site != "" {
		words += ": " + site
	}
	if err == nil {
		f.held++
	} else {
		line.Error = clean(err.Error())
		mark, words = f.app.paint(red, "FAIL"), words+": "+line.Error
	}
	f.emit(line)
	// An install's bar, or its last line, says the same.
	if err != nil || name != "install_succeeded" {
		f.tell("  %s %s", mark, words)
	}
}

func (f *findings) allHeld() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held == f.cases
}

// phase times a part of the run.
func (f *findings) phase(name string, part func() error) error {
	began := time.Now()
	err := part()
	seconds := inSeconds(time.Since(began))
	f.mu.Lock()
	f.phases[name] = seconds
	f.mu.Unlock()
	f.emit(struct {
		Phase   string  `json:"phase"`
		Seconds float64 `json:"seconds"`
		OK      bool    `json:"ok"`
	}{name, seconds, err == nil})
	return err
}

// operation prints how a site's install went, without its password.
func (f *findings) operation(s *demoSite) {
	op := s.op
	f.emit(struct {
		Operation string         `json:"operation"`
		Type      string         `json:"type"`
		Site      string         `json:"site"`
		Node      string         `json:"node"`
		Account   string         `json:"account"`
		Status    tasks.State    `json:"status"`
		Steps     int            `json:"steps"`
		Seconds   float64        `json:"seconds"`
		Error     *tasks.Failure `json:"error,omitempty"`
	}{op.OperationID, op.Type, op.Domain, s.node, s.account, op.Status, op.StepsTotal, inSeconds(op.elapsed(time.Now())), op.Error})
}

// figures is the last line of the run.
func (f *findings) figures(ended bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	met := ended && f.held == f.cases && f.servingAfter > 0
	if !f.app.json {
		if met {
			f.tell("%d of %d checks held; both sites were up after %.1f s.", f.held, f.cases, f.servingAfter.Seconds())
		} else {
			f.tell("%d of %d checks held.", f.held, f.cases)
		}
		return nil
	}
	return f.app.object(struct {
		Name    string             `json:"name"`
		Cases   int                `json:"cases"`
		Held    int                `json:"held"`
		Met     bool               `json:"met"`
		Start   float64            `json:"start_seconds"`
		Total   float64            `json:"total_seconds"`
		Seconds map[string]float64 `json:"seconds"`
	}{"demo", f.cases, f.held, met, inSeconds(f.servingAfter), inSeconds(time.Since(f.began)), f.phases})
}

func inSeconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
