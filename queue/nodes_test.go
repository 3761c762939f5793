package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func testNode(t *testing.T, s *Store, id string) *Node {
	t.Helper()
	n := NewNode(s, NodeConfig{ID: id, Version: "1.2.3", Recipient: "age1x", PHP: "8.2", WPCLI: "2.12", WordPress: []string{"6.5"}, FastSlots: 4, BulkSlots: 1})
	ok(t, n.Register(t.Context()))
	return n
}

func TestRegisteredNodeIsListedWithItsDescription(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	testNode(t, s, "web-2")
	n := testNode(t, s, "web-1")
	n.running.Store(3)
	ok(t, n.PublishSites(t.Context(), time.Now(), []Site{testSite("web-1", "alice", "a.example", "")}))
	ok(t, n.Register(t.Context()))

	nodes := must[[]NodeInfo](t)(c.Nodes(t.Context()))
	if len(nodes) != 2 || nodes[0].ID != "web-1" || nodes[1].ID != "web-2" {
		t.Fatalf("got %+v", nodes)
	}
	got := nodes[0]
	if got.State != NodeUp || got.Late || got.Running != 3 || got.Sites != 1 || got.Recipient != "age1x" ||
		!slices.Equal(got.WordPress, []string{"6.5"}) || got.FastSlots != 4 || got.Heartbeat.IsZero() || got.Scanned.IsZero() {
		t.Errorf("got %+v", got)
	}
	if !nodes[1].Scanned.IsZero() {
		t.Errorf("never scanned, yet %v", nodes[1].Scanned)
	}
	if _, err := c.Node(t.Context(), "web-3"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown node: %v", err)
	}
}

func TestSilentNodeIsLateAndThenLost(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		silent time.Duration
		drain  bool
		state  NodeState
		late   bool
	}{
		{0, false, NodeUp, false},
		{lateAfter, false, NodeUp, false},
		{lateAfter + 1, false, NodeUp, true},
		{lostAfter, true, NodeDraining, true},
		{lostAfter + 1, false, NodeLost, false},
		{lostAfter + 1, true, NodeLost, false},
	} {
		if state, late := nodeState(tc.silent, tc.drain); state != tc.state || late != tc.late {
			t.Errorf("silent for %v, drain %v: %s, late %v", tc.silent, tc.drain, state, late)
		}
	}
}

func TestDrainPausesLanesAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	for _, drain := range []bool{true, true, false, false} {
		ok(t, c.SetDrain(t.Context(), "web-1", drain))
		ok(t, n.Register(t.Context())) // the next heartbeat
		if n.Draining() != drain {
			t.Errorf("node thinks it drains: %v", n.Draining())
		}
		for _, class := range laneClasses {
			paused := must[int64](t)(s.rdb.Exists(t.Context(), lanePaused(lane("web-1", class))).Result()) == 1
			if paused != drain {
				t.Errorf("lane %s paused: %v", class, paused)
			}
		}
		if state := must[NodeInfo](t)(c.Node(t.Context(), "web-1")).State; (state == NodeDraining) != drain {
			t.Errorf("state %s", state)
		}
	}
	if err := c.SetDrain(t.Context(), "web-9", true); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown node: %v", err)
	}
}

func TestRunBeatsUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	n := NewNode(s, NodeConfig{ID: "web-1"})
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	<-n.Rescan() // its first heartbeat asks for a scan, as nothing is published
	cancel()
	ok(t, <-ended)
}

func TestNodeWhoseHeartbeatHangsIsNotAlive(t *testing.T) {
	t.Parallel()
	n := NewNode(new(Store), NodeConfig{ID: "web-1"})
	if !n.Alive() {
		t.Error("dead before it began")
	}
	for silent, want := range map[time.Duration]bool{0: true, aliveFor - time.Second: true, aliveFor: false} {
		turned := time.Now().Add(-silent)
		n.turned.Store(&turned)
		if n.Alive() != want {
			t.Errorf("silent for %v: alive %v", silent, !want)
		}
	}
}

func TestRequestScanRingsTheNodeOrAll(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	testNode(t, s, "web-1")
	testNode(t, s, "web-2")
	sub := s.rdb.Subscribe(t.Context(), s.names.wake("web-1"), s.names.wake("web-2"))
	defer sub.Close()
	for range 2 { // until both are subscribed
		must[any](t)(sub.Receive(t.Context()))
	}
	ok(t, c.RequestScan(t.Context(), "web-1"))
	ok(t, c.RequestScan(t.Context(), ""))
	heard := map[string]int{}
	for range 3 {
		m, err := sub.ReceiveMessage(t.Context())
		ok(t, err)
		if m.Payload != ringScan {
			t.Errorf("rang %q", m.Payload)
		}
		heard[m.Channel]++
	}
	if heard[s.names.wake("web-1")] != 2 || heard[s.names.wake("web-2")] != 1 {
		t.Errorf("heard %v", heard)
	}
}

func TestNodeIDsAreCheckedBeforeTheyBecomeQueueNames(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"web-1": true, "a": true, "n1.eu.example": true, "": false, "-a": false, "A": false, "a}b": false, "a b": false, "a/b": false,
		string(make([]byte, 64)): false,
	} {
		if ValidNodeID(id) != want {
			t.Errorf("%q valid: %v", id, !want)
		}
	}
}
