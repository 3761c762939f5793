package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// startFigures are how long operations wait for their start while the fleet is at work.
type startFigures struct {
	N          int     `json:"n"`
	Rate       float64 `json:"per_second"`
	Accepted50 float64 `json:"accepted_to_started_p50_ms"` // by the ledger's time of acceptance
	Accepted99 float64 `json:"accepted_to_started_p99_ms"`
	Asked50    float64 `json:"post_to_started_p50_ms"` // from the first byte of the request
	Asked99    float64 `json:"post_to_started_p99_ms"`
	RedisCPU   float64 `json:"redis_cpu_percent"`
	APICPU     float64 `json:"api_cpu_percent"`
}

// simWork is what is asked for, and when nodes began with it.
type simWork struct {
	mu       sync.Mutex
	asked    map[string]time.Time // by install, of which only one operation is open at a time
	runs     map[string]int       // by operation
	ids      []string
	accepted []float64 // ms
	started  []float64 // ms
	errs     error
}

func newSimWork() *simWork {
	return &simWork{asked: map[string]time.Time{}, runs: map[string]int{}}
}

func (w *simWork) begun(op tasks.Op) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs[op.ID]++; w.runs[op.ID] > 1 {
		return
	}
	w.accepted = append(w.accepted, milliseconds(now.Sub(op.CreatedAt)))
	w.started = append(w.started, milliseconds(now.Sub(w.asked[op.Site.ID])))
}

// simAsks are what is asked for: mostly what people wait for.
var simAsks = []string{"/wordpress/inspect", "/wordpress/inspect", "/wordpress/verify-checksums", "/wordpress/core/update"}

// work asks for operations at random times, waits for their ends, and holds all to the promises.
func (s *simulation) work(ctx context.Context, d time.Duration) error {
	w := s.fleet.work
	before, err := s.side.sample(ctx)
	if err != nil {
		return err
	}
	_, text, err := s.side.scrape(ctx)
	if err != nil {
		return err
	}
	apiBefore, began := series(text, "process_cpu_seconds_total"), time.Now()
	s.tell("asking for %.1f operations a second", float64(s.OpsPerDay)/86400)
	scraping, scraped := context.WithTimeout(ctx, d)
	defer scraped()
	var wg sync.WaitGroup
	wg.Go(func() { s.scrapeUntil(scraping) })
	w.ask(ctx, s.side.client, s.fleet, time.Duration(float64(24*time.Hour)/float64(s.OpsPerDay)), d)
	wg.Wait()
	during, err := s.side.sample(ctx)
	if err != nil {
		return err
	}
	if err := s.settled(ctx, w); err != nil {
		return err
	}
	after, err := s.side.sample(ctx)
	if err != nil {
		return err
	}
	text, _, _, err = s.side.fetch(ctx, "", "http://"+s.side.metrics+"/metrics")
	if err != nil {
		return err
	}
	api := 100 * (series(text, "process_cpu_seconds_total") - apiBefore) / time.Since(began).Seconds()
	s.figures.Memory.Op = figure(float64(after.data-before.data) / float64(max(len(w.ids), 1)))
	s.figures.Start = startFigures{N: len(w.started), Rate: figure(float64(len(w.ids)) / d.Seconds()),
		Accepted50: figure(quantile(w.accepted, .5)), Accepted99: figure(quantile(w.accepted, .99)),
		Asked50: figure(quantile(w.started, .5)), Asked99: figure(quantile(w.started, .99)),
		RedisCPU: before.over(during).CPU, APICPU: figure(api)}
	s.tell("%d operations ended; accepted to started p50 %.1f ms, p99 %.1f ms", len(w.ids), s.figures.Start.Accepted50, s.figures.Start.Accepted99)
	return nil
}

// scrapeUntil scrapes as Prometheus does, while others work.
func (s *simulation) scrapeUntil(ctx context.Context) {
	for {
		ms, _, err := s.side.scrape(ctx)
		if err != nil {
			return // the time is over; an API that does not answer fails what asks it next
		}
		s.scrapes = append(s.scrapes, ms)
	}
}

// ask asks for something every pause on average, each time of another install.
func (w *simWork) ask(ctx context.Context, c *client, f *simFleet, every, d time.Duration) {
	until := time.Now().Add(d)
	var wg sync.WaitGroup
	defer wg.Wait()
	for time.Now().Before(until) {
		if pause(ctx, time.Duration(rand.ExpFloat64()*float64(every))) != nil {
			return // the caller's next call says why
		}
		site, ok := w.choose(f)
		if !ok {
			continue
		}
		wg.Go(func() { w.note(ctx, c, site) })
	}
}

// choose takes an install that nothing was asked of yet.
func (w *simWork) choose(f *simFleet) (string, bool) {
	sites := *f.nodes[rand.IntN(len(f.nodes))].sites.Load()
	if len(sites) == 0 {
		return "", false
	}
	id := sites[rand.IntN(len(sites))].ID
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, taken := w.asked[id]; taken {
		return "", false
	}
	w.asked[id] = time.Now()
	return id, true
}

func (w *simWork) note(ctx context.Context, c *client, site string) {
	var took accepted
	_, err := c.post(ctx, simAsks[rand.IntN(len(simAsks))], fields{"id": site}, &took)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.errs = errors.Join(w.errs, err)
		return
	}
	w.ids = append(w.ids, took.OperationID)
}

const settlePatience = time.Minute

// settled waits until all that was accepted has ended, and reports what ended otherwise than it should.
func (s *simulation) settled(ctx context.Context, w *simWork) error {
	if w.errs != nil {
		return fmt.Errorf("asking for operations: %w", w.errs)
	}
	store, err := queue.Open(ctx, queue.Options{URL: s.side.redis.URL(0)}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // only read from
	ledger := queue.NewClient(store)
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	for {
		ops, err := ledger.GetMany(ctx, w.ids)
		if err != nil {
			return err
		}
		open := 0
		for _, op := range ops {
			if !op.State.Final() {
				open++
			}
		}
		if open == 0 {
			s.judge(w, ops)
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for %d operations to end: %w", open, err)
		}
	}
}

func (s *simulation) judge(w *simWork, ops []tasks.Op) {
	if len(ops) != len(w.ids) {
		s.broken("the ledger has %d of %d accepted operations", len(ops), len(w.ids))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, op := range ops {
		if op.State != tasks.Succeeded || w.runs[op.ID] != 1 {
			s.broken("%s is %s and ran %d times", op.ID, op.State, w.runs[op.ID])
		}
	}
}
