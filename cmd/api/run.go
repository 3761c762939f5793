package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/queue"
)

// writeTimeout bounds an answer that does not wait for something to happen.
const writeTimeout = 30 * time.Second

// gcPercent lets the heap of a few megabytes grow to some tens before it is
// collected: at thousands of polls a second the collector was the largest cost of
// one after the network. With many streams the heap is a hundred megabytes, of which
// four times as much would be waste.
const (
	gcPercent        = 400
	gcPercentStreams = 100
)

// collectAt sets how far the heap may grow. GOGC in the environment wins.
func collectAt(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// run opens what the API needs and serves until ctx ends or a part fails.
func run(ctx context.Context, log *slog.Logger, cfg *settings) error {
	collectAt(gcPercent)
	secrets, err := seal.LoadOrCreate(cfg.SecretsKeyFile)
	if err != nil {
		return fmt.Errorf("--secrets-key-file: %w", err)
	}
	password, err := cfg.Password()
	if err != nil {
		return err
	}
	proxies, err := cfg.proxies()
	if err != nil {
		return err
	}
	outside, err := cfg.egress()
	if err != nil {
		return err
	}
	reg := boot.NewRegistry()
	metrics := queue.NewMetrics(reg)
	options := queue.Options{URL: cfg.RedisURL, Username: cfg.RedisUsername, Password: password, Metrics: metrics}
	if err := cfg.Identify(&options, log); err != nil {
		return err
	}
	store, err := queue.Open(ctx, options, log)
	if err != nil {
		return fmt.Errorf("opening Redis (--redis-url): %w", err)
	}
	defer store.Close() //nolint:errcheck // the process ends
	reg.MustRegister(queue.NewSnapshot(store))
	client, watcher := queue.NewClient(store), queue.NewWatcher(store)
	feed := queue.NewFeed(store, watcher)
	d := deps{
		Ledger: client, Watcher: watcher, Feed: feed, Metrics: metrics, Secrets: secrets, Log: log,
		Proxies: proxies, Egress: outside, RateLimit: cfg.RateLimit, Retention: cfg.OpRetention, AuditKeep: cfg.AuditKeep,
		Ready: store.Ping, Closing: ctx,
	}
	handler := newServer(d)
	courier := queue.NewCourier(store, client, watcher, queue.CourierConfig{Sender: newSender(d), Hour: cfg.WebhookHour})
	return boot.Together(ctx,
		func(ctx context.Context) error { return watcher.Run(ctx) },
		feed.Run,
		func(ctx context.Context) error { return queue.NewReconciler(store, client).Run(ctx) },
		queue.NewConductor(client, cfg.OpRetention).Run,
		courier.Run,
		func(ctx context.Context) error {
			return boot.ServeMetrics(ctx, log, cfg.MetricsListen, reg, store.Ping)
		},
		func(ctx context.Context) error { return listenAndServe(ctx, log, cfg, handler, reg) },
	)
}

func listenAndServe(ctx context.Context, log *slog.Logger, cfg *settings, handler http.Handler, reg prometheus.Registerer) error {
	secure, err := cfg.tlsConfig()
	if err != nil {
		return err
	}
	showExpiry(reg, secure)
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s (--listen): %w", cfg.Listen, err)
	}
	log.Info("serving the API", "addr", listener.Addr().String(), "tls", secure != nil)
	boot.Ready(log)
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	return boot.Serve(ctx, &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      writeTimeout, // long polls and streams move it
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients that break off, mostly
	}, listener)
}
