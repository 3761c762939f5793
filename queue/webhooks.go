package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

var hookPutScript = lua("hook_put")

// maxWebhooks bounds the webhooks of one account.
const maxWebhooks = 20

// ErrTooManyWebhooks says that an account has as many webhooks as it may.
var ErrTooManyWebhooks = fmt.Errorf("an account has at most %d webhooks", maxWebhooks)

// Why a webhook was switched off without being asked to.
const (
	OffGone    = "the receiver answered 410 Gone"
	OffFailing = "deliveries have failed for days"
)

// Webhook is an address that is told how ops end.
type Webhook struct {
	ID      string   `json:"id"`            // wh_ and 24 hex
	Owner   string   `json:"owner"`         // an account
	All     bool     `json:"all,omitempty"` // ops of every account, not only the owner's
	URL     string   `json:"url"`
	Events  []string `json:"events"` // patterns, see Wants
	Enabled bool     `json:"enabled"`
	Off     string   `json:"off,omitempty"` // why it is not enabled, when nobody asked for that

	// Secret signs deliveries; sealed to the API. Until OldUntil they are also
	// signed with the one before, so that a receiver can change over in peace.
	Secret   string    `json:"secret"`
	Old      string    `json:"old,omitempty"`
	OldUntil time.Time `json:"old_until,omitzero"`

	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
	FailingSince time.Time `json:"-"` // zero when the last delivery arrived, or none was made
}

// EventOf is the event that the end of an op is: wordpress.<kind>.<state>, or
// wordpress.rollout.<state> for one on many installs, whose ops have events as well.
func EventOf(op tasks.Op) string {
	if op.Rollout() {
		return "wordpress.rollout." + string(op.State)
	}
	return "wordpress." + op.Kind + "." + string(op.State)
}

// Wants reports whether one of the webhook's patterns matches an event: its name,
// "*" for all, or the beginning of names with ".*" behind it.
func (w Webhook) Wants(event string) bool {
	return slices.ContainsFunc(w.Events, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return pattern == event || open && (prefix == "" || strings.HasSuffix(prefix, ".") && strings.HasPrefix(event, prefix))
	})
}

// CreateWebhook stores a webhook; Owner, All, URL, Events, Enabled and Secret
// count. Error: ErrTooManyWebhooks.
func (c *Client) CreateWebhook(ctx context.Context, w Webhook) (Webhook, error) {
	n := c.names
	has, err := c.rdb.SCard(ctx, n.accountHooks(w.Owner)).Result()
	if err != nil {
		return Webhook{}, fmt.Errorf("counting webhooks: %w", err)
	}
	if has >= maxWebhooks {
		return Webhook{}, ErrTooManyWebhooks
	}
	w.ID, w.CreatedAt = "wh_"+randomHex(12), time.Now().UTC().Truncate(time.Millisecond)
	w.UpdatedAt = w.CreatedAt
	record, err := json.Marshal(w)
	if err != nil {
		return Webhook{}, fmt.Errorf("encoding webhook: %w", err)
	}
	// The record first: an entry of an index that leads nowhere is passed over, and
	// what crashes here was never answered for.
	if err := c.rdb.HSet(ctx, n.hook(w.ID), "rec", record, "v", 1).Err(); err != nil {
		return Webhook{}, fmt.Errorf("storing webhook: %w", err)
	}
	_, err = c.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.SAdd(ctx, n.hooks(), w.ID)
		pipe.SAdd(ctx, n.accountHooks(w.Owner), w.ID)
		if w.All {
			pipe.SAdd(ctx, n.allHooks(), w.ID)
		}
		return nil
	})
	if err != nil {
		return Webhook{}, fmt.Errorf("indexing webhook: %w", err)
	}
	return w, nil
}

// Webhook reads one; ErrNotFound.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	w, _, err := c.readWebhook(ctx, id)
	return w, err
}

func (s *Store) readWebhook(ctx context.Context, id string) (w Webhook, version string, err error) {
	fields, err := s.rdb.HGetAll(ctx, s.names.hook(id)).Result()
	if err != nil {
		return Webhook{}, "", fmt.Errorf("reading webhook: %w", err)
	}
	w, err = decodeWebhook(fields)
	return w, fields["v"], err
}

func decodeWebhook(fields map[string]string) (Webhook, error) {
	if fields["rec"] == "" {
		return Webhook{}, ErrNotFound
	}
	var w Webhook
	if err := json.Unmarshal([]byte(fields["rec"]), &w); err != nil {
		return Webhook{}, fmt.Errorf("decoding webhook: %w", err)
	}
	w.FailingSince = msTime(fields["failing"])
	return w, nil
}

// msTime reads a field that holds Unix ms; zero for none.
func msTime(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Webhooks lists those of an account, or all when owner is empty, oldest first.
func (c *Client) Webhooks(ctx context.Context, owner string) ([]Webhook, error) {
	index := c.names.hooks()
	if owner != "" {
		index = c.names.accountHooks(owner)
	}
	ids, err := c.rdb.SMembers(ctx, index).Result()
	if err != nil {
		return nil, fmt.Errorf("listing webhooks: %w", err)
	}
	list, err := c.readWebhooks(ctx, ids)
	slices.SortFunc(list, func(a, b Webhook) int {
		if n := a.CreatedAt.Compare(b.CreatedAt); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, err
}

// readWebhooks reads many; those that do not exist are left out.
func (s *Store) readWebhooks(ctx context.Context, ids []string) ([]Webhook, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	pipe, reads := s.rdb.Pipeline(), make([]*redis.MapStringStringCmd, len(ids))
	for i, id := range ids {
		reads[i] = pipe.HGetAll(ctx, s.names.hook(id))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("reading webhooks: %w", err)
	}
	var list []Webhook
	for _, read := range reads {
		w, err := decodeWebhook(read.Val())
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return nil, err
		default:
			list = append(list, w)
		}
	}
	return list, nil
}

// ChangeWebhook changes one by a function, which may be called again when somebody
// else changes it at the same time. Error: ErrNotFound, or the function's.
func (c *Client) ChangeWebhook(ctx context.Context, id string, change func(*Webhook) error) (Webhook, error) {
	var before Webhook
	w, err := c.changeWebhook(ctx, id, func(w *Webhook) error {
		before = *w
		return change(w)
	})
	if err != nil || w.URL == before.URL && (before.Enabled || !w.Enabled) {
		return w, err
	}
	// Another receiver, or the same one that somebody has seen to: its past is over.
	if err := c.rdb.HDel(ctx, c.names.hook(id), "failing").Err(); err != nil {
		return Webhook{}, fmt.Errorf("clearing past of webhook: %w", err)
	}
	w.FailingSince = time.Time{}
	return w, nil
}

func (s *Store) changeWebhook(ctx context.Context, id string, change func(*Webhook) error) (Webhook, error) {
	for range 10 {
		w, version, err := s.readWebhook(ctx, id)
		if err != nil {
			return Webhook{}, err
		}
		if err := change(&w); err != nil {
			return Webhook{}, err
		}
		w.UpdatedAt = time.Now().UTC().Truncate(time.Millisecond)
		record, err := json.Marshal(w)
		if err != nil {
			return Webhook{}, fmt.Errorf("encoding webhook: %w", err)
		}
		written, err := hookPutScript.Run(ctx, s.rdb, []string{s.names.hook(id)}, version, record).Int()
		switch {
		case err != nil:
			return Webhook{}, fmt.Errorf("storing webhook: %w", err)
		case written == 1:
			return w, nil
		case written == -1:
			return Webhook{}, ErrNotFound
		}
	}
	return Webhook{}, errors.New("changing webhook: somebody else keeps changing it")
}

// DeleteWebhook deletes one with its deliveries; those under way are dropped at
// their next attempt. Error: ErrNotFound.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	w, _, err := c.readWebhook(ctx, id)
	if err != nil {
		return err
	}
	n := c.names
	if err := c.rdb.Del(ctx, n.hook(id)).Err(); err != nil { // from here on nothing is added
		return fmt.Errorf("deleting webhook: %w", err)
	}
	list, err := c.deliveryIDs(ctx, id, -1)
	if err != nil {
		return err
	}
	_, err = c.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, d := range list {
			pipe.Del(ctx, n.delivery(id, d))
		}
		pipe.Del(ctx, n.waiting(id), n.dueAt(id), n.past(id))
		pipe.SRem(ctx, n.accountHooks(w.Owner), id)
		pipe.SRem(ctx, n.allHooks(), id)
		pipe.SRem(ctx, n.hooks(), id)
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting deliveries of webhook: %w", err)
	}
	return nil
}
