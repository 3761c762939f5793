package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// AuditEntry is one thing that somebody asked for: who, from where, what, and how it ended.
// No secret is in it; a key appears by its first characters.
type AuditEntry struct {
	At      time.Time `json:"at"`
	Key     string    `json:"key,omitempty"`     // prefix; "" for who had none that counts
	Session string    `json:"session,omitempty"` // of the console
	Account string    `json:"account,omitempty"` // whom the key acts for; of the command line: operator
	Addr    string    `json:"addr,omitempty"`
	Action  string    `json:"action"`           // "POST /api/v1/wordpress/install", "keys rotate"
	Target  string    `json:"target,omitempty"` // ids of what it was about
	Outcome string    `json:"outcome"`          // accepted, refused or failed
	Status  int       `json:"status,omitempty"` // of HTTP
	Request string    `json:"request,omitempty"`
}

// Outcomes of an AuditEntry.
const (
	AuditAccepted = "accepted"
	AuditRefused  = "refused"
	AuditFailed   = "failed"
)

const (
	// auditEntries bounds the trail of those who have a key: some thirty megabytes.
	auditEntries = 100_000
	// auditUnknown bounds what is kept of those who have none. They have a stream of their
	// own, so that a flood of guesses cannot push out what keys have done.
	auditUnknown = 20_000
	auditField   = "e"
)

// Audit keeps an entry for retention. It is best called after the log has the same: this
// trail is for looking things up, and whoever owns Redis can alter it.
func (c *Client) Audit(ctx context.Context, e AuditEntry, retention time.Duration) error {
	if e.At.IsZero() {
		e.At = time.Now().UTC()
	}
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding audit entry: %w", err)
	}
	most, known := int64(auditUnknown), e.Key != "" || e.Account != ""
	if known {
		most = auditEntries
	}
	stream := c.names.audit(known)
	pipe := c.rdb.Pipeline()
	added := pipe.XAdd(ctx, &redis.XAddArgs{Stream: stream, MaxLen: most, Approx: true, Values: []any{auditField, text}})
	pipe.XTrimMinIDApprox(ctx, stream, strconv.FormatInt(time.Now().Add(-retention).UnixMilli(), 10), 0)
	_, err = pipe.Exec(ctx)
	// Redis before 6.2 does not forget by age: there the number alone bounds the trail.
	if err != nil && (added.Err() != nil || !strings.Contains(err.Error(), "syntax error")) {
		return fmt.Errorf("writing audit entry: %w", err)
	}
	return nil
}

// AuditFilter chooses entries; empty is any.
type AuditFilter struct {
	Key     string // prefix, or the beginning of one
	Account string
	Outcome string
	Action  string // a part of it
	Limit   int    // 100 by default
	// Cursor goes on behind an earlier page, to older entries. After answers what is newer than
	// a place, oldest first. One of them at most.
	Cursor, After string
}

func (f AuditFilter) takes(e AuditEntry) bool {
	return strings.HasPrefix(e.Key, f.Key) && (f.Account == "" || f.Account == e.Account) &&
		(f.Outcome == "" || f.Outcome == e.Outcome) && strings.Contains(e.Action, f.Action)
}

// AuditPage is a part of the trail.
type AuditPage struct {
	Page[AuditEntry]
	Newest string // place of the newest entry seen so far, for AuditFilter.After
}

// auditScan is how many entries one page looks at: with a filter that little passes, pages
// are short, and have a next.
const auditScan = 5000

// AuditTrail reads a part of the trail, newest first unless After is set. Error: ErrBadCursor.
func (c *Client) AuditTrail(ctx context.Context, f AuditFilter) (AuditPage, error) {
	var page AuditPage
	at, err := parseAuditPlace(f.Cursor, f.After)
	if err != nil {
		return page, err
	}
	limit, forward := cmp.Or(f.Limit, 100), f.After != ""
	readers := [2]*auditReader{}
	for i := range readers {
		readers[i] = &auditReader{rdb: c.rdb, stream: c.names.audit(i == 0), at: at[i], forward: forward}
	}
	page.Items, page.Newest = []AuditEntry{}, f.After
	for scanned := 0; scanned < auditScan && len(page.Items) < limit; scanned++ {
		next, err := nearest(ctx, readers)
		if err != nil {
			return page, fmt.Errorf("reading audit trail: %w", err)
		}
		if next == nil {
			if !forward {
				return page.withNewest(readers, f), nil
			}
			break
		}
		e, err := next.take()
		if err != nil {
			return page, err
		}
		if f.takes(e) {
			page.Items = append(page.Items, e)
		}
	}
	place := readers[0].at + "." + readers[1].at
	if forward {
		page.Newest = place
	} else {
		page.Next = place
	}
	return page.withNewest(readers, f), nil
}

// withNewest notes where the trail ended when its first page was read.
func (p AuditPage) withNewest(readers [2]*auditReader, f AuditFilter) AuditPage {
	if f.After == "" && f.Cursor == "" {
		p.Newest = cmp.Or(readers[0].first, auditStart) + "." + cmp.Or(readers[1].first, auditStart)
	}
	return p
}

// auditStart is before everything, auditEnd behind it.
const (
	auditStart = "0-0"
	auditEnd   = "+"
)

var auditID = regexp.MustCompile(`^(\+|[0-9]{1,15}-[0-9]{1,15})$`)

// parseAuditPlace reads "ID.ID", a place in each of the two streams.
func parseAuditPlace(cursor, after string) ([2]string, error) {
	text := cmp.Or(cursor, after)
	if text == "" {
		return [2]string{auditEnd, auditEnd}, nil
	}
	known, unknown, ok := strings.Cut(text, ".")
	if !ok || !auditID.MatchString(known) || !auditID.MatchString(unknown) || cursor != "" && after != "" {
		return [2]string{}, ErrBadCursor
	}
	return [2]string{known, unknown}, nil
}

// auditReader goes through one stream, some hundred entries at a time.
type auditReader struct {
	rdb     redis.UniversalClient
	stream  string
	at      string // id of what was taken last
	forward bool
	buffer  []redis.XMessage
	ended   bool
	first   string
}

const auditChunk = 200

// head is the entry that comes next; nil at the end.
func (r *auditReader) head(ctx context.Context) (*redis.XMessage, error) {
	if len(r.buffer) == 0 && !r.ended {
		var err error
		bound := "(" + r.at
		if r.at == auditEnd {
			bound = auditEnd
		}
		if r.forward {
			r.buffer, err = r.rdb.XRangeN(ctx, r.stream, bound, "+", auditChunk).Result()
		} else {
			r.buffer, err = r.rdb.XRevRangeN(ctx, r.stream, bound, "-", auditChunk).Result()
		}
		if err != nil {
			return nil, err
		}
		r.ended = len(r.buffer) < auditChunk
		if len(r.buffer) > 0 {
			r.first = cmp.Or(r.first, r.buffer[0].ID)
		}
	}
	if len(r.buffer) == 0 {
		return nil, nil
	}
	return &r.buffer[0], nil
}

func (r *auditReader) take() (AuditEntry, error) {
	m := r.buffer[0]
	r.buffer, r.at = r.buffer[1:], m.ID
	var e AuditEntry
	text, _ := m.Values[auditField].(string)
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return e, fmt.Errorf("decoding audit entry %s: %w", m.ID, err)
	}
	return e, nil
}

// nearest is the reader whose next entry is next of all; nil when there is none.
func nearest(ctx context.Context, readers [2]*auditReader) (*auditReader, error) {
	a, err := readers[0].head(ctx)
	if err != nil {
		return nil, err
	}
	b, err := readers[1].head(ctx)
	switch {
	case err != nil:
		return nil, err
	case a == nil && b == nil:
		return nil, nil
	case b == nil, a != nil && earlier(a.ID, b.ID) == readers[0].forward:
		return readers[0], nil
	}
	return readers[1], nil
}

// earlier compares ids of streams, "milliseconds-number".
func earlier(a, b string) bool {
	x, _, _ := strings.Cut(a, "-")
	y, _, _ := strings.Cut(b, "-")
	m, _ := strconv.ParseInt(x, 10, 64)
	n, _ := strconv.ParseInt(y, 10, 64)
	return m < n
}
