package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"testing"
	"time"
)

func told(name, id string, seq int) string {
	if id != "" {
		id = "id: " + id + "\n"
	}
	return fmt.Sprintf("%sevent: %s\ndata: {\"operation_id\":\"op_1\",\"seq\":%d,\"status\":\"running\",\"at\":\"2026-01-02T03:04:05Z\"}\n\n", id, name, seq)
}

const snapshotEvent = "id: 1-00-1\nevent: snapshot\ndata: {\"operations\":[{\"operation_id\":\"op_1\",\"seq\":1}],\"truncated\":true}\n\n"

// heard reads a stream up to so many events, or to its error.
func heard(events iter.Seq2[StreamEvent, error], most int) (got []StreamEvent, err error) {
	for e, err := range events {
		if err != nil {
			return got, err
		}
		if got = append(got, e); len(got) == most {
			break
		}
	}
	return got, nil
}

func TestEventsAreResumedBehindTheLastAndShownOnce(t *testing.T) {
	t.Parallel()
	s := newScript(t,
		answer(503, refused(503, "QUEUE_UNAVAILABLE"), "Retry-After", "5"),
		answer(200, snapshotEvent+told("progress", "2-00-1", 2)+"id: 3-00-1\nevent: progr", "Content-Type", eventStream),
		broken,
		answer(200, ": still here\n\n"+told("progress", "3-00-1", 3)+told("of a newer API", "", 0)+told("progress", "", 1)+"id: 4-00-0\n: still here\n\n", "Content-Type", eventStream),
		answer(200, "", "Content-Type", eventStream),
		answer(429, refused(429, "RATE_LIMITED"), "Retry-After", "7"),
		answer(200, "event: reset\ndata: {}\n\n"+snapshotEvent+told("done", "9-00-1", 9), "Content-Type", eventStream))
	c, pauses := dial(t, s, Options{})
	got, err := heard(c.Events(t.Context(), EventsQuery{Account: "alice"}), 6)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, e := range got {
		if e.Snapshot != nil {
			seen = append(seen, fmt.Sprintf("%s %d open %t", e.ID, len(e.Snapshot.Operations), e.Snapshot.Truncated))
			continue
		}
		seen = append(seen, fmt.Sprintf("%s seq %d", e.ID, e.Change.Seq))
	}
	want := []string{"1-00-1 1 open true", "2-00-1 seq 2", "3-00-1 seq 3", "3-00-1 seq 1", "1-00-1 1 open true", "9-00-1 seq 9"}
	if !slices.Equal(seen, want) {
		t.Errorf("saw %q, want %q", seen, want)
	}
	var from []string
	for _, r := range s.asked {
		from = append(from, r.Header.Get("Last-Event-ID"))
		if r.URL.String() != "/api/v1/wordpress/events?account=alice" {
			t.Errorf("asked for %s", r.URL)
		}
	}
	if want := []string{"", "", "2-00-1", "2-00-1", "4-00-0", "4-00-0", "4-00-0"}; !slices.Equal(from, want) {
		t.Errorf("resumed behind %q, want %q", from, want)
	}
	if !slices.Contains(*pauses, 5*time.Second) || !slices.Contains(*pauses, 7*time.Second) {
		t.Errorf("waited %v", *pauses)
	}
}

func TestEventsEndWithWhatTryingAgainDoesNotCure(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]http.HandlerFunc{
		"refused":    answer(404, refused(404, "NOT_FOUND")),
		"not JSON":   answer(200, "event: done\ndata: {\n\n", "Content-Type", eventStream),
		"wrong form": answer(200, "event: snapshot\ndata: []\n\n", "Content-Type", eventStream),
	} {
		s := newScript(t, first)
		c, _ := dial(t, s, Options{})
		got, err := heard(c.InstallationEvents(t.Context(), "wp_1", "7-00-1"), 1)
		if err == nil || len(got) != 0 || (name == "refused") != errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if r := s.asked[0]; len(s.asked) != 1 || r.URL.Path != "/api/v1/wordpress/installations/wp_1/events" || r.Header.Get("Last-Event-ID") != "7-00-1" {
			t.Errorf("%s: asked %d times, for %s", name, len(s.asked), r.URL)
		}
	}
}

// Whoever leaves the loop leaves the stream: a key may have only so many open.
func TestEventsAreClosedWhenTheLoopIsLeftOrTheContextEnds(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 2)
	s := newScript(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", eventStream)
		fmt.Fprint(w, snapshotEvent)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		closed <- struct{}{}
	})
	c, _ := dial(t, s, Options{})
	if got, err := heard(c.Events(t.Context(), EventsQuery{}), 1); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	<-closed
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var end error
	for _, err := range c.Events(ctx, EventsQuery{}) {
		cancel()
		end = err
	}
	if !errors.Is(end, context.Canceled) {
		t.Errorf("ended with %v", end)
	}
	<-closed
}
