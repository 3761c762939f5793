package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const eventStream = "text/event-stream"

func state(status string, seq int, more string) string {
	done := status != "queued" && status != "running"
	return fmt.Sprintf(`{"success":true,"id":"wp_1","operation_id":"op_1","status":%q,"done":%t,"seq":%d%s}`, status, done, seq, more)
}

func sent(name string, id int, data string) string {
	return fmt.Sprintf(": still here\n\nid: %d\nevent: %s\ndata: %s\n\n", id, name, data)
}

// watch waits and answers the seqs that were shown.
func watch(t *testing.T, c *Client, id string) (op *Operation, seen []int64, err error) {
	t.Helper()
	op, err = c.Wait(t.Context(), id, func(op Operation) { seen = append(seen, op.Seq) })
	return op, seen, err
}

func TestWaitResumesABrokenStreamAndShowsEveryChangeOnce(t *testing.T) {
	t.Parallel()
	s := newScript(t,
		answer(200, sent("snapshot", 3, state("running", 3, ""))+
			sent("progress", 4, `{"seq":4,"status":"running","progress":40,"step":"files"}`)+"id: 5\nevent: progr", "Content-Type", eventStream),
		answer(200, sent("progress", 4, `{"seq":4,"status":"running","progress":40}`)+ // already known
			sent("progress", 5, `{"seq":5,"status":"running","progress":50}`)+
			sent("progress", 6, `{"seq":6,"status":"succeeded","progress":100}`)+
			sent("done", 6, state("succeeded", 6, `,"progress":100,"result":{"admin_password":"pw"}`)), "Content-Type", eventStream))
	c, _ := dial(t, s, Options{})
	op, seen, err := watch(t, c, "wp_1")
	if err != nil || !slices.Equal(seen, []int64{3, 4, 5, 6}) {
		t.Fatalf("saw %v, %v", seen, err)
	}
	var result struct {
		Password string `json:"admin_password"`
	}
	if err := op.Into(&result); err != nil || result.Password != "pw" || op.Progress != 100 {
		t.Errorf("%+v, %v", op, err)
	}
	again := s.asked[1]
	if again.Header.Get("Last-Event-ID") != "4" || again.URL.Path != "/api/v1/wordpress/operations/op_1/events" {
		t.Errorf("resumed %s behind %q", again.URL, again.Header.Get("Last-Event-ID"))
	}
}

func TestWaitForWhatHasEndedHasItsResult(t *testing.T) {
	t.Parallel()
	s := newScript(t, answer(200, sent("snapshot", 6, state("succeeded", 6, ""))+
		sent("done", 6, state("succeeded", 6, `,"result":{"admin_password":"pw"}`)), "Content-Type", eventStream))
	c, _ := dial(t, s, Options{})
	op, seen, err := watch(t, c, "op_1")
	if err != nil || string(op.Result) != `{"admin_password":"pw"}` || !slices.Equal(seen, []int64{6}) {
		t.Errorf("saw %v, %+v, %v", seen, op, err)
	}
}

func TestWaitPollsWhereThereIsNoStream(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]http.HandlerFunc{
		"too many streams":  answer(503, refused(503, "QUEUE_UNAVAILABLE"), "Retry-After", "5"),
		"a proxy's page":    answer(200, "<html>", "Content-Type", "text/html"),
		"an empty stream":   answer(200, "", "Content-Type", eventStream),
		"not JSON":          answer(200, sent("snapshot", 1, "{"), "Content-Type", eventStream),
		"not an operation":  answer(200, sent("snapshot", 1, "{}"), "Content-Type", eventStream),
		"nothing to change": answer(200, sent("progress", 1, `{"seq":1}`), "Content-Type", eventStream),
		"a broken line":     broken,
	} {
		s := newScript(t, first, answer(200, state("running", 1, "")), broken, answer(200, state("running", 1, "")),
			answer(200, state("failed", 2, `,"error":{"code":"disk_full","message":"full","hint":"buy one"}`)))
		c, _ := dial(t, s, Options{})
		op, seen, err := watch(t, c, "wp_1")
		var end *EndError
		if !errors.Is(err, ErrFailed) || errors.Is(err, ErrCancelled) || !errors.As(err, &end) || end.Code != "disk_full" || op == nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(seen, []int64{1, 2}) {
			t.Errorf("%s: saw %v", name, seen)
		}
		if last := s.asked[len(s.asked)-1].URL; last.Path != "/api/v1/wordpress/install/op_1/progress" || last.Query().Get("since") != "1" {
			t.Errorf("%s: asked for %s", name, last)
		}
	}
}

func TestWaitForWhatDoesNotExistSaysSo(t *testing.T) {
	t.Parallel()
	s := newScript(t, answer(404, refused(404, "NOT_FOUND")))
	c, _ := dial(t, s, Options{})
	if op, _, err := watch(t, c, "op_9"); !errors.Is(err, ErrNotFound) || op != nil {
		t.Errorf("%v, %v", op, err)
	}
}

func TestInterruptedWaitEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := newScript(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", eventStream)
		fmt.Fprint(w, sent("snapshot", 1, state("running", 1, "")))
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	})
	c, _ := dial(t, s, Options{})
	_, err := c.Wait(ctx, "op_1", func(Operation) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestPaceSpendsTheRateLimitEvenly(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		left, seconds int
		want          time.Duration
	}{
		{60, 60, time.Second}, {6000, 60, 200 * time.Millisecond}, {1, 60, 5 * time.Second}, {0, 3, 3 * time.Second}, {10, -5, 200 * time.Millisecond},
	} {
		h := http.Header{}
		h.Set("X-RateLimit-Remaining", fmt.Sprint(c.left))
		h.Set("X-RateLimit-Reset", fmt.Sprint(now.Add(time.Duration(c.seconds)*time.Second).Unix()))
		if got := Pace(h, now); got != c.want {
			t.Errorf("%d left for %d s: %v, want %v", c.left, c.seconds, got, c.want)
		}
	}
}

func TestEventsAreReadAsTheStandardSays(t *testing.T) {
	t.Parallel()
	r := newEventReader(strings.NewReader(":hello\n\nevent:a\r\ndata: 1\r\ndata:  2\r\n\r\nid: 7\n\nretry: 1\ndata\n\ndata: cut"), func() {})
	for _, want := range []event{{name: "a", data: []byte("1\n 2")}, {id: "7", data: []byte("")}} {
		got, err := r.next()
		if err != nil || got.name != want.name || got.id != want.id || !bytes.Equal(got.data, want.data) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	if e, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("%+v, %v", e, err)
	}
}

func FuzzEventStream(f *testing.F) {
	f.Add([]byte("id: 1\nevent: done\ndata: {}\n\n"))
	f.Add([]byte("data\r\n\r\n:\n\nid:2\ndata: a\ndata: b\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := newEventReader(bytes.NewReader(raw), func() {})
		for size := 0; ; {
			e, err := r.next()
			if err != nil {
				return
			}
			if size += len(e.data); size > len(raw) || bytes.ContainsRune(e.data, '\r') && !bytes.ContainsRune(raw, '\r') {
				t.Fatalf("%q has an event with %q", raw, e.data)
			}
		}
	})
}
