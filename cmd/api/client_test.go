package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/wispanel/wptk/client"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// dial is the Go client with alice's key.
func (k *kit) dial(opts client.Options) *client.Client {
	k.t.Helper()
	c, err := client.New(k.api.URL, k.alice, opts)
	must(k.t, err)
	return c
}

var wanted = client.InstallRequest{Domain: "blog.com", Path: "public_html", Title: "Blog", AdminUser: "boss", AdminEmail: "boss@blog.com", DBName: "blog_wp"}

func TestGoClientFollowsAnInstallWithAndWithoutAStream(t *testing.T) {
	t.Parallel()
	for _, pollOnly := range []bool{false, true} {
		k := newKit(t)
		passwords := make(chan string, 1)
		k.work(k.succeed(passwords))
		c := k.dial(client.Options{PollOnly: pollOnly})
		ctx := client.WithIdempotencyKey(t.Context(), "order-17")
		took, err := c.Install(ctx, wanted)
		must(t, err)
		again, err := c.Install(ctx, wanted)
		must(t, err)
		if again.OperationID != took.OperationID {
			t.Errorf("one key made %s and %s", took.OperationID, again.OperationID)
		}
		var seen []int64
		op, err := c.Wait(t.Context(), took.ID, func(op client.Operation) { seen = append(seen, op.Seq) })
		must(t, err)
		var result struct {
			Password string `json:"admin_password"`
		}
		must(t, op.Into(&result))
		if op.OperationID != took.OperationID || !op.Done || op.Status != "succeeded" || result.Password != <-passwords {
			t.Errorf("ended as %+v", op)
		}
		if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) || len(seen) == 0 {
			t.Errorf("saw %v", seen)
		}
		ops, err := c.Operations(t.Context(), client.OperationsQuery{IDs: []string{took.OperationID}})
		must(t, err)
		if len(ops.Operations) != 1 || ops.Operations[0].Type != "install" || ops.Operations[0].FinishedAt == nil {
			t.Errorf("listed as %+v", ops)
		}
		log, err := c.Log(t.Context(), took.OperationID, client.LogQuery{})
		must(t, err)
		if len(log.Lines) != 1 || log.Lines[0].Text != "all done" {
			t.Errorf("the log is %+v", log.Lines)
		}
	}
}

func TestGoClientTellsHowAnOperationFailed(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.work(func(context.Context, tasks.Op, *queue.Recorder) (tasks.Outcome, error) {
		return tasks.Outcome{State: tasks.Failed, Error: &tasks.Failure{Code: "disk_full", Message: "The disk is full", Hint: "make room"}, Result: json.RawMessage(`{}`)}, nil
	})
	c := k.dial(client.Options{})
	took, err := c.Install(t.Context(), wanted)
	must(t, err)
	op, err := c.Wait(t.Context(), took.OperationID, nil)
	var end *client.EndError
	if !errors.Is(err, client.ErrFailed) || !errors.As(err, &end) || end.Code != "disk_full" || end.Hint != "make room" || op.Status != "failed" {
		t.Errorf("ended with %v, %+v", err, op)
	}
}

func TestGoClientKnowsEveryRefusal(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	c := k.dial(client.Options{})
	took, err := c.Install(client.WithIdempotencyKey(t.Context(), "order-18"), wanted)
	must(t, err)

	_, err = c.Install(t.Context(), client.InstallRequest{})
	var refused *client.Error
	if !errors.Is(err, client.ErrInvalid) || !errors.As(err, &refused) || len(refused.Details) < 4 || refused.RequestID == "" {
		t.Errorf("an empty install is %v", err)
	}
	busy := wanted
	busy.OnBusy = "fail"
	if _, err = c.Install(t.Context(), busy); !errors.Is(err, client.ErrConflict) || !errors.As(err, &refused) || refused.OperationID != took.OperationID {
		t.Errorf("a busy install is %v", err)
	}
	if _, err = c.Install(client.WithIdempotencyKey(t.Context(), "order-18"), busy); !errors.Is(err, client.ErrIdempotencyMismatch) {
		t.Errorf("a used key is %v", err)
	}
	if _, err = c.Wait(t.Context(), "op_nothing", nil); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("an unknown operation is %v", err)
	}
	if _, err = c.DrainNode(t.Context(), "n1"); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("an admin's call is %v", err)
	}
	stranger, err := client.New(k.api.URL, "wsp_no", client.Options{})
	must(t, err)
	if _, err = stranger.Status(t.Context()); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("a bad key is %v", err)
	}
}

func TestGoClientFollowsAnAccountAndAnInstallThroughBreaks(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	c := k.dial(client.Options{})
	site := tasks.SiteID("n1", "alice", "new.example", "public_html")
	first := k.begunOn("alice", site)
	last, want := "", []string{first}
	for e, err := range c.Events(t.Context(), client.EventsQuery{}) {
		must(t, err)
		if last = e.ID; e.Snapshot != nil {
			if ops := e.Snapshot.Operations; len(ops) != 1 || ops[0].OperationID != first {
				t.Errorf("the snapshot has %+v", ops)
			}
			k.cancelled(first)
			continue
		}
		if e.Change.OperationID != first || e.Change.ID != site || !e.Change.Done || e.Change.Status != "cancelled" || e.Change.Type != "site.inspect" || e.Change.At.IsZero() {
			t.Errorf("told of %+v", e.Change)
		}
		break
	}
	for range 3 { // while nobody listens
		want = append(want, k.begunOn("alice", site))
		k.cancelled(want[len(want)-1])
	}
	k.cancelled(k.begun("alice")) // on another install
	for _, events := range []iter.Seq2[client.StreamEvent, error]{
		c.Events(t.Context(), client.EventsQuery{Account: "alice", After: last}), c.InstallationEvents(t.Context(), site, last),
	} {
		var seen []string
		for e, err := range events {
			must(t, err)
			if e.Change != nil && e.Change.Done {
				seen = append(seen, e.Change.OperationID)
			}
			if len(seen) == 3 {
				break
			}
		}
		if !slices.Equal(seen, want[1:]) {
			t.Errorf("told of %v, want %v", seen, want[1:])
		}
	}
	for _, err := range c.Events(t.Context(), client.EventsQuery{Account: "bob"}) {
		if !errors.Is(err, client.ErrForbidden) {
			t.Errorf("another account's events are %v", err)
		}
	}
}

func TestGoClientReadsManyOperationsAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	c := k.dial(client.Options{})
	one, two, bobs := k.begun("alice"), k.begun("alice"), k.begun("bob")
	k.cancelled(two)
	got, err := c.Operations(t.Context(), client.OperationsQuery{IDs: []string{two, bobs, "op_nothing", one}})
	must(t, err)
	seen := map[string]string{}
	for _, op := range got.Operations {
		seen[op.OperationID] = op.Status
	}
	if len(got.Operations) != 2 || seen[one] != "queued" || seen[two] != "cancelled" {
		t.Errorf("alice, who asks for two of hers, one of bob's and one of nobody's, is told %v", seen)
	}
}
