package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/wispanel/wptk/dashboards"
	"github.com/wispanel/wptk/dashboards/picture"
)

// dashboardsCmd holds the boards and the alerts against a real Prometheus that watches real
// processes at work. PHP and WP-CLI are stand-ins, as in chaos.
type dashboardsCmd struct {
	For      time.Duration `help:"How long the fleet is kept busy." default:"100s" env:"-"`
	Pictures string        `help:"Folder for a picture of each board; none when empty." placeholder:"DIR" env:"-"`
	Keep     bool          `help:"Keep logs also when all is well." env:"-"`
}

// dashboardsFigures is the last line.
type dashboardsFigures struct {
	Name     string   `json:"name"`
	Boards   int      `json:"boards"`
	Panels   int      `json:"panels"`
	WithData int      `json:"with_data"`
	Queries  int      `json:"queries"`
	Rules    int      `json:"rules"`
	Tested   int      `json:"tested"`
	Seconds  float64  `json:"seconds"`
	Pictures []string `json:"pictures,omitempty"`
	Missed   []string `json:"missed,omitempty"`
	Met      bool     `json:"met"`
}

// watch is one run.
type watch struct {
	*arena
	prometheus *promServer
	figures    dashboardsFigures
	pictures   string
}

const dashboardsPatience = 10 * time.Minute // on a busy machine

// Run brings a fleet up, keeps it busy, and asks every query of every board and alert.
func (cmd *dashboardsCmd) Run(ctx context.Context, app *app) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, dashboardsPatience+cmd.For, errors.New("the check of the dashboards took too long"))
	defer cancel()
	a, err := newArena(ctx, app, 1, true)
	if err != nil {
		return err
	}
	w := &watch{arena: a, figures: dashboardsFigures{Name: "dashboards"}, pictures: cmd.Pictures}
	failure := whyEnded(ctx, w.all(ctx, cmd.For))
	f := &w.figures
	f.Met = failure == nil && len(f.Missed) == 0 && f.WithData == f.Panels && f.Tested == f.Rules
	if cmd.Keep || !f.Met {
		failure = errors.Join(failure, a.keep())
		say(app.err, "logs are kept in %s", a.book.dir)
	}
	failure = errors.Join(failure, a.takeDown())
	if failure != nil {
		f.Met, f.Missed = false, append(f.Missed, clean(failure.Error()))
	}
	failure = a.book.close()
	if f.Met && !cmd.Keep {
		failure = errors.Join(failure, os.RemoveAll(a.book.dir))
	}
	for _, missed := range f.Missed {
		say(app.err, "%s", missed)
	}
	f.Seconds = figure(time.Since(began).Seconds())
	rows := [][]string{
		{"panels", strconv.Itoa(f.Panels), strconv.Itoa(f.WithData) + " with data"},
		{"rules", strconv.Itoa(f.Rules), strconv.Itoa(f.Tested) + " tested"},
	}
	return errors.Join(app.measured(f, f.Met, "WHAT ALL HELD", rows), failure)
}

func (w *watch) all(ctx context.Context, busy time.Duration) error {
	if err := w.testRules(ctx); err != nil {
		return err
	}
	if err := w.up(ctx, setting{nodes: 2, domains: 40, more: func(n *hostNode) ([]string, error) { return w.stack.backups(n.site) },
		millis: map[string]int{"core install": 700}}); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	stop, err := w.startWatching(ctx)
	if err != nil {
		return err
	}
	defer stop() //nolint:errcheck // a Prometheus in a folder that goes
	if err := w.work(ctx, busy); err != nil {
		return err
	}
	if err := w.askRules(ctx); err != nil {
		return err
	}
	for _, b := range dashboards.Boards {
		if err := w.askBoard(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// testRules runs the alerts' own tests with promtool.
func (w *watch) testRules(ctx context.Context) error {
	dir, err := w.rules()
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"check", "rules", filepath.Join(dir, dashboards.RulesFile)}, {"test", "rules", filepath.Join(dir, "wptk.test.yml")}} {
		if out, err := tool(ctx, dir, "promtool", args...); err != nil {
			w.miss("promtool %s: %v\n%s", args[0], err, out)
		}
	}
	w.figures.Rules = len(dashboards.Alerts)
	for _, a := range dashboards.Alerts {
		if strings.Contains(string(dashboards.RuleTests), "alertname: "+a.Name+"\n        exp_alerts:") && len(w.figures.Missed) == 0 {
			w.figures.Tested++
		}
	}
	return nil
}

// rules writes the rules and their tests where Prometheus and promtool read them.
func (w *watch) rules() (string, error) {
	dir := w.state.dir("rules")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the folder for rules: %w", err)
	}
	return dir, errors.Join(writeMode(filepath.Join(dir, dashboards.RulesFile), dashboards.RenderRules(), 0o644),
		writeMode(filepath.Join(dir, "wptk.test.yml"), dashboards.RuleTests, 0o644))
}

func (w *watch) miss(format string, args ...any) {
	w.figures.Missed = append(w.figures.Missed, fmt.Sprintf(format, args...))
}

// askRules looks whether what the alerts watch is there, and that Prometheus runs them all.
func (w *watch) askRules(ctx context.Context) error {
	for _, alert := range dashboards.Alerts {
		for _, c := range alert.When {
			series, err := w.prometheus.ask(ctx, c.Value, "")
			if err != nil {
				return err
			}
			if len(series) == 0 {
				w.miss("alert %s: no data for %s", alert.Name, c.Value)
			}
		}
	}
	ill, n, err := w.prometheus.ruleHealth(ctx)
	if err != nil {
		return err
	}
	if len(ill) > 0 || n != len(dashboards.Alerts) {
		w.miss("Prometheus runs %d of %d rules; ill: %v", n, len(dashboards.Alerts), ill)
	}
	_, err = w.prometheus.ask(ctx, dashboards.Deploys, "")
	return err
}

// askBoard asks what a board would ask. Each query has to bring something.
func (w *watch) askBoard(ctx context.Context, b dashboards.Board) error {
	w.figures.Boards++
	answers := make([][]picture.Series, len(b.Panels))
	for i, p := range b.Panels {
		w.figures.Panels++
		whole := true
		for _, t := range p.Targets {
			series, err := w.prometheus.ask(ctx, dashboards.Plain(t.Expr), t.Legend)
			if err != nil {
				return fmt.Errorf("panel %q: %w", p.Title, err)
			}
			w.figures.Queries++
			if len(series) == 0 {
				whole = false
				w.miss("%s, %s: no data for %s", b.File, p.Title, t.Expr)
			}
			answers[i] = append(answers[i], series...)
		}
		if whole {
			w.figures.WithData++
		}
	}
	return w.draw(b, answers)
}

func (w *watch) draw(b dashboards.Board, answers [][]picture.Series) (err error) {
	if w.pictures == "" {
		return nil
	}
	path := filepath.Join(w.pictures, strings.TrimSuffix(b.File, ".json")+".png")
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making picture: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w.figures.Pictures = append(w.figures.Pictures, path)
	return picture.Board(file, b, answers, w.prometheus.span().Seconds())
}
