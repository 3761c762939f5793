package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	codeLife = time.Minute // from asking for a code to using it

	sessionStart = "wss_"           // tells the secret of a session from that of a key
	sessionFor   = 8 * time.Hour    // a shift; then one signs in again
	sessionIdle  = 30 * time.Minute // without a request: the tab is closed, or the machine asleep
)

// session is a browser that acts for a key. It may do no more than the key, and ends with
// it: every look-up reads the key as well.
type session struct {
	ID   string    `json:"id"` // 16 hex, to tell sessions of a key apart
	Sum  string    `json:"sum"`
	Ends time.Time `json:"ends"`
}

// NewCode makes a code that opens one session for a key, found by LookupKey, within a
// minute. Only its hash is kept.
func (c *Client) NewCode(ctx context.Context, k Key) (code string, ends time.Time, err error) {
	code = randomHex(secretBytes)
	name := c.names.code(digest(code))
	if err := c.rdb.Set(ctx, name, c.stamped(signedCode, name, k.sum), codeLife).Err(); err != nil {
		return "", time.Time{}, fmt.Errorf("writing console code: %w", err)
	}
	return code, time.Now().Add(codeLife), nil
}

// OpenSession turns a code into a session and answers its secret. Of any number of callers
// with the same code one gets it, the others ErrBadKey, as for any other code that opens
// nothing: unknown, used, too old, or of a key that is gone.
func (c *Client) OpenSession(ctx context.Context, code string) (k Key, secret string, ends time.Time, err error) {
	name := c.names.code(digest(code))
	text, err := c.take(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return Key{}, "", time.Time{}, ErrBadKey
	} else if err != nil {
		return Key{}, "", time.Time{}, fmt.Errorf("taking console code: %w", err)
	}
	sum, err := c.unstamped(signedCode, name, text, codeLife)
	if err != nil { // whoever owns Redis could write one for himself
		return Key{}, "", time.Time{}, ErrBadKey
	}
	if k, err = c.lookup(ctx, sum); err != nil {
		return Key{}, "", time.Time{}, err
	}
	secret = sessionStart + randomHex(secretBytes)
	s := session{ID: randomHex(8), Sum: sum, Ends: time.Now().Add(sessionFor).UTC()}
	record, err := json.Marshal(s)
	if err != nil {
		return Key{}, "", time.Time{}, fmt.Errorf("encoding session: %w", err)
	}
	name = c.names.session(digest(secret))
	if err := c.rdb.Set(ctx, name, c.stamped(signedSession, name, string(record)), sessionIdle).Err(); err != nil {
		return Key{}, "", time.Time{}, fmt.Errorf("writing session: %w", err)
	}
	k.Session = s.ID
	return k, secret, s.Ends, nil
}

// CloseSession ends a session at once, in every process. Ending none is no error.
func (c *Client) CloseSession(ctx context.Context, secret string) error {
	if err := c.rdb.Del(ctx, c.names.session(digest(secret))).Err(); err != nil {
		return fmt.Errorf("closing session: %w", err)
	}
	return nil
}

// lookupSession is LookupKey for the secret of a session. Sessions are few, so each
// request reads its own anew, which also counts as a sign of life.
func (c *Client) lookupSession(ctx context.Context, secret string) (Key, error) {
	if !wellFormed(secret, sessionStart) {
		return Key{}, ErrBadKey
	}
	name := c.names.session(digest(secret))
	pipe := c.rdb.Pipeline()
	record := pipe.Get(ctx, name)
	pipe.Expire(ctx, name, sessionIdle)
	if _, err := pipe.Exec(ctx); errors.Is(err, redis.Nil) {
		return Key{}, ErrBadKey
	} else if err != nil {
		return Key{}, fmt.Errorf("looking up session: %w", err)
	}
	value, err := c.unstamped(signedSession, name, record.Val(), sessionFor)
	if err != nil {
		return Key{}, ErrBadKey
	}
	var s session
	if err := json.Unmarshal([]byte(value), &s); err != nil {
		return Key{}, fmt.Errorf("decoding session: %w", err)
	}
	if !time.Now().Before(s.Ends) {
		return Key{}, ErrBadKey
	}
	k, err := c.lookup(ctx, s.Sum)
	k.Session = s.ID
	return k, err
}

func isSession(secret string) bool { return strings.HasPrefix(secret, sessionStart) }

// take reads a value and removes it, in one step; ErrNotFound when there is none. GETDEL
// would do, but is not in Redis 6.0.
func (s *Store) take(ctx context.Context, key string) (string, error) {
	pipe := s.rdb.TxPipeline()
	value := pipe.Get(ctx, key)
	pipe.Del(ctx, key)
	if _, err := pipe.Exec(ctx); errors.Is(err, redis.Nil) {
		return "", ErrNotFound
	} else if err != nil {
		return "", err
	}
	return value.Val(), nil
}
