package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// simulateCmd measures what a large fleet costs the parts that all of it shares: the API and
// Redis are real, and so is each node's side of the queue. Only the work is not done.
type simulateCmd struct {
	Nodes     int           `help:"Nodes at the end; what comes before is measured at 0, 10, 100 and 300." default:"1000" env:"-"`
	Installs  int           `help:"Installs on all of them." default:"100000" env:"-"`
	OpsPerDay int           `help:"Operations asked for, at random times, a day." default:"1000000" env:"-"`
	For       time.Duration `help:"How long is measured: half of it idle, half under load. Setting up comes on top." default:"60s" env:"-"`
}

const (
	idleGoal   = 25  // % of a core of Redis
	scrapeGoal = 100 // ms
	listGoal   = 2   // times what the same call takes whose key sees smallFleet installs
	smallFleet = 100
)

// simulateFigures is the last line.
type simulateFigures struct {
	Name      string         `json:"name"`
	Value     float64        `json:"value"` // of a core of Redis, all nodes idle, their installs listed
	Unit      string         `json:"unit"`
	GoalValue float64        `json:"goal_value"`
	Met       bool           `json:"met"`
	Nodes     int            `json:"nodes"`
	Installs  int            `json:"installs"`
	OpsPerDay int            `json:"ops_per_day"`
	Growth    []sizeFigures  `json:"growth"` // idle, without installs
	Idle      sizeFigures    `json:"idle"`   // idle, with all installs
	Memory    memoryFigures  `json:"memory"`
	Scrape    spreadFigures  `json:"scrape_ms"`
	List      listFigures    `json:"list"`
	Start     startFigures   `json:"start"`
	Reconcile reconcileState `json:"reconcile"`
	Sync      spreadFigures  `json:"sync_ms"`      // of a write to the disk; Redis makes one before it answers any write
	Load      [2]float64     `json:"load_average"` // of the machine, before and after
	Seconds   float64        `json:"seconds"`
	Broken    []string       `json:"broken,omitempty"` // promises, by what was seen
	Missed    []string       `json:"missed,omitempty"` // goals
}

// memoryFigures are bytes of Redis.
type memoryFigures struct {
	Node    float64 `json:"per_idle_node"` // its connections included
	Install float64 `json:"per_install"`
	Op      float64 `json:"per_ended_op"`
}

// spreadFigures have a goal for the median.
type spreadFigures struct {
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"`
	Goal   float64 `json:"goal,omitempty"`
	N      int     `json:"n"`
}

func spreadOf(values []float64, goal float64) spreadFigures {
	return spreadFigures{Median: figure(quantile(values, .5)), Worst: figure(quantile(values, 1)), Goal: goal, N: len(values)}
}

// Run measures and prints.
func (cmd *simulateCmd) Run(ctx context.Context, a *app) error {
	if cmd.Nodes < 1 || cmd.Nodes > 5000 || cmd.Installs < smallFleet || cmd.OpsPerDay < 1 || cmd.For < 5*time.Second {
		return usage("--nodes must be 1 to 5000, --installs at least %d, --ops-per-day at least 1, --for at least 5s", smallFleet)
	}
	s := &simulation{simulateCmd: *cmd, app: a, began: time.Now(), figures: simulateFigures{
		Name: "simulate", Unit: "% of a Redis core, idle", GoalValue: idleGoal,
		Nodes: cmd.Nodes, Installs: cmd.Installs, OpsPerDay: cmd.OpsPerDay}}
	s.figures.Load[0] = loadAverage()
	err := s.up(ctx)
	if err == nil {
		err = s.measure(ctx)
	}
	if err = errors.Join(err, s.down()); err != nil {
		return err
	}
	return s.report()
}

// simulation is one run.
type simulation struct {
	simulateCmd
	app     *app
	began   time.Time
	fleet   *simFleet
	side    *simSide
	scrapes []float64
	figures simulateFigures
	telling sync.Mutex
}

// tell may be called by several goroutines: nodes are filled side by side.
func (s *simulation) tell(format string, args ...any) {
	s.telling.Lock()
	defer s.telling.Unlock()
	say(s.app.err, "%6.1fs  "+format, append([]any{time.Since(s.began).Seconds()}, args...)...)
}

func (s *simulation) broken(format string, args ...any) {
	s.figures.Broken = append(s.figures.Broken, fmt.Sprintf(format, args...))
}

// up starts everything but nodes.
func (s *simulation) up(ctx context.Context) error {
	if err := roomFor(s.Nodes); err != nil {
		return err
	}
	program, err := apiProgram(ctx)
	if err != nil {
		return err
	}
	if s.side, err = startSide(ctx, program, s.Nodes); err != nil {
		return err
	}
	syncs, err := syncTimes(s.side.dir)
	if err != nil {
		return err
	}
	s.figures.Sync = spreadOf(syncs, 0)
	s.fleet = &simFleet{url: s.side.redis.URL(0), log: s.app.log, work: newSimWork()}
	s.tell("API and Redis are up; a write to disk takes %.1f ms", s.figures.Sync.Median)
	return nil
}

func (s *simulation) down() (err error) {
	if s.fleet != nil {
		err = s.fleet.stop()
	}
	return errors.Join(err, s.side.stop())
}

// measure goes from nothing to all nodes, then to all installs, then to work.
func (s *simulation) measure(ctx context.Context) error {
	window := s.For / 12
	for _, nodes := range sizesTo(s.Nodes) {
		if err := s.growTo(ctx, nodes, window); err != nil {
			return err
		}
	}
	if err := s.fill(ctx, window); err != nil {
		return err
	}
	if err := s.lists(ctx); err != nil {
		return err
	}
	if err := s.work(ctx, s.For/2); err != nil {
		return err
	}
	return s.nodesStand(ctx)
}

// sizesTo are the sizes that are measured on the way to n nodes.
func sizesTo(n int) []int {
	sizes := slices.DeleteFunc([]int{0, 10, 100, 300}, func(size int) bool { return size >= n })
	return append(sizes, n)
}

// growTo brings the fleet to a size and measures it idle.
func (s *simulation) growTo(ctx context.Context, nodes int, window time.Duration) error {
	if err := s.fleet.grow(ctx, nodes); err != nil {
		return err
	}
	size, err := s.side.idle(ctx, nodes, window)
	if err != nil {
		return err
	}
	s.figures.Growth = append(s.figures.Growth, size)
	s.tell("%d nodes, idle: %.0f commands/s, %.1f %% of a core, %d connections, %.1f MB; scrape %.1f ms",
		nodes, size.Commands, size.CPU, size.Connections, float64(size.Memory)/1e6, size.Scrape)
	return nil
}

// fill lists all installs and measures again: this is the fleet that the goal is about.
func (s *simulation) fill(ctx context.Context, window time.Duration) error {
	before := s.figures.Growth[len(s.figures.Growth)-1]
	if err := s.fleet.fill(ctx, s.Installs, func(done int) { s.tell("%d of %d installs are listed", done, s.Installs) }); err != nil {
		return err
	}
	idle, err := s.side.idle(ctx, s.Nodes, 2*window)
	if err != nil {
		return err
	}
	none := s.figures.Growth[0]
	s.figures.Idle, s.figures.Value = idle, idle.CPU
	s.figures.Memory.Install = figure(float64(idle.Data-before.Data) / float64(s.Installs))
	if none.Nodes == 0 {
		s.figures.Memory.Node = figure(float64(before.Memory-none.Memory) / float64(s.Nodes))
	}
	s.scrapes = append(s.scrapes, idle.Scrape)
	s.tell("with all installs, idle: %.0f commands/s, %.1f %% of a core, %.1f MB", idle.Commands, idle.CPU, float64(idle.Memory)/1e6)
	return nil
}

// nodesStand looks whether all nodes have kept up: one whose heartbeats were late would have
// made the figures too small.
func (s *simulation) nodesStand(ctx context.Context) error {
	nodes, _, err := s.side.client.nodes(ctx)
	if err != nil {
		return err
	}
	if len(nodes) != s.Nodes {
		s.broken("%d of %d nodes are known", len(nodes), s.Nodes)
	}
	installs := 0
	for _, n := range nodes {
		installs += n.Sites
		if n.State != "up" || n.Late {
			s.broken("node %s is %s (late: %v)", clean(n.ID), clean(n.State), n.Late)
		}
	}
	if installs != s.Installs {
		s.broken("nodes have %d of %d installs", installs, s.Installs)
	}
	s.figures.Reconcile, err = s.side.reconciled(ctx)
	return err
}

// report holds the figures to their goals and prints them.
func (s *simulation) report() error {
	f := &s.figures
	f.Scrape = spreadOf(s.scrapes, scrapeGoal)
	f.Load[1], f.Seconds = loadAverage(), figure(time.Since(s.began).Seconds())
	for _, g := range []struct {
		what       string
		is, atMost float64
	}{{"idle, % of a Redis core", f.Value, idleGoal}, {"scrape, ms", f.Scrape.Median, scrapeGoal}, {"list, ratio", f.List.Ratio, listGoal}} {
		if !(g.is <= g.atMost) {
			f.Missed = append(f.Missed, fmt.Sprintf("%s: %v, at most %v", g.what, g.is, g.atMost))
		}
	}
	f.Met = len(f.Broken)+len(f.Missed) == 0
	for _, line := range append(f.Broken, f.Missed...) {
		say(s.app.err, "%s", line)
	}
	return s.app.measured(f, f.Met, "MEASURED FIGURE GOAL", f.rows())
}

func (f *simulateFigures) rows() [][]string {
	var rows [][]string
	row := func(what, is, goal string) { rows = append(rows, []string{what, is, goal}) }
	for _, g := range f.Growth {
		row(fmt.Sprintf("idle, %d nodes", g.Nodes), fmt.Sprintf("%s %% of a core, %s commands/s, %s KB/s to disk, %d connections, %s MB",
			digits(g.CPU, 1), digits(g.Commands, 0), digits(g.Written/1000, 1), g.Connections, digits(float64(g.Memory)/1e6, 1)), "-")
	}
	row(fmt.Sprintf("idle, %d nodes, %d installs", f.Nodes, f.Installs), digits(f.Value, 1)+" % of a core", "25 %")
	row("memory", fmt.Sprintf("%s KB a node, %s KB an install, %s KB an ended operation",
		digits(f.Memory.Node/1000, 1), digits(f.Memory.Install/1000, 2), digits(f.Memory.Op/1000, 2)), "-")
	row("a write to the disk of Redis", digits(f.Sync.Median, 1)+" ms", "-")
	row("scrape of /metrics", digits(f.Scrape.Median, 0)+" ms, at worst "+digits(f.Scrape.Worst, 0)+"; Redis works "+digits(f.Idle.ScrapeCPU, 0)+" ms for it", "100 ms")
	row(fmt.Sprintf("list, first 100 of %d", f.Installs), digits(f.List.First.Median, 1)+" ms, "+digits(f.List.Ratio, 2)+" times that of "+strconv.Itoa(smallFleet), "2 times")
	row("list, last page", digits(f.List.Last.Median, 1)+" ms", "-")
	row("list, filter that fits one domain", digits(f.List.Domain.Median, 1)+" ms", "-")
	row("list, filter that fits none", digits(f.List.Nothing.Median, 1)+" ms a page", "-")
	row("list, all, 1000 at a time", digits(f.List.All, 1)+" s", "-")
	row(fmt.Sprintf("accepted to started, %d operations", f.Start.N), fmt.Sprintf("p50 %s, p99 %s ms", digits(f.Start.Accepted50, 1), digits(f.Start.Accepted99, 1)), "-")
	row("POST to started", fmt.Sprintf("p50 %s, p99 %s ms", digits(f.Start.Asked50, 1), digits(f.Start.Asked99, 1)), "-")
	row("at work", fmt.Sprintf("%s operations/s, Redis %s %% of a core, API %s %%", digits(f.Start.Rate, 1), digits(f.Start.RedisCPU, 1), digits(f.Start.APICPU, 1)), "-")
	row("reconciling", fmt.Sprintf("%s ms on average, %d times", digits(f.Reconcile.Mean, 1), f.Reconcile.N), "-")
	return rows
}
