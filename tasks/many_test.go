package tasks

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// One payload serves all nodes, so nothing in it may be sealed to one of them.
func TestKindsForManyHoldNoSecrets(t *testing.T) {
	t.Parallel()
	many := 0
	for _, kind := range Kinds() {
		if !ForMany(kind) {
			continue
		}
		many++
		spec, _ := Lookup(kind)
		task := spec.New()
		if _, generates := task.(Generator); generates || holdsSecret(reflect.TypeOf(task)) {
			t.Errorf("%s has a secret", kind)
		}
	}
	if many < 20 {
		t.Errorf("%d kinds are for many", many)
	}
	for _, kind := range []string{"install", "site.delete", "admin.create", "admin.autologin", "password.reset"} {
		if ForMany(kind) {
			t.Errorf("%s is for many", kind)
		}
	}
	for _, kind := range TimedKinds() {
		if !ForMany(kind) {
			t.Errorf("%s is for schedules, and not for many", kind)
		}
	}
}

func TestDerivedIDIsTheSameEveryTimeAndSortsByItsTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "at"))
		node, seed := rapid.String().Draw(t, "node"), rapid.String().Draw(t, "seed")
		id := DerivedOpID(at, node, seed)
		if shard, ok := Shard(id); !ok || !IsOpID(id) || shard != NodeShard(node) || id != DerivedOpID(at, node, seed) {
			t.Fatalf("%s", id)
		}
		if u, err := uuid.Parse(id[len(opPrefix):]); err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("%s is no UUIDv7", id)
		}
		if other := DerivedOpID(at, node, seed+"x"); other == id {
			t.Fatalf("two seeds share %s", id)
		}
		if later := DerivedOpID(at.Add(time.Millisecond), node, seed); later <= id {
			t.Fatalf("%s sorts before %s", later, id)
		}
	})
}

func TestChildIDBelongsToItsNodeAndItsRollout(t *testing.T) {
	t.Parallel()
	rollout := NewOpID("")
	site := SiteRef{ID: SiteID("n1", "alice", "a.example", ""), Node: "n1"}
	other := SiteRef{ID: SiteID("n1", "alice", "b.example", ""), Node: "n1"}
	id := ChildOpID(rollout, site)
	if shard, _ := Shard(id); !IsOpID(id) || shard != NodeShard("n1") || id[:16] != rollout[:16] {
		t.Errorf("%s of %s", id, rollout)
	}
	if id != ChildOpID(rollout, site) || id == ChildOpID(rollout, other) || id == ChildOpID(NewOpID(""), site) {
		t.Errorf("%s is not of this site and this rollout alone", id)
	}
}
