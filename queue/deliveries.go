package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

var (
	hookAddScript   = lua("hook_add")
	hookTryScript   = lua("hook_try")
	hookEndScript   = lua("hook_end")
	hookAgainScript = lua("hook_again")
)

const (
	// keptDeliveries are shown of each webhook after they have ended.
	keptDeliveries = 100
	// maxWaiting bounds what one dead receiver can make Redis hold: about 5 MB.
	maxWaiting = 10_000
	// maxShownWaiting bounds the waiting ones of a listing.
	maxShownWaiting = 200
	maxReason       = 300 // bytes of an error that is kept
)

// DeliveryState is where a delivery stands.
type DeliveryState string

// A delivery waits until it has arrived or was given up.
const (
	DeliveryWaiting DeliveryState = "waiting"
	DeliveryArrived DeliveryState = "delivered"
	DeliveryFailed  DeliveryState = "failed"
)

// EventTest is the event of a delivery that was asked for to see whether it arrives.
const EventTest = "webhook.test"

// Delivery is one event on its way to one webhook.
type Delivery struct {
	ID      string // dlv_ and 32 hex; the same for every attempt
	Webhook string
	Event   string
	OpID    string // "" of a test
	State   DeliveryState
	Tries   int           // attempts begun
	Status  int           // HTTP status of the last attempt; 0 when there was no answer
	Error   string        // of the last attempt
	Took    time.Duration // the last attempt

	CreatedAt, TriedAt, NextAt, EndedAt time.Time // zero when not yet, or not any more
}

// deliveryID makes "once for each webhook and event" a matter of the id: whoever
// creates the delivery a second time creates the same one.
func deliveryID(webhook, op, event string) string {
	sum := sha256.Sum256([]byte(webhook + "\x00" + op + "\x00" + event))
	return "dlv_" + hex.EncodeToString(sum[:16])
}

func (s *Store) deliveryKeys(webhook, id string) []string {
	n := s.names
	return []string{n.hook(webhook), n.delivery(webhook, id), n.waiting(webhook), n.dueAt(webhook), n.past(webhook)}
}

// Deliveries lists those of a webhook: what waits (the newest 200), then the newest
// 100 that have ended, each newest first.
func (c *Client) Deliveries(ctx context.Context, webhook string) ([]Delivery, error) {
	ids, err := c.deliveryIDs(ctx, webhook, maxShownWaiting)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	pipe, reads := c.rdb.Pipeline(), make([]*redis.MapStringStringCmd, len(ids))
	for i, id := range ids {
		reads[i] = pipe.HGetAll(ctx, c.names.delivery(webhook, id))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	var list []Delivery
	for i, read := range reads {
		if d, ok := decodeDelivery(webhook, ids[i], read.Val()); ok {
			list = append(list, d)
		}
	}
	return list, nil
}

// deliveryIDs lists waiting and ended ones; most limits the waiting, -1 = all.
func (s *Store) deliveryIDs(ctx context.Context, webhook string, most int64) ([]string, error) {
	pipe := s.rdb.Pipeline()
	waiting := pipe.ZRevRange(ctx, s.names.waiting(webhook), 0, max(most-1, -1))
	ended := pipe.LRange(ctx, s.names.past(webhook), 0, -1)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("listing deliveries: %w", err)
	}
	return append(waiting.Val(), ended.Val()...), nil
}

func decodeDelivery(webhook, id string, f map[string]string) (Delivery, bool) {
	return Delivery{
		ID: id, Webhook: webhook, Event: f["event"], OpID: f["op"], State: DeliveryState(f["state"]),
		Tries: int(parseInt(f["tries"])), Status: int(parseInt(f["status"])), Error: f["error"],
		Took:      time.Duration(parseInt(f["took"])) * time.Millisecond,
		CreatedAt: msTime(f["created"]), TriedAt: msTime(f["tried"]), NextAt: msTime(f["next"]), EndedAt: msTime(f["ended"]),
	}, f["state"] != ""
}

func (s *Store) readDelivery(ctx context.Context, webhook, id string) (Delivery, error) {
	fields, err := s.rdb.HGetAll(ctx, s.names.delivery(webhook, id)).Result()
	if err != nil {
		return Delivery{}, fmt.Errorf("reading delivery: %w", err)
	}
	d, ok := decodeDelivery(webhook, id, fields)
	if !ok {
		return Delivery{}, ErrNotFound
	}
	return d, nil
}

// Redeliver sends a delivery again, with its schedule begun anew. The id stays, so
// a receiver that has it already can tell. Error: ErrNotFound.
func (c *Client) Redeliver(ctx context.Context, webhook, id string) (Delivery, error) {
	n := c.names
	keys := []string{n.delivery(webhook, id), n.waiting(webhook), n.dueAt(webhook), n.past(webhook)}
	again, err := hookAgainScript.Run(ctx, c.rdb, keys, id, time.Now().UnixMilli()).Int()
	if err != nil {
		return Delivery{}, fmt.Errorf("repeating delivery: %w", err)
	}
	if again < 0 {
		return Delivery{}, ErrNotFound
	}
	if err := c.hurry(ctx, webhook, id); err != nil {
		return Delivery{}, err
	}
	return c.readDelivery(ctx, webhook, id)
}

// TestWebhook sends a test event to a webhook, whatever its patterns.
// Error: ErrNotFound.
func (c *Client) TestWebhook(ctx context.Context, webhook string) (Delivery, error) {
	id := "dlv_" + randomHex(16)
	if err := c.post(ctx, webhook, id, EventTest, ""); err != nil {
		return Delivery{}, err
	}
	return c.readDelivery(ctx, webhook, id)
}

// postEnd makes the delivery of an op's end to a webhook. Repeating it is harmless.
func (p publisher) postEnd(ctx context.Context, w Webhook, op tasks.Op) error {
	event := EventOf(op)
	return p.post(ctx, w.ID, deliveryID(w.ID, op.ID, event), event, op.ID)
}

// post records a delivery and hands it to asynq. ErrNotFound: no such webhook.
func (p publisher) post(ctx context.Context, webhook, id, event, op string) error {
	s := p.store
	code, err := hookAddScript.Run(ctx, s.rdb, s.deliveryKeys(webhook, id),
		id, event, op, strconv.FormatInt(time.Now().UnixMilli(), 10), maxWaiting).Int()
	if err != nil {
		return fmt.Errorf("recording delivery: %w", err)
	}
	switch code {
	case 1, 2:
		return p.enqueueDelivery(ctx, webhook, id)
	case -1:
		return ErrNotFound
	case -2:
		s.metrics.WebhookDelivery(resultDropped)
		s.log.Error("dropping event: too many wait for this webhook", "webhook", webhook, "event", event, "op", op)
	}
	return nil
}
