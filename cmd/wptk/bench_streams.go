package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
)

type benchStreamsCmd struct {
	Streams int `help:"Streams that are open at once: of accounts, installs and single operations." default:"5000" env:"-"`
	Seconds int `help:"How long they are told of changes." default:"30" env:"-"`
	Slow    int `help:"Readers beside them that stop reading." default:"40" env:"-"`
}

const (
	// ofAccount is how many streams follow one account, below what a key may have open.
	ofAccount = 200
	// streamGoal is the most memory that a stream may take of the API process, in KB.
	streamGoal = 80
	// streamLate is the most that the slowest of a hundred changes may take to its reader, in ms.
	streamLate = 1000
	// missedPatience is how long a change that has been made may be on its way at the end.
	missedPatience = time.Minute
)

// streamsFigures also show what makes up the value, and what the baseline takes of the same.
type streamsFigures struct {
	figures
	Streams       int         `json:"streams"`
	Ours          streamsCost `json:"ours"`
	Plain         streamsCost `json:"plain"`
	Lost          int         `json:"lost"`               // changes that a reader missed
	Twice         int         `json:"twice"`              // that a reader was told of again
	Resumed       int         `json:"resumed"`            // streams that were broken off, most in the middle of an event
	Slow          int         `json:"slow"`               // readers that stopped reading
	CutOff        int         `json:"cut_off"`            // of them; they came back and missed nothing
	CaughtUp      float64     `json:"caught_up_s"`        // until all of them had what they had missed
	Subscriptions int         `json:"subscriptions"`      // to Redis: of the API, the node, and of asynq in both
	Idle          int         `json:"subscriptions_idle"` // before there was any stream
	Connections   int         `json:"connections"`        // to Redis, of all: the API, the node and this process
	KernelKB      float64     `json:"kernel_kb"`          // of socket buffers for each slow reader, both ends
	PeakMB        float64     `json:"peak_mb"`            // resident memory of the API process, at most
	Descriptors   float64     `json:"descriptors"`        // of the API process
}

// streamsCost is what streams cost the process that serves them.
type streamsCost struct {
	KB         float64 `json:"kb_per_stream"`
	Goroutines float64 `json:"goroutines_per_stream"`
	Events     float64 `json:"events_per_second"` // that reached readers
	CPUMicros  float64 `json:"cpu_us_per_event"`
	CPU        float64 `json:"cpu"` // processors
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
}

// Run measures and prints.
func (cmd *benchStreamsCmd) Run(ctx context.Context, a *app) (err error) {
	if cmd.Streams < ofAccount || cmd.Seconds < 2 || cmd.Slow < 0 || cmd.Slow > ofAccount {
		return usage("--streams must be at least %d, --seconds 2, and --slow at most %d", ofAccount, ofAccount)
	}
	if err := raiseFiles(uint64(2*cmd.Streams + 1000)); err != nil {
		return err
	}
	redis, err := devstack.Redis(ctx, devstack.RedisOptions{AppendFsync: "no"}) // what serves streams is measured, not a disk
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.Stop()) }()
	f := streamsFigures{Streams: cmd.Streams, Slow: cmd.Slow}
	if err := cmd.ours(ctx, a.log, redis, &f); err != nil {
		return err
	}
	if f.Plain, err = cmd.plain(ctx, redis); err != nil {
		return err
	}
	f.figures = figures{
		Name: "bench.streams", Value: f.Ours.KB, Unit: "KB of memory a stream", Baseline: f.Plain.KB,
		BaselineName: "bare mux handler with a Redis subscription for each stream, which resumes nothing",
		Ratio:        figure(f.Plain.KB / f.Ours.KB), GoalValue: streamGoal, N: cmd.Streams, Spread: [2]float64{f.Ours.KB, f.Ours.KB},
	}
	f.Met = f.Ours.KB < streamGoal && f.Ours.P99 < streamLate && f.Lost+f.Twice == 0 && f.Subscriptions == f.Idle && f.CutOff == f.Slow
	row := func(name string, c streamsCost) []string {
		return []string{name, digits(c.KB, 1), digits(c.Goroutines, 1), digits(c.Events, 0), digits(c.P50, 1), digits(c.P99, 1), digits(c.CPUMicros, 1)}
	}
	return a.measured(f, f.Met, "STREAMS KB/STREAM GOROUTINES EVENTS/S P50-MS P99-MS CPU-US/EVENT",
		[][]string{row("ours", f.Ours), row("plain", f.Plain)})
}

// ours is the real API process: open all, have changes made, break streams off at any
// moment, let some readers stop; and count what each reader has been told.
func (cmd *benchStreamsCmd) ours(ctx context.Context, log *slog.Logger, redis *devstack.Server, f *streamsFigures) (err error) {
	s, err := openStreamStage(ctx, log, redis, (cmd.Streams+ofAccount-1)/ofAccount)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	before, err := firstProbe(ctx, s.probe)
	if err != nil {
		return err
	}
	f.Idle, _, err = s.clients(ctx)
	if err != nil {
		return err
	}
	readers := s.readers(cmd.Streams)
	stop, err := openAll(ctx, readers)
	defer stop()
	if err != nil {
		return err
	}
	if f.Ours, err = cmd.steady(ctx, s.probe, before, readers, s.begin); err != nil {
		return err
	}
	if f.Subscriptions, f.Connections, err = s.clients(ctx); err != nil {
		return err
	}
	if err := s.end(ctx); err != nil {
		return err
	}
	if err := cmd.slow(ctx, s, f); err != nil {
		return err
	}
	f.Lost, f.Twice, f.Resumed = f.Lost+s.missed(ctx, readers), f.Twice+twice(readers), f.Resumed+resumed(readers)
	return firstError(readers) // one that was turned away for good has not lost what it misses
}

// probing is a look at a process.
type probing func(context.Context) (vitals, error)

// steady lets changes come for a while and answers what they cost. The memory is that of
// the end: what streams hold when they have been at work.
func (cmd *benchStreamsCmd) steady(ctx context.Context, look probing, idle vitals, readers []*streamReader, begin func()) (streamsCost, error) {
	begin()
	if err := pause(ctx, time.Second); err != nil {
		return streamsCost{}, err
	}
	from, err := look(ctx)
	if err != nil {
		return streamsCost{}, err
	}
	began, had := time.Now(), told(readers)
	if err := pause(ctx, time.Duration(cmd.Seconds)*time.Second); err != nil {
		return streamsCost{}, err
	}
	to, err := look(ctx)
	if err != nil {
		return streamsCost{}, err
	}
	events, took := float64(told(readers)-had), time.Since(began).Seconds()
	late := lateness(readers)
	return streamsCost{
		KB: figure((to.memory - idle.memory) / 1024 / float64(len(readers))), Goroutines: figure((to.goroutines - idle.goroutines) / float64(len(readers))),
		Events: figure(events / took), CPU: figure((to.cpu - from.cpu) / took), CPUMicros: figure((to.cpu - from.cpu) * 1e6 / max(events, 1)),
		P50: figure(quantile(late, .5)), P99: figure(quantile(late, .99)),
	}, nil
}

// slow has readers stop reading while more happens than may wait for them.
func (cmd *benchStreamsCmd) slow(ctx context.Context, s *streamStage, f *streamsFigures) error {
	readers, wake := s.sleepers(cmd.Slow)
	stop, err := openAll(ctx, readers)
	defer stop()
	if err != nil {
		return err
	}
	before, err := kernelMemory()
	if err != nil {
		return err
	}
	if err := s.burst(ctx); err != nil {
		return err
	}
	after, err := kernelMemory()
	if err != nil {
		return err
	}
	peak, err := s.probe(ctx)
	if err != nil {
		return err
	}
	f.KernelKB, f.PeakMB, f.Descriptors = figure((after-before)/1024/float64(max(cmd.Slow, 1))), figure(peak.peak/1e6), peak.files
	close(wake)
	woken := time.Now()
	f.Lost += s.missed(ctx, readers)
	f.CaughtUp = figure(time.Since(woken).Seconds())
	f.Twice += twice(readers)
	if err := firstError(readers); err != nil {
		return err
	}
	for _, r := range readers {
		if r.resumes() > 0 {
			f.CutOff++
		}
	}
	return nil
}

// openAll opens streams, some at a time, and returns when each has its first event.
func openAll(ctx context.Context, readers []*streamReader) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	stop = func() { cancel(); wg.Wait() }
	opening := make(chan struct{}, 64)
	for _, r := range readers {
		opening <- struct{}{}
		wg.Go(func() { r.run(ctx, func() { <-opening }) })
	}
	for range cap(opening) {
		select {
		case opening <- struct{}{}:
		case <-ctx.Done():
			return stop, ctx.Err()
		case <-time.After(time.Minute):
			return stop, errors.Join(errors.New("opening streams: some have no first event after a minute"), firstError(readers))
		}
	}
	return stop, errors.Join(ctx.Err(), firstError(readers))
}
