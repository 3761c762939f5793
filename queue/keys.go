package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var touchKeyScript = lua("touch_key")

// ErrBadKey says that a secret opens nothing: malformed, unknown, revoked,
// disabled or expired. Callers answer all of them alike.
var ErrBadKey = errors.New("invalid api key")

// Roles of a key.
const (
	RoleUser  = "user"  // its owner's installs
	RoleAdmin = "admin" // everything
)

// Permissions of a key. PermRead is every GET and nothing else.
const (
	PermRead      = "read"
	PermWordPress = "wordpress"
	PermWebhooks  = "webhooks"
	PermAll       = "all"
)

// Key is an API key as it is stored and listed: everything but the secret.
type Key struct {
	ID          string         `json:"id"` // 16 hex
	Name        string         `json:"name"`
	Prefix      string         `json:"key_prefix"` // first 12 characters of the secret
	Owner       string         `json:"owner"`      // an account
	Role        string         `json:"role"`
	Permissions []string       `json:"permissions"`
	IPWhitelist []netip.Prefix `json:"ip_whitelist"`         // empty = from anywhere
	ExpiresAt   time.Time      `json:"expires_at,omitzero"`  // zero = never
	LastUsed    time.Time      `json:"last_used,omitzero"`   // to the minute
	Enabled     bool           `json:"enabled"`              //
	RateLimit   int            `json:"rate_limit,omitempty"` // requests a minute; 0 = the API's default
	CreatedAt   time.Time      `json:"created_at"`

	// Session is the id of the console session that acts for the key; "" is the key itself.
	Session string `json:"-"`

	sum string // digest of the secret it was found by
}

// Allows reports whether the key may use the part of the API that a permission
// names. read tells a GET from a change.
func (k Key) Allows(permission string, read bool) bool {
	return slices.ContainsFunc(k.Permissions, func(p string) bool {
		return p == PermAll || p == permission || (p == PermRead && read)
	})
}

// AllowsFrom reports whether the key may be used from an address.
func (k Key) AllowsFrom(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("") // ::ffff:10.0.0.1 is 10.0.0.1
	return len(k.IPWhitelist) == 0 ||
		slices.ContainsFunc(k.IPWhitelist, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (k Key) usable(now time.Time) bool {
	return k.Enabled && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

const (
	secretStart = "wsp_"
	secretBytes = 24 // 48 hex
	prefixChars = 12
)

// digest is the only form in which a secret is kept: its SHA-256, in hex. The
// secret has 192 random bits, so nothing slower is needed to protect it.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// wellFormed keeps garbage away from Redis and from the cache of look-ups.
func wellFormed(secret, start string) bool {
	hexPart, ok := strings.CutPrefix(secret, start)
	if !ok || len(hexPart) != 2*secretBytes {
		return false
	}
	return strings.Trim(hexPart, "0123456789abcdef") == ""
}

// CreateKey stores a new key and returns it with its secret, which nothing can
// show again. The error is a *tasks.InvalidError with all problems of n at once.
func (c *Client) CreateKey(ctx context.Context, n NewKey) (Key, string, error) {
	now := time.Now()
	k, err := n.key(now)
	if err != nil {
		return Key{}, "", err
	}
	secret := secretStart + randomHex(secretBytes)
	k.ID, k.Prefix = randomHex(8), secret[:prefixChars]
	record, err := json.Marshal(k)
	if err != nil {
		return Key{}, "", fmt.Errorf("encoding api key: %w", err)
	}
	// The indexes first: a crash in between leaves an entry that leads nowhere,
	// rather than a key that works and that nobody can find to revoke.
	names, sum := c.names, digest(secret)
	if err := c.rdb.HSet(ctx, names.keyIndex(), k.ID, sum).Err(); err != nil {
		return Key{}, "", fmt.Errorf("indexing api key: %w", err)
	}
	if err := c.rdb.SAdd(ctx, names.accountKeys(k.Owner), k.ID).Err(); err != nil {
		return Key{}, "", fmt.Errorf("indexing api key: %w", err)
	}
	if err := c.rdb.HSet(ctx, names.key(sum), "rec", record, "sum", sum, "sig", c.sign(signedKey, sum, string(record))).Err(); err != nil {
		return Key{}, "", fmt.Errorf("storing api key: %w", err)
	}
	return k, secret, nil
}

// LookupKey finds the key that a secret, or that of a session, belongs to, or ErrBadKey. Answers are
// remembered in the process, so that a poll costs no extra round trip: a
// revocation is seen by every API process within 5 s.
//
// Redis is asked by the secret's hash, so the time of a look-up says nothing
// about how much of a guess was right.
func (c *Client) LookupKey(ctx context.Context, secret string) (Key, error) {
	if isSession(secret) {
		return c.lookupSession(ctx, secret)
	}
	if !wellFormed(secret, secretStart) {
		return Key{}, ErrBadKey
	}
	return c.lookup(ctx, digest(secret))
}

// lookup finds a key by the hash of its secret, or ErrBadKey.
func (c *Client) lookup(ctx context.Context, sum string) (Key, error) {
	now := time.Now()
	k, known, found := c.keys.get(sum, now)
	if !found {
		var err error
		if k, err = c.trustedKey(ctx, sum); err != nil && !errors.Is(err, ErrNotFound) {
			return Key{}, fmt.Errorf("looking up api key: %w", err)
		}
		known = err == nil
		c.keys.put(sum, k, known, now)
	}
	if !known || !k.usable(now) {
		return Key{}, ErrBadKey
	}
	k.sum = sum
	return k, nil
}

// trustedKey reads a key and answers ErrNotFound unless a trusted API, or the operator, made it:
// whoever owns Redis could write one for himself.
func (c *Client) trustedKey(ctx context.Context, sum string) (Key, error) {
	fields, err := c.rdb.HGetAll(ctx, c.names.key(sum)).Result()
	if err != nil {
		return Key{}, err
	}
	k, err := decodeKey(fields, sum)
	if err != nil {
		return Key{}, err
	}
	if _, err := c.verify(signedKey, fields["sig"], sum, fields["rec"]); err != nil {
		c.log.Error("refusing api key", "key", k.Prefix, "account", k.Owner, "err", c.disbelieved(signedKey, err))
		return Key{}, ErrNotFound
	}
	return k, nil
}

// readKey reads a key by the hash of its secret; ErrNotFound when there is none.
func (c *Client) readKey(ctx context.Context, sum string) (Key, error) {
	fields, err := c.rdb.HGetAll(ctx, c.names.key(sum)).Result()
	if err != nil {
		return Key{}, err
	}
	return decodeKey(fields, sum)
}

func decodeKey(fields map[string]string, sum string) (Key, error) {
	// The stored hash is compared again: a record that was copied to another
	// name in Redis opens nothing.
	if subtle.ConstantTimeCompare([]byte(fields["sum"]), []byte(sum)) != 1 {
		return Key{}, ErrNotFound
	}
	var k Key
	if err := json.Unmarshal([]byte(fields["rec"]), &k); err != nil {
		return Key{}, fmt.Errorf("decoding api key: %w", err)
	}
	if ms, err := strconv.ParseInt(fields["used"], 10, 64); err == nil {
		k.LastUsed = time.UnixMilli(ms)
	}
	return k, nil
}

// ListKeys lists the keys of an owner, or of everybody when owner is empty,
// oldest first.
func (c *Client) ListKeys(ctx context.Context, owner string) ([]Key, error) {
	index, err := c.keyIndex(ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("listing api keys: %w", err)
	}
	pipe, reads := c.rdb.Pipeline(), map[string]*redis.MapStringStringCmd{}
	for _, sum := range index {
		reads[sum] = pipe.HGetAll(ctx, c.names.key(sum))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("reading api keys: %w", err)
	}
	keys := []Key{}
	for sum, read := range reads {
		k, err := decodeKey(read.Val(), sum)
		switch {
		case errors.Is(err, ErrNotFound): // an index entry of a creation that crashed
		case err != nil:
			return nil, err
		default:
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int {
		if n := a.CreatedAt.Compare(b.CreatedAt); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return keys, nil
}

// keyIndex answers id -> hash of the secret, of one owner or of all.
func (c *Client) keyIndex(ctx context.Context, owner string) (map[string]string, error) {
	if owner == "" {
		return c.rdb.HGetAll(ctx, c.names.keyIndex()).Result()
	}
	ids, err := c.rdb.SMembers(ctx, c.names.accountKeys(owner)).Result()
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	sums, err := c.rdb.HMGet(ctx, c.names.keyIndex(), ids...).Result()
	if err != nil {
		return nil, err
	}
	index := make(map[string]string, len(ids))
	for i, sum := range sums {
		if sum, ok := sum.(string); ok {
			index[ids[i]] = sum
		}
	}
	return index, nil
}

// RevokeKey deletes a key for good. ErrNotFound when there is no such key, or
// when it belongs to somebody else; an empty owner is nobody in particular.
func (c *Client) RevokeKey(ctx context.Context, owner, id string) error {
	k, err := c.FindKey(ctx, owner, id)
	if err != nil {
		return err
	}
	sum := k.sum
	// The record first: from here on the secret opens nothing.
	if err := c.rdb.Del(ctx, c.names.key(sum)).Err(); err != nil {
		return fmt.Errorf("revoking api key: %w", err)
	}
	c.keys.drop(sum)
	if err := c.rdb.SRem(ctx, c.names.accountKeys(k.Owner), id).Err(); err != nil {
		return fmt.Errorf("unlisting api key: %w", err)
	}
	if err := c.rdb.HDel(ctx, c.names.keyIndex(), id).Err(); err != nil {
		return fmt.Errorf("unlisting api key: %w", err)
	}
	return nil
}

// TouchKey notes that a key, found by LookupKey, was used. It talks to Redis at most once
// a minute per key and process, so it may be called on every request.
func (c *Client) TouchKey(ctx context.Context, k Key) error {
	now := time.Now()
	if !c.keys.touch(k.sum, now) {
		return nil
	}
	if err := touchKeyScript.Run(ctx, c.rdb, []string{c.names.key(k.sum)}, now.UnixMilli()).Err(); err != nil {
		return fmt.Errorf("noting use of api key: %w", err)
	}
	return nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: the process ends if the system has no randomness
	return hex.EncodeToString(b)
}
