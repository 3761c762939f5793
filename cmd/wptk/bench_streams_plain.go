package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/deploy/devstack"
)

// plain is how streams are mostly made: each has its own subscription to Redis and passes
// on what comes. As many of them are told of as many changes, in as many accounts.
func (cmd *benchStreamsCmd) plain(ctx context.Context, server *devstack.Server) (cost streamsCost, err error) {
	dir, err := os.MkdirTemp("", "wptk-bench-")
	if err != nil {
		return cost, fmt.Errorf("making folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bench := &progressBench{redis: server, dir: dir}
	if err := bench.secret("redis", server.Password); err != nil {
		return cost, err
	}
	self, err := os.Executable()
	if err != nil {
		return cost, fmt.Errorf("finding this program: %w", err)
	}
	metrics, err := freeAddrs(1)
	if err != nil {
		return cost, err
	}
	child, err := startServer(ctx, self, []string{"bench", "streams-server", "--metrics-listen", metrics[0],
		"--redis-addr", server.Addr, "--redis-password-file", filepath.Join(dir, "redis")})
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, child.stop()) }()
	look := func(ctx context.Context) (vitals, error) { return probeOf(ctx, metrics[0]) }
	idle, err := firstProbe(ctx, look)
	if err != nil {
		return cost, err
	}
	var readers []*streamReader
	for i := range cmd.Streams {
		account := "a" + strconv.Itoa(i/ofAccount)
		readers = append(readers, &streamReader{addr: child.addr, path: "/events/" + account, account: account, seqs: map[string]int64{}})
	}
	stop, err := openAll(ctx, readers)
	defer stop()
	if err != nil {
		return cost, err
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Password: server.Password})
	defer rdb.Close() //nolint:errcheck // only published with
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	return cmd.steady(ctx, look, idle, readers, func() {
		accounts := (cmd.Streams + ofAccount - 1) / ofAccount
		for i := range accounts {
			account := "a" + strconv.Itoa(i)
			wg.Go(func() {
				if pause(ctx, apart(account, accounts)) == nil {
					publishSteps(ctx, rdb, account)
				}
			})
		}
	})
}

// publishSteps tells of changes as often as an op of the real thing makes them, and in as
// many bytes.
func publishSteps(ctx context.Context, rdb *redis.Client, account string) {
	for seq := 1; pause(ctx, streamBeat) == nil; seq++ {
		text := fmt.Sprintf("id: 1764000000000-00-1\nevent: progress\ndata: {\"id\":\"wp_0000000000000000\",\"operation_id\":\"op_%s\",\"type\":\"install\","+
			"\"domain\":\"%s.test\",\"status\":\"running\",\"done\":false,\"progress\":50,\"step\":\"step_%d\",\"step_index\":%d,\"steps_total\":%d,"+
			"\"message\":\"%d\",\"seq\":%d,\"at\":\"2026-01-01T00:00:00.000Z\"}\n\n",
			account, account, seq, seq, streamSteps, time.Now().UnixNano(), seq)
		rdb.Publish(ctx, plainChannel+account, text)
	}
}

const plainChannel = "bench:"

// streamsServerCmd is the bare stream, in a process of its own.
type streamsServerCmd struct {
	Listen            string `required:"" env:"-"`
	MetricsListen     string `required:"" env:"-"`
	RedisAddr         string `env:"-"`
	RedisPasswordFile string `env:"-"`
}

// Run serves until ctx ends.
func (cmd *streamsServerCmd) Run(ctx context.Context, a *app) error {
	password, err := boot.ReadSecret("--redis-password-file", cmd.RedisPasswordFile)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cmd.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", cmd.Listen, err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: cmd.RedisAddr, Password: password})
	defer rdb.Close() //nolint:errcheck // the process ends
	router := mux.NewRouter()
	router.HandleFunc("/events/{account}", func(w http.ResponseWriter, r *http.Request) { passOn(ctx, a.log, rdb, w, r) })
	return boot.Together(ctx,
		func(ctx context.Context) error {
			return boot.ServeMetrics(ctx, a.log, cmd.MetricsListen, boot.NewRegistry(), func(context.Context) error { return nil })
		},
		func(ctx context.Context) error {
			return boot.Serve(ctx, &http.Server{Handler: router, ReadHeaderTimeout: 5 * time.Second}, listener)
		})
}

func passOn(closing context.Context, log *slog.Logger, rdb *redis.Client, w http.ResponseWriter, r *http.Request) {
	sub := rdb.Subscribe(r.Context(), plainChannel+mux.Vars(r)["account"])
	defer sub.Close() //nolint:errcheck // the stream ends
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	write := func(text string) bool {
		_, err := w.Write([]byte(text))
		if err = errors.Join(err, rc.Flush()); err != nil {
			log.Debug("stream ended", "err", err)
		}
		return err == nil
	}
	if _, err := sub.Receive(r.Context()); err != nil || !write("event: snapshot\ndata: {}\n\n") {
		return
	}
	for {
		select {
		case <-closing.Done():
			return
		case m, ok := <-sub.Channel():
			if !ok || !write(m.Payload) {
				return
			}
		}
	}
}
