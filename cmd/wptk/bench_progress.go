package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

type benchProgressCmd struct {
	Seconds     int    `help:"Load on each handler in a round." default:"5" env:"-"`
	Rounds      int    `help:"Rounds." default:"5" env:"-"`
	Connections int    `help:"Clients that poll at once, each as fast as it can." default:"16" env:"-"`
	Profile     string `help:"File for a CPU profile of the API process." placeholder:"FILE" type:"path" env:"-"`
}

// progressGoal is the least that the API may reach of a bare handler with the same call.
const progressGoal = .85

// progressFigures also show what the parts cost.
type progressFigures struct {
	figures
	BareMux   float64            `json:"bare_mux"`           // requests/s without Redis
	P50       map[string]float64 `json:"p50_ms"`             // by handler
	P99       map[string]float64 `json:"p99_ms"`             // by handler
	CPUMicros map[string]float64 `json:"cpu_us_per_request"` // of the handler's process
}

// variant is one handler under load: a process of its own.
type variant struct {
	name   string
	target *target
	rates  []float64 // requests/s, one for each round
	server *benchServer
}

// The names of variants.
const (
	variantAPI       = "wptk-api"
	variantPipelined = "pipelined"
	variantBare      = "bare"
)

// Run measures and prints.
func (cmd *benchProgressCmd) Run(ctx context.Context, a *app) (err error) {
	if cmd.Seconds < 1 || cmd.Rounds < 1 || cmd.Connections < 1 {
		return usage("--seconds, --rounds and --connections must be at least 1")
	}
	bench, err := openProgressBench(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bench.close()) }()
	variants, err := bench.variants(ctx, cmd)
	if err != nil {
		return err
	}
	for round := -1; round < cmd.Rounds; round++ { // the first one only warms up
		if err := cmd.round(ctx, variants, round); err != nil {
			return err
		}
	}
	for _, v := range variants {
		if err := v.server.stop(); err != nil {
			return err
		}
	}
	return cmd.report(a, variants)
}

// turn is how long a variant is loaded before the next one is.
const turn = 200 * time.Millisecond

// round gives each variant its seconds in short turns, so that whatever else the machine
// does meets all of them alike.
func (cmd *benchProgressCmd) round(ctx context.Context, variants []*variant, round int) error {
	counts, took := make([]int, len(variants)), make([]time.Duration, len(variants))
	for turns := range int(time.Duration(cmd.Seconds) * time.Second / turn) {
		for at := range variants {
			if turns%2 == 1 {
				at = len(variants) - 1 - at // so that none always comes after the same other
			}
			began := time.Now()
			n, err := variants[at].target.load(ctx, turn, round >= 0)
			if err != nil {
				return fmt.Errorf("loading %s: %w", variants[at].name, err)
			}
			counts[at] += n
			took[at] += time.Since(began)
		}
	}
	for i, v := range variants {
		if v.server.requests += counts[i]; round >= 0 {
			v.rates = append(v.rates, float64(counts[i])/took[i].Seconds())
		}
	}
	return nil
}

func (cmd *benchProgressCmd) report(a *app, variants []*variant) error {
	f := progressFigures{P50: map[string]float64{}, P99: map[string]float64{}, CPUMicros: map[string]float64{}}
	rates := map[string][]float64{}
	var rows [][]string
	for _, v := range variants {
		rates[v.name] = v.rates
		p50, p99, cpu := v.target.quantile(.5), v.target.quantile(.99), v.server.cpuMicros()
		f.P50[v.name], f.P99[v.name], f.CPUMicros[v.name] = figure(p50), figure(p99), figure(cpu)
		rows = append(rows, []string{v.name, digits(quantile(v.rates, .5), 0), digits(p50, 2), digits(p99, 2), digits(cpu, 1)})
	}
	var ratios []float64
	for i, ours := range rates[variantAPI] {
		ratios = append(ratios, ours/rates[variantPipelined][i])
	}
	// Round by round: within one both had the same machine.
	value, baseline, ratio := quantile(rates[variantAPI], .5), quantile(rates[variantPipelined], .5), quantile(ratios, .5)
	f.BareMux = figure(quantile(rates[variantBare], .5))
	f.figures = figures{
		Name: "bench.progress", Value: figure(value), Unit: "requests/s", Baseline: figure(baseline),
		BaselineName: "bare mux handler with the same pipelined Redis call", Ratio: figure(ratio), Goal: progressGoal,
		Met: ratio >= progressGoal, N: cmd.Rounds, Spread: [2]float64{figure(quantile(ratios, 0)), figure(quantile(ratios, 1))},
	}
	return a.measured(f, f.Met, "HANDLER REQUESTS/S P50-MS P99-MS CPU-US/REQUEST", rows)
}

// progressBench is a Redis with an install that is half done, and what the API needs to
// be asked about it.
type progressBench struct {
	redis *devstack.Server
	store *queue.Store
	dir   string // secrets of the processes
	key   string
	site  string
	stop  func() error // of the node
}

func openProgressBench(ctx context.Context) (_ *progressBench, err error) {
	b := &progressBench{stop: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "wptk-bench-"); err != nil {
		return nil, fmt.Errorf("making folder: %w", err)
	}
	// Counting a request is a write. With fsync for each the disk would be measured, and
	// would hide what the handlers cost.
	if b.redis, err = devstack.Redis(ctx, devstack.RedisOptions{AppendFsync: "no"}); err != nil {
		return nil, err
	}
	if b.store, err = queue.Open(ctx, queue.Options{URL: b.redis.URL(0)}, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	client := queue.NewClient(b.store)
	if _, b.key, err = client.CreateKey(ctx, queue.NewKey{Name: "bench", Owner: "alice"}); err != nil {
		return nil, err
	}
	return b, b.begin(ctx, client)
}

// begin leaves an op in the middle of its steps, as most polls find it.
func (b *progressBench) begin(ctx context.Context, client *queue.Client) error {
	op := benchOp()
	op.Kind, b.site = "install", op.Site.ID
	node := queue.NewNode(b.store, queue.NodeConfig{ID: benchNode, FastSlots: fastSlots, BulkSlots: bulkSlots})
	reported := make(chan error, 1)
	b.stop = inBackground(ctx, node.Run, func(ctx context.Context) error {
		return node.Serve(ctx, queue.Handler{Run: func(runs context.Context, _ tasks.Op, rec *queue.Recorder) (tasks.Outcome, error) {
			reported <- rec.Progress(runs, tasks.Event{State: tasks.Running, Progress: 55, Step: "database", StepIndex: 4, StepsTotal: 8, Message: "Creating database and user"})
			<-ctx.Done()
			return tasks.Outcome{}, tasks.ErrInterrupted
		}})
	})
	if _, err := client.Submit(ctx, queue.Submission{Op: op}); err != nil {
		return err
	}
	select {
	case err := <-reported:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *progressBench) close() error {
	err := b.stop()
	if b.store != nil {
		err = errors.Join(err, b.store.Close())
	}
	if b.redis != nil {
		err = errors.Join(err, b.redis.Stop())
	}
	if b.dir != "" {
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}

// variants starts the three processes, with equal environments.
func (b *progressBench) variants(ctx context.Context, cmd *benchProgressCmd) ([]*variant, error) {
	calls, err := b.record(ctx)
	if err != nil {
		return nil, err
	}
	api, err := b.startAPI(ctx, cmd.Profile)
	if err != nil {
		return nil, err
	}
	pipelined, err := b.startBare(ctx, variantPipelined, calls)
	if err != nil {
		return nil, err
	}
	bare, err := b.startBare(ctx, variantBare, nil)
	if err != nil {
		return nil, err
	}
	path := "/api/v1/wordpress/install/" + b.site + "/progress"
	var all []*variant
	for i, server := range []*benchServer{api, pipelined, bare} {
		target, err := newTarget(ctx, server.addr, path, b.key, cmd.Connections)
		if err != nil {
			return nil, err
		}
		all = append(all, &variant{name: []string{variantAPI, variantPipelined, variantBare}[i], target: target, server: server})
	}
	return all, nil
}

// record is the pipeline that the API sends for a poll, word for word, so that the bare
// handler does the same on the wire.
func (b *progressBench) record(ctx context.Context) ([]byte, error) {
	store, err := queue.Open(ctx, queue.Options{URL: b.redis.URL(0)}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer store.Close() //nolint:errcheck // one call was made
	tape := &tape{}
	store.Client().AddHook(tape)
	if _, _, err := queue.NewClient(store).Poll(ctx, "bench", 1<<30, b.site); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(tape.calls)
	if err != nil {
		return nil, fmt.Errorf("encoding calls: %w", err)
	}
	return raw, nil
}

// tape is a Redis hook that keeps what is sent.
type tape struct{ calls [][]string }

// DialHook changes nothing.
func (*tape) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook changes nothing.
func (*tape) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook keeps the commands of a pipeline.
func (t *tape) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			var words []string
			for _, arg := range cmd.Args() {
				words = append(words, fmt.Sprint(arg))
			}
			t.calls = append(t.calls, words)
		}
		return next(ctx, cmds)
	}
}
