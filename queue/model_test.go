package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
	"pgregory.net/rapid"
)

// TestLedgerBehavesLikeItsModel drives the ledger with random interleavings of
// submitters, two workers (one of them stale), a canceller and sweeps, and
// compares it with a plain model after each step.
func TestLedgerBehavesLikeItsModel(t *testing.T) {
	t.Parallel()
	// Nothing is to outlive this server, so it need not wait for the disk.
	s := openStore(t, devstack.RedisT(t, devstack.RedisOptions{AppendFsync: "off"}).URL(0))
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1"})
	var run int
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &model{T: rt, ctx: context.Background(), c: c, n: n, run: run, line: map[string][]string{}, ops: map[string]*modelOp{}}
		rt.Repeat(map[string]func(*rapid.T){
			"submit":   m.submit,
			"resubmit": m.resubmit,
			"begin":    m.begin,
			"progress": m.progress,
			"finish":   m.finish,
			"cancel":   m.cancel,
			"publish":  m.publish,
			"":         m.compare,
		})
	})
}

type modelOp struct {
	op        tasks.Op
	state     tasks.State
	attempt   int
	write     int // newest progress write of the attempt
	pct       int
	seq       int64
	cancelled bool
}

type model struct {
	*rapid.T
	ctx  context.Context
	c    *Client
	n    *Node
	run  int
	ids  []string
	ops  map[string]*modelOp
	line map[string][]string // open ops by install, in order
}

func (m *model) pick(t *rapid.T) *modelOp {
	if len(m.ids) == 0 {
		t.Skip("no ops yet")
	}
	return m.ops[rapid.SampledFrom(m.ids).Draw(t, "op")]
}

func (m *model) fail(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *model) submit(t *rapid.T) {
	domain := fmt.Sprintf("r%d-%d.example", m.run, rapid.IntRange(0, 2).Draw(t, "site"))
	op := newOp(domain)
	failIfBusy := rapid.Bool().Draw(t, "fail if busy")
	r, err := m.c.Submit(m.ctx, Submission{Op: op, FailIfBusy: failIfBusy})
	line := m.line[op.Site.ID]
	if failIfBusy && len(line) > 0 {
		var busy *BusyError
		if !errors.As(err, &busy) || busy.OpID != line[0] {
			t.Fatalf("busy install answered %v", err)
		}
		return
	}
	m.fail(err)
	if !r.Created || r.Position != len(line) {
		t.Fatalf("created %v at %d, want %d", r.Created, r.Position, len(line))
	}
	m.ids = append(m.ids, op.ID)
	m.ops[op.ID] = &modelOp{op: op, state: tasks.Queued, seq: 1}
	m.line[op.Site.ID] = append(line, op.ID)
}

func (m *model) resubmit(t *rapid.T) {
	o := m.pick(t)
	r, err := m.c.Submit(m.ctx, Submission{Op: o.op})
	m.fail(err)
	if r.Created || r.Op.ID != o.op.ID {
		t.Fatalf("repeat made %+v", r)
	}
}

func (m *model) begin(t *rapid.T) {
	o := m.pick(t)
	s := &server{node: m.n}
	got, err := s.recall(m.ctx, o.op.ID)
	m.fail(err)
	got, err = s.begin(m.ctx, got)
	m.fail(err)
	if o.state.Final() || m.line[o.op.Site.ID][0] != o.op.ID {
		if got.ID != "" {
			t.Fatalf("%s op began, line %v", o.state, m.line[o.op.Site.ID])
		}
		return
	}
	o.state, o.write = tasks.Running, 0
	o.attempt++
	o.seq++
	if got.Attempt != o.attempt || got.CancelRequested != o.cancelled {
		t.Fatalf("attempt %d, cancel %v; want %d, %v", got.Attempt, got.CancelRequested, o.attempt, o.cancelled)
	}
}

func (m *model) progress(t *rapid.T) {
	o := m.pick(t)
	attempt := rapid.IntRange(0, o.attempt+1).Draw(t, "attempt")
	write := rapid.IntRange(0, 5).Draw(t, "write")
	pct := rapid.IntRange(-5, 200).Draw(t, "progress")
	names := m.c.names
	v, err := progressScript.Run(m.ctx, m.c.rdb, []string{names.op(o.op.ID), names.events(o.op.ID), names.feed(shardOf(o.op.ID))},
		o.op.ID, names.changes(), attempt, write, pct, "step", 1, 2, "m").Int64Slice()
	m.fail(err)
	written := !o.state.Final() && attempt == o.attempt && write > o.write
	if (v[0] > 0) != written || (v[1] == 1) != o.cancelled {
		t.Fatalf("write %d of attempt %d answered %v; model %+v", write, attempt, v, o)
	}
	if written {
		o.seq++
		o.write, o.pct = write, max(o.pct, min(pct, 99))
	}
}

func (m *model) finish(t *rapid.T) {
	o := m.pick(t)
	attempt := rapid.IntRange(0, o.attempt+1).Draw(t, "attempt")
	state := rapid.SampledFrom([]tasks.State{tasks.Succeeded, tasks.Failed, tasks.RolledBack, tasks.Unverified, tasks.Cancelled}).Draw(t, "state")
	err := m.n.Settle(m.ctx, o.op.ID, attempt, tasks.Outcome{State: state})
	switch {
	case o.state.Final():
		m.fail(err)
	case attempt < o.attempt:
		if !errors.Is(err, ErrFenced) {
			t.Fatalf("stale outcome answered %v", err)
		}
	default:
		m.fail(err)
		m.end(o, state)
		if state == tasks.Succeeded || state == tasks.Unverified {
			o.pct = 100
		}
	}
}

func (m *model) end(o *modelOp, state tasks.State) {
	o.state = state
	o.seq++
	site := o.op.Site.ID
	m.line[site] = slices.DeleteFunc(m.line[site], func(id string) bool { return id == o.op.ID })
}

func (m *model) cancel(t *rapid.T) {
	o := m.pick(t)
	_, err := m.c.Cancel(m.ctx, o.op.ID)
	m.fail(err)
	switch {
	case o.state == tasks.Queued:
		o.cancelled = true
		m.end(o, tasks.Cancelled)
	case o.state == tasks.Running && !o.cancelled:
		o.cancelled = true
		o.seq++
	}
}

func (m *model) publish(t *rapid.T) { m.fail(m.c.publish(m.ctx, m.pick(t).op.ID)) }

// compare is the promise: the ledger says what the model says, and asynq has
// every head that has to start.
func (m *model) compare(t *rapid.T) {
	for _, id := range m.ids {
		o := m.ops[id]
		got, err := m.c.Get(m.ctx, id)
		m.fail(err)
		if got.State != o.state || got.Attempt != o.attempt || got.Progress != o.pct || got.Seq != o.seq || got.CancelRequested != o.cancelled {
			t.Fatalf("ledger has %s attempt %d, %d %%, seq %d, cancel %v; model %+v",
				got.State, got.Attempt, got.Progress, got.Seq, got.CancelRequested, o)
		}
		if last := m.lastEvent(id); last != o.seq {
			t.Fatalf("last event is %d, seq %d", last, o.seq)
		}
	}
	for site, want := range m.line {
		got := m.c.rdb.LRange(m.ctx, m.c.names.fifo(site), 0, -1).Val()
		if !slices.Equal(got, want) {
			t.Fatalf("line is %v, want %v", got, want)
		}
		if len(want) > 0 && m.c.rdb.Exists(m.ctx, laneTask(lane("n1", tasks.Interactive), want[0])).Val() == 0 {
			t.Fatalf("asynq does not have the head %s", want[0])
		}
	}
}

func (m *model) lastEvent(id string) int64 {
	entries, err := m.c.rdb.XRevRangeN(m.ctx, m.c.names.events(id), "+", "-", 1).Result()
	m.fail(err)
	seq, err := strconv.ParseInt(entries[0].ID[:len(entries[0].ID)-2], 10, 64)
	m.fail(err)
	return seq
}
