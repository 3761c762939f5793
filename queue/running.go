package queue

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

const (
	watchEvery = time.Second
	beatOps    = 10 // every that many looks, a running op shows a sign of life
)

// hold and release count deliveries, so that the search for stranded tasks can
// tell them from tasks that nobody has.

func (s *server) hold(id string) {
	s.work.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[id]++
}

func (s *server) release(id string) {
	defer s.work.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[id]--; s.held[id] == 0 {
		delete(s.held, id)
	}
}

// claim makes the caller the one that runs the op, or answers who does.
func (s *server) claim(id string) (mine, other *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.runs[id]; r != nil {
		return nil, r
	}
	r := &run{done: make(chan struct{})}
	s.runs[id] = r
	return r, nil
}

func (s *server) unclaim(id string, r *run) {
	s.mu.Lock()
	delete(s.runs, id)
	s.mu.Unlock()
	close(r.done)
}

// show makes a begun run visible to cancellation.
func (s *server) show(r *run, op tasks.Op, rec *Recorder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.op, r.recorder = op, rec
}

// cancel tells a running op that it was cancelled. One that begins just now
// reads it from the ledger.
func (s *server) cancel(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.runs[id]; r != nil && r.recorder != nil {
		r.recorder.cancel()
	}
}

// watch looks after running ops once a second: a doorbell ring may get lost, a
// cancellation must not. With nothing running it costs nothing.
func (s *server) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for looks := 1; ; looks++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.watchRuns(ctx, looks%beatOps == 0)
		}
	}
}

func (s *server) watchRuns(ctx context.Context, beat bool) {
	ops := s.begun()
	if len(ops) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	pipe := s.node.rdb.Pipeline()
	answers := make([]*redis.Cmd, len(ops))
	for i, op := range ops {
		answers[i] = watchScript.EvalSha(ctx, pipe, []string{s.node.names.op(op.ID)}, op.Attempt, bit(beat))
	}
	_, err := pipe.Exec(ctx)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = loadScripts(ctx, s.node.rdb) // the next look finds them
	}
	if err != nil && ctx.Err() == nil {
		s.node.survived("watch", "looking after running operations", err, "node", s.node.ID())
	}
	for i, op := range ops {
		switch v, err := answers[i].Int(); {
		case err != nil:
		case v == 1:
			s.cancel(op.ID)
		case v == -1: // perhaps Redis came back without it, and it runs on
			if _, err := s.node.Restore(ctx, op); err != nil {
				s.node.survived("watch", "restoring running operation", err, "op", op.ID)
			}
		}
	}
}

func (s *server) begun() []tasks.Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ops []tasks.Op
	for _, r := range s.runs {
		if r.recorder != nil {
			ops = append(ops, r.op)
		}
	}
	return ops
}

// unheld filters ids down to those that no delivery of this process has.
func (s *server) unheld(ids []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return s.held[id] > 0 })
}
