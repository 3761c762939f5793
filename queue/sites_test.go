package queue

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
	"pgregory.net/rapid"
)

func testSite(node, account, domain, path string) Site {
	return Site{
		SiteRef: tasks.SiteRef{ID: tasks.SiteID(node, account, domain, path), Node: node, Account: account, Domain: domain, Path: path},
		Status:  SiteOK, Version: "6.5", Title: "Title of " + domain, URL: "https://" + domain, Source: SourceInstall,
		UpdatedAt: time.Now().UTC(),
	}
}

func TestSiteIsReadAsItWasPut(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	site := testSite("web-1", "alice", "a.example", "blog")
	ok(t, n.PutSite(t.Context(), site))
	if got := must[Site](t)(c.Site(t.Context(), site.ID)); got != site {
		t.Errorf("got %+v, put %+v", got, site)
	}
	ok(t, n.RemoveSite(t.Context(), site.ID))
	if _, err := c.Site(t.Context(), site.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("after removal: %v", err)
	}
	if page := must[Page[Site]](t)(c.Sites(t.Context(), SiteFilter{})); len(page.Items) != 0 {
		t.Errorf("still listed: %+v", page.Items)
	}
}

func TestScanDoesNotUndoWhatAnOpWroteMeanwhile(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	site := testSite("web-1", "alice", "a.example", "")
	old := site
	old.Version = "6.4"
	began := time.Now()
	ok(t, n.PutSite(t.Context(), site))

	ok(t, n.PublishSites(t.Context(), began, nil))
	if got := must[Site](t)(c.Site(t.Context(), site.ID)); got.Version != "6.5" {
		t.Errorf("a scan that saw nothing: %+v", got)
	}
	ok(t, n.PublishSites(t.Context(), began, []Site{old}))
	if got := must[Site](t)(c.Site(t.Context(), site.ID)); got.Version != "6.5" {
		t.Errorf("a scan that saw the old version: %+v", got)
	}
	later := time.Now().Add(time.Second)
	ok(t, n.PublishSites(t.Context(), later, []Site{old}))
	if got := must[Site](t)(c.Site(t.Context(), site.ID)); got.Version != "6.4" {
		t.Errorf("a later scan: %+v", got)
	}
	ok(t, n.PublishSites(t.Context(), later, nil))
	if _, err := c.Site(t.Context(), site.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a later scan that saw nothing: %v", err)
	}
}

func TestScanDoesNotBringBackWhatAnOpRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	site := testSite("web-1", "alice", "a.example", "")
	ok(t, n.PutSite(t.Context(), site))
	began := time.Now()
	ok(t, n.RemoveSite(t.Context(), site.ID))
	ok(t, n.PublishSites(t.Context(), began, []Site{site}))
	if _, err := c.Site(t.Context(), site.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is back: %v", err)
	}
	ok(t, n.PublishSites(t.Context(), time.Now().Add(time.Second), []Site{site}))
	must[Site](t)(c.Site(t.Context(), site.ID))
	if ttl := s.rdb.PTTL(t.Context(), s.names.site(site.ID)).Val(); ttl >= 0 {
		t.Errorf("found again, but forgotten in %v", ttl)
	}
}

func TestSiteWithAnOpIsNotRemovedByAScan(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	site, other := testSite("web-1", "alice", "a.example", ""), testSite("web-1", "alice", "b.example", "")
	ok(t, n.PublishSites(t.Context(), time.Now(), []Site{site, other}))
	ok(t, s.rdb.RPush(t.Context(), s.names.fifo(site.ID), tasks.NewOpID("web-1")).Err())

	ok(t, n.PublishSites(t.Context(), time.Now(), nil))
	must[Site](t)(c.Site(t.Context(), site.ID))
	if _, err := c.Site(t.Context(), other.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the other: %v", err)
	}
	ok(t, s.rdb.Del(t.Context(), s.names.fifo(site.ID)).Err())
	ok(t, n.PublishSites(t.Context(), time.Now(), nil))
	if _, err := c.Site(t.Context(), site.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("when the op is over: %v", err)
	}
}

func TestSitesAreFilteredAndPagedInOrder(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n1, n2 := NewClient(s), testNode(t, s, "web-1"), testNode(t, s, "web-2")
	var one, two []Site
	for i := range 30 {
		one = append(one, testSite("web-1", "alice", fmt.Sprintf("d%02d.example", i), ""))
		two = append(two, testSite("web-2", "bob", fmt.Sprintf("d%02d.example", i), "blog"))
	}
	one[7].Version, one[8].Title = "6.2", "Ünïque SHOP"
	ok(t, n1.PublishSites(t.Context(), time.Now(), one))
	ok(t, n2.PublishSites(t.Context(), time.Now(), two))

	for _, tc := range []struct {
		filter SiteFilter
		want   int
	}{
		{SiteFilter{}, 60},
		{SiteFilter{Account: "alice"}, 30},
		{SiteFilter{Account: "nobody"}, 0},
		{SiteFilter{Domain: "D01.example"}, 2},
		{SiteFilter{Domain: "d01.example", Account: "bob"}, 1},
		{SiteFilter{Domain: "d01"}, 0},
		{SiteFilter{Node: "web-2"}, 30},
		{SiteFilter{Version: "6.2"}, 1},
		{SiteFilter{Query: "D1"}, 20},
		{SiteFilter{Query: "ünïque shop"}, 1},
	} {
		for _, limit := range []int{1, 7, 30, 60, 0} {
			tc.filter.Limit = limit
			members := listAll(t, c, tc.filter)
			if len(members) != tc.want || !slices.IsSorted(members) {
				t.Errorf("%+v: %d sites, want %d, in order: %v", tc.filter, len(members), tc.want, slices.IsSorted(members))
			}
		}
	}
}

// listAll follows the cursors from the first page to the last.
func listAll(t *testing.T, c *Client, f SiteFilter) (members []string) {
	t.Helper()
	for range 100 {
		page := must[Page[Site]](t)(c.Sites(t.Context(), f))
		if f.Limit > 0 && len(page.Items) > f.Limit {
			t.Fatalf("%+v: a page of %d", f, len(page.Items))
		}
		for _, site := range page.Items {
			members = append(members, site.member())
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return members
		}
	}
	t.Fatalf("%+v: no end", f)
	return nil
}

func TestBadCursorIsRefused(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	rapid.Check(t, func(rt *rapid.T) {
		cursor := rapid.StringN(1, 40, 40).Draw(rt, "cursor")
		if _, err := c.Sites(t.Context(), SiteFilter{Cursor: cursor}); !errors.Is(err, ErrBadCursor) {
			rt.Fatalf("%q: %v", cursor, err)
		}
	})
}

func TestDamagedRecordHidesNoOther(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	bad, good := testSite("web-1", "alice", "a.example", ""), testSite("web-1", "alice", "b.example", "")
	ok(t, n.PublishSites(t.Context(), time.Now(), []Site{bad, good}))
	ok(t, s.rdb.HSet(t.Context(), s.names.site(bad.ID), "rec", "{").Err())
	page := must[Page[Site]](t)(c.Sites(t.Context(), SiteFilter{}))
	if len(page.Items) != 1 || page.Items[0].ID != good.ID {
		t.Errorf("got %+v", page.Items)
	}
}

// A page of a fleet of 100,000 installs costs what a page of a small one does.
func TestPageCostsTheSameInAFleetOfAnySize(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), testNode(t, s, "web-1")
	const fleet = 100_000
	sites := make([]Site, 0, 1000)
	for i := range 1000 {
		sites = append(sites, testSite("web-1", "alice", fmt.Sprintf("x%06d.example", i*100), ""))
	}
	ok(t, n.PublishSites(t.Context(), time.Now(), sites))
	w := watchWire(s)
	cost := func(f SiteFilter) (trips, commands int64) {
		t0, c0 := w.trips.Load(), w.commands.Load()
		must[Page[Site]](t)(c.Sites(t.Context(), f))
		return w.trips.Load() - t0, w.commands.Load() - c0
	}
	filters := []SiteFilter{{}, {Limit: 1000}, {Domain: "x050000.example"}, {Query: "nothing"}, {Account: "alice", Version: "1.0", Limit: 500}}
	var before [][2]int64
	for _, f := range filters {
		trips, commands := cost(f)
		before = append(before, [2]int64{trips, commands})
	}
	for from := 0; from < fleet; from += 5000 { // synthetic neighbours, without records
		entries := make([]redis.Z, 5000)
		for i := range entries {
			entries[i].Member = testSite("web-2", "bob", fmt.Sprintf("x%06d.example", from+i), "blog").member()
		}
		ok(t, s.rdb.ZAdd(t.Context(), s.names.allSites(), entries...).Err())
		ok(t, s.rdb.ZAdd(t.Context(), s.names.accountSites("alice"), entries...).Err())
	}
	for i, f := range filters {
		trips, commands := cost(f)
		most := int64(siteScan * 2)
		if trips > most || commands > most*(int64(max(f.Limit, listDefault))+2) {
			t.Errorf("%+v: %d round trips and %d commands, before %v", f, trips, commands, before[i])
		}
	}
	if trips, commands := cost(SiteFilter{Domain: "x050000.example"}); trips != before[2][0] || commands > before[2][1]+1 {
		t.Errorf("one domain: %d round trips, %d commands, before %v", trips, commands, before[2])
	}
}
