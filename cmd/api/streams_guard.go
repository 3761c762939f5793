package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/wispanel/wptk/queue"
)

const (
	// guardEvery is how often the keys of open streams are looked at. What a look-up
	// remembers is up to five seconds old, so a stream outlives its key by seven at most.
	guardEvery = 2 * time.Second
	// guardPatience bounds one such look at all of them.
	guardPatience = 5 * time.Second
)

// holder is who has streams open: a key or a session, from an address.
type holder struct {
	secret string
	addr   netip.Addr
}

// guard ends streams whose key opens nothing any more: revoked, expired, or its session
// over. A request is over soon by itself; a stream would go on for a quarter of an hour.
// However many streams a holder has, it is looked up once.
type guard struct {
	every  time.Duration
	stands func(context.Context, holder) bool
	over   context.Context // ends with the process

	mu   sync.Mutex
	open map[holder]map[*func()]struct{} // how to end each stream
	next *time.Timer                     // nil while there are none
}

func newGuard(over context.Context, stands func(context.Context, holder) bool) *guard {
	return &guard{every: guardEvery, stands: stands, over: over, open: make(map[holder]map[*func()]struct{})}
}

// add has end called, which must not block, as soon as the holder is none. forget is to be
// called when the stream has ended.
func (g *guard) add(h holder, end func()) (forget func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[h] == nil {
		g.open[h] = make(map[*func()]struct{})
	}
	g.open[h][&end] = struct{}{}
	if g.next == nil {
		g.next = time.AfterFunc(g.every, g.look)
	}
	return func() { g.forget(h, &end) }
}

func (g *guard) forget(h holder, end *func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if delete(g.open[h], end); len(g.open[h]) == 0 {
		delete(g.open, h)
	}
	if len(g.open) == 0 && g.next != nil && g.next.Stop() {
		g.next = nil
	}
}

// look asks for every holder, and comes back while there are any.
func (g *guard) look() {
	g.mu.Lock()
	holders := make([]holder, 0, len(g.open))
	for h := range g.open {
		holders = append(holders, h)
	}
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(g.over, guardPatience)
	defer cancel()
	for _, h := range holders {
		if !g.stands(ctx, h) {
			g.endAll(h)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next = nil; len(g.open) > 0 && g.over.Err() == nil {
		g.next = time.AfterFunc(g.every, g.look)
	}
}

func (g *guard) endAll(h holder) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for end := range g.open[h] {
		(*end)()
	}
}

// streaming is how long a stream may go on: until its time is over, the process is about to
// stop, or its key is no more; then a write that is under way is ended, too.
func (s *server) streaming(r *http.Request, out sse) (context.Context, context.CancelFunc) {
	ctx, cancel := s.untilClosing(r.Context(), streamFor)
	forget := s.guard.add(holderOf(r), func() { out.cutOff(); cancel() })
	return ctx, func() {
		if forget(); ctx.Err() != nil {
			out.takeLeave()
		}
		cancel()
	}
}

func holderOf(r *http.Request) holder {
	return holder{strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), exchangeOf(r.Context()).addr}
}

// stands reports whether a request of the holder would still be let in. That Redis does not
// answer says nothing about that.
func (s *server) stands(ctx context.Context, h holder) bool {
	key, err := s.Ledger.LookupKey(ctx, h.secret)
	if err != nil {
		return !errors.Is(err, queue.ErrBadKey)
	}
	return key.AllowsFrom(h.addr)
}
