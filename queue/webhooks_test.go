package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// receiver is a Sender that answers as a function of the test says.
type receiver struct {
	answer func(Webhook, Delivery) Response

	mu       sync.Mutex
	attempts map[string]int // by delivery
	arrived  map[string]int
}

func (r *receiver) Send(_ context.Context, w Webhook, d Delivery, op tasks.Op) Response {
	r.mu.Lock()
	r.attempts[d.ID]++
	r.mu.Unlock()
	got := r.answer(w, d)
	if got.Status == 200 {
		r.mu.Lock()
		r.arrived[op.ID+" "+w.ID]++
		r.mu.Unlock()
	}
	return got
}

func (r *receiver) count() (events, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.arrived {
		most = max(most, n)
	}
	return len(r.arrived), most
}

func always(status int) func(Webhook, Delivery) Response {
	return func(Webhook, Delivery) Response { return Response{Status: status} }
}

// courier runs a courier whose hours are milliseconds, until the test ends.
func courier(t *testing.T, s *Store, r *receiver, change ...func(*CourierConfig)) *Courier {
	t.Helper()
	r.attempts, r.arrived = map[string]int{}, map[string]int{}
	config := CourierConfig{
		Sender: r, Poll: 20 * time.Millisecond, Forward: 50 * time.Millisecond,
		Backoff: func(tries int) (time.Duration, bool) {
			d, more := backoff(tries)
			return d / 20_000, more // 8 hours are 1.4 s
		},
	}
	for _, f := range change {
		f(&config)
	}
	c := NewCourier(s, NewClient(s), watcher(t, s), config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); ok(t, <-done) })
	return c
}

func hook(t *testing.T, c *Client, owner string, events ...string) Webhook {
	t.Helper()
	return must[Webhook](t)(c.CreateWebhook(t.Context(), Webhook{Owner: owner, URL: "https://example.com/", Events: events, Enabled: true, Secret: "sealed"}))
}

// ends makes ops end, without a worker.
func ends(t *testing.T, c *Client, n int) []tasks.Op {
	t.Helper()
	ops := make([]tasks.Op, n)
	for i := range ops {
		ops[i] = newOp(fmt.Sprintf("%d.example", i))
		submit(t, c, ops[i])
		ok(t, c.finish(t.Context(), ops[i], 0, succeeded))
	}
	return ops
}

func TestPatternsOfWebhooks(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{
		"*": true, "wordpress.*": true, "wordpress.plugin.*": true, "wordpress.plugin.update.*": true, "wordpress.plugin.update.failed": true,
		"wordpress.plug*": false, "wordpress.plugin.update.fail": false, "wordpress.plugin.update.failed.*": false, "": false, ".*": false,
	} {
		if got := (Webhook{Events: []string{pattern}}).Wants("wordpress.plugin.update.failed"); got != want {
			t.Errorf("%q: %v", pattern, got)
		}
	}
}

func TestEveryEndIsDeliveredOnceToWhoWantsIt(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, r := NewClient(s), &receiver{answer: always(200)}
	own, others, unwanted := hook(t, c, "alice", "wordpress.install.*", "*"), hook(t, c, "bob", "*"), hook(t, c, "alice", "wordpress.clone.*")
	everything := must[Webhook](t)(c.CreateWebhook(t.Context(), Webhook{Owner: "operator", All: true, URL: "https://example.com/", Events: []string{"*"}, Enabled: true}))
	before := ends(t, c, 3) // while no process runs
	co := courier(t, s, r)
	ops := append(before, ends(t, c, 20)...)
	cancelled := newOp("cancelled.example")
	submit(t, c, cancelled)
	must[tasks.Op](t)(c.Cancel(t.Context(), cancelled.ID))
	ops = append(ops, cancelled)
	eventually(t, func() bool { n, _ := r.count(); return n == 2*len(ops) })
	for _, op := range ops { // as a second process would, or one that was too slow
		ok(t, co.dispatchEnd(t.Context(), op.ID))
	}
	ends(t, c, 1)
	eventually(t, func() bool { n, _ := r.count(); return n == 2*len(ops)+2 })
	if _, most := r.count(); most != 1 {
		t.Errorf("an event arrived %d times", most)
	}
	for _, w := range []Webhook{others, unwanted} {
		if list := must[[]Delivery](t)(c.Deliveries(t.Context(), w.ID)); len(list) != 0 {
			t.Errorf("%s of %s got %v", w.ID, w.Owner, list)
		}
	}
	for _, w := range []Webhook{own, everything} {
		list := must[[]Delivery](t)(c.Deliveries(t.Context(), w.ID))
		if len(list) != len(ops)+1 || list[0].State != DeliveryArrived || list[0].Status != 200 || list[0].Tries != 1 || list[0].EndedAt.IsZero() {
			t.Errorf("deliveries of %s: %d, %+v", w.ID, len(list), list)
		}
	}
}

// The taker of an end that dies before it has recorded the deliveries.
func TestEndOfADeadProcessIsTakenByAnother(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, r := NewClient(s), &receiver{answer: always(200)}
	hook(t, c, "alice", "*")
	op := ends(t, c, 1)[0]
	key := []string{s.names.ended(shardOf(op.ID))}
	if ids := must[[]string](t)(claimScript.Run(t.Context(), s.rdb, key, 60_000, 10).StringSlice()); len(ids) != 1 {
		t.Fatalf("took %v", ids)
	}
	if ids := must[[]string](t)(claimScript.Run(t.Context(), s.rdb, key, 60_000, 10).StringSlice()); len(ids) != 0 {
		t.Fatalf("taken twice: %v", ids)
	}
	ok(t, s.rdb.ZAdd(t.Context(), key[0], z(0, op.ID)).Err()) // its time is over
	courier(t, s, r)
	eventually(t, func() bool { n, _ := r.count(); return n == 1 })
	eventually(t, func() bool { return s.rdb.ZCard(t.Context(), key[0]).Val() == 0 })
}

func TestReceiverThatIsDownForLongMissesNothing(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	var down sync.Map
	down.Store("is", true)
	r := &receiver{answer: func(Webhook, Delivery) Response {
		if _, is := down.Load("is"); is {
			return Response{Err: errors.New("connection refused")}
		}
		return Response{Status: 200}
	}}
	w := hook(t, c, "alice", "*")
	courier(t, s, r)
	const n = 200
	ends(t, c, n)
	eventually(t, func() bool { // every one has been tried, and waits
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.attempts) > 0 && s.rdb.ZCard(t.Context(), s.names.waiting(w.ID)).Val() == n
	})
	if got := must[Webhook](t)(c.Webhook(t.Context(), w.ID)); got.FailingSince.IsZero() {
		t.Error("the webhook does not say that it fails")
	}
	down.Delete("is")
	eventually(t, func() bool { got, _ := r.count(); return got == n })
	eventually(t, func() bool { return s.rdb.ZCard(t.Context(), s.names.waiting(w.ID)).Val() == 0 })
	if _, most := r.count(); most != 1 {
		t.Errorf("an event arrived %d times", most)
	}
	if got := must[Webhook](t)(c.Webhook(t.Context(), w.ID)); !got.FailingSince.IsZero() || !got.Enabled {
		t.Errorf("%+v", got)
	}
	if list := must[[]Delivery](t)(c.Deliveries(t.Context(), w.ID)); len(list) != keptDeliveries {
		t.Errorf("%d deliveries are kept", len(list))
	}
	keys := must[[]string](t)(s.rdb.Keys(t.Context(), s.names.deliveries(w.ID)+"*").Result())
	if len(keys) != keptDeliveries {
		t.Errorf("%d records are kept", len(keys))
	}
}

// The hour is counted by the pauses that are made with a real clock, which here are shorter.
// All share the one slot of a webhook that fails.
func TestReceiverThatIsDownForAnHourGetsEachOfManyEventsAtItsSeventhAttempt(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, r := NewClient(s), &receiver{}
	r.answer = func(_ Webhook, d Delivery) Response {
		since := time.Duration(0)
		for _, pause := range pauses[:d.Tries-1] {
			since += pause
		}
		if since < time.Hour {
			return Response{Err: errors.New("connection refused")}
		}
		return Response{Status: 200}
	}
	some := []Webhook{hook(t, c, "alice", "*"), hook(t, c, "alice", "*"), hook(t, c, "alice", "*")}
	courier(t, s, r)
	const n = 40
	ends(t, c, n)
	eventually(t, func() bool { got, _ := r.count(); return got == n*len(some) })
	for _, w := range some {
		eventually(t, func() bool { return s.rdb.ZCard(t.Context(), s.names.waiting(w.ID)).Val() == 0 })
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, tried := range r.attempts {
		if tried != 7 { // after 42 minutes the sixth fails
			t.Errorf("delivery %s was tried %d times", id, tried)
		}
	}
}

func TestReceiversOfOneAccountThatHangHoldUpNoOther(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, release := NewClient(s), make(chan struct{})
	hang := map[string]bool{}
	for range 6 {
		hang[hook(t, c, "mallory", "*").ID] = true
	}
	// She asks for tests, as many as are never begun at once.
	r := &receiver{answer: func(w Webhook, _ Delivery) Response {
		if hang[w.ID] {
			<-release
		}
		return Response{Status: 200}
	}}
	for id := range hang {
		for range 5 {
			must[Delivery](t)(c.TestWebhook(t.Context(), id))
		}
	}
	hook(t, c, "alice", "*")
	courier(t, s, r, func(c *CourierConfig) { c.Slots, c.PerWebhook = 8, 2 })
	ends(t, c, 20)
	eventually(t, func() bool { n, _ := r.count(); return n == 20 })
	close(release)
}

func TestSlotsAreSharedFairly(t *testing.T) {
	t.Parallel()
	s := newSlots(16, 2) // four of an account, eight of webhooks that fail
	enter := func(w Webhook, want bool) func() {
		t.Helper()
		leave := s.enter(w)
		if (leave != nil) != want {
			t.Errorf("%+v has a slot: %v", w, leave != nil)
		}
		return leave
	}
	a, b, d := Webhook{ID: "a", Owner: "alice"}, Webhook{ID: "b", Owner: "alice"}, Webhook{ID: "d", Owner: "alice"}
	leave := []func(){enter(a, true), enter(a, true), enter(b, true), enter(b, true)}
	enter(a, false)
	enter(d, false)
	leave[0]()
	leave = append(leave[1:], enter(d, true))
	for i := range 8 {
		w := Webhook{ID: fmt.Sprint(i), Owner: fmt.Sprint("account", i), FailingSince: time.Now()}
		leave = append(leave, enter(w, true))
		enter(w, false)
	}
	enter(Webhook{ID: "f", Owner: "bob", FailingSince: time.Now()}, false)
	leave = append(leave, enter(Webhook{ID: "g", Owner: "bob"}, true))
	for _, f := range leave {
		f()
	}
	if len(s.webhooks)+len(s.accounts)+s.failing != 0 {
		t.Errorf("left over: %v %v %d", s.webhooks, s.accounts, s.failing)
	}
}

func TestCrowdAsksRedisSoOftenAsItIsWorth(t *testing.T) {
	t.Parallel()
	for waiting, least := range map[int64]time.Duration{0: crowdedLeast, 1: crowdedLeast, 100: 20 * time.Second, maxWaiting: crowdedMost, 1 << 62: crowdedMost} {
		if got := crowded(waiting); got < least || got >= 2*least {
			t.Errorf("of %d each comes back after %v", waiting, got)
		}
	}
}

func TestShortHoursShortenEveryPause(t *testing.T) {
	t.Parallel()
	c := CourierConfig{Hour: time.Minute}.withDefaults()
	if pause, more := c.Backoff(6); !more || pause < time.Minute || pause > 2*time.Minute {
		t.Errorf("an hour takes %v", pause)
	}
	if c.OffAfter != 2*time.Hour || c.Forward != 100*time.Millisecond {
		t.Errorf("%+v", c)
	}
}

func TestSlowReceiverHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, release := NewClient(s), make(chan struct{})
	slow := hook(t, c, "alice", "*")
	fast := hook(t, c, "alice", "*")
	r := &receiver{}
	var mu sync.Mutex
	now, most := 0, 0
	r.answer = func(w Webhook, _ Delivery) Response {
		if w.ID == slow.ID {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-release
			mu.Lock()
			now--
			mu.Unlock()
		}
		return Response{Status: 200}
	}
	courier(t, s, r, func(c *CourierConfig) { c.Slots, c.PerWebhook = 16, 2 })
	ends(t, c, 50)
	eventually(t, func() bool { n, _ := r.count(); return n == 50 })
	if list := must[[]Delivery](t)(c.Deliveries(t.Context(), fast.ID)); list[0].State != DeliveryArrived {
		t.Errorf("%+v", list[0])
	}
	close(release)
	eventually(t, func() bool { n, _ := r.count(); return n == 100 })
	if mu.Lock(); most > 2 {
		t.Errorf("%d attempts at a time to one webhook", most)
	}
	mu.Unlock()
}

func TestReceiverThatIsGoneIsSwitchedOff(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	var status atomic.Int32
	status.Store(410)
	r := &receiver{answer: func(Webhook, Delivery) Response { return Response{Status: int(status.Load())} }}
	w := hook(t, c, "alice", "*")
	courier(t, s, r)
	ends(t, c, 1)
	eventually(t, func() bool {
		got, err := c.Webhook(t.Context(), w.ID)
		return err == nil && !got.Enabled && got.Off == OffGone
	})
	eventually(t, func() bool { return must[[]Delivery](t)(c.Deliveries(t.Context(), w.ID))[0].State == DeliveryFailed })
	ends(t, c, 3)
	eventually(t, func() bool { return s.rdb.ZCard(t.Context(), s.names.ended(tasks.NodeShard("n1"))).Val() == 0 })
	if list := must[[]Delivery](t)(c.Deliveries(t.Context(), w.ID)); len(list) != 1 {
		t.Errorf("%d deliveries to a webhook that is off", len(list))
	}
	// A test reaches it all the same, and a repeat too once it is on again.
	status.Store(200)
	test := must[Delivery](t)(c.TestWebhook(t.Context(), w.ID))
	must[Webhook](t)(c.ChangeWebhook(t.Context(), w.ID, func(w *Webhook) error { w.Enabled, w.Off = true, ""; return nil }))
	again := must[Delivery](t)(c.Redeliver(t.Context(), w.ID, must[[]Delivery](t)(c.Deliveries(t.Context(), w.ID))[1].ID))
	for _, id := range []string{test.ID, again.ID} {
		eventually(t, func() bool {
			d, err := s.readDelivery(t.Context(), w.ID, id)
			return err == nil && d.State == DeliveryArrived
		})
	}
}

func TestReceiverThatFailsForDaysIsSwitchedOff(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, r := NewClient(s), &receiver{answer: always(500)}
	w := hook(t, c, "alice", "*")
	courier(t, s, r, func(c *CourierConfig) { c.OffAfter = time.Millisecond })
	ends(t, c, 1)
	eventually(t, func() bool {
		got, err := c.Webhook(t.Context(), w.ID)
		return err == nil && !got.Enabled && got.Off == OffFailing
	})
	eventually(t, func() bool { return must[[]Delivery](t)(c.Deliveries(t.Context(), w.ID))[0].State == DeliveryFailed })
}

func TestDeliveryIsGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	sum, tries := time.Duration(0), 1
	for pause, more := backoff(tries); more; pause, more = backoff(tries) {
		sum += pause
		tries++
	}
	if tries != 11 || sum < 23*time.Hour || sum > 30*time.Hour {
		t.Errorf("%d attempts in %v", tries, sum)
	}
	s := registryStore(t)
	c, r := NewClient(s), &receiver{answer: always(301)}
	w := hook(t, c, "alice", "*")
	courier(t, s, r, func(c *CourierConfig) {
		c.Backoff = func(tries int) (time.Duration, bool) { return time.Millisecond, tries < 3 }
	})
	ends(t, c, 1)
	eventually(t, func() bool {
		d := must[[]Delivery](t)(c.Deliveries(t.Context(), w.ID))
		return len(d) == 1 && d[0].State == DeliveryFailed && d[0].Tries == 3 && d[0].Status == 301 && d[0].Error != ""
	})
}

func TestDeletedWebhookLeavesNothing(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, r := NewClient(s), &receiver{answer: always(500)}
	w := hook(t, c, "alice", "*")
	courier(t, s, r)
	ends(t, c, 5)
	eventually(t, func() bool { return s.rdb.ZCard(t.Context(), s.names.waiting(w.ID)).Val() == 5 })
	ok(t, c.DeleteWebhook(t.Context(), w.ID))
	wantErr(t, c.DeleteWebhook(t.Context(), w.ID), ErrNotFound)
	_, err := c.TestWebhook(t.Context(), w.ID)
	wantErr(t, err, ErrNotFound)
	eventually(t, func() bool {
		return len(must[[]string](t)(s.rdb.Keys(t.Context(), s.names.hook(w.ID)+"*").Result())) == 0
	})
	if list := must[[]Webhook](t)(c.Webhooks(t.Context(), "")); len(list) != 0 {
		t.Errorf("%v", list)
	}
}

func TestAccountHasABoundedNumberOfWebhooks(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	for range maxWebhooks {
		hook(t, c, "alice", "*")
	}
	_, err := c.CreateWebhook(t.Context(), Webhook{Owner: "alice"})
	wantErr(t, err, ErrTooManyWebhooks)
	hook(t, c, "bob", "*")
	if list := must[[]Webhook](t)(c.Webhooks(t.Context(), "alice")); len(list) != maxWebhooks {
		t.Errorf("%d", len(list))
	}
}

func TestChangedWebhookIsSeenByTheDeliveryBehind(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, first, changed := NewClient(s), make(chan struct{}), make(chan struct{})
	secrets := make(chan string, 10)
	r := &receiver{answer: func(w Webhook, _ Delivery) Response {
		if secrets <- w.Secret; len(secrets) == 1 {
			close(first)
			<-changed
		}
		return Response{Status: 200}
	}}
	w := hook(t, c, "alice", "*")
	courier(t, s, r, func(config *CourierConfig) { config.PerWebhook = 1 }) // so that one task makes both attempts
	must[Delivery](t)(c.TestWebhook(t.Context(), w.ID))
	<-first
	must[Webhook](t)(c.ChangeWebhook(t.Context(), w.ID, func(w *Webhook) error { w.Secret = "another"; return nil }))
	must[Delivery](t)(c.TestWebhook(t.Context(), w.ID))
	close(changed)
	eventually(t, func() bool { return len(secrets) == 2 })
	if old, fresh := <-secrets, <-secrets; old != "sealed" || fresh != "another" {
		t.Errorf("signed with %q, then with %q", old, fresh)
	}
}
