package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

const accountEventsPath = apiBase + "/wordpress/events"

// sseEvent is one event as an EventSource reads it.
type sseEvent struct{ id, name, data string }

// sseClient reads a stream; close leaves it.
type sseClient struct {
	t     testing.TB
	lines *bufio.Reader
	last  string // what Last-Event-ID would be
	close func()
}

func (k *kit) stream(base, secret, query, last string) *sseClient {
	k.t.Helper()
	return k.streamOf(base+accountEventsPath+query, secret, last)
}

func (k *kit) streamOf(url, secret, last string) *sseClient {
	k.t.Helper()
	ctx, cancel := context.WithCancel(k.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	must(k.t, err)
	req.Header.Set("Authorization", "Bearer "+secret)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	must(k.t, err)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		k.t.Fatalf("stream answers %d %v", res.StatusCode, res.Header)
	}
	c := &sseClient{t: k.t, lines: bufio.NewReader(res.Body), last: last, close: func() { cancel(); res.Body.Close() }}
	k.t.Cleanup(c.close)
	return c
}

// next is the next event; comments, and ids without an event, are only noted.
func (c *sseClient) next() (e sseEvent, err error) {
	for {
		line, err := c.lines.ReadString('\n')
		if err != nil {
			return sseEvent{}, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "": // only a whole event counts as seen
			if e.id != "" {
				c.last = e.id
			}
			if e.data != "" {
				return e, nil
			}
			e = sseEvent{}
		}
	}
}

func (c *sseClient) must(name string) sseEvent {
	c.t.Helper()
	e, err := c.next()
	if err != nil || e.name != name {
		c.t.Fatalf("got %q %q %v, want %s", e.name, e.data, err, name)
	}
	return e
}

// begun records an op on an install of its own, as a request would.
func (k *kit) begun(account string) string {
	k.t.Helper()
	return k.begunOn(account, tasks.SiteID("n1", account, tasks.NewOpID("n1"), ""))
}

func (k *kit) begunOn(account, site string) string {
	k.t.Helper()
	op := tasks.Op{ID: tasks.NewOpID("n1"), Kind: "site.inspect", Class: tasks.Interactive, KeyID: "k", Payload: []byte(`{}`),
		Site: tasks.SiteRef{ID: site, Node: "n1", Account: account, Domain: account + ".example", Path: "public_html"}}
	_, err := k.client.Submit(k.t.Context(), queue.Submission{Op: op})
	must(k.t, err)
	return op.ID
}

func (k *kit) cancelled(op string) {
	k.t.Helper()
	_, err := k.client.Cancel(k.t.Context(), op)
	must(k.t, err)
}

func TestAccountStreamBeginsWithWhatIsOpenAndTellsOfNobodyElse(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	bobs, mine := k.begun("bob"), k.begun("alice")
	stream, all := k.stream(k.api.URL, k.alice, "", ""), k.stream(k.api.URL, k.admin, "", "")
	bob := k.stream(k.api.URL, k.admin, "?account=bob", "")
	if e := stream.must("snapshot"); !strings.Contains(e.data, mine) || strings.Contains(e.data, bobs) {
		t.Errorf("snapshot %s", e.data)
	}
	if e := all.must("snapshot"); !strings.Contains(e.data, mine) || !strings.Contains(e.data, bobs) {
		t.Errorf("admin's snapshot %s", e.data)
	}
	bob.must("snapshot")
	k.cancelled(bobs)
	k.cancelled(mine)
	e := stream.must("done")
	for _, want := range []string{`"operation_id":"` + mine + `"`, `"status":"cancelled"`, `"done":true`, `"type":"site.inspect"`, `"domain":"alice.example"`, `"seq":2`} {
		if !strings.Contains(e.data, want) {
			t.Errorf("%s is not in %s", want, e.data)
		}
	}
	if e := bob.must("done"); !strings.Contains(e.data, bobs) {
		t.Errorf("an admin who asks for bob is told of %s", e.data)
	}
	all.must("done")
	all.must("done")
}

func TestAccountStreamResumesOnEitherProcessWithoutGapOrRepeat(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	watcher := queue.NewWatcher(k.store)
	background(t, watcher.Run)
	k.deps.Feed = queue.NewFeed(k.store, watcher)
	background(t, k.deps.Feed.Run)
	bases := []string{k.api.URL, k.serve().URL}
	stream := k.stream(bases[0], k.alice, "", "")
	stream.must("snapshot")
	const ops = 40
	made := make(chan struct{})
	go func() {
		defer close(made)
		for range ops {
			k.begun("bob")
			k.cancelled(k.begun("alice"))
		}
	}()
	seen := map[string]int{}
	for n := range ops * 2 {
		if rand.IntN(4) == 0 {
			stream.close()
			stream = k.stream(bases[rand.IntN(2)], k.alice, "", stream.last)
		}
		e, err := stream.next()
		if must(t, err); strings.Contains(e.data, "bob") {
			t.Fatalf("alice is told %s", e.data)
		}
		if seen[e.id]++; seen[e.id] > 1 || e.id == "" {
			t.Fatalf("event %d has id %q for the second time", n, e.id)
		}
	}
	<-made
}

func TestInstallStreamTellsOfAllOpsOfOneInstallAndResumes(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := tasks.SiteID("n1", "alice", "new.example", "public_html") // of which there is an op, but no record yet
	url := k.api.URL + apiBase + "/wordpress/installations/" + site + "/events"
	first := k.begunOn("alice", site)
	stream := k.streamOf(url, k.alice, "")
	if e := stream.must("snapshot"); !strings.Contains(e.data, first) {
		t.Errorf("snapshot %s", e.data)
	}
	k.cancelled(k.begun("alice"))
	k.cancelled(first)
	if e := stream.must("done"); !strings.Contains(e.data, first) || !strings.Contains(e.data, site) {
		t.Errorf("the end of %s is told as %s", first, e.data)
	}
	stream.close()
	second := k.begunOn("alice", site)
	k.cancelled(k.begun("alice"))
	k.cancelled(second)
	again := k.streamOf(url, k.alice, stream.last)
	for _, name := range []string{"progress", "done"} {
		if e := again.must(name); !strings.Contains(e.data, second) {
			t.Errorf("%s of %s is told as %s", name, second, e.data)
		}
	}
	known := k.putSite("alice", "blog.com", "public_html") // no op was ever on it
	k.streamOf(k.api.URL+apiBase+"/wordpress/installations/"+known.ID+"/events", k.alice, "").must("snapshot")
	k.call(k.bob, "GET", apiBase+"/wordpress/installations/"+site+"/events", "").mustBeRefused(t, "another account's", 404, "NOT_FOUND")
	k.call(k.alice, "GET", apiBase+"/wordpress/installations/"+first+"/events", "").mustBeRefused(t, "an operation", 404, "NOT_FOUND")
	k.call(k.alice, "GET", apiBase+"/wordpress/installations/"+site+"/events?x=1", "").mustBeRefused(t, "an unknown query", 400, "VALIDATION_ERROR")
}

func TestAccountStreamFromNowhereIsResetToASnapshot(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	op := k.begun("alice")
	stream := k.stream(k.api.URL, k.alice, "", "99999999999999-00-0")
	stream.must("reset")
	if e := stream.must("snapshot"); !strings.Contains(e.data, op) || e.id == "" {
		t.Errorf("snapshot %+v", e)
	}
}

func TestAccountStreamRefuses(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.call(k.alice, "GET", accountEventsPath+"?account=bob", "").mustBeRefused(t, "another account", 403, "FORBIDDEN")
	k.call(k.alice, "GET", accountEventsPath+"?site=x", "").mustBeRefused(t, "an unknown query", 400, "VALIDATION_ERROR")
	k.call(k.alice, "GET", accountEventsPath, "", "Last-Event-ID", "17").mustBeRefused(t, "another stream's id", 400, "VALIDATION_ERROR")
}

func TestStreamsHaveALimitOfAKeyAndOfTheProcess(t *testing.T) {
	t.Parallel()
	s := &streams{most: 3, ofKey: 2, keys: map[string]int{}}
	var leave []func()
	for _, c := range []struct{ key, code string }{{"a", ""}, {"a", ""}, {"a", "RATE_LIMITED"}, {"b", ""}, {"c", "QUEUE_UNAVAILABLE"}} {
		l, err := s.enter(c.key)
		var p *problem
		if errors.As(err, &p); (err == nil) != (c.code == "") || err != nil && p.Code != c.code {
			t.Errorf("%s: %v, want %q", c.key, err, c.code)
		}
		if err == nil {
			leave = append(leave, l)
		}
	}
	for _, l := range leave {
		l()
	}
	if s.total != 0 || len(s.keys) != 0 {
		t.Errorf("%d streams of %d keys are left", s.total, len(s.keys))
	}
}

func TestReaderThatStopsReadingIsCutOffAndLosesNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ended, handler := make(chan struct{}), newServer(k.deps)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		close(ended)
	}))
	srv.Config.ConnContext = withConn // as run does: the kernel holds little for it
	srv.Start()
	t.Cleanup(srv.Close)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	must(t, err)
	defer conn.Close()
	must(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n", accountEventsPath, k.alice)
	must(t, err)
	stream := &sseClient{t: t, lines: bufio.NewReaderSize(conn, 512)}
	for e := (sseEvent{}); e.name != "snapshot"; {
		e, err = stream.next()
		must(t, err)
	}
	const changes = 3000
	pipe := k.store.Client().Pipeline()
	for i := range changes {
		pipe.Do(t.Context(), "XADD", k.prefix+"feed:{07}", "*", "op", "op_x", "account", "alice", "seq", i+1,
			"state", "running", "message", strings.Repeat("x", 300))
	}
	pipe.Publish(t.Context(), k.prefix+"ev", "op_x 1 running")
	_, err = pipe.Exec(t.Context())
	must(t, err)
	<-ended // though nothing was read
	got := 0
	for err == nil {
		if _, err = stream.next(); err == nil {
			got++
		}
	}
	if got >= changes {
		t.Errorf("a reader that had stopped got %d events, and %v", got, err)
	}
	for again := k.stream(k.api.URL, k.alice, "", stream.last); got < changes; {
		if _, err := again.next(); err == nil {
			got++
		} else { // cut off as well, on a machine as busy as that
			again = k.stream(k.api.URL, k.alice, "", again.last)
		}
	}
}
