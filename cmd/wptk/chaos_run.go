package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wispanel/wptk/cmd/internal/verdict"
)

// chaosRunCmd runs scenarios on a stand-in for PHP and WP-CLI; everything else is real.
type chaosRunCmd struct {
	Names []string `arg:"" optional:"" help:"Scenarios; all but soak when left out. An unknown one lists them."`

	Seed     uint64        `help:"Of everything that is left to chance; 0 takes a new one, which is printed." env:"-"`
	Short    bool          `help:"Small numbers: three minutes for all." env:"-"`
	Parallel int           `help:"Scenarios at one time, each with servers of its own; 0 is one, or three with --short." env:"-"`
	Keep     bool          `help:"Keep history, logs, journals and Redis's files also when all is well." env:"-"`
	Duration time.Duration `help:"Of soak." default:"30m" env:"-"`
}

// scenario is one way to break things. Its run makes requests and faults; what was seen
// is held to the promises afterwards.
type scenario struct {
	name    string
	help    string
	patient time.Duration // how long it may take
	long    bool          // not in a run of all
	set     func(*chaosRunCmd) setting
	expect  func(*arena) verdict.Expect // nil: all succeed
	run     func(context.Context, *arena, *chaosRunCmd) error
}

// scenarioFigures is one line of the result.
type scenarioFigures struct {
	Name       string              `json:"name"`
	Cases      int                 `json:"cases"`
	Held       int                 `json:"held"`
	Lost       int                 `json:"lost"`
	Duplicated int                 `json:"duplicated"`
	Repeated   int                 `json:"repeated"` // commands that a crash had interrupted, begun again
	Faults     int                 `json:"faults"`
	Seconds    float64             `json:"seconds"`
	Marks      map[string]any      `json:"marks,omitempty"`
	Met        bool                `json:"met"`
	Missed     []string            `json:"missed,omitempty"`
	Violations []verdict.Violation `json:"violations,omitempty"`
	Artefacts  string              `json:"artefacts,omitempty"`
}

// chaosTotal is the last line.
type chaosTotal struct {
	Name       string            `json:"name"`
	Cases      int               `json:"cases"`
	Held       int               `json:"held"`
	Lost       int               `json:"lost"`
	Duplicated int               `json:"duplicated"`
	Faults     int               `json:"faults"`
	Met        bool              `json:"met"`
	Seed       uint64            `json:"seed"`
	Short      bool              `json:"short"`
	Scenarios  []scenarioFigures `json:"scenarios"`
}

// mostViolations is how many a line of the result lists; the history has them all.
const mostViolations = 10

// Run goes through the scenarios, each with servers of its own.
func (cmd *chaosRunCmd) Run(ctx context.Context, a *app) error {
	chosen, err := cmd.chosen()
	if err != nil {
		return err
	}
	if cmd.Seed == 0 {
		cmd.Seed = uint64(rand.Uint32()) + 1
	}
	say(a.err, "seed %d", cmd.Seed)
	total := sum(cmd.each(ctx, a, chosen), cmd.Seed, cmd.Short)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return a.measured(total, total.Met, "SCENARIO OPS HELD LOST DUPLICATED REPEATED FAULTS SECONDS FIGURES VERDICT", scenarioRows(total.Scenarios))
}

func sum(all []scenarioFigures, seed uint64, short bool) chaosTotal {
	total := chaosTotal{Name: "chaos", Seed: seed, Short: short, Scenarios: all, Met: len(all) > 0}
	for _, f := range all {
		total.Cases += f.Cases
		total.Held += f.Held
		total.Lost += f.Lost
		total.Duplicated += f.Duplicated
		total.Faults += f.Faults
		total.Met = total.Met && f.Met
	}
	return total
}

// each runs the scenarios and answers their figures in the order of the scenarios.
func (cmd *chaosRunCmd) each(ctx context.Context, a *app, chosen []scenario) []scenarioFigures {
	at := max(cmd.Parallel, 1)
	if cmd.Parallel == 0 && cmd.Short {
		at = 3
	}
	figures := make([]scenarioFigures, len(chosen))
	next := make(chan int, len(chosen))
	for i := range chosen {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	var telling sync.Mutex
	for range at {
		wg.Go(func() {
			for i := range next {
				f, err := cmd.one(ctx, a, chosen[i])
				if err != nil {
					f.Met = false
					f.Missed = append(f.Missed, clean(err.Error()))
				}
				figures[i] = f
				telling.Lock()
				cmd.tell(a, f)
				telling.Unlock()
			}
		})
	}
	wg.Wait()
	return figures
}

func (cmd *chaosRunCmd) chosen() ([]scenario, error) {
	var chosen []scenario
	for _, name := range cmd.Names {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			var known []string
			for _, s := range scenarios {
				known = append(known, s.name+": "+s.help)
			}
			return nil, usage("%q is no scenario; there are\n  install: kill -9 the worker in the middle of real installs (flags of its own)\n  %s", name, strings.Join(known, "\n  "))
		}
		chosen = append(chosen, scenarios[i])
	}
	if chosen == nil {
		chosen = slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return s.long })
	}
	return chosen, nil
}

// one brings everything up for a scenario, lets it happen, and judges.
func (cmd *chaosRunCmd) one(ctx context.Context, app *app, s scenario) (f scenarioFigures, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, s.patient+cmd.extra(s), fmt.Errorf("%s took too long", s.name))
	defer cancel()
	f = scenarioFigures{Name: "chaos." + s.name}
	a, err := newArena(ctx, app, cmd.Seed, cmd.Short)
	if err != nil {
		return f, err
	}
	failure := cmd.happen(ctx, a, s)
	expect := verdict.Expect{}
	if s.expect != nil {
		expect = s.expect(a)
	}
	v := verdict.Check(a.all(), expect)
	f.Cases, f.Held, f.Lost, f.Duplicated, f.Repeated, f.Faults = v.Cases, v.Held, v.Lost, v.Duplicated, v.Repeated, v.Faults
	f.Violations, f.Missed, f.Marks = v.Violations[:min(len(v.Violations), mostViolations)], a.missed, a.marks
	a.goal(v.Faults > 0, "nothing was broken, so nothing is shown")
	f.Missed = a.missed
	f.Met = v.Met() && failure == nil && len(a.missed) == 0
	if cmd.Keep || !f.Met {
		f.Artefacts = a.book.dir
		failure = errors.Join(failure, a.keep())
	}
	failure = errors.Join(failure, a.takeDown())
	if !a.allHeld() {
		failure = errors.Join(failure, errors.New("something of the run itself could not be removed"))
	}
	if f.Artefacts == "" {
		failure = errors.Join(failure, a.book.remove())
	} else {
		failure = errors.Join(failure, a.book.close())
	}
	f.Seconds = figure(time.Since(began).Seconds())
	return f, failure
}

func (cmd *chaosRunCmd) extra(s scenario) time.Duration {
	if s.long {
		return cmd.Duration
	}
	return 0
}

func (cmd *chaosRunCmd) happen(ctx context.Context, a *arena, s scenario) error {
	if err := a.up(ctx, s.set(cmd)); err != nil {
		return fmt.Errorf("starting: %w", whyEnded(ctx, err))
	}
	if err := s.run(ctx, a, cmd); err != nil {
		return whyEnded(ctx, err)
	}
	if err := a.finalReading(ctx); err != nil {
		return whyEnded(ctx, err)
	}
	return whyEnded(ctx, a.survey(ctx))
}

// goal takes down whether something beside the promises was reached.
func (a *arena) goal(reached bool, format string, args ...any) {
	if !reached {
		a.missed = append(a.missed, fmt.Sprintf(format, args...))
	}
}

// tell says how a scenario went, as soon as it is over.
func (cmd *chaosRunCmd) tell(a *app, f scenarioFigures) {
	word := "held"
	if !f.Met {
		word = "BROKEN"
	}
	say(a.err, "%s: %s (%d of %d operations, %d faults, %s s)%s", f.Name, word, f.Held, f.Cases, f.Faults, digits(f.Seconds, 1), marksText(f.Marks))
	for _, v := range f.Violations {
		say(a.err, "  %s: %s %s %s", v.Rule, v.Op, v.Domain, clean(v.Text))
	}
	for _, m := range f.Missed {
		say(a.err, "  %s", m)
	}
	if f.Artefacts != "" {
		say(a.err, "  history, logs, journals and Redis's files are in %s", f.Artefacts)
	}
}

func marksText(marks map[string]any) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(marks)) {
		fmt.Fprintf(&b, " %s=%v", name, marks[name])
	}
	return b.String()
}

func scenarioRows(all []scenarioFigures) (rows [][]string) {
	for _, f := range all {
		word := "held"
		if !f.Met {
			word = "BROKEN"
		}
		rows = append(rows, []string{strings.TrimPrefix(f.Name, "chaos."), strconv.Itoa(f.Cases), strconv.Itoa(f.Held), strconv.Itoa(f.Lost),
			strconv.Itoa(f.Duplicated), strconv.Itoa(f.Repeated), strconv.Itoa(f.Faults), digits(f.Seconds, 1),
			orDash(strings.ReplaceAll(strings.TrimSpace(marksText(f.Marks)), " ", ",")), word})
	}
	return rows
}
