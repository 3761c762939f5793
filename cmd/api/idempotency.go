package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// frame is a kept answer. One that shows a secret is kept sealed.
type frame struct {
	Location string          `json:"location,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"`
	Sealed   string          `json:"sealed,omitempty"`
}

// inFlight is how long a request that cannot simply be made twice may take before
// it counts as crashed.
const inFlight = time.Minute

// idempotent lets a client repeat a change until it has heard the answer. The
// reservation decides the op's id before anything is made, so a repeat of a
// request that crashed half way submits the same op again. Only what changed
// something is kept: a refused request leaves its key free.
func (s *server) idempotent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		// Without an owner a kept answer could be anybody's: what is public is not repeated.
		if key == "" || r.Method == http.MethodGet || exchangeOf(r.Context()).key.ID == "" {
			next.ServeHTTP(w, r)
			return
		}
		res, mine, err := s.reserve(r, key)
		s.Metrics.Idempotent(repeated(mine, err))
		if err != nil {
			writeProblem(w, r, err)
			return
		}
		if res.Answered() {
			s.replay(w, r, res)
			return
		}
		exchangeOf(r.Context()).opID = res.OpID
		tee := &recorder{ResponseWriter: w}
		next.ServeHTTP(tee, r)
		s.settle(r, res, mine, tee)
	})
}

// repeated is what a request with a key counts as.
func repeated(mine bool, err error) string {
	switch {
	case err != nil:
		return queue.RequestRefused
	case mine:
		return queue.RequestNew
	}
	return queue.RequestRepeated
}

func (s *server) reserve(r *http.Request, key string) (queue.Reservation, bool, error) {
	none := queue.Reservation{}
	if len(key) > 255 || strings.ContainsFunc(key, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
		return none, false, invalid(tasks.Problem{Field: "Idempotency-Key", Reason: "must be 1 to 255 printable ASCII characters"})
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return none, false, bodyError(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	// The body may hold a password. Mixing the caller's own secret into the hash
	// keeps whoever reads Redis from trying passwords against it.
	salted := r.URL.RequestURI() + "\x00" + r.Header.Get("Authorization")
	x := exchangeOf(r.Context())
	res, mine, err := s.Ledger.Reserve(r.Context(), queue.Reservation{
		Scope: x.key.ID, Key: key, OpID: tasks.NewOpID(""),
		Hash: queue.RequestHash(r.Method, salted, body),
	})
	if err == nil && !mine && !res.Answered() && showsSecret(x.route) && time.Since(res.At) < inFlight {
		return none, false, newProblem("CONFLICT", "A request with this Idempotency-Key is being answered").after(time.Second)
	}
	return res, mine, err
}

// showsSecret marks the routes whose answer shows a secret, and which make a new
// object every time they run.
func showsSecret(route string) bool {
	return strings.HasSuffix(route, "/api-keys") || route == apiBase+"/webhooks" || route == apiBase+"/webhooks/{id}/rotate" || route == consoleLinks
}

// settle keeps the answer, or gives the key back. An answer of 5xx does neither:
// the op may have been recorded, and the repeat must find its id.
func (s *server) settle(r *http.Request, res queue.Reservation, mine bool, tee *recorder) {
	// The client may be gone by now; what it caused is kept for it all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
	defer cancel()
	var err error
	switch {
	case tee.status >= 200 && tee.status < 300:
		var kept []byte
		if kept, err = s.keep(exchangeOf(r.Context()).route, tee); err == nil {
			err = s.Ledger.Answer(ctx, res, tee.status, kept)
		}
	case tee.status < 500 && mine:
		err = s.Ledger.Release(ctx, res)
	}
	if err != nil {
		// The answer is out and right. A repeat is made from the op itself.
		s.Metrics.RedisError("idempotency")
		exchangeOf(r.Context()).log.Warn("keeping an answer failed", "op", res.OpID, "err", err)
	}
}

func (s *server) keep(route string, tee *recorder) ([]byte, error) {
	f := frame{Location: tee.Header().Get("Location"), Body: tee.body.Bytes()}
	if showsSecret(route) {
		sealed, err := seal.To(s.Secrets.Recipient(), tee.body.String())
		if err != nil {
			return nil, err
		}
		f.Body, f.Sealed = nil, sealed
	}
	return json.Marshal(f)
}

// replay answers like the first time.
func (s *server) replay(w http.ResponseWriter, r *http.Request, res queue.Reservation) {
	var f frame
	err := json.Unmarshal(res.Body, &f)
	body := []byte(f.Body)
	if err == nil && f.Sealed != "" {
		var plain string
		plain, err = s.Secrets.Open(f.Sealed)
		body = []byte(plain)
	}
	if err != nil {
		writeProblem(w, r, fmt.Errorf("reading a kept answer: %w", err))
		return
	}
	if f.Location != "" {
		w.Header().Set("Location", f.Location)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(res.Status)
	if _, err := w.Write(append(bytes.TrimSpace(body), '\n')); err != nil {
		exchangeOf(r.Context()).log.Debug("writing answer", "err", err)
	}
}

// recorder sends an answer and remembers it.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (t *recorder) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *recorder) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	if t.body.Len() <= queue.MaxAnswer {
		t.body.Write(b)
	}
	return t.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (t *recorder) Unwrap() http.ResponseWriter { return t.ResponseWriter }
