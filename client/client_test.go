package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// script answers requests one after the other, the last one again and again.
type script struct {
	*httptest.Server
	mu       sync.Mutex
	handlers []http.HandlerFunc
	asked    []*http.Request
	bodies   []string
}

func newScript(t testing.TB, handlers ...http.HandlerFunc) *script {
	s := &script{handlers: handlers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.asked, s.bodies = append(s.asked, r), append(s.bodies, string(body))
		h := s.handlers[0]
		if len(s.handlers) > 1 {
			s.handlers = s.handlers[1:]
		}
		s.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func refused(status int, code string) string {
	return fmt.Sprintf(`{"success":false,"code":%q,"error":"no","message":"no","status":%d,"request_id":"r1","details":[{"field":"path","reason":"is required"}]}`, code, status)
}

func broken(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		conn.Close()
	}
}

// dial is a client that does not really wait, and what it would have waited.
func dial(t testing.TB, s *script, opts Options) (*Client, *[]time.Duration) {
	t.Helper()
	var pauses []time.Duration
	opts.Pause = func(ctx context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return ctx.Err()
	}
	c, err := New(s.URL+"/", "wsp_1", opts)
	if err != nil {
		t.Fatal(err)
	}
	return c, &pauses
}

const took = `{"success":true,"id":"wp_1","operation_id":"op_1","type":"install","status":"queued"}`

func TestChangeIsRepeatedUnderOneIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := newScript(t,
		broken,
		answer(429, refused(429, "RATE_LIMITED"), "Retry-After", "7"),
		answer(503, refused(503, "QUEUE_UNAVAILABLE"), "Retry-After", "5"),
		answer(502, "<html>"),
		answer(202, took))
	var reasons []error
	c, pauses := dial(t, s, Options{OnRetry: func(err error, _ time.Duration) { reasons = append(reasons, err) }})
	got, err := c.Install(t.Context(), InstallRequest{Domain: "blog.com", Path: "public_html", SSL: new(false)})
	if err != nil || got.OperationID != "op_1" {
		t.Fatalf("%+v, %v", got, err)
	}
	if want := []time.Duration{100 * time.Millisecond, 7 * time.Second, 5 * time.Second, time.Second}; !slices.Equal(*pauses, want) {
		t.Errorf("waited %v, want %v", *pauses, want)
	}
	if len(reasons) != 4 || !errors.Is(reasons[1], ErrRateLimited) || !errors.Is(reasons[2], ErrUnavailable) {
		t.Errorf("told %v", reasons)
	}
	for i, r := range s.asked {
		if key := r.Header.Get("Idempotency-Key"); key == "" || key != s.asked[0].Header.Get("Idempotency-Key") {
			t.Errorf("key %q after %q", key, s.asked[0].Header.Get("Idempotency-Key"))
		}
		if want := `{"domain":"blog.com","path":"public_html","ssl":false}`; s.bodies[i] != want {
			t.Errorf("body %s, want %s", s.bodies[i], want)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer wsp_1" {
			t.Errorf("authorization %q", got)
		}
	}
}

func TestCallersOwnIdempotencyKeyIsSent(t *testing.T) {
	t.Parallel()
	s := newScript(t, answer(202, took))
	c, _ := dial(t, s, Options{})
	if _, err := c.Delete(WithIdempotencyKey(t.Context(), "order-17"), DeleteBody{ID: "wp_1"}); err != nil {
		t.Fatal(err)
	}
	if key := s.asked[0].Header.Get("Idempotency-Key"); key != "order-17" || s.bodies[0] != `{"id":"wp_1"}` {
		t.Errorf("key %q, body %s", key, s.bodies[0])
	}
}

func TestWaitingForTheAPIHasAnEnd(t *testing.T) {
	t.Parallel()
	s := newScript(t, answer(429, refused(429, "RATE_LIMITED"), "Retry-After", "40"))
	c, pauses := dial(t, s, Options{})
	if _, err := c.Nodes(t.Context()); !errors.Is(err, ErrRateLimited) || len(*pauses) != 2 {
		t.Errorf("%v after %v", err, *pauses)
	}
}

func TestRefusalsSatisfyErrorsIsAndAreNotRepeated(t *testing.T) {
	t.Parallel()
	for status, want := range byStatus {
		if errors.Is(want, ErrRateLimited) || errors.Is(want, ErrUnavailable) {
			continue
		}
		s := newScript(t, answer(status, refused(status, "SOME_CODE")))
		c, _ := dial(t, s, Options{})
		_, err := c.Status(t.Context())
		var e *Error
		if !errors.Is(err, want) || !errors.As(err, &e) || e.Code != "SOME_CODE" || e.RequestID != "r1" || e.Details[0].Field != "path" {
			t.Errorf("%d is %v", status, err)
		}
		if len(s.asked) != 1 || errors.Is(err, ErrRateLimited) {
			t.Errorf("%d was asked %d times", status, len(s.asked))
		}
	}
}

func TestRedirectIsNotFollowedWithTheKey(t *testing.T) {
	t.Parallel()
	stranger := newScript(t, answer(200, "{}"))
	s := newScript(t, answer(302, "", "Location", stranger.URL))
	c, _ := dial(t, s, Options{})
	if _, err := c.Nodes(t.Context()); err == nil || len(stranger.asked) != 0 {
		t.Errorf("%v, the other server was asked %d times", err, len(stranger.asked))
	}
}

func TestIdsAreEscapedInPathsAndListsInQueries(t *testing.T) {
	t.Parallel()
	s := newScript(t, answer(200, `{}`))
	c, _ := dial(t, s, Options{})
	if _, err := c.Operation(t.Context(), "../../nodes?x=1"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Operations(t.Context(), OperationsQuery{IDs: []string{"op_1", "op_2"}, Many: true, Limit: 5}); err != nil {
		t.Fatal(err)
	}
	if got := s.asked[0].RequestURI; got != "/api/v1/wordpress/operations/..%2F..%2Fnodes%3Fx=1" {
		t.Errorf("asked for %s", got)
	}
	if got := s.asked[1].URL.RawQuery; got != "ids=op_1%2Cop_2&limit=5&many=true" {
		t.Errorf("asked with %s", got)
	}
}

func TestPageHasTheCursorOfTheNext(t *testing.T) {
	t.Parallel()
	s := newScript(t,
		answer(200, `[{"id":"wp_1"}]`, "Link", `</api/v1/wordpress/installations?cursor=a%3Db&limit=1>; rel="next"`),
		answer(200, `[]`))
	c, _ := dial(t, s, Options{})
	first, err := c.Installations(t.Context(), InstallationsQuery{Limit: 1})
	if err != nil || len(first.Items) != 1 || first.Next != "a=b" {
		t.Fatalf("%+v, %v", first, err)
	}
	last, err := c.Installations(t.Context(), InstallationsQuery{Cursor: first.Next})
	if err != nil || last.Next != "" || s.asked[1].URL.Query().Get("cursor") != "a=b" {
		t.Errorf("%+v, %v", last, err)
	}
}

func TestUnreachableAPIIsNamed(t *testing.T) {
	t.Parallel()
	s := newScript(t, answer(200, "{}"))
	s.Close()
	c, _ := dial(t, s, Options{Patience: time.Nanosecond})
	if _, err := c.Nodes(t.Context()); err == nil || !strings.Contains(err.Error(), s.URL) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "panel", "ftp://x", "http://", "http://user:pw@x", "https://x?y"} {
		if _, err := New(bad, "", Options{}); err == nil {
			t.Errorf("%q is taken for an address", bad)
		}
	}
}

func TestBackupIsAStream(t *testing.T) {
	t.Parallel()
	s := newScript(t, answer(503, refused(503, "NODE_UNAVAILABLE"), "Retry-After", "1"), answer(200, "tar"), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "tar")
	})
	c, _ := dial(t, s, Options{})
	for _, whole := range []bool{true, false} {
		body, err := c.DownloadBackup(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(body)
		if string(raw) != "tar" || (err == nil) != whole {
			t.Errorf("read %q, %v", raw, err)
		}
		body.Close()
	}
}
