package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Options say which Redis to use.
type Options struct {
	URL      string // see parseURL
	Username string // overrides the URL's
	Password string // overrides the URL's
	Prefix   string // of every key of ours; DefaultPrefix when empty
	PoolSize int    // connections; 0 leaves it to go-redis (10 per CPU)
	MaxIdle  int    // connections that stay open with nothing to do; 0 is all of them
	TLS      *tls.Config
	Metrics  *Metrics // nil counts nothing

	Signer   Signer   // signs what this process decides; nil leaves it unsigned
	Verifier Verifier // checks what it acts on; nil believes everything
	Unsigned bool     // with a Verifier: what has no signature at all is believed
}

// Store is an open, checked connection pool to Redis. Client, Node, Watcher and
// Reconciler are made from it. It is safe for concurrent use.
type Store struct {
	rdb     redis.UniversalClient
	target  target
	names   names
	log     *slog.Logger
	metrics *Metrics

	signer   Signer
	verifier Verifier
	unsigned bool
}

// Open connects to Redis and refuses one that cannot keep promises: older than
// 6.0 (ErrTooOld) or free to evict keys (ErrEvicting). One without an
// append-only file is used, with a loud warning.
func Open(ctx context.Context, o Options, log *slog.Logger) (*Store, error) {
	t, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	t.override(o)
	s := &Store{
		target: t, names: names{prefix: o.Prefix}, log: log, metrics: o.Metrics,
		signer: o.Signer, verifier: o.Verifier, unsigned: o.Unsigned,
	}
	if s.names.prefix == "" {
		s.names.prefix = DefaultPrefix
	}
	setRedisLog.Do(func() { redis.SetLogger(redisLog{log}) })
	s.rdb = t.connect()
	if err := s.check(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the connections.
func (s *Store) Close() error {
	if err := s.rdb.Close(); err != nil {
		return fmt.Errorf("closing redis connections: %w", err)
	}
	return nil
}

// Ping answers whether Redis does.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("pinging redis: %w", err)
	}
	return nil
}

// Client gives tests the bare connection. Nothing else uses it.
func (s *Store) Client() redis.UniversalClient { return s.rdb }

func (s *Store) check(ctx context.Context) error {
	if err := s.Ping(ctx); err != nil {
		return err
	}
	if err := s.eachMaster(ctx, s.checkServer); err != nil {
		return err
	}
	return loadScripts(ctx, s.rdb)
}

// eachMaster calls fn for the one server, or for every master of a Cluster.
func (s *Store) eachMaster(ctx context.Context, fn func(context.Context, *redis.Client) error) error {
	switch c := s.rdb.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, fn)
	case *redis.Client:
		return fn(ctx, c)
	}
	return fmt.Errorf("unexpected redis client %T", s.rdb)
}

// checkServer reads INFO instead of CONFIG GET, which managed services and
// least-privilege users are denied.
func (s *Store) checkServer(ctx context.Context, c *redis.Client) error {
	text, err := c.Info(ctx).Result()
	if err != nil {
		return fmt.Errorf("reading redis info: %w", err)
	}
	info := parseInfo(text)
	addr := c.Options().Addr
	if !atLeast(info["redis_version"], 6, 0) {
		return fmt.Errorf("redis %s at %s: %w", info["redis_version"], addr, ErrTooOld)
	}
	if policy := info["maxmemory_policy"]; policy != "noeviction" {
		return fmt.Errorf("redis at %s has maxmemory-policy %q: %w", addr, policy, ErrEvicting)
	}
	if info["aof_enabled"] != "1" {
		s.log.Warn("REDIS KEEPS NO APPEND-ONLY FILE: accepted operations are lost when it restarts; set appendonly yes and appendfsync always", "addr", addr)
	}
	return nil
}

func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[k] = v
		}
	}
	return info
}

func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	return errA == nil && errB == nil && (a > major || a == major && b >= minor)
}

// setRedisLog: go-redis has one logger for all clients of a process.
var setRedisLog sync.Once

// redisLog takes what go-redis would write to standard error. It is about
// connections; the call that fails because of one reports it.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug("redis: " + fmt.Sprintf(format, v...))
}
