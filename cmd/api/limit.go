package main

import (
	"cmp"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/wispanel/wptk/queue"
)

var errOverLimit = newProblem("RATE_LIMITED", "Too many requests").hint("wait for Retry-After seconds; poll with ?wait=30 instead of often")

// countRequest counts a request against its key's limit and writes the limit's headers.
func (s *server) countRequest(w http.ResponseWriter, r *http.Request) error {
	bucket, most := s.bucket(exchangeOf(r.Context()).key)
	limit, err := s.Ledger.Limit(r.Context(), bucket, most)
	if err != nil {
		return err
	}
	return s.applyLimit(w.Header(), limit)
}

// countAddress counts a request that has no valid key against its address.
func (s *server) countAddress(x *exchange, r *http.Request) error {
	limit, err := s.Ledger.Limit(r.Context(), "a:"+network(x.addr), s.RateLimit)
	if err != nil {
		return err
	}
	return s.applyLimit(x.Header(), limit)
}

// bucket names the counter of a key and what it may reach within a minute. A console
// counts for itself: looking on takes nothing from the programs that use the same key.
func (s *server) bucket(key queue.Key) (string, int) {
	name := "k:" + key.ID
	if key.Session != "" {
		name = "s:" + key.Session
	}
	return name, cmp.Or(key.RateLimit, s.RateLimit)
}

// applyLimit writes the headers and answers errOverLimit when it is over.
// The names keep their documented spelling, which Header.Set would change.
func (s *server) applyLimit(h http.Header, l queue.Limit) error {
	values := []string{strconv.Itoa(l.Max), strconv.Itoa(l.Remaining), strconv.FormatInt(l.Reset.Unix(), 10)}
	h["X-RateLimit-Limit"] = values[0:1:1] // parts of one slice: every poll comes by here
	h["X-RateLimit-Remaining"] = values[1:2:2]
	h["X-RateLimit-Reset"] = values[2:3:3]
	if l.Allowed {
		return nil
	}
	s.Metrics.LimitHit()
	over := *errOverLimit
	return over.after(l.RetryAfter)
}

// network is what one client of the Internet can be expected to own: an IPv4
// address, or a /64 of IPv6.
func network(addr netip.Addr) string {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
