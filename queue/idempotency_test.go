package queue

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/wispanel/wptk/tasks"
	"pgregory.net/rapid"
)

func TestTwentyClientsWithOneKeyGetOneOp(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	clients := []*Client{NewClient(s), NewClient(beside(t, s))}
	ops := make([]string, 20)
	var ours sync.Map
	var all sync.WaitGroup
	for i := range ops {
		all.Go(func() {
			r, first, err := clients[i%2].Reserve(t.Context(), Reservation{Scope: "k1", Key: "abc", Hash: "h", OpID: tasks.NewOpID("n1")})
			if err != nil {
				t.Error(err)
			}
			if first {
				ours.Store(i, true)
			}
			ops[i] = r.OpID
		})
	}
	all.Wait()
	for _, op := range ops {
		if op != ops[0] || !tasks.IsOpID(op) {
			t.Fatalf("different ops: %v", ops)
		}
	}
	n := 0
	ours.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d clients were first", n)
	}
}

func TestKeyOfAnotherRequestIsAMismatch(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	r := Reservation{Scope: "k1", Key: "abc", Hash: RequestHash("POST", "/a", []byte(`{"x":1}`)), OpID: "op1"}
	_, first, err := c.Reserve(t.Context(), r)
	if !first || err != nil {
		t.Fatal(first, err)
	}
	r.Hash = RequestHash("POST", "/a", []byte(`{"x":2}`))
	if _, _, err := c.Reserve(t.Context(), r); !errors.Is(err, ErrMismatch) {
		t.Errorf("other body: %v", err)
	}
	r.Scope = "k2"
	if _, first, err := c.Reserve(t.Context(), r); !first || err != nil {
		t.Errorf("other API key: %v %v", first, err)
	}
}

func TestFirstAnswerIsKeptForRepeats(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	r := Reservation{Scope: "k1", Key: "\x00any\nbytes ÿ", Hash: "h", OpID: "op1"}
	_, _, err := c.Reserve(t.Context(), r)
	ok(t, err)
	if again, _, err := c.Reserve(t.Context(), r); err != nil || again.Answered() || again.OpID != "op1" {
		t.Errorf("before the answer: %+v, %v", again, err)
	}
	body := "{\"id\":\"\x00ÿ\"}"
	ok(t, c.Answer(t.Context(), r, 202, []byte(body)))
	ok(t, c.Answer(t.Context(), r, 500, []byte("late")))
	ok(t, c.Release(t.Context(), r))
	r.OpID = "op2"
	again, first, err := c.Reserve(t.Context(), r)
	if err != nil || first || again.OpID != "op1" || again.Status != 202 || string(again.Body) != body {
		t.Errorf("after the answer: %+v, %v, %v", again, first, err)
	}
	ttl := s.rdb.PTTL(t.Context(), r.key(s.names)[0]).Val()
	if ttl <= 0 || ttl > ReservationTTL {
		t.Errorf("kept for %v", ttl)
	}
}

func TestAnswerTooLargeIsNotKept(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	r := Reservation{Scope: "k1", Key: "abc", Hash: "h", OpID: "op1"}
	_, _, err := c.Reserve(t.Context(), r)
	ok(t, err)
	if err := c.Answer(t.Context(), r, 200, make([]byte, MaxAnswer+1)); !errors.Is(err, ErrAnswerTooLarge) {
		t.Errorf("got %v", err)
	}
	if again, _, err := c.Reserve(t.Context(), r); err != nil || again.Answered() {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestReleasedKeyMayBeUsedForAnotherRequest(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	r := Reservation{Scope: "k1", Key: "abc", Hash: "h", OpID: "op1"}
	_, _, err := c.Reserve(t.Context(), r)
	ok(t, err)
	ok(t, c.Release(t.Context(), Reservation{Scope: "k1", Key: "abc", OpID: "other"}))
	if _, first, err := c.Reserve(t.Context(), r); first || err != nil {
		t.Errorf("released by a stranger: %v %v", first, err)
	}
	ok(t, c.Release(t.Context(), r))
	r.Hash, r.OpID = "h2", "op2"
	if got, first, err := c.Reserve(t.Context(), r); !first || err != nil || got.OpID != "op2" {
		t.Errorf("%+v %v %v", got, first, err)
	}
}

func TestRequestHashSeesContentAndNotSpelling(t *testing.T) {
	t.Parallel()
	a := RequestHash("POST", "/i", []byte(`{"a":1,"b":[true,"x"]}`))
	if b := RequestHash("POST", "/i", []byte("{ \"b\": [ true,\"\\u0078\" ],\n\"a\": 1.0 }")); a != b {
		t.Error("spelling changes the hash")
	}
	for _, other := range []string{
		RequestHash("PUT", "/i", []byte(`{"a":1,"b":[true,"x"]}`)), RequestHash("POST", "/j", []byte(`{"a":1,"b":[true,"x"]}`)),
		RequestHash("POST", "/i", []byte(`{"a":1,"b":["x",true]}`)), RequestHash("POST", "/i", nil),
	} {
		if a == other {
			t.Error("different requests, one hash")
		}
	}
	body := []byte(`{"b":1,"a":2}`)
	RequestHash("POST", "/i", body)
	if string(body) != `{"b":1,"a":2}` {
		t.Errorf("the caller's body became %s", body)
	}
}

func TestRequestHashSeparatesItsParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z/:0-9]{0,12}`)
		a := []string{text.Draw(t, "m1"), text.Draw(t, "p1"), "not json " + text.Draw(t, "b1")}
		b := []string{text.Draw(t, "m2"), text.Draw(t, "p2"), "not json " + text.Draw(t, "b2")}
		same := strings.Join(a, "\x00") == strings.Join(b, "\x00")
		if (RequestHash(a[0], a[1], []byte(a[2])) == RequestHash(b[0], b[1], []byte(b[2]))) != same {
			t.Fatalf("%q and %q", a, b)
		}
	})
}
