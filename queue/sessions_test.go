package queue

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// signedIn is a key of an admin and a session that acts for it.
func signedIn(t *testing.T, c *Client) (k Key, session string) {
	t.Helper()
	_, secret := createKey(t, c, NewKey{Name: "ops", Owner: "ops", Role: RoleAdmin, IPWhitelist: []string{"10.0.0.0/8"}})
	k = must[Key](t)(c.LookupKey(t.Context(), secret))
	code, _, err := c.NewCode(t.Context(), k)
	ok(t, err)
	_, session, _, err = c.OpenSession(t.Context(), code)
	ok(t, err)
	return k, session
}

func TestSessionActsForItsKeyWithinTheKeysLimits(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	k, session := signedIn(t, c)
	got := must[Key](t)(c.LookupKey(t.Context(), session))
	if got.ID != k.ID || got.Role != RoleAdmin || got.Session == "" || len(got.IPWhitelist) != 1 {
		t.Errorf("the session acts for %+v", got)
	}
	if k.Session != "" {
		t.Error("the key itself is taken for a session")
	}
	for _, bad := range []string{sessionStart, session[:51], session + "0", strings.ToUpper(session), sessionStart + strings.Repeat("0", 48)} {
		if _, err := c.LookupKey(t.Context(), bad); !errors.Is(err, ErrBadKey) {
			t.Errorf("looking up %q: %v", bad, err)
		}
	}
}

func TestCodeOpensOneSessionForOneOfFifty(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	k, _ := signedIn(t, c)
	code, ends, err := c.NewCode(t.Context(), k)
	ok(t, err)
	if left := time.Until(ends); left > codeLife || left < codeLife/2 {
		t.Errorf("the code is good for %s", left)
	}
	var won atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch _, secret, _, err := c.OpenSession(t.Context(), code); {
			case err == nil && secret != "":
				won.Add(1)
			case !errors.Is(err, ErrBadKey):
				t.Errorf("a loser gets %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 50 got a session", won.Load())
	}
}

func TestCodeAndSessionEndByThemselves(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	k, session := signedIn(t, c)
	code, _, err := c.NewCode(t.Context(), k)
	ok(t, err)
	within := func(key string, most time.Duration) {
		t.Helper()
		if left := must[time.Duration](t)(s.rdb.PTTL(t.Context(), key).Result()); left <= 0 || left > most {
			t.Errorf("%s lives %s, want at most %s", key, left, most)
		}
	}
	within(s.names.code(digest(code)), codeLife)
	name := s.names.session(digest(session))
	within(name, sessionIdle)

	// What is used stays a little longer, but never beyond its end.
	ok(t, s.rdb.Expire(t.Context(), name, time.Minute).Err())
	must[Key](t)(c.LookupKey(t.Context(), session))
	if left := must[time.Duration](t)(s.rdb.PTTL(t.Context(), name).Result()); left <= time.Minute {
		t.Errorf("a session in use has %s left", left)
	}
	ok(t, s.rdb.Set(t.Context(), name, s.stamped(signedSession, name, `{"id":"x","sum":"`+k.sum+`","ends":"2020-01-01T00:00:00Z"}`), time.Minute).Err())
	if _, err := c.LookupKey(t.Context(), session); !errors.Is(err, ErrBadKey) {
		t.Errorf("a session that has ended: %v", err)
	}
}

func TestSessionEndsWithItsKey(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	k, session := signedIn(t, c)
	code, _, err := c.NewCode(t.Context(), k)
	ok(t, err)
	ok(t, c.RevokeKey(t.Context(), "", k.ID))
	if _, err := c.LookupKey(t.Context(), session); !errors.Is(err, ErrBadKey) {
		t.Errorf("session of a revoked key: %v", err)
	}
	if _, _, _, err := c.OpenSession(t.Context(), code); !errors.Is(err, ErrBadKey) {
		t.Errorf("code of a revoked key: %v", err)
	}
}

func TestClosedSessionIsGoneInEveryProcess(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	here, there := NewClient(s), NewClient(beside(t, s))
	_, session := signedIn(t, here)
	must[Key](t)(there.LookupKey(t.Context(), session))
	ok(t, here.CloseSession(t.Context(), session))
	for _, c := range []*Client{here, there} {
		if _, err := c.LookupKey(t.Context(), session); !errors.Is(err, ErrBadKey) {
			t.Errorf("%v", err)
		}
	}
	ok(t, here.CloseSession(t.Context(), session))
}

func TestSecretOfSessionIsNowhereInRedis(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	k, session := signedIn(t, c)
	code, _, err := c.NewCode(t.Context(), k)
	ok(t, err)
	for _, key := range must[[]string](t)(s.rdb.Keys(t.Context(), "*").Result()) {
		dump := must[string](t)(s.rdb.Dump(t.Context(), key).Result())
		for _, secret := range []string{code, strings.TrimPrefix(session, sessionStart)} {
			if strings.Contains(key, secret) || strings.Contains(dump, secret) {
				t.Errorf("%s holds a secret", key)
			}
		}
	}
}
