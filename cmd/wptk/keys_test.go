package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
)

func TestKeyIsShownOnceListedWithoutSecretAndRevoked(t *testing.T) {
	t.Parallel()
	redis := devstack.SharedRedis(t)
	wptk := func(args ...string) ran {
		t.Helper()
		got := runIn(t.Context(), t, nil, append(args, "--redis-url", redis)...)
		if got.status != exitOK {
			t.Fatalf("%v: exit status %d: %s", args, got.status, got.err)
		}
		return got
	}
	quiet := wptk("keys", "create", "deploy", "--owner", "alice", "--permission", "read", "--ip", "10.0.0.0/8", "--expires", "3650d", "-q")
	if !regexp.MustCompile(`^wsp_[0-9a-f]{48}\n$`).MatchString(quiet.out) || quiet.err != "" {
		t.Errorf("quiet: %q, %q", quiet.out, quiet.err)
	}
	var made struct {
		Key    string `json:"key"`
		APIKey struct {
			ID    string `json:"id"`
			Role  string `json:"role"`
			Owner string `json:"owner"`
		} `json:"api_key"`
	}
	if err := json.Unmarshal([]byte(wptk("keys", "create", "boss", "--owner", "root", "--role", "admin", "--json").out), &made); err != nil {
		t.Fatal(err)
	}
	if made.APIKey.Role != "admin" || made.APIKey.Owner != "root" || len(made.APIKey.ID) != 16 {
		t.Errorf("made %+v", made.APIKey)
	}
	list := wptk("keys", "list").out
	mustContain(t, list, "deploy", "alice", "10.0.0.0/8", "boss", made.APIKey.ID, "never")
	mustNotContain(t, list, made.Key, strings.TrimSpace(quiet.out))
	rotated := wptk("keys", "rotate", made.APIKey.ID, "--overlap", "1h", "-q")
	if !regexp.MustCompile(`^wsp_[0-9a-f]{48}\n$`).MatchString(rotated.out) || strings.TrimSpace(rotated.out) == made.Key {
		t.Errorf("rotated: %q", rotated.out)
	}
	if again := runIn(t.Context(), t, nil, "keys", "rotate", made.APIKey.ID, "--overlap", "200h", "--redis-url", redis); again.status != exitUsage {
		t.Errorf("too long an overlap: exit status %d", again.status)
	}
	wptk("keys", "revoke", made.APIKey.ID)
	mustNotContain(t, wptk("keys", "list").out, made.APIKey.ID)
	again := runIn(t.Context(), t, nil, "keys", "revoke", made.APIKey.ID, "--redis-url", redis)
	if again.status != exitFailed || !strings.Contains(again.err, "there is no key") {
		t.Errorf("revoking twice: exit status %d: %s", again.status, again.err)
	}
	bad := runIn(t.Context(), t, nil, "keys", "create", "x", "--owner", "Not An Account", "--ip", "nonsense", "--redis-url", redis)
	if bad.status != exitUsage {
		t.Errorf("bad request: exit status %d", bad.status)
	}
	mustContain(t, bad.err, "owner", "ip_whitelist")
}

func TestExpiryIsASpanOrADay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"":                     {},
		"90d":                  testNow.AddDate(0, 0, 90),
		"12h":                  testNow.Add(12 * time.Hour),
		"2027-01-31":           time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC),
		"2027-01-31T10:00:00Z": time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC),
	} {
		if got, err := expiry(text, testNow); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"soon", "-3d", "0d", "3d ", "1d2", "-1h", "2027-13-01"} {
		if got, err := expiry(text, testNow); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestTimesAreRelative(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "now", 5 * time.Second: "5s ago", 90 * time.Second: "1m ago", 3 * time.Hour: "3h ago",
		47 * time.Hour: "47h ago", 50 * time.Hour: "2d ago", -3 * time.Hour: "in 3h",
	} {
		if got := ago(testNow, testNow.Add(-d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := ago(testNow, time.Time{}); got != "-" {
		t.Errorf("never: %q", got)
	}
	if got := clock(3723 * time.Second); got != "1:02:03" {
		t.Errorf("clock: %q", got)
	}
}
