package queue

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/tasks"
	"pgregory.net/rapid"
)

func createKey(t *testing.T, c *Client, n NewKey) (Key, string) {
	t.Helper()
	k, secret, err := c.CreateKey(t.Context(), n)
	ok(t, err)
	return k, secret
}

func TestKeyIsFoundByItsSecretAlone(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	made, secret := createKey(t, c, NewKey{Name: "ci", Owner: "alice", IPWhitelist: []string{"10.0.0.0/8"}, RateLimit: 5})

	if !wellFormed(secret, secretStart) || made.Prefix != secret[:12] || len(made.ID) != 16 {
		t.Errorf("made %+v with secret of %d characters", made, len(secret))
	}
	found := must[Key](t)(c.LookupKey(t.Context(), secret))
	if found.ID != made.ID || found.Owner != "alice" || found.Role != RoleUser || found.RateLimit != 5 || !found.Enabled {
		t.Errorf("found %+v, made %+v", found, made)
	}
	unknown := secretStart + strings.Repeat("0", 48)
	for _, bad := range []string{"", "wsp_", secret[:51], secret + "0", strings.ToUpper(secret), unknown, digest(secret)} {
		if _, err := c.LookupKey(t.Context(), bad); !errors.Is(err, ErrBadKey) {
			t.Errorf("looking up %q: %v, want ErrBadKey", bad, err)
		}
	}
}

func TestSecretOfKeyIsNowhereInRedis(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	_, secret := createKey(t, c, NewKey{Name: "ci", Owner: "alice"})
	ok(t, c.TouchKey(t.Context(), must[Key](t)(c.LookupKey(t.Context(), secret))))

	random := secret[prefixChars:]
	for _, key := range must[[]string](t)(s.rdb.Keys(t.Context(), "*").Result()) {
		dump := must[string](t)(s.rdb.Dump(t.Context(), key).Result())
		if strings.Contains(key, random) || strings.Contains(dump, random) {
			t.Errorf("%s holds the secret", key)
		}
	}
}

func TestExpiredKeyOpensNothing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tc := range []struct {
		key  Key
		want bool
	}{
		{Key{Enabled: true}, true},
		{Key{Enabled: false}, false},
		{Key{Enabled: true, ExpiresAt: now.Add(time.Second)}, true},
		{Key{Enabled: true, ExpiresAt: now}, false},
	} {
		if got := tc.key.usable(now); got != tc.want {
			t.Errorf("%+v usable: %v", tc.key, got)
		}
	}
}

func TestRevokedKeyIsGoneAtOnceHereAndInFiveSecondsElsewhere(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	here, there := NewClient(s), NewClient(beside(t, s))
	k, secret := createKey(t, here, NewKey{Name: "ci", Owner: "alice"})
	must[Key](t)(here.LookupKey(t.Context(), secret))
	must[Key](t)(there.LookupKey(t.Context(), secret))

	ok(t, here.RevokeKey(t.Context(), "alice", k.ID))
	if _, err := here.LookupKey(t.Context(), secret); !errors.Is(err, ErrBadKey) {
		t.Errorf("here: %v", err)
	}
	if _, _, found := there.keys.get(digest(secret), time.Now().Add(keyKnownFor)); found {
		t.Error("there: remembered for longer than promised")
	}
	if keys := must[[]Key](t)(here.ListKeys(t.Context(), "")); len(keys) != 0 {
		t.Errorf("still listed: %+v", keys)
	}
	if err := here.RevokeKey(t.Context(), "alice", k.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoking again: %v", err)
	}
}

func TestKeysOfAnOwnerAreListedAndRevokedByThatOwnerOnly(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	a1, _ := createKey(t, c, NewKey{Name: "one", Owner: "alice"})
	a2, _ := createKey(t, c, NewKey{Name: "two", Owner: "alice"})
	b, _ := createKey(t, c, NewKey{Name: "three", Owner: "bob"})

	ids := func(owner string) (ids []string) {
		for _, k := range must[[]Key](t)(c.ListKeys(t.Context(), owner)) {
			ids = append(ids, k.ID)
		}
		return ids
	}
	if got := ids("alice"); !slices.Equal(got, []string{a1.ID, a2.ID}) {
		t.Errorf("alice has %v", got)
	}
	if got := ids(""); len(got) != 3 {
		t.Errorf("everybody has %v", got)
	}
	if err := c.RevokeKey(t.Context(), "alice", b.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("alice revoking bob's: %v", err)
	}
	ok(t, c.RevokeKey(t.Context(), "", b.ID))
	if got := ids("bob"); len(got) != 0 {
		t.Errorf("bob still has %v", got)
	}
}

func TestLookupCostsNoRoundTripWhileRemembered(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	_, secret := createKey(t, c, NewKey{Name: "ci", Owner: "alice"})
	must[Key](t)(c.LookupKey(t.Context(), secret))
	w := watchWire(s)
	for range 100 {
		must[Key](t)(c.LookupKey(t.Context(), secret))
	}
	if n := w.trips.Load(); n > 1 { // one, should the five seconds be over in between
		t.Errorf("%d round trips", n)
	}
}

func TestTouchKeyWritesOnceAMinuteAndNeverBringsAKeyBack(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	_, secret := createKey(t, c, NewKey{Name: "ci", Owner: "alice"})
	k := must[Key](t)(c.LookupKey(t.Context(), secret))
	w := watchWire(s)
	ok(t, c.TouchKey(t.Context(), k))
	first := w.trips.Load()
	for range 50 {
		ok(t, c.TouchKey(t.Context(), k))
	}
	if n := w.trips.Load(); n != first {
		t.Errorf("%d round trips after the first", n-first)
	}
	if used := must[[]Key](t)(c.ListKeys(t.Context(), "alice"))[0].LastUsed; used.IsZero() {
		t.Error("use was not noted")
	}
	ok(t, c.RevokeKey(t.Context(), "alice", k.ID))
	ok(t, NewClient(s).TouchKey(t.Context(), k))
	if n := must[int64](t)(s.rdb.Exists(t.Context(), s.names.key(digest(secret))).Result()); n != 0 {
		t.Error("the record is back")
	}
}

func TestCreateKeyNamesEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	_, _, err := c.CreateKey(t.Context(), NewKey{
		Name: "a\nb", Owner: "Al ice", Role: "root", Permissions: []string{"read", "fly"},
		IPWhitelist: []string{"10.0.0.0/8", "10.0.0.0/33", "here"}, ExpiresAt: time.Unix(1, 0), RateLimit: -1,
	})
	var invalid *tasks.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, p := range invalid.Problems {
		fields = append(fields, p.Field)
	}
	slices.Sort(fields)
	want := []string{"expires_at", "ip_whitelist", "ip_whitelist", "name", "owner", "permissions", "rate_limit", "role"}
	if !slices.Equal(fields, want) {
		t.Errorf("got %v, want %v", fields, want)
	}
}

func TestKeyAllowsWhatItsPermissionsName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		has  []string
		want string
		read bool
		ok   bool
	}{
		{[]string{PermAll}, PermWordPress, false, true},
		{[]string{PermWordPress}, PermWordPress, false, true},
		{[]string{PermWordPress}, PermWebhooks, true, false},
		{[]string{PermRead}, PermWordPress, true, true},
		{[]string{PermRead}, PermWordPress, false, false},
		{[]string{PermRead, PermWebhooks}, PermWebhooks, false, true},
		{nil, PermWordPress, true, false},
	} {
		if got := (Key{Permissions: tc.has}).Allows(tc.want, tc.read); got != tc.ok {
			t.Errorf("%v allows %s (read %v): %v", tc.has, tc.want, tc.read, got)
		}
	}
}

func TestKeyAllowsFromItsWhitelistOnly(t *testing.T) {
	t.Parallel()
	n := NewKey{Name: "n", Owner: "alice", IPWhitelist: []string{"10.1.2.3", "192.0.2.99/24", "::ffff:198.51.100.0/120", "2001:db8::/32"}}
	k, err := n.key(time.Now())
	ok(t, err)
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "10.1.2.4": false, "::ffff:10.1.2.3": true, "192.0.2.1": true,
		"198.51.100.7": true, "198.51.101.7": false, "2001:db8::1%eth0": true, "2001:db9::1": false,
	} {
		if got := k.AllowsFrom(netip.MustParseAddr(addr)); got != want {
			t.Errorf("from %s: %v", addr, got)
		}
	}
	if !(Key{}).AllowsFrom(netip.MustParseAddr("203.0.113.1")) {
		t.Error("a key without a whitelist refuses")
	}
}

func FuzzParseCIDR(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "::1", "::ffff:1.2.3.4/96", "fe80::1%eth0", "1.2.3.4/99", "", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseCIDR(s)
		if err != nil {
			return
		}
		if p.Addr().Is4In6() || p.Addr().Zone() != "" || p != p.Masked() || !p.Contains(p.Addr()) {
			t.Errorf("%q became %v", s, p)
		}
	})
}

func TestKeyCacheNeverGrowsAndNeverOutlivesItsTimes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, now, put := newKeyCache(), time.Unix(0, 0), map[string]time.Time{}
		for i := range rapid.IntRange(0, 300).Draw(t, "ops") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
			sum := fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "sum"))
			if known := rapid.Bool().Draw(t, "known"); i%2 == 0 {
				c.put(sum, Key{ID: sum}, known, now)
				put[sum] = now.Add(keyUnknownFor)
				if known {
					put[sum] = now.Add(keyKnownFor)
				}
			}
			k, known, found := c.get(sum, now)
			if found != now.Before(put[sum]) || known && k.ID != sum {
				t.Fatalf("%s at %v: %v %v %v", sum, now, k.ID, known, found)
			}
		}
	})
	c, now := newKeyCache(), time.Now()
	for i := range 3 * keyCacheSize {
		c.put(fmt.Sprint(i), Key{}, i%2 == 0, now)
		c.touch(fmt.Sprint(i), now)
	}
	for _, n := range []int{len(c.known), len(c.unknown), len(c.touched)} {
		if n > keyCacheSize {
			t.Errorf("%d entries", n)
		}
	}
}
