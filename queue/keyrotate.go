package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/tasks"
)

var changeKeyScript = lua("key_change")

// MaxOverlap is how long a key that was replaced may go on at most.
const MaxOverlap = 7 * 24 * time.Hour

// FindKey answers a key by its id. ErrNotFound when there is no such key, or when it belongs
// to somebody else; an empty owner is nobody in particular.
func (c *Client) FindKey(ctx context.Context, owner, id string) (Key, error) {
	sum, err := c.rdb.HGet(ctx, c.names.keyIndex(), id).Result()
	if errors.Is(err, redis.Nil) {
		return Key{}, ErrNotFound
	}
	if err != nil {
		return Key{}, fmt.Errorf("finding api key: %w", err)
	}
	k, err := c.readKey(ctx, sum)
	if err != nil {
		return Key{}, fmt.Errorf("reading api key: %w", err)
	}
	if owner != "" && owner != k.Owner {
		return Key{}, ErrNotFound
	}
	k.sum = sum
	return k, nil
}

// Successor asks for a key that may do what k may, no more and no longer.
func (k Key) Successor() NewKey {
	n := NewKey{Name: k.Name, Owner: k.Owner, Role: k.Role, Permissions: k.Permissions, ExpiresAt: k.ExpiresAt, RateLimit: k.RateLimit}
	for _, p := range k.IPWhitelist {
		n.IPWhitelist = append(n.IPWhitelist, p.String())
	}
	return n
}

// RotateKey replaces a key, found by FindKey, by a new one with the same rights. The old one
// goes on for as long as overlap, and no longer than it would have; without overlap it is
// gone at once. The new key comes first: a crash in between leaves two keys rather than none.
// When the old one cannot be ended, the new one is taken back. Errors: ErrNotFound,
// ErrKeyChanged, *tasks.InvalidError.
func (c *Client) RotateKey(ctx context.Context, old Key, overlap time.Duration) (k Key, secret string, until time.Time, err error) {
	if overlap < 0 || overlap > MaxOverlap {
		return Key{}, "", time.Time{}, &tasks.InvalidError{Problems: []tasks.Problem{{Field: "overlap_hours", Reason: fmt.Sprintf("must be 0 to %.0f", MaxOverlap.Hours())}}}
	}
	// Its record may have been written by whoever owns Redis: only one that would open
	// something is signed anew.
	if _, err := c.trustedKey(ctx, old.sum); err != nil {
		return Key{}, "", time.Time{}, err
	}
	if k, secret, err = c.CreateKey(ctx, old.Successor()); err != nil {
		return Key{}, "", time.Time{}, err
	}
	until = time.Now().Add(overlap).UTC().Truncate(time.Second)
	switch {
	case overlap == 0:
		err = c.RevokeKey(ctx, old.Owner, old.ID)
	case !old.ExpiresAt.IsZero() && old.ExpiresAt.Before(until):
		until = old.ExpiresAt
	default:
		err = c.expireKey(ctx, old.sum, until)
	}
	if err != nil {
		return Key{}, "", time.Time{}, errors.Join(err, c.RevokeKey(ctx, k.Owner, k.ID))
	}
	return k, secret, until, nil
}

// expireKey sets when a key ends.
func (c *Client) expireKey(ctx context.Context, sum string, at time.Time) error {
	before, err := c.rdb.HGet(ctx, c.names.key(sum), "rec").Result()
	if errors.Is(err, redis.Nil) {
		return ErrNotFound // revoked meanwhile
	}
	if err != nil {
		return fmt.Errorf("reading api key: %w", err)
	}
	var k Key
	if err := json.Unmarshal([]byte(before), &k); err != nil {
		return fmt.Errorf("decoding api key: %w", err)
	}
	k.ExpiresAt = at
	record, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encoding api key: %w", err)
	}
	changed, err := changeKeyScript.Run(ctx, c.rdb, []string{c.names.key(sum)}, before, record, c.sign(signedKey, sum, string(record))).Int()
	if err != nil {
		return fmt.Errorf("changing api key: %w", err)
	}
	c.keys.drop(sum)
	if changed == 0 {
		return ErrKeyChanged
	}
	return nil
}

// ErrKeyChanged is two rotations of a key at one time: the earlier one decides.
var ErrKeyChanged = errors.New("api key was changed or revoked meanwhile")
