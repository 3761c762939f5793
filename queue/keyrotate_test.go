package queue

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/wispanel/wptk/tasks"
)

func TestRotatedKeyAndItsSuccessorBothWorkUntilTheOverlapEnds(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	made, secret := createKey(t, c, NewKey{Name: "ci", Owner: "alice", Permissions: []string{"read"}, IPWhitelist: []string{"10.0.0.0/8"}, RateLimit: 5})
	old := must[Key](t)(c.FindKey(t.Context(), "alice", made.ID))
	next, fresh, until, err := c.RotateKey(t.Context(), old, time.Hour)
	ok(t, err)
	if fresh == secret || next.ID == made.ID || !reflect.DeepEqual(next.Successor(), made.Successor()) {
		t.Errorf("%+v after %+v", next, made)
	}
	before := must[Key](t)(c.LookupKey(t.Context(), secret))
	if !before.ExpiresAt.Equal(until) || time.Until(until) > time.Hour || time.Until(until) < 50*time.Minute {
		t.Errorf("the old key ends at %v, it says %v", before.ExpiresAt, until)
	}
	if got := must[Key](t)(c.LookupKey(t.Context(), fresh)); got.ID != next.ID || !got.ExpiresAt.IsZero() {
		t.Errorf("the new key is %+v", got)
	}
	if _, _, ends, err := c.RotateKey(t.Context(), must[Key](t)(c.FindKey(t.Context(), "", made.ID)), MaxOverlap); err != nil || !ends.Equal(until) {
		t.Errorf("rotated again: until %v, %v; a rotation must not prolong a key", ends, err)
	}
}

func TestKeyRotatedWithoutOverlapIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	made, secret := createKey(t, c, NewKey{Name: "ci", Owner: "alice"})
	old := must[Key](t)(c.FindKey(t.Context(), "", made.ID))
	_, fresh, _, err := c.RotateKey(t.Context(), old, 0)
	ok(t, err)
	if _, err := c.LookupKey(t.Context(), secret); !errors.Is(err, ErrBadKey) {
		t.Errorf("the old key: %v", err)
	}
	must[Key](t)(c.LookupKey(t.Context(), fresh))
}

func TestRotationThatComesTooLateLeavesNoKeyBehind(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	made, _ := createKey(t, c, NewKey{Name: "ci", Owner: "alice"})
	old := must[Key](t)(c.FindKey(t.Context(), "alice", made.ID))
	ok(t, c.RevokeKey(t.Context(), "alice", made.ID))
	if _, _, _, err := c.RotateKey(t.Context(), old, time.Hour); !errors.Is(err, ErrNotFound) {
		t.Errorf("a revoked key: %v", err)
	}
	if left := must[[]Key](t)(c.ListKeys(t.Context(), "")); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	for _, owner := range []string{"bob", "alice", ""} {
		if _, err := c.FindKey(t.Context(), owner, made.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("found for %q: %v", owner, err)
		}
	}
	var invalid *tasks.InvalidError
	if _, _, _, err := c.RotateKey(t.Context(), old, MaxOverlap+1); !errors.As(err, &invalid) {
		t.Errorf("too long an overlap: %v", err)
	}
}

func TestRotationDoesNotBringARevokedKeyBack(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	made, secret := createKey(t, c, NewKey{Name: "ci", Owner: "alice"})
	old := must[Key](t)(c.FindKey(t.Context(), "", made.ID))
	ok(t, c.RevokeKey(t.Context(), "", made.ID))
	if err := c.expireKey(t.Context(), old.sum, time.Now().Add(time.Hour)); !errors.Is(err, ErrNotFound) {
		t.Errorf("expiring it: %v", err)
	}
	if _, err := c.LookupKey(t.Context(), secret); !errors.Is(err, ErrBadKey) {
		t.Errorf("looking it up: %v", err)
	}
}
