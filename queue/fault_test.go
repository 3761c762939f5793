package queue

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
)

// line is a connection to Redis that can be cut.
type line struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// cuttable opens a store behind a proxy, and one on the same keys beside it.
func cuttable(t *testing.T, log *slog.Logger) (behind, direct *Store, l *line) {
	t.Helper()
	server := devstack.RedisT(t)
	control := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(control, "redis", "127.0.0.1:0", server.Addr)
	ok(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	url := strings.Replace(server.URL(0), server.Addr, proxy.Listen, 1)
	var stores []*Store
	for _, u := range []string{url, server.URL(0)} {
		s := must[*Store](t)(Open(t.Context(), Options{URL: u}, log))
		t.Cleanup(func() { ok(t, s.Close()) })
		stores = append(stores, s)
	}
	return stores[0], stores[1], &line{t: t, proxy: proxy}
}

func (l *line) cut() { l.proxy.Stop() }

func (l *line) mend() { ok(l.t, l.proxy.Start()) }

// heard is closed when a line with a text was logged.
type heard struct {
	slog.Handler
	text string
	once atomic.Bool
	done chan struct{}
}

func listenFor(text string) *heard {
	return &heard{Handler: slog.DiscardHandler, text: text, done: make(chan struct{})}
}

func (h *heard) Enabled(context.Context, slog.Level) bool { return true }

func (h *heard) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) && h.once.CompareAndSwap(false, true) {
		close(h.done)
	}
	return nil
}

func TestLostAcknowledgementDoesNotRunTheOpAgain(t *testing.T) {
	t.Parallel()
	lost := listenFor("Will retry syncing")
	s, direct, line := cuttable(t, slog.New(lost))
	c := NewClient(direct)
	var runs, settled atomic.Int32
	serve(t, s, Handler{
		Run: func(context.Context, tasks.Op, *Recorder) (tasks.Outcome, error) {
			runs.Add(1)
			return succeeded, nil
		},
		Settled: func(string) error { // the ledger has it, asynq has not
			if settled.Add(1) == 1 {
				line.cut()
			}
			return nil
		},
	})
	op := newOp("a.example")
	submit(t, c, op)
	<-lost.done
	line.mend()
	queue := lane("n1", op.Class)
	eventually(t, func() bool { return direct.rdb.Exists(t.Context(), laneTask(queue, op.ID)).Val() == 0 })
	if n := direct.rdb.LLen(t.Context(), laneActive(queue)).Val(); n != 0 || runs.Load() != 1 {
		t.Errorf("%d tasks still active, %d runs", n, runs.Load())
	}
	if got := final(t, direct, op.ID); got.Attempt != 1 {
		t.Errorf("begun %d times", got.Attempt)
	}
}

func TestOutcomeReachedWithoutRedisIsRecordedLater(t *testing.T) {
	t.Parallel()
	tried := listenFor("recording outcome")
	s, direct, line := cuttable(t, slog.New(tried))
	c := NewClient(direct)
	var runs atomic.Int32
	serve(t, s, Handler{Run: func(_ context.Context, _ tasks.Op, rec *Recorder) (tasks.Outcome, error) {
		runs.Add(1)
		line.cut()
		rec.Log("nobody hears this") // and nothing waits for Redis
		return succeeded, rec.Progress(context.Background(), tasks.Event{Step: "last"})
	}})
	op := newOp("a.example")
	submit(t, c, op)
	<-tried.done
	line.mend()
	if got := final(t, direct, op.ID); got.State != tasks.Succeeded || runs.Load() != 1 {
		t.Errorf("%s after %d runs", got.State, runs.Load())
	}
}

func TestSubmitWithoutRedisSaysSoAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	s, direct, line := cuttable(t, discard)
	c, op := NewClient(s), newOp("a.example")
	line.cut()
	_, err := c.Submit(t.Context(), Submission{Op: op})
	if !Unavailable(err) {
		t.Errorf("without redis: %v", err)
	}
	line.mend()
	submit(t, c, op)
	submit(t, c, op)
	if n := direct.rdb.LLen(t.Context(), lanePending(lane("n1", op.Class))).Val(); n != 1 {
		t.Errorf("%d tasks", n)
	}
}
