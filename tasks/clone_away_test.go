package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/wp/wptest"
)

// errand is what a node has another one do: the first time it is asked it says that the op
// waits, then it answers with what run makes of the op.
type errand struct {
	run       func(Op) Op
	asked     []string
	done      *Op
	cancelled []string
}

func (e *errand) Ensure(_ context.Context, op Op) (Op, error) {
	e.asked = append(e.asked, op.ID)
	if op.State = Queued; len(e.asked) == 1 {
		return op, nil
	}
	if e.done == nil {
		ended := e.run(op)
		e.done = &ended
	}
	return *e.done, nil
}

func (e *errand) Cancel(_ context.Context, id string) (Op, error) {
	e.cancelled = append(e.cancelled, id)
	return Op{ID: id}, nil
}

// mustReachAnotherNode has a worker that dies at every third boundary copy the original to a
// node that shares nothing but the store with its own.
func (s original) mustReachAnotherNode(t *testing.T, account string) {
	t.Helper()
	shelf, far := newShelf(), newNode(t)
	far.host.Node = "node-2"
	s.node.host.Backups, s.node.catalog, far.host.Backups, far.catalog = shelf, shelf, shelf, shelf
	reason := ""
	parcel := &errand{run: func(op Op) Op {
		o := s.then(t, op.Kind, string(op.Payload))
		o.op.ID, o.cfg.Op.ID = op.ID, op.ID
		made := answerOf[Backup](t, o.mustEnd(Succeeded))
		reason, op.State = made.Reason, Succeeded
		return op
	}}
	far.ops = parcel
	wptest.Domain(t, far.home, account, "far.test")
	o := s.cloneTo(t, account, "far.test", "public_html/shop", Clone{})
	o.node = far
	o.op.Site.Node, o.op.Site.ID = "node-2", SiteID("node-2", account, "far.test", "public_html/shop")
	o.op.ID = NewOpID("node-2")
	o.cfg.Op = o.op
	r := &reaper{order: o, shares: 3, seen: map[string]bool{}}
	o.fail = r.entry
	out, err := r.live()
	for isLater(err) {
		out, err = r.live()
	}
	must(t, err)
	o.mustBe(out, Succeeded)
	if got := o.mustBeACopy(out); got.SourceID != s.op.Site.ID || got.SourceURL != "http://old.test" || r.deaths < 5 {
		t.Errorf("%d deaths, %+v", r.deaths, got)
	}
	if got := slices.Compact(slices.Clone(parcel.asked)); !slices.Equal(got, []string{ChildOpID(o.op.ID, s.op.Site)}) || reason != BackupClone {
		t.Errorf("asked for %q, reason %q", parcel.asked, reason)
	}
	if len(shelf.streams) != 0 || len(shelf.records) != 0 || len(parcel.cancelled) != 0 {
		t.Errorf("%d backups are left, %q was called off", len(shelf.streams), parcel.cancelled)
	}
}

func TestCloneFromAnotherNodeEndsWithItsBackup(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	shelf := newShelf()
	n.host.Backups, n.catalog = shelf, shelf
	ref := SiteRef{ID: SiteID("node-2", "otto", "old.test", "public_html"), Node: "node-2", Account: "otto", Domain: "old.test", Path: "public_html"}
	for name, c := range map[string]struct {
		answer Op
		asked  time.Duration // ago
		code   string
		says   string
	}{
		"failed":      {Op{State: Failed, Error: &Failure{Code: CodeMultisite, Message: "A network.", Hint: "No."}}, 0, CodeMultisite, "A network."},
		"cancelled":   {Op{State: Cancelled}, 0, CodeBackupFailed, "cancelled"},
		"not begun":   {Op{State: Queued}, 2 * parcelBegins, CodeBackupFailed, "in time"},
		"never ended": {Op{State: Running}, 2 * parcelEnds, CodeBackupFailed, "in time"},
		"not there":   {Op{State: Succeeded}, 0, CodeNoBackup, ""},
	} {
		payload, err := json.Marshal(Clone{Source: ref})
		must(t, err)
		call := &errand{asked: []string{"once"}, run: func(op Op) Op { c.answer.ID = op.ID; return c.answer }}
		n.ops = call
		o := n.order(t, "olympia", "far.test", "public_html", Install{}).then(t, "clone", string(payload))
		asked := time.Now().UTC().Add(-c.asked).Format(time.RFC3339)
		must(t, o.journal.Append(o.op.ID, Entry{Mark: MarkSet, Key: keyAsked, Value: asked}))
		out := o.mustEnd(Failed)
		if out.Error.Code != c.code || !strings.Contains(out.Error.Message, c.says) || out.Error.Hint == "" {
			t.Errorf("%s: %+v", name, out.Error)
		}
		if !slices.Equal(call.cancelled, []string{ChildOpID(o.op.ID, ref)}) || len(entries(t, o.home())) != 0 {
			t.Errorf("%s: called off %q", name, call.cancelled)
		}
	}
	// While the other node is at it, the op waits without holding anything.
	payload, err := json.Marshal(Clone{Source: ref})
	must(t, err)
	n.ops = &errand{}
	_, err = n.order(t, "olympia", "far.test", "public_html", Install{}).then(t, "clone", string(payload)).attempt()
	var later *LaterError
	if !errors.As(err, &later) || later.After != parcelFirst {
		t.Errorf("%v", err)
	}
}
