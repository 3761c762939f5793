package queue

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestDetailsAreReadAsTheyWereKept(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	site := testSite("web-1", "alice", "a.example", "blog")
	ok(t, n.PutSite(t.Context(), site))
	if _, err := c.Details(t.Context(), site.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("before the first inspection: %v", err)
	}
	ok(t, n.SpoilDetails(t.Context(), site.ID)) // nothing there, nothing made
	seen := site
	seen.Status, seen.Reason = SiteBroken, "a plugin"
	at := time.UnixMilli(time.Now().UnixMilli()).UTC()
	facts := json.RawMessage(`{"x":"` + strings.Repeat("é", 10_000) + `"}`)
	ok(t, n.PutDetails(t.Context(), site.ID, Details{At: at, Seen: seen, Facts: facts}))

	got := must[Details](t)(c.Details(t.Context(), site.ID))
	if !got.At.Equal(at) || got.Stale || got.Seen != seen || string(got.Facts) != string(facts) {
		t.Errorf("got %+v", got)
	}
	if size := s.rdb.MemoryUsage(t.Context(), s.names.details(site.ID)).Val(); size > 4000 {
		t.Errorf("%d bytes in Redis", size)
	}
	ok(t, n.SpoilDetails(t.Context(), site.ID))
	if got := must[Details](t)(c.Details(t.Context(), site.ID)); !got.Stale {
		t.Error("an op that changed the install left the details fresh")
	}
	known := must[[]Known](t)(n.KnownSites(t.Context()))
	if len(known) != 1 || known[0].Site != site || known[0].Details.Seen != seen || !known[0].Details.Stale || known[0].Details.Facts != nil {
		t.Errorf("known %+v", known)
	}
	ok(t, n.PutDetails(t.Context(), site.ID, Details{At: at, Seen: seen, Facts: facts}))
	if got := must[Details](t)(c.Details(t.Context(), site.ID)); got.Stale {
		t.Error("a new inspection is stale")
	}
	if err := n.PutDetails(t.Context(), site.ID, Details{Facts: make([]byte, MaxFacts+1)}); err == nil {
		t.Error("too much was kept")
	}
}

func TestDetailsGoWithTheirInstall(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	byOp, byScan := testSite("web-1", "alice", "a.example", "blog"), testSite("web-1", "alice", "b.example", "blog")
	began := time.Now().Add(-time.Minute)
	ok(t, n.PublishSites(t.Context(), began, []Site{byOp, byScan}))
	details := Details{At: time.Now(), Facts: json.RawMessage(`{}`)}
	for _, site := range []Site{byOp, byScan} {
		ok(t, n.PutDetails(t.Context(), site.ID, details))
	}
	ok(t, n.RemoveSite(t.Context(), byOp.ID))
	ok(t, n.PublishSites(t.Context(), time.Now(), nil))
	for _, site := range []Site{byOp, byScan} {
		ok(t, n.PutDetails(t.Context(), site.ID, details)) // an inspection that was under way
		if _, err := c.Details(t.Context(), site.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", site.Domain, err)
		}
	}
}

func TestNodeTellsHowManyInstallsItHasOfEachStatus(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	broken := testSite("web-1", "alice", "b.example", "blog")
	broken.Status = SiteBroken
	ok(t, n.Register(t.Context()))
	ok(t, n.PublishSites(t.Context(), time.Now(), []Site{testSite("web-1", "alice", "a.example", "blog"), broken}))
	info := must[NodeInfo](t)(c.Node(t.Context(), "web-1"))
	if info.Statuses[SiteOK] != 1 || info.Statuses[SiteBroken] != 1 || info.Statuses[SiteSuspended] != 0 {
		t.Errorf("%+v", info.Statuses)
	}
	broken.Status = SiteOK // mended, and seen by an op
	ok(t, n.PutSite(t.Context(), broken))
	ok(t, n.RemoveSite(t.Context(), testSite("web-1", "alice", "a.example", "blog").ID))
	if info = must[NodeInfo](t)(c.Node(t.Context(), "web-1")); info.Statuses[SiteOK] != 1 || info.Statuses[SiteBroken] != 0 {
		t.Errorf("after ops: %+v", info.Statuses)
	}
}
