package queue

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// rollout is what a leader keeps of an open rollout: the part that never changes. For ten
// thousand installs that is 140 kilobytes; the installs themselves stay in Redis.
type rollout struct {
	op        tasks.Op
	plan      RolloutPlan
	retention time.Duration
	names     []string // of the nodes
	nodes     []uint16 // of each child, in names
	delays    []uint32 // of each child, in seconds
	sums      []uint64 // of each child: the start of its siteSum, as it is read again later

	written string    // what this process wrote last, with the rev on which it did
	beat    time.Time // when
}

// lifeEvery is how often an open rollout shows a sign of life when nothing changes.
const lifeEvery = 10 * time.Second

// load reads that part. Error: ErrNotFound.
func (c *Conductor) load(ctx context.Context, id string) (*rollout, error) {
	if r := c.known[id]; r != nil {
		return r, nil
	}
	op, err := c.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	fields, sites, err := c.readRollout(ctx, op)
	if err != nil {
		return nil, err
	}
	keep, err := c.rdb.HGet(ctx, c.names.op(id), "retention").Int64()
	if err != nil {
		return nil, fmt.Errorf("reading retention: %w", err)
	}
	r := &rollout{op: op, plan: fields.Plan, retention: time.Duration(keep) * time.Second}
	seen := map[string]uint16{}
	for _, site := range sites {
		r.place(site, seen)
	}
	if err := c.indexRollout(ctx, op); err != nil { // whoever accepted it may have died before
		return nil, err
	}
	c.known[id] = r
	return r, nil
}

func (r *rollout) place(site tasks.SiteRef, seen map[string]uint16) {
	node, ok := seen[site.Node]
	if !ok {
		node = uint16(len(r.names)) // at most MaxChildren of them
		seen[site.Node] = node
		r.names = append(r.names, site.Node)
	}
	r.nodes = append(r.nodes, node)
	r.delays = append(r.delays, jitterOf(site.ID, r.plan.Jitter))
	r.sums = append(r.sums, shortSum(site))
}

func shortSum(site tasks.SiteRef) uint64 {
	sum := siteSum(site)
	return binary.BigEndian.Uint64(sum[:])
}

// jitterOf is the same for an install every time: a site has its backup at the same minute
// every night.
func jitterOf(site string, seconds int) uint32 {
	if seconds <= 0 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(site)) // never fails
	return h.Sum32() % uint32(seconds)
}

// change is what becomes of one child.
type change struct {
	state  childState
	reason string
}

// turn is one look at a rollout, and what comes of it.
type turn struct {
	*rollout
	rev     string // of the ledger, when it was read
	view    rolloutView
	open    map[int]tasks.Op      // children with an op in the ledger; zero when it is not there (yet)
	sites   map[int]tasks.SiteRef // of open children and of those that begin
	changes map[int]change
}

// Skips says why an install would be skipped, "" when it would not.
func (p RolloutPlan) Skips(site Site) string {
	switch {
	case site.Status == SiteSuspended:
		return SkippedSuspended
	case site.Status != SiteOK && !p.Broken:
		return SkippedBroken
	}
	return ""
}

// maxTurns bounds the turns of one look, so that a rollout of skipped sites holds up no other.
const maxTurns = 50

// advance makes moves of a rollout until one leads to nothing new.
func (c *Conductor) advance(ctx context.Context, id string, up map[string]bool) error {
	r, err := c.load(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return c.rdb.SRem(ctx, c.names.openRollouts(), id).Err()
	case untrustedRecord(err):
		return errors.Join(err, c.abandon(ctx, id))
	}
	if err != nil {
		return err
	}
	for range maxTurns {
		again, err := c.turn(ctx, r, up)
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// abandon fails a rollout that no API has ordered as it stands there. What it began goes on: each
// of its ops has a signature of its own.
func (c *Conductor) abandon(ctx context.Context, id string) error {
	failure, err := json.Marshal(untrusted)
	if err != nil {
		return fmt.Errorf("encoding failure: %w", err)
	}
	rev, err := c.rdb.HGet(ctx, c.names.op(id), "rev").Result()
	if err != nil {
		return fmt.Errorf("reading rollout: %w", err)
	}
	err = rolloutWriteScript.Run(ctx, c.rdb, c.rolloutKeys(id), id, c.names.changes(), rev,
		string(tasks.Failed), 0, 0, 0, "", "", string(failure), bit(true)).Err()
	if err != nil {
		return fmt.Errorf("ending rollout: %w", err)
	}
	return nil
}

// rolloutKeys are the keys of rollout_write.lua.
func (c *Conductor) rolloutKeys(id string) []string {
	n := c.names
	return []string{n.op(id), n.events(id), n.targets(id), n.states(id), n.openRollouts(), n.reasons(id), n.feed(shardOf(id)), n.ended(shardOf(id))}
}

// turn looks at the children that are open, decides, writes the decision, and only then acts
// on it: what is written as begun will be submitted, by this process or by the next.
func (c *Conductor) turn(ctx context.Context, r *rollout, up map[string]bool) (again bool, err error) {
	t, err := c.see(ctx, r)
	if err != nil || t == nil {
		return false, err
	}
	move := t.view.next(c.now(), func(node uint16) bool { return up[r.names[node]] })
	dropped := t.drop(move)
	if err := c.begin(ctx, t, move.Start); err != nil {
		return false, err
	}
	skipped := len(move.Start) > 0 && slices.ContainsFunc(move.Start, func(i int) bool { return t.view.states[i] == childSkipped })
	written, err := c.write(ctx, t, move)
	if err != nil || !written {
		return false, err
	}
	return dropped || skipped, c.act(ctx, t)
}

// see reads where a rollout stands; nil when it has ended.
func (c *Conductor) see(ctx context.Context, r *rollout) (*turn, error) {
	pipe := c.rdb.Pipeline()
	head := pipe.HMGet(ctx, c.names.op(r.op.ID), "state", "rev", "paused", "cancel", "stopped")
	bytes := pipe.Get(ctx, c.names.states(r.op.ID))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading rollout: %w", err)
	}
	text := func(i int) string { s, _ := head.Val()[i].(string); return s }
	if state := tasks.State(text(0)); state == "" || state.Final() {
		delete(c.known, r.op.ID)
		return nil, c.rdb.SRem(ctx, c.names.openRollouts(), r.op.ID).Err()
	}
	if len(bytes.Val()) != len(r.nodes) {
		return nil, fmt.Errorf("reading rollout: %d states of %d sites", len(bytes.Val()), len(r.nodes))
	}
	r.op.State = tasks.State(text(0))
	t := &turn{
		rollout: r, rev: text(1), changes: map[int]change{}, sites: map[int]tasks.SiteRef{}, open: map[int]tasks.Op{},
		view: rolloutView{
			plan: r.plan, states: []childState(bytes.Val()), nodes: r.nodes, delays: r.delays,
			paused: text(2) == "1", cancelled: text(3) == "1", stopped: text(4) == "1",
		},
	}
	return t, c.follow(ctx, t)
}

// follow reads the ops of open children.
func (c *Conductor) follow(ctx context.Context, t *turn) error {
	var open []int
	for i, s := range t.view.states {
		if s.open() {
			open = append(open, i)
		}
	}
	if err := c.locate(ctx, t, open); err != nil {
		return err
	}
	ids := make([]string, len(open))
	for i, child := range open {
		ids[i] = tasks.ChildOpID(t.op.ID, t.sites[child])
	}
	answers, err := c.readEach(ctx, ids)
	if err != nil {
		return err
	}
	for i, child := range open {
		op, err := opOf(answers[i])
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		t.open[child] = op
		if err == nil {
			t.set(child, childOf(op.State), "")
		}
	}
	return nil
}

// locate reads the installs of some children.
func (c *Conductor) locate(ctx context.Context, t *turn, children []int) error {
	if len(children) == 0 {
		return nil
	}
	pipe := c.rdb.Pipeline()
	texts := make([]*redis.StringCmd, len(children))
	for i, child := range children {
		texts[i] = pipe.LIndex(ctx, c.names.targets(t.op.ID), int64(child))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("reading sites of rollout: %w", err)
	}
	for i, child := range children {
		var site tasks.SiteRef
		if err := json.Unmarshal([]byte(texts[i].Val()), &site); err != nil {
			return fmt.Errorf("decoding site of rollout: %w", err)
		}
		if shortSum(site) != t.sums[child] {
			return c.disbelieved(signedRollout, ErrForged)
		}
		t.sites[child] = site
	}
	return nil
}

func (t *turn) set(child int, state childState, reason string) {
	if t.view.states[child] != state {
		t.view.states[child] = state
		t.changes[child] = change{state, reason}
	}
}

// drop ends what waits, when the move says so.
func (t *turn) drop(m rolloutMove) bool {
	if m.Drop == 0 {
		return false
	}
	any := false
	for i, s := range t.view.states {
		if s == childWaiting {
			t.set(i, m.Drop, m.Reason)
			any = true
		}
	}
	t.view.stopped = t.view.stopped || any && m.Reason == SkippedStopped
	return any
}

// begin marks children as begun, or as skipped where the inventory says that it makes no sense.
func (c *Conductor) begin(ctx context.Context, t *turn, children []int) error {
	if len(children) == 0 {
		return nil
	}
	if err := c.locate(ctx, t, children); err != nil {
		return err
	}
	pipe := c.rdb.Pipeline()
	records := make([]*redis.StringCmd, len(children))
	for i, child := range children {
		records[i] = pipe.HGet(ctx, c.names.site(t.sites[child].ID), "rec")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("reading sites: %w", err)
	}
	for i, child := range children {
		site, err := decodeSite(records[i].Val())
		reason := t.plan.Skips(site)
		if err != nil || site.Account != t.sites[child].Account {
			reason = SkippedGone
		}
		if reason != "" {
			t.set(child, childSkipped, reason)
			continue
		}
		t.set(child, childOpen, "")
		t.open[child] = tasks.Op{}
	}
	return nil
}

// write records the turn; false when somebody changed the rollout since it was read.
func (c *Conductor) write(ctx context.Context, t *turn, m rolloutMove) (bool, error) {
	counts, progress := t.tally(m)
	outcome := tasks.Outcome{State: t.op.State}
	switch {
	case t.view.allEnded():
		outcome = counts.outcome(t.view.cancelled)
	case counts.Total > counts.Queued || len(t.open) > 0:
		outcome.State = tasks.Running
	}
	failure := ""
	if outcome.Error != nil {
		text, err := json.Marshal(outcome.Error)
		if err != nil {
			return false, fmt.Errorf("encoding failure: %w", err)
		}
		failure = string(text)
	}
	id := t.op.ID
	args := []any{id, c.names.changes(), t.rev, string(outcome.State), progress, m.Wave, len(t.plan.Waves),
		t.message(m, outcome.State), counts.json(), failure, bit(t.view.stopped)}
	for _, child := range slices.Sorted(maps.Keys(t.changes)) {
		args = append(args, child, string(t.changes[child].state), t.changes[child].reason)
	}
	same := fmt.Sprint(args...)
	if same == t.written && time.Since(t.beat) < lifeEvery {
		return true, nil
	}
	code, err := rolloutWriteScript.Run(ctx, c.rdb, c.rolloutKeys(id), args...).Int()
	if err != nil {
		return false, fmt.Errorf("writing rollout: %w", err)
	}
	t.written, t.beat = same, time.Now()
	if code == 1 && outcome.State.Final() {
		delete(c.known, id)
		c.metrics.RolloutEnded(t.op.Kind, string(outcome.State))
	}
	return code == 1, nil
}

func (v rolloutView) allEnded() bool {
	return !slices.ContainsFunc(v.states, func(s childState) bool { return !s.ended() })
}

// tally counts, and takes the mean of the children's progress.
func (t *turn) tally(m rolloutMove) (Counts, int) {
	counts := Counts{Wave: m.Wave, Waves: len(t.plan.Waves), Paused: t.view.paused, Stopped: t.view.stopped}
	sum := 0
	for i, s := range t.view.states {
		counts.add(s)
		switch {
		case s.ended():
			sum += 100
		case s.open():
			sum += t.open[i].Progress
		}
	}
	return counts, sum / len(t.view.states)
}

func (t *turn) message(m rolloutMove, state tasks.State) string {
	switch {
	case state.Final():
		return ""
	case t.view.cancelled:
		return "Cancelling"
	case t.view.stopped:
		return "Stopping: too many sites failed"
	case m.Why != "":
		return m.Why
	}
	return fmt.Sprintf("Wave %d of %d", m.Wave, len(t.plan.Waves))
}

// act submits what has begun and is not in the ledger, which may be what a leader before this
// one did not come to, and asks what is open to stop when the rollout is cancelled. A child
// that was written as begun is always submitted, even then: another process may be about to.
func (c *Conductor) act(ctx context.Context, t *turn) error {
	var errs []error
	for _, child := range slices.Sorted(maps.Keys(t.open)) {
		op := t.open[child]
		if op.ID == "" {
			receipt, err := c.Submit(ctx, t.submission(t.sites[child]))
			if err != nil {
				errs = append(errs, err) // the next look does it
				continue
			}
			op = receipt.Op
		}
		if t.view.cancelled && !op.State.Final() && !op.CancelRequested {
			if _, err := c.Cancel(ctx, op.ID); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (t *turn) submission(site tasks.SiteRef) Submission {
	return Submission{
		Op: tasks.Op{
			ID: tasks.ChildOpID(t.op.ID, site), Kind: t.op.Kind, Class: tasks.Bulk, Site: site,
			Payload: t.op.Payload, Parent: t.op.ID, KeyID: t.op.KeyID, RequestID: t.op.RequestID,
		},
		// A child that was forgotten while its rollout is open would be run again.
		Retention: max(t.retention, DefaultRetention),
	}
}
