package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/wispanel/wptk/wp/proc"
)

// TB is the part of testing.TB that is needed here; the demo uses this package too and
// need not carry testing with it.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Context() context.Context
}

// RedisT starts a Redis server of the test's own, stopped when the test ends.
func RedisT(t TB, o ...RedisOptions) *Server {
	t.Helper()
	s, err := Redis(t.Context(), first(o))
	return own(t, s, err)
}

// MariaDBT starts a MariaDB server of the test's own, stopped when the test ends.
func MariaDBT(t TB, o ...MariaDBOptions) *Server {
	t.Helper()
	s, err := MariaDB(t.Context(), first(o))
	return own(t, s, err)
}

// CacheT is Cache for tests.
func CacheT(t TB) string {
	t.Helper()
	dir, err := Cache()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return dir
}

func first[T any](o []T) (v T) {
	if len(o) > 0 {
		v = o[0]
	}
	return v
}

func own(t TB, s *Server, err error) *Server {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stopping %s: %v", s.kind, err)
		}
	})
	return s
}

// shared is one server for all tests of a binary; Main stops it.
type shared struct {
	mu     sync.Mutex
	server *Server
	free   []int // logical databases of Redis that no test uses
}

var sharedRedis, sharedMariaDB shared

func (s *shared) get(start func(context.Context) (*Server, error)) (*Server, error) {
	if s.server != nil {
		return s.server, nil
	}
	// Not the test's context: the server outlives the test that happens to come first.
	server, err := start(context.Background())
	s.server = server
	return server, err
}

// SharedRedis answers the URL of an empty logical database that is the test's own until it
// ends, on one server for the whole test binary. Publishing is not per database in Redis:
// tests that share channel names need different prefixes or RedisT.
func SharedRedis(t TB) string {
	t.Helper()
	s := &sharedRedis
	s.mu.Lock()
	defer s.mu.Unlock()
	started := s.server != nil
	server, err := s.get(func(ctx context.Context) (*Server, error) { return Redis(ctx, RedisOptions{}) })
	if err != nil {
		t.Fatalf("%v", err)
	}
	if !started {
		for db := Databases - 1; db >= 0; db-- {
			s.free = append(s.free, db)
		}
	}
	if len(s.free) == 0 {
		t.Fatalf("all %d databases of the shared redis are in use", Databases)
	}
	db := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	t.Cleanup(func() {
		if err := flush(server, db); err != nil {
			t.Errorf("emptying redis database %d: %v", db, err)
			return // not handed out again
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free = append(s.free, db)
	})
	return server.URL(db)
}

func flush(server *Server, db int) error {
	r, err := dialRedis(context.Background(), server.Addr, server.Password)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // read to the end or failed
	if _, err := r.do("SELECT", fmt.Sprint(db)); err != nil {
		return err
	}
	_, err = r.do("FLUSHDB")
	return err
}

// SharedMariaDB is one server for the whole test binary. Tests name their databases and
// accounts so that they do not meet.
func SharedMariaDB(t TB) *Server {
	t.Helper()
	s := &sharedMariaDB
	s.mu.Lock()
	defer s.mu.Unlock()
	server, err := s.get(func(ctx context.Context) (*Server, error) { return MariaDB(ctx, MariaDBOptions{}) })
	if err != nil {
		t.Fatalf("%v", err)
	}
	return server
}

// Main runs a test binary's tests and stops the shared servers; its result is for os.Exit.
// It must be the first thing in TestMain, like proc.Main, which it calls.
func Main(m interface{ Run() int }) int {
	proc.Main()
	code := m.Run()
	if err := errors.Join(sharedRedis.close(), sharedMariaDB.close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func (s *shared) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	server := s.server
	s.server = nil
	return server.Stop()
}

// RedisSentinelT starts a Sentinel group of the test's own.
func RedisSentinelT(t TB) *Group { t.Helper(); return ownGroup(t, RedisSentinel) }

// RedisClusterT starts a cluster of the test's own.
func RedisClusterT(t TB) *Group { t.Helper(); return ownGroup(t, RedisCluster) }

func ownGroup(t TB, start func(context.Context) (*Group, error)) *Group {
	t.Helper()
	g, err := start(t.Context())
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Errorf("stopping redis group: %v", err)
		}
	})
	return g
}
