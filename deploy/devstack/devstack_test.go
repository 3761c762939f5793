package devstack_test

import (
	"database/sql"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
)

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisKeepsAcknowledgedWritesOverKill(t *testing.T) {
	t.Parallel()
	s := devstack.RedisT(t)
	c := redisClient(t, s.URL(0))
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if pid := s.PID(); pid != 0 {
		t.Fatalf("killed server still has pid %d", pid)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Get(t.Context(), "k").Val(); got != "v" {
		t.Fatalf("after kill and start: %q", got)
	}
}

func TestMariaDBTakesOnlyItsPassword(t *testing.T) {
	t.Parallel()
	s := devstack.MariaDBT(t)
	for _, dsn := range []string{s.DSN(), s.TCPDSN()} {
		if err := ping(t, dsn); err != nil {
			t.Errorf("with the password: %v", err)
		}
	}
	for _, dsn := range []string{
		"root@unix(" + s.Socket + ")/", "root@tcp(" + s.Addr + ")/", "@tcp(" + s.Addr + ")/",
		"@unix(" + s.Socket + ")/", "mysql@unix(" + s.Socket + ")/", "nobody@unix(" + s.Socket + ")/",
	} {
		if err := ping(t, dsn); err == nil {
			t.Errorf("logged in without a password: %s", dsn)
		}
	}
}

func ping(t *testing.T, dsn string) error {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return db.PingContext(t.Context())
}
