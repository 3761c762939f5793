package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ticketLife is how long a ticket may be used: the API does so at once.
const ticketLife = time.Minute

// Ticket lets its bearer fetch one backup from the node that keeps it, once.
type Ticket struct {
	Backup    string `json:"backup"`
	Account   string `json:"account"`
	Recipient string `json:"recipient"` // age public key that the stream is encrypted to
}

func (n names) ticket(token string) string {
	sum := sha256.Sum256([]byte(token))
	return n.prefix + "ticket:" + hex.EncodeToString(sum[:])
}

// NewTicket makes a ticket and answers its token. Only a hash of that is kept.
func (c *Client) NewTicket(ctx context.Context, t Ticket) (token string, err error) {
	value, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encoding ticket: %w", err)
	}
	token = rand.Text()
	if err := c.rdb.Set(ctx, c.names.ticket(token), value, ticketLife).Err(); err != nil {
		return "", fmt.Errorf("writing ticket: %w", err)
	}
	return token, nil
}

// TakeTicket answers the ticket of a token and tears it up. ErrNotFound when there is none
// (any more).
func (c *Client) TakeTicket(ctx context.Context, token string) (Ticket, error) {
	var t Ticket
	value, err := c.take(ctx, c.names.ticket(token))
	if errors.Is(err, ErrNotFound) {
		return t, err
	}
	if err != nil {
		return t, fmt.Errorf("taking ticket: %w", err)
	}
	if err := json.Unmarshal([]byte(value), &t); err != nil {
		return t, fmt.Errorf("decoding ticket: %w", err)
	}
	return t, nil
}
