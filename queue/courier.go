package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// Sender makes one attempt of a delivery: Send is called by many goroutines, and
// ends with its context. The op is zero for a test.
type Sender interface {
	Send(ctx context.Context, w Webhook, d Delivery, op tasks.Op) Response
}

// Response is how an attempt went.
type Response struct {
	Status  int   // HTTP status; 0 without an answer
	Err     error // why there was none, or what is wrong with it
	Refused bool  // no connection was made, as the address is not one to connect to
	Took    time.Duration
}

// CourierConfig says how deliveries are made; zero values are the defaults.
type CourierConfig struct {
	Sender Sender
	// Slots are the attempts at a time in this process (64), PerWebhook those to
	// one webhook (4; one, while it fails). An account gets a quarter of them at most,
	// all webhooks that fail a half.
	Slots, PerWebhook int
	// Backoff is the pause after a number of failed attempts; false gives up.
	// By default 11 attempts within a day.
	Backoff func(tries int) (time.Duration, bool)
	// Hour is how long the hours of Backoff, OffAfter and Forward take (1h). A rehearsal
	// that has no day to spare makes them shorter.
	Hour time.Duration
	// OffAfter is how long a webhook may fail without one success before it is
	// switched off (5 days).
	OffAfter time.Duration
	// Poll is how often asynq looks for new deliveries (500 ms), Forward how often
	// for those that are due again (5 s).
	Poll, Forward time.Duration
}

const (
	attemptTimeout = time.Minute      // of one attempt, Redis included; the sender's own is shorter
	drainFor       = 30 * time.Second // how long a slot goes on with what else waits for the same webhook

	// Deliveries that found no slot free come back all the time, and each costs Redis a few
	// commands: crowdedEach for each that waits for the webhook keeps that to five a second,
	// and none from being late for more than it must.
	crowdedEach  = 200 * time.Millisecond
	crowdedLeast = 2 * time.Second
	crowdedMost  = time.Minute
)

// pauses are between attempts: a receiver that restarts is reached within minutes,
// one that is mended the next morning within the day.
var pauses = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 8 * time.Hour,
}

func backoff(tries int) (time.Duration, bool) {
	if tries < 1 || tries > len(pauses) {
		return 0, false
	}
	return jitter(pauses[tries-1]), true
}

func (c CourierConfig) withDefaults() CourierConfig {
	for _, d := range []struct {
		value *int
		usual int
	}{{&c.Slots, 64}, {&c.PerWebhook, 4}} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&c.OffAfter, 5 * 24 * time.Hour}, {&c.Poll, 500 * time.Millisecond}, {&c.Forward, forwardEvery}} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if c.Backoff == nil {
		c.Backoff = backoff
	}
	if c.Hour > 0 {
		c.shorten()
	}
	return c
}

// shorten makes all that is told in hours as much shorter as the hour is.
func (c *CourierConfig) shorten() {
	usual, scale := c.Backoff, float64(c.Hour)/float64(time.Hour)
	c.Backoff = func(tries int) (time.Duration, bool) {
		pause, more := usual(tries)
		return time.Duration(float64(pause) * scale), more
	}
	c.OffAfter = time.Duration(float64(c.OffAfter) * scale)
	c.Forward = max(100*time.Millisecond, time.Duration(float64(c.Forward)*scale))
}

// Courier brings events to webhooks. Each API process runs one. A delivery is a
// record in Redis and a task in an asynq queue of its own; like an op, the record is
// the truth and asked first.
type Courier struct {
	*Store
	publisher
	config CourierConfig
	ended  *endings
	slots  *slots

	stop <-chan struct{} // closed when the process is to end
}

// NewCourier makes a courier; it works while Run does. The watcher tells it of
// ends; without one it finds them a few seconds later.
func NewCourier(s *Store, c *Client, w *Watcher, config CourierConfig) *Courier {
	config = config.withDefaults()
	co := &Courier{
		Store: s, publisher: c.publisher, config: config, ended: newEndings(), slots: newSlots(config.Slots, config.PerWebhook),
	}
	if w != nil {
		w.Heed(co.ended.heed)
	}
	return co
}

// Run works until ctx ends, and then waits for the attempts under way.
func (c *Courier) Run(ctx context.Context) error {
	c.stop = ctx.Done()
	srv := asynq.NewServerFromRedisClient(c.rdb, asynq.Config{
		Concurrency: c.config.Slots, Queues: map[string]int{hookQueue: 1},
		TaskCheckInterval: c.config.Poll, DelayedTaskCheckInterval: c.config.Forward,
		RetryDelayFunc: func(n int, err error, t *asynq.Task) time.Duration {
			var later *tasks.LaterError
			if errors.As(err, &later) { // to the letter: hours, and short ones too
				return later.After
			}
			return retryDelay(n, err, t)
		},
		IsFailure: isFailure,
		Logger:    asynqLog{c.log}, LogLevel: asynq.WarnLevel,
		ShutdownTimeout: drainFor + attemptTimeout,
	})
	if err := srv.Start(asynq.HandlerFunc(c.process)); err != nil {
		return fmt.Errorf("starting queue of webhooks: %w", err)
	}
	c.dispatch(ctx)
	srv.Shutdown()
	return nil
}

// parcel is the whole asynq payload of a delivery.
type parcel struct {
	Webhook  string `json:"webhook"`
	Delivery string `json:"delivery"`
}

func (p publisher) enqueueDelivery(ctx context.Context, webhook, id string) error {
	payload, err := json.Marshal(parcel{webhook, id})
	if err != nil {
		return fmt.Errorf("encoding asynq payload: %w", err)
	}
	// Attempts are counted by the delivery's record, not by asynq.
	_, err = p.asynq.EnqueueContext(ctx, asynq.NewTask("webhook", payload),
		asynq.TaskID(id), asynq.Queue(hookQueue), asynq.MaxRetry(1000), asynq.Timeout(drainFor+attemptTimeout))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("enqueueing delivery: %w", err)
	}
	return nil
}

// hurry makes a delivery due now that may wait in asynq for its next attempt.
func (p publisher) hurry(ctx context.Context, webhook, id string) error {
	err := p.inspector.RunTask(hookQueue, id)
	if err == nil {
		return nil
	}
	if !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound) {
		p.store.log.Debug("delivery is not waiting for an attempt", "err", err) // it is under way
	}
	return p.enqueueDelivery(ctx, webhook, id)
}

// process makes one attempt of a delivery.
func (c *Courier) process(ctx context.Context, t *asynq.Task) error {
	var p parcel
	if err := json.Unmarshal(t.Payload(), &p); err != nil || p.Webhook == "" {
		c.log.Error("archiving task that is no delivery", "err", err)
		return asynq.SkipRetry
	}
	w, _, err := c.readWebhook(ctx, p.Webhook)
	if errors.Is(err, ErrNotFound) {
		return nil // deleted, its deliveries with it
	}
	if err != nil {
		return &ledgerError{err}
	}
	leave := c.slots.enter(w)
	if leave == nil {
		return c.comeBack(ctx, w, p.Delivery)
	}
	defer leave()
	return c.work(ctx, w, p.Delivery)
}

// comeBack is what asynq is told of a delivery for which no slot is free: when it is due,
// or in a while if it is due already. Mostly whoever has the slot will have gone on with it
// by then; coming back is for when that fails.
func (c *Courier) comeBack(ctx context.Context, w Webhook, id string) error {
	due, now := c.names.dueAt(w.ID), time.Now()
	pipe := c.rdb.Pipeline()
	at, waiting := pipe.ZScore(ctx, due, id), pipe.ZCount(ctx, due, "-inf", strconv.FormatInt(now.UnixMilli(), 10))
	if _, err := pipe.Exec(ctx); errors.Is(err, redis.Nil) {
		return nil // it has ended
	} else if err != nil {
		return &ledgerError{fmt.Errorf("looking when delivery is due: %w", err)}
	}
	if rest := time.UnixMilli(int64(at.Val())).Sub(now); rest > 0 {
		return tasks.Later(rest)
	}
	return tasks.Later(crowded(waiting.Val()))
}

// crowded is until a delivery comes back that is one of so many that are due.
func crowded(waiting int64) time.Duration {
	pause := min(max(time.Duration(min(waiting, 1<<20))*crowdedEach, crowdedLeast), crowdedMost)
	return pause + rand.N(pause)
}

// work makes the attempt of a delivery and then of the others that are due for the same
// webhook: a backlog leaves as fast as the receiver takes it, and as long as it takes
// nothing, each keeps to its own pauses, whatever the others wait for.
func (c *Courier) work(ctx context.Context, w Webhook, id string) error {
	began, answer, failing := time.Now(), error(nil), !w.FailingSince.IsZero()
	for next := id; ; next = "" {
		d, later, err := c.begin(ctx, w, next)
		if next == id {
			answer = later
		}
		if err != nil || d.ID == "" {
			return errors.Join(answer, err)
		}
		if next == "" { // others may have changed it meanwhile: its secret, or whether it wants anything
			now, _, err := c.readWebhook(ctx, w.ID)
			if errors.Is(err, ErrNotFound) {
				return answer
			}
			if err != nil {
				return errors.Join(answer, &ledgerError{err})
			}
			w = now
		}
		arrived, err := c.attempt(ctx, w, d)
		if next == id {
			answer = err // what becomes of the others, their own tasks come back for
		}
		// From its first failure on a webhook has one slot, which is not this one.
		if c.rests(ctx, began) || !arrived && !failing {
			return answer
		}
	}
}

// rests reports whether whoever began then has to give the slot back.
func (c *Courier) rests(ctx context.Context, began time.Time) bool {
	select {
	case <-c.stop:
		return true
	case <-ctx.Done():
		return true
	default:
		return time.Since(began) > drainFor
	}
}

// begin takes a delivery for an attempt, or any that is due when id is empty. The
// error later is what asynq is told when it is not due.
func (c *Courier) begin(ctx context.Context, w Webhook, id string) (d Delivery, later, err error) {
	n := c.names
	got, err := hookTryScript.Run(ctx, c.rdb, []string{n.dueAt(w.ID)},
		n.deliveries(w.ID), id, time.Now().UnixMilli(), attemptTimeout.Milliseconds()).StringSlice()
	if err != nil || len(got) != 2 {
		return Delivery{}, nil, &ledgerError{fmt.Errorf("beginning delivery: %w", err)}
	}
	if got[0] == "" {
		if rest := parseInt(got[1]); rest > 0 {
			later = tasks.Later(time.Duration(rest) * time.Millisecond)
		}
		return Delivery{}, later, nil
	}
	d, err = c.readDelivery(ctx, w.ID, got[0])
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Delivery{}, nil, &ledgerError{err}
	}
	return d, nil, nil
}

// attempt sends a delivery that was begun, and reports whether it arrived. The error
// is what asynq is told.
func (c *Courier) attempt(ctx context.Context, w Webhook, d Delivery) (arrived bool, err error) {
	if !w.Enabled && d.Event != EventTest {
		return false, c.end(ctx, w, d, DeliveryFailed, Response{Err: errors.New("the webhook is not enabled")}, 0)
	}
	var op tasks.Op
	if d.OpID != "" {
		op, err = c.read(ctx, d.OpID, readProgress)
		if errors.Is(err, ErrNotFound) {
			return false, c.end(ctx, w, d, DeliveryFailed, Response{Err: errors.New("the operation's record has expired")}, 0)
		}
		if err != nil {
			return false, &ledgerError{err}
		}
	}
	sending, cancel := context.WithTimeout(ctx, attemptTimeout-10*time.Second)
	defer cancel()
	return c.judge(ctx, w, d, c.config.Sender.Send(sending, w, d, op))
}

// gone is the status by which a receiver says that it wants no more.
const gone = 410

// Results of an attempt, as the metric labels them.
const (
	resultDelivered = "delivered"
	resultRetry     = "retry"   // failed, to be tried again
	resultRefused   = "refused" // likewise: the address is not one to connect to
	resultGone      = "gone"    // the receiver wants no more
	resultFailed    = "failed"  // given up
	resultDropped   = "dropped" // never tried: too many wait for the webhook
)

func retryResult(r Response) string {
	if r.Refused {
		return resultRefused
	}
	return resultRetry
}

// judge decides what follows from an attempt.
func (c *Courier) judge(ctx context.Context, w Webhook, d Delivery, r Response) (arrived bool, err error) {
	if r.Err == nil && r.Status >= 200 && r.Status < 300 {
		c.metrics.WebhookDelivery(resultDelivered)
		return true, c.end(ctx, w, d, DeliveryArrived, r, 0)
	}
	if r.Err == nil {
		r.Err = fmt.Errorf("the receiver answered with status %d", r.Status)
	}
	if r.Status == gone {
		c.metrics.WebhookDelivery(resultGone)
		c.switchOff(ctx, w.ID, OffGone)
		return false, c.end(ctx, w, d, DeliveryFailed, r, 0)
	}
	if pause, more := c.config.Backoff(d.Tries); more {
		c.metrics.WebhookDelivery(retryResult(r))
		return false, c.end(ctx, w, d, DeliveryWaiting, r, pause)
	}
	c.metrics.WebhookDelivery(resultFailed)
	c.log.Warn("giving up delivery to webhook", "webhook", w.ID, "op", d.OpID, "attempt", d.Tries, "err", r.Err)
	return false, c.end(ctx, w, d, DeliveryFailed, r, 0)
}

// end writes how an attempt went, and answers what asynq is to do.
func (c *Courier) end(ctx context.Context, w Webhook, d Delivery, state DeliveryState, r Response, pause time.Duration) error {
	now, next, reason := time.Now(), int64(0), ""
	if state == DeliveryWaiting {
		next = now.Add(pause).UnixMilli()
	}
	if r.Err != nil {
		reason = r.Err.Error()
		reason = reason[:min(len(reason), maxReason)]
	}
	failing, err := hookEndScript.Run(ctx, c.rdb, c.deliveryKeys(w.ID, d.ID), d.ID, string(state), now.UnixMilli(),
		r.Status, reason, r.Took.Milliseconds(), next, keptDeliveries, c.names.deliveries(w.ID)).Int64()
	if err != nil {
		return &ledgerError{fmt.Errorf("recording delivery: %w", err)} // made again: receivers tell by its id
	}
	if failing > 0 && now.Sub(time.UnixMilli(failing)) > c.config.OffAfter {
		c.switchOff(ctx, w.ID, OffFailing)
	}
	if state == DeliveryWaiting && failing >= 0 {
		return tasks.Later(pause)
	}
	return nil
}

// switchOff disables a webhook that nobody will miss. If that fails, the next
// attempt comes to the same end.
func (c *Courier) switchOff(ctx context.Context, id, why string) {
	_, err := c.changeWebhook(ctx, id, func(w *Webhook) error {
		w.Enabled, w.Off = false, why
		return nil
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		c.survived("webhook", "switching a webhook off", err, "webhook", id)
		return
	}
	c.log.Warn("switched webhook off", "webhook", id, "reason", why)
}
