package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/wispanel/wptk/queue"
)

// exchange is what is known about one request and its answer. It is made once,
// outermost, and filled by whoever learns more; handlers find it in the context.
type exchange struct {
	http.ResponseWriter
	log    *slog.Logger
	id     string     // X-Request-Id
	addr   netip.Addr // the client, as seen through trusted proxies
	route  string     // path template, for metrics: no ids in labels
	key    queue.Key  // zero for who has none
	opID   string     // op id reserved by Idempotency-Key, shard not yet right
	target string     // what a mutation worked on, for the audit line
	secret bool       // the answer shows something that is to be known by few
	status int        // 0 until the answer began
}

type exchangeKey struct{}

// exchangeOf never returns nil: code that runs outside a request logs as usual.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{log: slog.Default()}
}

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush and set deadlines.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// Header values that are the same in every answer, and never changed in place.
var (
	noSniff  = []string{"nosniff"}
	noStore  = []string{"no-store"}
	jsonType = []string{"application/json"}
	soon     = []string{"1"} // Retry-After of an op that is not done
)

// observe is the outermost layer: request id, metrics, and a panic in a handler
// becomes one 500 that names the id only.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		x := &exchange{ResponseWriter: w, log: s.Log, id: requestID(r), addr: s.clientAddr(r), route: "unknown"}
		h := w.Header()
		h["X-Request-Id"], h["X-Content-Type-Options"], h["Cache-Control"] = []string{x.id}, noSniff, noStore
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		defer func() {
			s.Metrics.Request(x.route, methodLabel(r.Method), x.status, time.Since(start))
		}()
		defer func() {
			if p := recover(); p != nil {
				s.crashed(x, r, p)
			}
		}()
		next.ServeHTTP(x, r)
	})
}

// methodLabel keeps what a client makes up out of the metrics.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// crashed answers a request whose handler panicked. When the answer has already
// begun, only cutting the connection tells the client that it is not whole.
func (s *server) crashed(x *exchange, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	began := x.status != 0
	x.log.Error("handler panicked", "request", x.id, "route", x.route, "err", fmt.Sprint(p), "stack", string(debug.Stack()))
	if began {
		panic(http.ErrAbortHandler)
	}
	writeProblem(x, r, fmt.Errorf("panic: %v", p))
}

// writeProblem answers with err's problem outside of huma.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := problemFor(r.Context(), err)
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	writeJSON(w, p.Status, p)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		// The client went away; there is nobody left to tell.
		slog.Debug("writing answer", "err", err)
	}
}

// requestID takes the client's id when it is harmless in a log line and a header.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if len(id) < 1 || len(id) > 64 {
		return uuid.NewString()
	}
	for _, c := range []byte(id) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.') {
			return uuid.NewString()
		}
	}
	return id
}
