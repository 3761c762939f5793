package wp

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
)

const cacheSite = "wp_4e8a1b2c3d4e5f60"

func newCache(t *testing.T) (*ObjectCache, *devstack.Server) {
	t.Helper()
	server := devstack.RedisT(t, devstack.RedisOptions{AppendFsync: "off"})
	o, err := NewObjectCache("redis://"+server.Addr+"/3", server.Password)
	if err != nil {
		t.Fatal(err)
	}
	return o, server
}

// Installs share a Redis, and one that could write what another one reads could run code there.
func TestUserOfAnInstallReachesItsOwnKeysOnly(t *testing.T) {
	t.Parallel()
	o, server := newCache(t)
	ctx := t.Context()
	u, _, err := o.Admit(ctx, cacheSite)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, DB: 3, Username: u.user, Password: u.secret, DisableIdentity: true, Protocol: 2})
	defer rdb.Close()
	if err := rdb.Do(ctx, "SET", cacheSite+":x", "1").Err(); err != nil {
		t.Error(err)
	}
	for _, args := range [][]any{
		{"SET", "wp_0000000000000000:x", "1"}, {"GET", "wp_0000000000000000:x"}, {"GET", "generation"}, {"MGET", cacheSite + ":x", "other"},
		{"KEYS", "*"}, {"SCAN", "0"}, {"FLUSHALL"}, {"FLUSHDB"}, {"CONFIG", "GET", "*"}, {"ACL", "LIST"}, {"EVAL", "return 1", "0"},
		{"PUBLISH", "x", "y"}, {"INFO"}, {"MONITOR"}, {"SWAPDB", "0", "3"}, {"CLIENT", "LIST"}, {"SCRIPT", "LOAD", "return 1"}, {"RANDOMKEY"}, {"DBSIZE"},
	} {
		if err := rdb.Do(ctx, args...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("%v: %v", args, err)
		}
	}
	if err := o.Dismiss(ctx, cacheSite); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Do(ctx, "GET", cacheSite+":x").Err(); err == nil || err == redis.Nil { //nolint:errorlint // it is never wrapped
		t.Errorf("after dismissal: %v", err)
	}
	admin := redis.NewClient(&redis.Options{Addr: server.Addr, DB: 3, Password: server.Password})
	defer admin.Close()
	if n, err := admin.DBSize(ctx).Result(); n != 0 || err != nil {
		t.Errorf("%d keys are left, %v", n, err)
	}
}

func TestUserThatRedisForgotIsMadeTheSameAgain(t *testing.T) {
	t.Parallel()
	o, _ := newCache(t)
	first, _, err := o.Admit(t.Context(), cacheSite)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Dismiss(t.Context(), cacheSite); err != nil {
		t.Fatal(err)
	}
	second, _, err := o.Admit(t.Context(), cacheSite)
	if err != nil || second.secret != first.secret || len(second.secret) != 64 {
		t.Errorf("%v", err)
	}
	if other, err := o.userOf("wp_4e8a1b2c3d4e5f61"); err != nil || other.secret == first.secret {
		t.Errorf("two installs have one password (%v)", err)
	}
	for _, id := range []string{"", "wp_", "wp_x", "wp_4e8a*", "wp_4e8a1b2c ~*", "op_4e8a1b2c3d4e5f60"} {
		if _, err := o.userOf(id); err == nil {
			t.Errorf("%q is the id of an install", id)
		}
	}
}

func TestObjectCacheNeedsAnAddressAndAPassword(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"redis://127.0.0.1:6379/2": true, "redis://cache": true, "redis://admin@cache:1/0": true, "unix:///run/redis.sock": true, "unix:///run/redis.sock?db=4": true,
		"": false, "127.0.0.1:6379": false, "http://cache": false, "redis://u:secret@cache": false, "redis://cache/x": false, "unix://run/redis.sock?db=x": false, "redis://cache/-1": false,
	} {
		_, err := NewObjectCache(address, "password")
		if (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	if _, err := NewObjectCache("redis://cache", ""); err == nil {
		t.Error("a cache without password was accepted")
	}
}

func TestDropInIsWhatItWasWithSettings(t *testing.T) {
	t.Parallel()
	o, err := NewObjectCache("unix:///run/o'brien/redis.sock?db=4", "password")
	if err != nil {
		t.Fatal(err)
	}
	u, err := o.userOf(cacheSite)
	if err != nil {
		t.Fatal(err)
	}
	code, err := u.DropIn()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(objectCacheDropIn, settingsMark) != 1 || !strings.Contains(string(code), `unix:///run/o\'brien/redis.sock`) || strings.Contains(string(code), settingsMark) {
		t.Errorf("%.3000s", code)
	}
	php(t, "-l", write(t, "object-cache.php", string(code)))
}
