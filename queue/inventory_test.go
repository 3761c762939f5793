package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"pgregory.net/rapid"
)

// publishedDomains is what clients see of a node's domains, read from Redis at large
// and not through any index.
func publishedDomains(t interface{ Fatal(...any) }, s *Store) []string {
	keys, err := s.rdb.Keys(context.Background(), s.names.prefix+"dom:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, key := range keys {
		for _, place := range s.rdb.HKeys(context.Background(), key).Val() {
			out = append(out, place+" "+strings.Trim(key[len(s.names.prefix+"dom:"):], "{}"))
		}
	}
	slices.Sort(out)
	return out
}

func TestDomainsAreKnownByNodeAndAccount(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	n1, n2 := testNode(t, s, "web-1"), testNode(t, s, "web-2")
	ok(t, n1.PublishDomains(t.Context(), []Domain{
		{Account: "alice", Domain: "A.example"}, {Account: "mallory", Domain: "a.example"}, {Account: "alice", Domain: "b.example"},
	}))
	ok(t, n2.PublishDomains(t.Context(), []Domain{{Account: "alice", Domain: "a.example"}}))

	want := []Domain{{"web-1", "alice", "a.example"}, {"web-1", "mallory", "a.example"}, {"web-2", "alice", "a.example"}}
	if got := must[[]Domain](t)(c.Domain(t.Context(), "a.EXAMPLE")); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := must[[]Domain](t)(c.Domain(t.Context(), "c.example")); len(got) != 0 {
		t.Errorf("unknown domain is at %v", got)
	}
	ok(t, n1.PublishDomains(t.Context(), []Domain{{Account: "alice", Domain: "b.example"}}))
	if got := must[[]Domain](t)(c.Domain(t.Context(), "a.example")); !slices.Equal(got, want[2:]) {
		t.Errorf("got %v, want %v", got, want[2:])
	}
}

func TestUnchangedScanWritesNothing(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	n := testNode(t, s, "web-1")
	domains, sites := make([]Domain, 1200), make([]Site, 1200)
	for i := range domains {
		domains[i] = Domain{Account: "alice", Domain: fmt.Sprintf("d%d.example", i)}
		sites[i] = testSite("web-1", "alice", domains[i].Domain, "")
	}
	ok(t, n.PublishDomains(t.Context(), domains))
	ok(t, n.PublishSites(t.Context(), time.Now(), sites))
	w := watchWire(s)
	for i := range sites {
		sites[i].UpdatedAt, sites[i].Source = time.Now(), SourceScan
	}
	ok(t, n.PublishDomains(t.Context(), domains))
	ok(t, n.PublishSites(t.Context(), time.Now(), sites))
	if got := w.commands.Load(); got != 2 { // the size of each index
		t.Errorf("%d commands", got)
	}
}

func TestRestartedWorkerRemovesWhatIsGone(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	n := testNode(t, s, "web-1")
	ok(t, n.PublishDomains(t.Context(), []Domain{{Account: "alice", Domain: "a.example"}, {Account: "alice", Domain: "b.example"}}))
	restarted := testNode(t, s, "web-1")
	ok(t, restarted.PublishDomains(t.Context(), []Domain{{Account: "alice", Domain: "b.example"}}))
	if got := publishedDomains(t, s); !slices.Equal(got, []string{"web-1/alice b.example"}) {
		t.Errorf("published: %v", got)
	}
}

func TestNodePublishesAgainWhenRedisLostItsData(t *testing.T) {
	t.Parallel()
	s := openStore(t, devstack.RedisT(t).URL(0)) // its own: scripts are lost for all databases
	c, n := NewClient(s), testNode(t, s, "web-1")
	<-n.Rescan()
	domains := []Domain{{Account: "alice", Domain: "a.example"}}
	site := testSite("web-1", "alice", "a.example", "")
	ok(t, n.PublishDomains(t.Context(), domains))
	ok(t, n.PublishSites(t.Context(), time.Now(), []Site{site}))

	ok(t, s.rdb.FlushDB(t.Context()).Err())
	ok(t, s.rdb.ScriptFlush(t.Context()).Err())
	ok(t, n.Register(t.Context())) // the next heartbeat
	<-n.Rescan()
	ok(t, n.PublishDomains(t.Context(), domains))
	ok(t, n.PublishSites(t.Context(), time.Now(), []Site{site}))
	if got := must[[]Domain](t)(c.Domain(t.Context(), "a.example")); len(got) != 1 {
		t.Errorf("domain is at %v", got)
	}
	must[Site](t)(c.Site(t.Context(), site.ID))
	if got := must[[]NodeInfo](t)(c.Nodes(t.Context())); len(got) != 1 {
		t.Errorf("nodes: %+v", got)
	}
}

// scanOf publishes what a scan found: one install per domain, named by number.
// It answers what clients should see then.
func scanOf(n *Node, found []int, version string) (want []string, err error) {
	var domains []Domain
	var sites []Site
	for _, i := range found {
		name := fmt.Sprintf("d%d.example", i)
		site := testSite("web-1", "alice", name, "")
		site.Version = version
		domains, sites = append(domains, Domain{Account: "alice", Domain: name}), append(sites, site)
		want = append(want, "web-1/alice "+name)
	}
	slices.Sort(want)
	return want, errors.Join(
		n.PublishDomains(context.Background(), domains), n.PublishSites(context.Background(), time.Now(), sites))
}

// Whatever scans find, wherever the connection breaks or the worker dies, the
// next whole scan leaves exactly what it found.
func TestInventoryIsExactAfterAnyCrash(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	w := watchWire(s)
	names := rapid.SliceOfDistinct(rapid.IntRange(0, 7), rapid.ID[int])
	rapid.Check(t, func(rt *rapid.T) {
		if err := s.rdb.FlushDB(t.Context()).Err(); err != nil {
			rt.Fatal(err)
		}
		n := NewNode(s, NodeConfig{ID: "web-1"})
		for range rapid.IntRange(0, 6).Draw(rt, "crashes") {
			found, version := names.Draw(rt, "found"), rapid.StringMatching(`6\.[0-3]`).Draw(rt, "version")
			w.late.Store(rapid.Bool().Draw(rt, "answer lost"))
			w.cutAt.Store(w.trips.Load() + int64(rapid.IntRange(1, 20).Draw(rt, "trips")))
			if _, err := scanOf(n, found, version); err != nil && !errors.Is(err, errCut) {
				rt.Fatal(err)
			}
			w.cutAt.Store(0)
			if rapid.Bool().Draw(rt, "worker died") {
				n = NewNode(s, NodeConfig{ID: "web-1"})
			}
		}
		want, err := scanOf(n, names.Draw(rt, "found"), "7.0")
		if err != nil {
			rt.Fatal(err)
		}
		checkPublished(rt, s, want)
	})
}

func checkPublished(t *rapid.T, s *Store, want []string) {
	if got := publishedDomains(t, s); !slices.Equal(got, want) {
		t.Fatalf("domains %v, want %v", got, want)
	}
	if got := publishedSites(t, s); !slices.Equal(got, want) {
		t.Fatalf("sites %v, want %v", got, want)
	}
	page, err := NewClient(s).Sites(context.Background(), SiteFilter{Account: "alice", Version: "7.0"})
	if err != nil || len(page.Items) != len(want) {
		t.Fatalf("listed %d, want %d (%v)", len(page.Items), len(want), err)
	}
	if n := s.rdb.ZCard(context.Background(), s.names.allSites()).Val(); int(n) != len(want) {
		t.Fatalf("%d entries in the index, want %d", n, len(want))
	}
}

func publishedSites(t interface{ Fatal(...any) }, s *Store) []string {
	keys, err := s.rdb.Keys(context.Background(), s.names.prefix+"site:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, key := range keys {
		site, err := decodeSite(s.rdb.HGet(context.Background(), key, "rec").Val())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, site.Node+"/"+site.Account+" "+site.Domain)
	}
	slices.Sort(out)
	return out
}
