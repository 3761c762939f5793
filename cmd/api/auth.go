package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/wispanel/wptk/queue"
)

const apiBase = "/api/v1"

// limitsItself marks the routes whose handler counts the request against the
// limit in the same round trip that answers it.
const limitsItself = "limits-itself"

// gate stands in front of every route below /api/v1: who is it, is one request
// more allowed, may the key do this at all. What is outside is public.
func (s *server) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		route := mux.CurrentRoute(r)
		x.route, _ = route.GetPathTemplate()
		if !strings.HasPrefix(x.route, apiBase) {
			next.ServeHTTP(w, r)
			return
		}
		if err := s.identify(x, r); err != nil {
			s.refuse(w, r, err)
			return
		}
		forbidden := allowed(x, r.Method)
		if route.GetName() != limitsItself || forbidden != nil {
			if err := s.countRequest(w, r); err != nil {
				s.refuse(w, r, err)
				return
			}
		}
		if forbidden != nil {
			s.refuse(w, r, forbidden)
			return
		}
		defer s.audit(r)
		next.ServeHTTP(w, r)
	})
}

// wrongMethod says which methods the path does have.
func wrongMethod(router *mux.Router, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allow []string
		for _, method := range []string{get, post, patch, del} {
			var match mux.RouteMatch
			as := *r
			as.Method = method
			if router.Match(&as, &match) && match.MatchErr == nil {
				allow = append(allow, method)
			}
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		next.ServeHTTP(w, r)
	})
}

// lost answers what the router has no handler for. It counts like any other
// request, so that guessing paths is no faster than guessing keys.
func (s *server) lost(p *problem) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, apiBase) {
			// An unknown key counts against its address here, as no key does.
			if err := s.identify(exchangeOf(r.Context()), r); errors.Is(err, errOverLimit) {
				writeProblem(w, r, err)
				return
			} else if err == nil {
				if err := s.countRequest(w, r); err != nil {
					writeProblem(w, r, err)
					return
				}
			}
		}
		writeProblem(w, r, p)
	})
}

// refuse answers a request that was stopped at the gate.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	writeProblem(w, r, err)
	s.audit(r)
}

// What is answered to whoever has no key that counts. Off, expired and used from elsewhere
// answer like unknown: a thief learns nothing.
var (
	errNoKey  = newProblem("UNAUTHORIZED", "Missing authorization").hint("send Authorization: Bearer wsp_…")
	errBadKey = newProblem("UNAUTHORIZED", "Invalid API key")
)

// identify finds the key of the request. Whoever has none, or a wrong one, is
// counted against its address before the answer, so that keys cannot be guessed
// at speed.
func (s *server) identify(x *exchange, r *http.Request) error {
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	refusal := errNoKey
	if ok {
		refusal = errBadKey
		key, err := s.Ledger.LookupKey(r.Context(), secret)
		switch {
		case err == nil && key.AllowsFrom(x.addr):
			x.key = key
			if err := s.Ledger.TouchKey(r.Context(), key); err != nil {
				s.Metrics.RedisError("touch_key")
				x.log.Warn("noting use of a key failed", "err", err)
			}
			return nil
		case err != nil && !errors.Is(err, queue.ErrBadKey):
			return err
		}
	}
	if err := s.countAddress(x, r); err != nil {
		return err
	}
	return refusal
}

// allowed checks the key's permissions against the route's area.
func allowed(x *exchange, method string) error {
	if x.key.Session != "" && !consoleMay(method, x.route) {
		return newProblem("FORBIDDEN", "A console session is not for this").hint("use the key itself")
	}
	area, admin := areaOf(x.route)
	// A key for reading gets a console that only shows.
	if !x.key.Allows(area, method == http.MethodGet || x.route == consoleLinks) {
		return newProblem("FORBIDDEN", "API key is not scoped for '"+area+"'")
	}
	if admin && x.key.Role != queue.RoleAdmin {
		return newProblem("FORBIDDEN", "An admin key is needed")
	}
	return nil
}

// areaOf says which permission opens a route, and whether it is for admins only.
// Keys and nodes need a key that may do everything.
func areaOf(route string) (permission string, admin bool) {
	rest := strings.TrimPrefix(route, apiBase)
	switch {
	case rest == auditPath:
		return queue.PermAll, true
	case strings.HasPrefix(rest, "/wordpress"):
		return queue.PermWordPress, false
	case strings.HasPrefix(rest, "/webhooks"):
		return queue.PermWebhooks, false
	case strings.HasPrefix(rest, "/nodes"), strings.HasPrefix(rest, "/console"):
		return queue.PermAll, true
	}
	return queue.PermAll, false
}

// sees reports whether the key may know of something that belongs to account.
// Who may not gets the same answer as for something that does not exist.
func sees(ctx context.Context, account string) bool {
	key := exchangeOf(ctx).key
	return key.Role == queue.RoleAdmin || account != "" && key.Owner == account
}

// scopeOf is the account whose objects a list may show; empty is all of them.
func scopeOf(ctx context.Context) string {
	key := exchangeOf(ctx).key
	if key.Role == queue.RoleAdmin {
		return ""
	}
	return key.Owner
}

// clientAddr is the address of the client. X-Forwarded-For is read from the
// right, and only as far as the hops are our own proxies: anything before that
// was written by the client.
func (s *server) clientAddr(r *http.Request) netip.Addr {
	port, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := port.Addr().Unmap()
	if !s.trusted(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusted(addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap()
	}
	return addr
}

func (s *server) trusted(addr netip.Addr) bool {
	return slices.ContainsFunc(s.Proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}
