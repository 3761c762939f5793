package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/redis/go-redis/v9"
)

var (
	reserveScript = lua("reserve")
	answerScript  = lua("answer")
	releaseScript = lua("release")
)

const (
	// ReservationTTL is how long an idempotency key is remembered.
	ReservationTTL = 24 * time.Hour
	// MaxAnswer is the largest answer body that is kept for a replay, in bytes.
	MaxAnswer = 64 << 10
)

var (
	// ErrMismatch says that an idempotency key came back with another request.
	ErrMismatch = errors.New("idempotency key was used for another request")
	// ErrAnswerTooLarge says that an answer was not kept. A repeat of the request
	// still gets the same op, and an answer made from it anew.
	ErrAnswerTooLarge = errors.New("answer is too large to be kept")
)

// Reservation ties a client's idempotency key to one request and one op.
type Reservation struct {
	Scope string // id of the API key; another API key's idempotency keys are others
	Key   string // as the client sent it
	Hash  string // of the request, see RequestHash
	OpID  string // what the request makes, decided before it is made

	Status int    // HTTP status of the answer; 0 while there is none
	Body   []byte // its body
	At     time.Time
}

// Answered reports whether the first request got as far as an answer.
func (r Reservation) Answered() bool { return r.Status != 0 }

func (r Reservation) key(n names) []string {
	sum := sha256.Sum256([]byte(r.Key)) // any bytes, any length
	return []string{n.idempotency(r.Scope, hex.EncodeToString(sum[:]))}
}

// RequestHash is the identity of a request: its method, path and body, where a
// body of JSON counts by its content and not by its spacing or order of keys.
func RequestHash(method, path string, body []byte) string {
	canonical := jsontext.Value(append([]byte(nil), body...))
	if canonical.Canonicalize() != nil {
		canonical = body // not JSON: then byte for byte
	}
	h := sha256.New()
	for _, part := range []string{method, path, string(canonical)} {
		fmt.Fprintf(h, "%d:%s", len(part), part) // no two triples look the same
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Reserve claims an idempotency key for r.OpID. The second result is true when
// the claim is ours. Otherwise the reservation is the earlier one: with its
// answer, or, when that request crashed or is still at work, with the op id to
// submit again (which is harmless). ErrMismatch when it was another request.
func (c *Client) Reserve(ctx context.Context, r Reservation) (Reservation, bool, error) {
	r.At = time.Now()
	v, err := reserveScript.Run(ctx, c.rdb, r.key(c.names),
		r.Hash, r.OpID, r.At.UnixMilli(), ReservationTTL.Milliseconds()).Slice()
	if errors.Is(err, redis.Nil) {
		return r, true, nil
	}
	if err != nil {
		return Reservation{}, false, fmt.Errorf("reserving idempotency key: %w", err)
	}
	earlier, err := decodeReservation(r, v)
	if err != nil {
		return Reservation{}, false, err
	}
	if earlier.Hash != r.Hash {
		return earlier, false, ErrMismatch
	}
	return earlier, false, nil
}

func decodeReservation(r Reservation, v []any) (Reservation, error) {
	if len(v) != 5 {
		return Reservation{}, fmt.Errorf("reading reservation: %d values in answer", len(v))
	}
	text := func(i int) string { s, _ := v[i].(string); return s }
	r.Hash, r.OpID = text(0), text(1)
	if ms, err := strconv.ParseInt(text(4), 10, 64); err == nil {
		r.At = time.UnixMilli(ms)
	}
	if text(2) == "" {
		return r, nil
	}
	status, err := strconv.Atoi(text(2))
	if err != nil {
		return Reservation{}, fmt.Errorf("reading reservation: %w", err)
	}
	r.Status, r.Body = status, []byte(text(3))
	return r, nil
}

// Answer keeps the answer to a reserved request for its repeats. The first one
// wins. What is kept is what was sent, so it must hold no secrets.
func (c *Client) Answer(ctx context.Context, r Reservation, status int, body []byte) error {
	if len(body) > MaxAnswer {
		return fmt.Errorf("%w: %d bytes", ErrAnswerTooLarge, len(body))
	}
	if err := answerScript.Run(ctx, c.rdb, r.key(c.names), r.OpID, status, body).Err(); err != nil {
		return fmt.Errorf("keeping answer: %w", err)
	}
	return nil
}

// Release gives an idempotency key back that made nothing and got no answer
// worth keeping (a 429, a 5xx), so that the client may try again with it.
func (c *Client) Release(ctx context.Context, r Reservation) error {
	if err := releaseScript.Run(ctx, c.rdb, r.key(c.names), r.OpID).Err(); err != nil {
		return fmt.Errorf("releasing idempotency key: %w", err)
	}
	return nil
}
