package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/wispanel/wptk/cmd/internal/verdict"
	"github.com/wispanel/wptk/tasks"
)

// ask makes one request for an install and takes down what came of it. The key is the
// request's name: asked again with the same, it is the same request.
func (a *arena) ask(ctx context.Context, key, domain string) (string, error) {
	return a.askAt(ctx, a.stack.client, key, domain)
}

func (a *arena) askAt(ctx context.Context, c *client, key, domain string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	body, err := json.Marshal(installBody{Domain: domain, Path: demoPath, AdminUser: demoAdmin, AdminEmail: demoEmail})
	if err != nil {
		return "", fmt.Errorf("encoding request: %w", err)
	}
	a.write(verdict.Fact{What: verdict.Asked, Request: key, Domain: domain})
	got, err := c.once(ctx, request{method: http.MethodPost, path: "/wordpress/install"}, body, key)
	var took accepted
	if err == nil {
		err = decode(got.raw, &took)
	}
	if err != nil {
		a.write(verdict.Fact{What: verdict.Refused, Request: key, Domain: domain, Note: clean(err.Error())})
		return "", err
	}
	a.write(verdict.Fact{What: verdict.Accepted, Request: key, Op: took.OperationID, Domain: domain})
	return took.OperationID, nil
}

// askPatience is how long a client waits for an answer.
const askPatience = 10 * time.Second

// insist asks until it is accepted, as a client with a retry does.
func (a *arena) insist(ctx context.Context, domain string) (string, error) {
	key := uuid.NewString()
	for {
		op, err := a.ask(ctx, key, domain)
		var refused *apiError
		switch {
		case err == nil:
			return op, nil
		case errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusConflict && refused.Status != http.StatusTooManyRequests:
			return "", fmt.Errorf("asking for %s: %w", domain, err)
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return "", fmt.Errorf("asking for %s: %w", domain, err)
		}
	}
}

// askAll asks for n more sites, spread over the nodes, and answers their ops.
func (a *arena) askAll(ctx context.Context, n int) ([]string, error) {
	var ops []string
	for i := range n {
		op, err := a.insist(ctx, a.nodes[i%len(a.nodes)].next())
		if err != nil {
			return ops, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// watcher follows all accepted ops through the API and takes down every answer that says
// something new, or something that may not be.
type watcher struct {
	a      *arena
	client *client

	mu     sync.Mutex
	last   map[string]operation
	gone   map[string]bool // ops that the API does not know any more
	silent time.Time       // when the API stopped answering; zero = it answers
	outage time.Duration   // the longest silence
	news   chan struct{}

	cancel context.CancelFunc
	done   chan struct{}
}

const (
	watchEach  = 100 * time.Millisecond
	watchBatch = 200 // ops of one request
)

func (a *arena) watchAll(ctx context.Context) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{a: a, client: a.stack.client, last: map[string]operation{}, gone: map[string]bool{}, news: make(chan struct{}), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for ctx.Err() == nil {
			w.look(ctx)
			if pause(ctx, watchEach) != nil {
				return
			}
		}
	}()
	return w
}

func (w *watcher) stop() { w.cancel(); <-w.done }

// open lists accepted ops that have not been seen to end.
func (w *watcher) open() []string {
	facts := w.a.all()
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	known := map[string]bool{}
	for _, f := range facts {
		if f.What == verdict.Accepted && !known[f.Op] && !w.last[f.Op].Done && !w.gone[f.Op] {
			ids = append(ids, f.Op)
		}
		known[f.Op] = true
	}
	return ids
}

func (w *watcher) look(ctx context.Context) {
	for batch := range slices.Chunk(w.open(), watchBatch) {
		w.lookAt(ctx, batch)
	}
}

func (w *watcher) lookAt(ctx context.Context, ids []string) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var list struct {
		Operations []operation `json:"operations"`
	}
	r := request{method: http.MethodGet, path: "/wordpress/operations", query: url.Values{"ids": {strings.Join(ids, ",")}}}
	got, err := w.client.once(ctx, r, nil, "")
	if err == nil {
		err = decode(got.raw, &list)
	}
	if !w.answered(err) {
		return
	}
	there := map[string]bool{}
	for _, op := range list.Operations {
		there[op.OperationID] = true
		w.saw(op)
	}
	for _, id := range ids {
		if !there[id] {
			w.miss(id)
		}
	}
}

// miss takes down that an op is not known any more, and stops asking for it.
func (w *watcher) miss(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.a.write(verdict.Fact{What: verdict.Missing, Op: id})
	w.gone[id] = true
}

// answered keeps the longest time without an answer.
func (w *watcher) answered(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil && w.silent.IsZero():
		w.silent = time.Now()
	case err == nil && !w.silent.IsZero():
		w.outage = max(w.outage, time.Since(w.silent))
		w.silent = time.Time{}
	}
	return err == nil
}

func (w *watcher) saw(op operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, known := w.last[op.OperationID]
	if known && before.Seq == op.Seq && before.Status == op.Status && before.Progress == op.Progress &&
		before.Attempt == op.Attempt && before.FinishedAt.Equal(op.FinishedAt) {
		return
	}
	w.a.write(seenFact(op))
	w.last[op.OperationID] = op
	close(w.news)
	w.news = make(chan struct{})
}

func seenFact(op operation) verdict.Fact {
	f := verdict.Fact{What: verdict.Seen, Op: op.OperationID, Domain: op.Domain, Status: op.Status, Done: op.Done,
		Progress: op.Progress, Attempt: op.Attempt, Seq: op.Seq, Finished: op.FinishedAt, Step: op.Step}
	if op.Error != nil {
		f.Code = op.Error.Code
	}
	if r, err := op.installed(); err == nil {
		f.Database = r.DBName
	}
	return f
}

// until waits until enough ops are as asked, or ctx ends.
func (w *watcher) until(ctx context.Context, ids []string, n int, as func(operation) bool) error {
	for {
		w.mu.Lock()
		have := 0
		for _, id := range ids {
			if op, ok := w.last[id]; ok && as(op) {
				have++
			}
		}
		news := w.news
		w.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d of %d operations, have %d: %w", n, len(ids), have, ctx.Err())
		}
	}
}

// settle waits until all ops have ended. That some have not is for the verdict to say.
func (w *watcher) settle(ctx context.Context, patience time.Duration) error {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for len(w.open()) > 0 {
		if err := pause(wait, watchEach); err != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (w *watcher) state(id string) operation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[id]
}

// finalReading asks for every op by itself once more: what was final must be so still.
// It also finds ops that nobody was told of.
func (a *arena) finalReading(ctx context.Context) error {
	ids := map[string]bool{}
	for _, f := range a.all() {
		if f.What == verdict.Accepted {
			ids[f.Op] = true
		}
	}
	cursor := ""
	for {
		var page struct {
			Operations []operation `json:"operations"`
			Next       string      `json:"next_cursor"`
		}
		if _, err := a.stack.client.get(ctx, "/wordpress/operations", url.Values{"limit": {"1000"}, "cursor": {cursor}}, &page); err != nil {
			return fmt.Errorf("listing operations: %w", err)
		}
		for _, op := range page.Operations {
			ids[op.OperationID] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for id := range ids {
		var op operation
		_, err := a.stack.client.get(ctx, "/wordpress/operations/"+url.PathEscape(id), nil, &op)
		var refused *apiError
		switch {
		case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
			a.write(verdict.Fact{What: verdict.Missing, Op: id})
		case err != nil:
			return fmt.Errorf("reading an operation: %w", err)
		default:
			a.write(seenFact(op))
		}
	}
	return nil
}

func isDone(op operation) bool { return op.Done }

// installing reports an op whose command runs on the site, or has run.
func installing(op operation) bool {
	return op.Status == tasks.Running && op.Step == "install" || op.Done
}
