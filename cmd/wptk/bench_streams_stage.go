package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

const (
	// quietNode has no worker, so what is asked of it ends by being cancelled only.
	quietNode = "quiet"
	loud      = "loud" // the account whose readers stop reading
	// burstOps make two changes each: more than the socket of a slow reader and its place in
	// the feed hold, and fewer than a feed keeps.
	burstOps    = 1500
	streamSteps = 20
	// streamBeat is the time between two changes of one op.
	streamBeat = time.Second
)

// streamStage is the API process under load, and what happens in the accounts that it
// tells of.
type streamStage struct {
	bench   *progressBench
	api     *benchServer
	metrics string
	client  *queue.Client
	keys    map[string]string
	sources []*streamSource
	begun   chan struct{} // closed when changes shall come
	ended   chan struct{} // closed when they shall end
	working func() error

	log *slog.Logger

	mu   sync.Mutex
	ends map[string]map[string]int64 // by account and op: the number of its last change
}

// streamSource is an account with one install, on which one op runs after another.
type streamSource struct {
	account string
	site    tasks.SiteRef

	mu   sync.Mutex
	op   string
	next chan struct{} // closed when there is another op
}

func (s *streamSource) set(op string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.op = op
	close(s.next)
	s.next = make(chan struct{})
}

// after is the op that runs, once that is another than before.
func (s *streamSource) after(ctx context.Context, before string) (string, error) {
	for {
		s.mu.Lock()
		op, next := s.op, s.next
		s.mu.Unlock()
		if op != before {
			return op, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func openStreamStage(ctx context.Context, log *slog.Logger, server *devstack.Server, accounts int) (_ *streamStage, err error) {
	s := &streamStage{
		log:   log,
		bench: &progressBench{redis: server, stop: func() error { return nil }}, keys: map[string]string{},
		begun: make(chan struct{}), ended: make(chan struct{}), ends: map[string]map[string]int64{}, working: func() error { return nil },
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.bench.dir, err = os.MkdirTemp("", "wptk-bench-"); err != nil {
		return nil, fmt.Errorf("making folder: %w", err)
	}
	if s.bench.store, err = queue.Open(ctx, queue.Options{URL: server.URL(0)}, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	s.client = queue.NewClient(s.bench.store)
	for i := range accounts {
		account := "a" + strconv.Itoa(i)
		site := tasks.SiteRef{Node: benchNode, Account: account, Domain: account + ".test", Path: "public_html"}
		site.ID = tasks.SiteID(site.Node, site.Account, site.Domain, site.Path)
		s.sources = append(s.sources, &streamSource{account: account, site: site, next: make(chan struct{})})
	}
	for _, account := range append(s.accounts(), loud) {
		if _, s.keys[account], err = s.client.CreateKey(ctx, queue.NewKey{Name: "bench", Owner: account}); err != nil {
			return nil, err
		}
		s.ends[account] = map[string]int64{}
	}
	if err := s.work(ctx); err != nil {
		return nil, err
	}
	return s, s.serve(ctx)
}

func (s *streamStage) accounts() (all []string) {
	for _, source := range s.sources {
		all = append(all, source.account)
	}
	return all
}

// serve starts the API process.
func (s *streamStage) serve(ctx context.Context) (err error) {
	addrs, err := freeAddrs(1)
	if err != nil {
		return err
	}
	s.metrics = addrs[0]
	s.api, err = s.bench.startAPI(ctx, "", "--metrics-listen", s.metrics)
	return err
}

// work starts the node and has an op begin on each install, which then waits for begin.
func (s *streamStage) work(ctx context.Context) error {
	node := queue.NewNode(s.bench.store, queue.NodeConfig{ID: benchNode, FastSlots: len(s.sources) + fastSlots, BulkSlots: bulkSlots})
	parts := []func(context.Context) error{node.Run, func(ctx context.Context) error { return node.Serve(ctx, queue.Handler{Run: s.steps}) }}
	for _, source := range s.sources {
		parts = append(parts, func(ctx context.Context) error { return s.keepBusy(ctx, source) })
	}
	s.working = inBackground(ctx, parts...)
	for _, source := range s.sources {
		if _, err := source.after(ctx, ""); err != nil {
			return err
		}
	}
	return nil
}

// steps is an op: each of its changes says when it was made.
func (s *streamStage) steps(ctx context.Context, op tasks.Op, rec *queue.Recorder) (tasks.Outcome, error) {
	select {
	case <-s.begun:
	case <-rec.Stopping():
		return tasks.Outcome{}, tasks.ErrInterrupted
	}
	beat := time.After(apart(op.Site.Account, len(s.sources))) // not all installs at the same moment
	for i := 1; i <= streamSteps; i++ {
		select {
		case <-s.ended:
			return tasks.Outcome{State: tasks.Succeeded}, nil
		case <-rec.Stopping():
			return tasks.Outcome{}, tasks.ErrInterrupted
		case <-beat:
		}
		beat = time.After(streamBeat)
		err := rec.Progress(ctx, tasks.Event{State: tasks.Running, Progress: 100 * i / streamSteps, Step: "step_" + strconv.Itoa(i), StepIndex: i,
			StepsTotal: streamSteps, Message: strconv.FormatInt(time.Now().UnixNano(), 10)})
		if err != nil {
			return tasks.Outcome{}, err
		}
	}
	return tasks.Outcome{State: tasks.Succeeded}, nil
}

// apart spreads the first changes of accounts (a0, a1, …) over a beat.
func apart(account string, accounts int) time.Duration {
	n, err := strconv.Atoi(account[1:])
	if err != nil {
		return 0
	}
	return streamBeat * time.Duration(n) / time.Duration(accounts)
}

// keepBusy has one op after another run on an install, and notes how many changes each had.
func (s *streamStage) keepBusy(ctx context.Context, source *streamSource) error {
	for {
		op := benchOp()
		op.Kind, op.Site = "install", source.site
		if _, err := s.client.Submit(ctx, queue.Submission{Op: op}); err != nil {
			return err
		}
		source.set(op.ID)
		for !op.State.Final() {
			if pause(ctx, 50*time.Millisecond) != nil {
				return nil // the end of the run
			}
			now, err := s.client.Get(ctx, op.ID)
			if err != nil {
				return err
			}
			op = now
		}
		s.mu.Lock()
		s.ends[source.account][op.ID] = op.Seq
		s.mu.Unlock()
		select {
		case <-s.ended:
			<-ctx.Done() // a part that returns would end the others
			return nil
		default:
		}
	}
}

func (s *streamStage) begin() { close(s.begun) }

// end lets the ops that run end, and waits for that.
func (s *streamStage) end(ctx context.Context) error {
	close(s.ended)
	for _, source := range s.sources {
		for {
			op, err := s.client.Get(ctx, source.op)
			if err != nil {
				return err
			}
			s.mu.Lock()
			_, noted := s.ends[source.account][op.ID]
			s.mu.Unlock()
			if noted {
				break
			}
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// burst makes thousands of changes as fast as they come.
func (s *streamStage) burst(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			for range burstOps / len(errs) {
				op := benchOp()
				op.ID = tasks.NewOpID(quietNode)
				op.Kind, op.Site.Node, op.Site.Account = "install", quietNode, loud
				op.Site.ID = tasks.SiteID(quietNode, loud, op.ID, "")
				_, err := s.client.Submit(ctx, queue.Submission{Op: op})
				if err == nil {
					op, err = s.client.Cancel(ctx, op.ID)
				}
				if err != nil {
					errs[i] = err
					return
				}
				s.mu.Lock()
				s.ends[loud][op.ID] = op.Seq
				s.mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// readers are those of accounts, installs and single ops; one in ten is restless.
func (s *streamStage) readers(n int) (all []*streamReader) {
	for i := range n {
		source := s.sources[i/ofAccount]
		r := &streamReader{addr: s.api.addr, key: s.keys[source.account], seqs: map[string]int64{}, restless: i%10 == i/10%10}
		switch i % 5 {
		case 0:
			r.source = source
		case 1:
			r.path = apiRoot + "/wordpress/installations/" + source.site.ID + "/events"
		default:
			r.path = apiRoot + "/wordpress/events"
		}
		r.account = source.account
		all = append(all, r)
	}
	return all
}

// sleepers read nothing behind the snapshot until wake is closed.
func (s *streamStage) sleepers(n int) (all []*streamReader, wake chan struct{}) {
	wake = make(chan struct{})
	for range n {
		all = append(all, &streamReader{
			addr: s.api.addr, key: s.keys[loud], account: loud, path: apiRoot + "/wordpress/events", seqs: map[string]int64{}, asleep: wake,
		})
	}
	return all, wake
}

// missed is what readers still have not been told when everything had its time to arrive.
func (s *streamStage) missed(ctx context.Context, readers []*streamReader) (n int) {
	ctx, cancel := context.WithTimeout(ctx, missedPatience)
	defer cancel()
	for {
		n = 0
		for _, r := range readers {
			n += r.missing(s.ends[r.account])
		}
		if n == 0 || pause(ctx, 100*time.Millisecond) != nil {
			break
		}
	}
	for shown, i := 0, 0; i < len(readers) && shown < 5; i++ {
		if r := readers[i]; r.missing(s.ends[r.account]) > 0 {
			s.log.Warn("a reader has not been told of everything", "reader", r.describe(s.ends[r.account]))
			shown++
		}
	}
	return n
}

func (s *streamStage) close() error {
	err := s.working()
	if s.api != nil {
		err = errors.Join(err, s.api.stop())
	}
	s.bench.redis = nil // whoever has started it stops it
	return errors.Join(err, s.bench.close())
}
