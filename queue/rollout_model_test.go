package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
	"pgregory.net/rapid"
)

// TestRolloutKeepsItsPromisesWhateverCrashes drives a rollout in a real Redis with random ends
// of its children, pauses, a cancellation, and two processes that both take themselves for the
// leader: each of their round trips may be the one at which they die (before or after it
// arrived), or in the middle of which the other one makes a whole look.
func TestRolloutKeepsItsPromisesWhateverCrashes(t *testing.T) {
	t.Parallel()
	s := openStore(t, devstack.RedisT(t, devstack.RedisOptions{AppendFsync: "off"}).URL(0))
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := newRolloutModel(t, rt, s, run)
		rt.Repeat(map[string]func(*rapid.T){
			"look":   func(t *rapid.T) { m.look(t, 0) },
			"look b": func(t *rapid.T) { m.look(t, 1) },
			"end":    m.end,
			"begin":  m.begin,
			"pause":  m.pause,
			"cancel": m.cancel,
			"away":   func(t *rapid.T) { node := rapid.SampledFrom(m.nodes).Draw(t, "node"); m.up[node] = !m.up[node] },
			"":       m.check,
		})
		m.finish()
	})
}

type rolloutModel struct {
	*rapid.T
	ctx     context.Context
	c       *Client
	sides   [2]*Conductor
	hooks   [2]*meddler
	node    *Node
	nodes   []string
	up      map[string]bool
	plan    RolloutPlan
	id      string
	sites   []tasks.SiteRef
	bad     map[string]bool // installs that are to be skipped
	started map[string]bool // ops that were ever in the ledger
	ended   map[string]tasks.State
	paused  bool
}

func newRolloutModel(t *testing.T, rt *rapid.T, s *Store, run int) *rolloutModel {
	own := *s // its own names, and a line of its own to meddle with
	own.names.prefix = fmt.Sprintf("%s%d:", s.names.prefix, run)
	m := &rolloutModel{T: rt, ctx: context.Background(), c: NewClient(&own), up: map[string]bool{},
		bad: map[string]bool{}, started: map[string]bool{}, ended: map[string]tasks.State{}}
	for i := range m.sides {
		side := own
		side.rdb = s.target.connect()
		rt.Cleanup(func() { side.rdb.Close() })
		m.hooks[i] = &meddler{}
		side.rdb.AddHook(m.hooks[i])
		m.sides[i] = NewConductor(NewClient(&side), 0)
		m.sides[i].log = discard
	}
	m.node = NewNode(&own, NodeConfig{ID: "n0"})
	total := rapid.IntRange(1, 14).Draw(rt, "sites")
	for i := range total {
		node := fmt.Sprintf("n%d", rapid.IntRange(0, 2).Draw(rt, "node"))
		if !m.up[node] {
			m.nodes, m.up[node] = append(m.nodes, node), true
		}
		site := testSite(node, "alice", fmt.Sprintf("s%d.example", i), "")
		site.Status = rapid.SampledFrom([]SiteStatus{SiteOK, SiteOK, SiteOK, SiteOK, SiteSuspended, SiteBroken}).Draw(rt, "status")
		m.bad[site.ID] = site.Status != SiteOK
		m.ok(NewNode(&own, NodeConfig{ID: node}).PutSite(m.ctx, site))
		m.sites = append(m.sites, site.SiteRef)
	}
	shares := rapid.SliceOfN(rapid.SampledFrom([]Share{"1", "3", "25%", "50%"}), 0, 3).Draw(rt, "waves")
	waves, err := WavesOf(total, rapid.IntRange(0, 2).Draw(rt, "canary"), shares)
	m.ok(err)
	m.plan = RolloutPlan{Waves: waves, MaxParallel: rapid.IntRange(1, 5).Draw(rt, "parallel"), PerNode: rapid.IntRange(1, 3).Draw(rt, "per node"),
		StopRate: rapid.SampledFrom([]float64{0, .2, .5, 1}).Draw(rt, "rate")}
	m.id = NewRolloutID()
	sub := RolloutSubmission{Op: tasks.Op{ID: m.id, Kind: "site.inspect", Payload: []byte(`{}`), Site: tasks.SiteRef{Account: "alice"}}, Sites: m.sites, Plan: m.plan}
	for range 2 { // a repeat changes nothing
		_, err = m.c.SubmitRollout(m.ctx, sub)
		m.ok(err)
	}
	return m
}

func (m *rolloutModel) ok(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// look lets one of the two make a look, in which something may happen.
func (m *rolloutModel) look(t *rapid.T, side int) {
	hook, other := m.hooks[side], m.sides[1-side]
	at := rapid.IntRange(1, 12).Draw(t, "trip")
	switch rapid.SampledFrom([]string{"nothing", "nothing", "dies", "dies late", "other", "pause", "cancel"}).Draw(t, "meanwhile") {
	case "dies":
		hook.set(at, func(context.Context, func() error) error { return errCut })
	case "dies late":
		hook.set(at, func(_ context.Context, next func() error) error { _ = next(); return errCut })
	case "other":
		hook.set(at, func(_ context.Context, next func() error) error { m.ok(m.advance(other)); return next() })
	case "pause":
		hook.set(at, func(_ context.Context, next func() error) error { m.setPause(!m.paused); return next() })
	case "cancel":
		hook.set(at, func(_ context.Context, next func() error) error { m.setCancel(); return next() })
	}
	err := m.advance(m.sides[side])
	if hook.clear(); err != nil && !errors.Is(err, errCut) {
		m.Fatal(err)
	}
	if errors.Is(err, errCut) { // the process is gone with all that it knew
		clear(m.sides[side].known)
	}
}

func (m *rolloutModel) advance(c *Conductor) error { return c.advance(m.ctx, m.id, m.up) }

// openOps are the children in the ledger that have not ended; it notes those that have.
func (m *rolloutModel) openOps() (open []tasks.Op) {
	for _, site := range m.sites {
		op, err := m.c.Get(m.ctx, tasks.ChildOpID(m.id, site))
		if errors.Is(err, ErrNotFound) {
			if m.started[site.ID] {
				m.Fatalf("the op of %s is gone", site.Domain)
			}
			continue
		}
		m.ok(err)
		if m.started[site.ID] = true; m.bad[site.ID] {
			m.Fatalf("%s was to be skipped", site.Domain)
		}
		if !op.State.Final() {
			open = append(open, op)
		} else if before, ok := m.ended[site.ID]; ok && before != op.State {
			m.Fatalf("%s ended as %s and as %s", site.Domain, before, op.State)
		} else {
			m.ended[site.ID] = op.State
		}
	}
	return open
}

func (m *rolloutModel) pick(t *rapid.T) tasks.Op {
	open := m.openOps()
	if len(open) == 0 {
		t.Skip("none is open")
	}
	return rapid.SampledFrom(open).Draw(t, "op")
}

func (m *rolloutModel) end(t *rapid.T) {
	op := m.pick(t)
	states := []tasks.State{tasks.Succeeded, tasks.Succeeded, tasks.Succeeded, tasks.Failed, tasks.RolledBack, tasks.Unverified}
	m.settle(op, rapid.SampledFrom(states).Draw(t, "state"))
}

func (m *rolloutModel) settle(op tasks.Op, state tasks.State) {
	if op.CancelRequested {
		state = tasks.Cancelled
	}
	m.ok(m.node.Settle(m.ctx, op.ID, max(op.Attempt, 1), tasks.Outcome{State: state}))
}

func (m *rolloutModel) begin(t *rapid.T) {
	op := m.pick(t)
	n := m.c.names
	m.ok(beginScript.Run(m.ctx, m.c.rdb, []string{n.op(op.ID), n.fifo(op.Site.ID), n.events(op.ID), n.open(shardOf(op.ID)), n.feed(shardOf(op.ID))}, op.ID, n.changes()).Err())
}

func (m *rolloutModel) pause(*rapid.T) { m.setPause(!m.paused) }

func (m *rolloutModel) setPause(paused bool) {
	if _, err := m.c.PauseRollout(m.ctx, m.id, paused); err == nil {
		m.paused = paused
	} else if !errors.Is(err, ErrEnded) {
		m.Fatal(err)
	}
}

func (m *rolloutModel) cancel(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
		m.setCancel()
	}
}

func (m *rolloutModel) setCancel() {
	_, err := m.c.Cancel(m.ctx, m.id)
	m.ok(err)
}

// check holds the ledger to the limits after every step.
func (m *rolloutModel) check(*rapid.T) {
	open := m.openOps()
	perNode := map[string]int{}
	for _, op := range open {
		if perNode[op.Site.Node]++; perNode[op.Site.Node] > m.plan.PerNode {
			m.Fatalf("%d ops of %s at a time, %d are allowed", perNode[op.Site.Node], op.Site.Node, m.plan.PerNode)
		}
		if op.Parent != m.id {
			m.Fatalf("the parent of %s is %q", op.ID, op.Parent)
		}
	}
	if len(open) > m.plan.MaxParallel {
		m.Fatalf("%d ops at a time, %d are allowed", len(open), m.plan.MaxParallel)
	}
	m.checkWaves()
	m.checkRate()
}

// checkWaves: what has begun in a wave means that all of the waves before has ended.
func (m *rolloutModel) checkWaves() {
	states := m.states()
	from := 0
	for _, size := range m.plan.Waves {
		for _, site := range m.sites[from+size:] {
			if !m.started[site.ID] {
				continue
			}
			for i, before := range m.sites[:from+size] {
				if m.started[before.ID] && m.ended[before.ID] == "" || !m.started[before.ID] && states[i] != childSkipped && states[i] != childCancelled {
					m.Fatalf("%s has begun before %s ended", site.Domain, before.Domain)
				}
			}
		}
		from += size
	}
}

// checkRate: once too many had failed, as far as the rollout knows, nothing more has begun.
func (m *rolloutModel) checkRate() {
	states := m.states()
	open := slices.ContainsFunc(states, func(s childState) bool { return s == childWaiting })
	v := rolloutView{plan: m.plan, states: states}
	_, _, to := v.wave()
	if stopped := m.c.rdb.HGet(m.ctx, m.c.names.op(m.id), "stopped").Val() == "1"; stopped && open {
		m.Fatal("it has stopped, and children wait")
	} else if m.plan.StopRate >= 1 && stopped {
		m.Fatal("it has stopped, and may not")
	} else if stopped && !v.tooBad(to) && !v.tooBad(len(states)) && !m.wasTooBad(states) {
		m.Fatal("it has stopped without a reason")
	}
}

// wasTooBad is a bound from below: at least one must have failed.
func (m *rolloutModel) wasTooBad(states []childState) bool {
	return slices.ContainsFunc(states, childState.bad)
}

func (m *rolloutModel) states() []childState {
	states, err := m.c.childStates(m.ctx, m.id)
	m.ok(err)
	return states
}

// finish lets everything go well from here on: the rollout ends, and every child once.
func (m *rolloutModel) finish() {
	for _, node := range m.nodes {
		m.up[node] = true
	}
	m.setPause(false)
	var op tasks.Op
	for range 200 {
		m.ok(m.advance(m.sides[0]))
		m.check(nil)
		for _, child := range m.openOps() {
			m.settle(child, tasks.Succeeded)
		}
		var err error
		op, err = m.c.Get(m.ctx, m.id)
		m.ok(err)
		if op.State.Final() {
			break
		}
	}
	if !op.State.Final() {
		m.Fatalf("it does not end: %s %s %s", op.State, op.Message, op.Result)
	}
	page, err := m.c.Children(m.ctx, m.id, ChildFilter{})
	m.ok(err)
	if len(page.Items) != len(m.sites) {
		m.Fatalf("%d of %d children", len(page.Items), len(m.sites))
	}
	for i, child := range page.Items {
		skipped := child.State == Skipped || child.State == tasks.Cancelled && child.Op.ID == ""
		if child.Site != m.sites[i] || skipped == m.started[child.Site.ID] || skipped != (child.Reason != "") || !skipped && child.State != m.ended[child.Site.ID] {
			m.Fatalf("child %d: %+v, ended as %q", i, child, m.ended[child.Site.ID])
		}
	}
	if n := m.c.rdb.SCard(m.ctx, m.c.names.openRollouts()).Val(); n != 0 {
		m.Fatalf("%d rollouts are still open", n)
	}
}

// meddler does something instead of, or around, one round trip.
type meddler struct {
	left int
	what func(context.Context, func() error) error
	dead bool
}

func (w *meddler) set(at int, what func(context.Context, func() error) error) {
	w.left, w.what, w.dead = at, what, false
}

func (w *meddler) clear() { w.what, w.dead = nil, false }

func (w *meddler) trip(ctx context.Context, next func() error) error {
	if w.dead { // a process that died does nothing more
		return errCut
	}
	if w.what == nil {
		return next()
	}
	if w.left--; w.left > 0 {
		return next()
	}
	what := w.what
	w.what = nil
	err := what(ctx, next)
	w.dead = errors.Is(err, errCut)
	return err
}

func (w *meddler) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *meddler) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := w.trip(ctx, func() error { return next(ctx, cmd) })
		if errors.Is(err, errCut) {
			cmd.SetErr(err)
		}
		return err
	}
}

func (w *meddler) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := w.trip(ctx, func() error { return next(ctx, cmds) })
		if errors.Is(err, errCut) {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// A view of ten thousand waiting children is decided on in less than a look takes.
func BenchmarkRolloutNext(b *testing.B) {
	v := rolloutView{plan: RolloutPlan{Waves: []int{MaxChildren}, MaxParallel: 10, PerNode: 2, StopRate: .2},
		states: slices.Repeat([]childState{childWaiting}, MaxChildren), nodes: make([]uint16, MaxChildren), delays: make([]uint32, MaxChildren)}
	now := time.Now()
	for b.Loop() {
		v.next(now, func(uint16) bool { return true })
	}
}
