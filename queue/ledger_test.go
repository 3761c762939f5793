package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

func TestSubmitTwiceSameIDReturnsSameOp(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, op := NewClient(s), newOp("a.example")
	first := submit(t, c, op)
	second := submit(t, c, op)
	if !first.Created || second.Created || first.Op.ID != second.Op.ID {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if n := s.rdb.LLen(t.Context(), lanePending("n.n1.hi")).Val(); n != 1 {
		t.Errorf("asynq has %d tasks, want 1", n)
	}
	if n := s.rdb.LLen(t.Context(), s.names.fifo(op.Site.ID)).Val(); n != 1 {
		t.Errorf("install has %d ops in line, want 1", n)
	}
}

func TestSubmittedOpReadsBackWhole(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	op := newOp("a.example")
	op.Payload, op.Revealed = []byte(`{"title":"Caf\u00e9; 1,2;"}`), "age:abc"
	receipt := submit(t, c, op)
	got := must[tasks.Op](t)(c.Get(t.Context(), op.ID))
	want := op
	want.State, want.Seq = tasks.Queued, 1
	want.CreatedAt, want.UpdatedAt = got.CreatedAt, got.UpdatedAt
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.CreatedAt.IsZero() || receipt.Op.Position != 0 {
		t.Errorf("created %v, position %d", got.CreatedAt, receipt.Op.Position)
	}
	newest := must[tasks.Op](t)(c.Get(t.Context(), op.Site.ID))
	if newest.ID != op.ID {
		t.Errorf("install stands for %q, want %q", newest.ID, op.ID)
	}
}

func TestUnknownAndMalformedIDsAreNotFound(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	for _, id := range []string{"", "op_x", "wp_", tasks.NewOpID("n1"), tasks.SiteID("n1", "a", "b", "c"), "op_{00}", "wptk:lead"} {
		_, err := c.Get(t.Context(), id)
		wantErr(t, err, ErrNotFound)
		_, err = c.Cancel(t.Context(), id)
		wantErr(t, err, ErrNotFound)
		_, err = c.Reveal(t.Context(), id)
		wantErr(t, err, ErrNotFound)
		limit, _, err := c.Poll(t.Context(), "b", 100, id)
		wantErr(t, err, ErrNotFound)
		if !limit.Allowed {
			t.Errorf("poll of %q did not answer the limit", id)
		}
	}
}

func TestSecondOpOfInstallWaitsInLine(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	first, second, third := newOp("a.example"), newOp("a.example"), newOp("a.example")
	submit(t, c, first)
	submit(t, c, second)
	if r := submit(t, c, third); r.Position != 2 {
		t.Errorf("position %d, want 2", r.Position)
	}
	if n := c.rdb.LLen(t.Context(), lanePending("n.n1.hi")).Val(); n != 1 {
		t.Errorf("asynq has %d tasks, want the head alone", n)
	}
	_, op, err := c.Poll(t.Context(), "b", 100, third.ID)
	ok(t, err)
	if op.Position != 2 || op.ID != third.ID {
		t.Errorf("poll answers %s at %d", op.ID, op.Position)
	}
}

func TestFailIfBusyNamesTheBlockingOp(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	first := newOp("a.example")
	submit(t, c, first)
	_, err := c.Submit(t.Context(), Submission{Op: newOp("a.example"), FailIfBusy: true})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.OpID != first.ID {
		t.Errorf("got %v, want busy with %s", err, first.ID)
	}
	// Not itself: a repeat of an accepted request is no conflict.
	if _, err := c.Submit(t.Context(), Submission{Op: first, FailIfBusy: true}); err != nil {
		t.Error(err)
	}
}

func TestFailIfExistsRefusesKnownInstall(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	op := newOp("a.example")
	ok(t, c.rdb.HSet(t.Context(), c.names.site(op.Site.ID), "rec", "{}").Err())
	_, err := c.Submit(t.Context(), Submission{Op: op, FailIfExists: true})
	var exists *ExistsError
	if !errors.As(err, &exists) || exists.SiteID != op.Site.ID {
		t.Errorf("got %v", err)
	}
	_, err = c.Get(t.Context(), op.ID)
	wantErr(t, err, ErrNotFound)
}

func TestSubmitRefusesIDsOfAnotherNode(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	op := newOp("a.example")
	op.Site.Node = "n2"
	if _, err := c.Submit(t.Context(), Submission{Op: op}); err == nil {
		t.Error("accepted an op whose ids lie in another node's shard")
	}
	op = newOp("a.example")
	op.Class = "asap"
	if _, err := c.Submit(t.Context(), Submission{Op: op}); err == nil {
		t.Error("accepted an op of no lane")
	}
}

func TestCancelOfQueuedOpEndsItAndPassesTheInstallOn(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	c.metrics = NewMetrics(prometheus.NewRegistry())
	first, second := newOp("a.example"), newOp("a.example")
	submit(t, c, first)
	submit(t, c, second)
	got := must[tasks.Op](t)(c.Cancel(t.Context(), first.ID))
	if got.State != tasks.Cancelled || got.Error == nil || got.Error.Code != tasks.CodeCancelled || got.FinishedAt.IsZero() {
		t.Errorf("cancelled op is %+v", got)
	}
	pending := c.rdb.LRange(t.Context(), lanePending("n.n1.hi"), 0, -1).Val()
	if diff := cmp.Diff([]string{second.ID}, pending); diff != "" {
		t.Errorf("lane: %s", diff)
	}
	again := must[tasks.Op](t)(c.Cancel(t.Context(), first.ID))
	if again.Seq != got.Seq {
		t.Error("cancelling a final op changed it")
	}
	if n := testutil.ToFloat64(c.metrics.ops.WithLabelValues(first.Kind, "cancelled")); n != 1 {
		t.Errorf("counted as ended %v times", n)
	}
}

func TestCancelInTheMiddleOfTheLineKeepsTheHead(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	first, second, third := newOp("a.example"), newOp("a.example"), newOp("a.example")
	for _, op := range []tasks.Op{first, second, third} {
		submit(t, c, op)
	}
	must[tasks.Op](t)(c.Cancel(t.Context(), second.ID))
	line := c.rdb.LRange(t.Context(), c.names.fifo(first.Site.ID), 0, -1).Val()
	if diff := cmp.Diff([]string{first.ID, third.ID}, line); diff != "" {
		t.Error(diff)
	}
}

func TestRevealIsOnceEvenForManyAtATime(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	op := newOp("a.example")
	op.Revealed = "age:secret"
	submit(t, c, op)
	var wg sync.WaitGroup
	answers := make([]string, 20)
	for i := range answers {
		wg.Go(func() {
			var err error
			if answers[i], err = c.Reveal(context.Background(), op.ID); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := 0
	for _, a := range answers {
		if a == "age:secret" {
			seen++
		} else if a != "" {
			t.Errorf("revealed %q", a)
		}
	}
	if seen != 1 {
		t.Errorf("revealed %d times", seen)
	}
}

func TestFinalNeverChanges(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1"})
	op := newOp("a.example")
	submit(t, c, op)
	ok(t, n.Settle(t.Context(), op.ID, 1, tasks.Outcome{State: tasks.Failed, Error: &tasks.Failure{Code: "disk_full", Message: "m"}}))
	before := must[tasks.Op](t)(c.Get(t.Context(), op.ID))
	ok(t, n.Settle(t.Context(), op.ID, 9, succeeded))
	must[tasks.Op](t)(c.Cancel(t.Context(), op.ID))
	if diff := cmp.Diff(before, must[tasks.Op](t)(c.Get(t.Context(), op.ID))); diff != "" {
		t.Error(diff)
	}
	if before.Error == nil || before.Error.Code != "disk_full" {
		t.Errorf("error is %+v", before.Error)
	}
}

func TestEndedOpLeavesAfterItsRetentionOpenOneNever(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1"})
	op := newOp("a.example")
	must[Receipt](t)(c.Submit(t.Context(), Submission{Op: op, Retention: time.Hour}))
	keys := []string{s.names.op(op.ID), s.names.events(op.ID), s.names.last(op.Site.ID)}
	for _, k := range keys {
		if ttl := s.rdb.TTL(t.Context(), k).Val(); ttl != -1 {
			t.Errorf("open: %s lives %v", k, ttl)
		}
	}
	ok(t, n.Settle(t.Context(), op.ID, 1, succeeded))
	for _, k := range keys {
		if ttl := s.rdb.TTL(t.Context(), k).Val(); ttl <= 0 || ttl > time.Hour {
			t.Errorf("ended: %s lives %v", k, ttl)
		}
	}
}

func TestListPagesNewestFirstAndFilters(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1"})
	var want []string
	for i := range 7 {
		op := newOp(fmt.Sprintf("d%d.example", i))
		submit(t, c, op)
		want = append([]string{op.ID}, want...)
		if i%2 == 0 {
			ok(t, n.Settle(t.Context(), op.ID, 1, succeeded))
		}
	}
	var got []string
	f := OpFilter{Account: "alice", Limit: 3}
	for {
		page := must[Page[tasks.Op]](t)(c.List(t.Context(), f))
		for _, op := range page.Items {
			got = append(got, op.ID)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, f := range []struct {
		filter OpFilter
		want   int
	}{
		{OpFilter{States: []tasks.State{tasks.Succeeded}}, 4}, {OpFilter{Kinds: []string{"clone"}}, 0},
		{OpFilter{Account: "bob"}, 0}, {OpFilter{Node: "n1"}, 7}, {OpFilter{Site: newOp("d1.example").Site.ID}, 1},
	} {
		if page := must[Page[tasks.Op]](t)(c.List(t.Context(), f.filter)); len(page.Items) != f.want {
			t.Errorf("%+v: %d ops, want %d", f.filter, len(page.Items), f.want)
		}
	}
	_, err := c.List(t.Context(), OpFilter{Cursor: "[zzz"})
	wantErr(t, err, ErrBadCursor)
}

func TestPollIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, op := NewClient(s), newOp("a.example")
	submit(t, c, op)
	w := watchWire(s)
	for _, id := range []string{op.ID, op.Site.ID} {
		before := w.trips.Load()
		limit, got, err := c.Poll(t.Context(), "bucket", 60, id)
		ok(t, err)
		if trips := w.trips.Load() - before; trips != 1 {
			t.Errorf("%d round trips for %s", trips, id)
		}
		if got.ID != op.ID || !limit.Allowed || got.Payload != nil {
			t.Errorf("got %+v, %+v", limit, got)
		}
	}
}

func TestReadsSurviveAFlushOfScripts(t *testing.T) {
	t.Parallel()
	s := openStore(t, devstackRedis(t)) // scripts belong to the server, not the database
	c, op := NewClient(s), newOp("a.example")
	submit(t, c, op)
	for _, read := range []func() error{
		func() error { _, _, err := c.Poll(t.Context(), "b", 60, op.ID); return err },
		func() error { _, err := c.GetMany(t.Context(), []string{op.ID}); return err },
		func() error { _, err := c.Get(t.Context(), op.ID); return err },
	} {
		ok(t, s.rdb.ScriptFlush(t.Context()).Err())
		ok(t, read())
	}
}

func TestEventsAreInOrderAndResume(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1"})
	op := newOp("a.example")
	submit(t, c, op)
	op = begun(t, n, op)
	rec := newRecorder(s, op, nil)
	for i, step := range []string{"target", "core_files", "database"} {
		ok(t, rec.Progress(t.Context(), tasks.Event{Step: step, StepIndex: i + 1, StepsTotal: 3, Progress: 30 * i, Message: step}))
	}
	rec.Log("first")
	rec.Log("second")
	rec.close()
	ok(t, n.Settle(t.Context(), op.ID, op.Attempt, succeeded))
	events := must[[]tasks.Event](t)(c.Events(t.Context(), op.ID, 0))
	var states []string
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Errorf("event %d has seq %d", i, e.Seq)
		}
		states = append(states, string(e.State)+"/"+e.Step)
	}
	want := []string{"queued/", "running/", "running/target", "running/core_files", "running/database", "succeeded/"}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Error(diff)
	}
	rest := must[[]tasks.Event](t)(c.Events(t.Context(), op.ID, 4))
	if len(rest) != 2 || rest[0].Seq != 5 {
		t.Errorf("after 4: %+v", rest)
	}
	lines, cursor, err := c.Log(t.Context(), op.ID, "", 1)
	ok(t, err)
	more, _, err := c.Log(t.Context(), op.ID, cursor, 10)
	ok(t, err)
	if len(lines) != 1 || lines[0].Text != "first" || len(more) != 1 || more[0].Text != "second" {
		t.Errorf("log: %v, %v", lines, more)
	}
	_, _, err = c.Log(t.Context(), op.ID, "0-0 + -", 1)
	wantErr(t, err, ErrBadCursor)
}

// begun begins an op by hand.
func begun(t *testing.T, n *Node, op tasks.Op) tasks.Op {
	t.Helper()
	s := &server{node: n}
	got := must[tasks.Op](t)(s.begin(t.Context(), must[tasks.Op](t)(s.recall(t.Context(), op.ID))))
	if got.ID == "" {
		t.Fatal("op could not begin")
	}
	return got
}

func TestOlderAttemptIsFencedOff(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1"})
	op := newOp("a.example")
	submit(t, c, op)
	old := begun(t, n, op)
	cur := begun(t, n, op)
	if cur.Attempt != 2 {
		t.Fatalf("attempt %d", cur.Attempt)
	}
	wantErr(t, n.Settle(t.Context(), op.ID, old.Attempt, succeeded), ErrFenced)
	rec := newRecorder(s, old, nil)
	ok(t, rec.Progress(t.Context(), tasks.Event{Step: "a", Progress: 50}))
	rec.close()
	wantErr(t, rec.Progress(t.Context(), tasks.Event{Step: "b"}), ErrFenced)
	if got := must[tasks.Op](t)(c.Get(t.Context(), op.ID)); got.Progress != 0 || got.State != tasks.Running {
		t.Errorf("stale attempt wrote: %+v", got)
	}
	ok(t, n.Settle(t.Context(), op.ID, cur.Attempt, succeeded))
}

func TestOnlyTheHeadOfAnInstallBegins(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1"})
	first, second := newOp("a.example"), newOp("a.example")
	submit(t, c, first)
	submit(t, c, second)
	srv := &server{node: n}
	if got := must[tasks.Op](t)(srv.begin(t.Context(), must[tasks.Op](t)(srv.recall(t.Context(), second.ID)))); got.ID != "" {
		t.Error("second op of the install began beside the first")
	}
	begun(t, n, first)
}

func TestEvictingRedisIsRefused(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"allkeys-lru", "volatile-ttl"} {
		_, err := Open(t.Context(), Options{URL: devstackRedis(t, "maxmemory-policy "+policy)}, discard)
		wantErr(t, err, ErrEvicting)
	}
}

func TestFailureOfOpKeepsItsWords(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1"})
	op := newOp("a.example")
	submit(t, c, op)
	want := &tasks.Failure{Code: "disk_full", Message: "No space\nleft; \"here\"", Hint: "Free some"}
	ok(t, n.Settle(t.Context(), op.ID, 1, tasks.Outcome{State: tasks.RolledBack, Error: want, Result: json.RawMessage(`[1]`)}))
	got := must[tasks.Op](t)(c.Get(t.Context(), op.ID))
	if diff := cmp.Diff(want, got.Error); diff != "" || string(got.Result) != "[1]" {
		t.Error(diff, string(got.Result))
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	packed := packed("op_x", "0", map[string]string{
		"state": "running", "site": "wp_x", "kind": "install", "progress": "42", "step": "core_files",
		"message": "Copying WordPress files", "created": "1763971930123", "updated": "1763971930123", "attempt": "1", "seq": "9",
	}, progressFields)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeRecord(packed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPoll(b *testing.B) {
	s := benchStore(b)
	c, op := NewClient(s), newOp("a.example")
	if _, err := c.Submit(b.Context(), Submission{Op: op}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Poll(b.Context(), "b", 1<<30, op.ID); err != nil && !errors.Is(err, redis.Nil) {
			b.Fatal(err)
		}
	}
}
