package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/wispanel/wptk/queue"
)

const (
	heartbeatEvery = 15 * time.Second // proxies cut connections that are silent for longer
	streamFor      = 15 * time.Minute // then the client comes back with Last-Event-ID
	maxStreams     = 8192             // in one process; each costs some 65 KB: wptk bench streams
	keyStreams     = 256              // of one key in one process
	manyStreams    = 500              // from here on the heap is theirs
	leaveTimeout   = 5 * time.Second  // for the last bytes of a stream
)

// streams counts the open streams of the process.
type streams struct {
	most, ofKey int
	metrics     *queue.Metrics

	mu    sync.Mutex
	total int
	keys  map[string]int // by key id
}

func newStreams(m *queue.Metrics) *streams {
	return &streams{metrics: m, most: maxStreams, ofKey: keyStreams, keys: make(map[string]int)}
}

// enter admits one more stream; leave is to be called at its end.
func (s *streams) enter(key string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.keys[key] >= s.ofKey:
		return nil, newProblem("RATE_LIMITED", "The key has too many open streams").
			hint("one stream of GET /wordpress/events tells of every operation").after(5 * time.Second)
	case s.total >= s.most:
		return nil, newProblem("QUEUE_UNAVAILABLE", "Too many open streams").hint("poll the progress instead").after(5 * time.Second)
	}
	s.metrics.Stream(1)
	if s.total++; s.total == manyStreams {
		collectAt(gcPercentStreams)
	}
	s.keys[key]++
	return func() { s.leave(key) }, nil
}

func (s *streams) leave(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics.Stream(-1)
	if s.total--; s.total == manyStreams/2 {
		collectAt(gcPercent)
	}
	if s.keys[key]--; s.keys[key] == 0 {
		delete(s.keys, key)
	}
}

// sse writes Server-Sent Events.
type sse struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// newSSE begins the answer.
func newSSE(w http.ResponseWriter, r *http.Request) sse {
	holdLittle(r.Context())
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	return sse{w: w, rc: http.NewResponseController(w)}
}

// streamBuffer is how many bytes the kernel may hold for the reader of a stream, some
// hundred events. By itself it lets megabytes pile up for each reader that has stopped.
const streamBuffer = 64 << 10

type connKey struct{}

// withConn is http.Server's ConnContext.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

func holdLittle(ctx context.Context) {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(streamBuffer) //nolint:errcheck // fails only for a connection that is gone
	}
}

// send writes one event. The id is where Last-Event-ID resumes; "" leaves that as it is.
func (s sse) send(event, id string, data any) error {
	body, err := eventText(event, id, data)
	if err != nil {
		return err
	}
	return s.write(body)
}

func (s sse) write(text []byte) error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(heartbeatEvery + writeTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.rc.Flush()
}

// cutOff ends a write that may be under way. It does not block.
func (s sse) cutOff() {
	s.rc.SetWriteDeadline(time.Now()) //nolint:errcheck // fails only for a connection that is gone
}

// takeLeave has a stream that is over end as such, not as a connection that broke.
func (s sse) takeLeave() {
	s.rc.SetWriteDeadline(time.Now().Add(leaveTimeout)) //nolint:errcheck // fails only for a connection that is gone
}

func eventText(event, id string, data any) ([]byte, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding event: %w", err)
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return fmt.Appendf(nil, "%sevent: %s\ndata: %s\n\n", id, event, body), nil
}
