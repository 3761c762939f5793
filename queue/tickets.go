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

func (n names) ticket(node, token string) string {
	sum := sha256.Sum256([]byte(token))
	return n.tickets(node) + hex.EncodeToString(sum[:])
}

// tickets is the prefix of a node's: none of another node can be written with its login.
func (n names) tickets(node string) string { return n.prefix + "ticket:" + node + ":" }

// NewTicket makes a ticket for a node and answers its token. Only a hash of that is kept.
func (c *Client) NewTicket(ctx context.Context, node string, t Ticket) (token string, err error) {
	value, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encoding ticket: %w", err)
	}
	token = rand.Text()
	name := c.names.ticket(node, token)
	if err := c.rdb.Set(ctx, name, c.stamped(signedTicket, name, string(value)), ticketLife).Err(); err != nil {
		return "", fmt.Errorf("writing ticket: %w", err)
	}
	return token, nil
}

// TakeTicket answers a node's ticket of a token and tears it up. ErrNotFound when there is none
// (any more), ErrForged and its like when no API has made it.
func (c *Client) TakeTicket(ctx context.Context, node, token string) (Ticket, error) {
	var t Ticket
	name := c.names.ticket(node, token)
	text, err := c.take(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return t, err
	}
	if err != nil {
		return t, fmt.Errorf("taking ticket: %w", err)
	}
	value, err := c.unstamped(signedTicket, name, text, ticketLife)
	if err != nil {
		return t, fmt.Errorf("taking ticket: %w", err)
	}
	if err := json.Unmarshal([]byte(value), &t); err != nil {
		return Ticket{}, fmt.Errorf("decoding ticket: %w", err)
	}
	return t, nil
}
