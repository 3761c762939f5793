package queue

import (
	"testing"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
)

// Keys of many slots in one pipeline, and scripts on every master.
func TestRegistriesWorkOnACluster(t *testing.T) {
	t.Parallel()
	s := openStore(t, devstack.RedisClusterT(t).URL)
	useAccess(t, NewClient(s))
	useInventory(t, s)
}

func useAccess(t *testing.T, c *Client) {
	t.Helper()
	ctx := t.Context()
	k, secret := createKey(t, c, NewKey{Name: "ci", Owner: "alice"})
	ok(t, c.TouchKey(ctx, must[Key](t)(c.LookupKey(ctx, secret))))
	if keys := must[[]Key](t)(c.ListKeys(ctx, "alice")); len(keys) != 1 || keys[0].LastUsed.IsZero() {
		t.Errorf("keys: %+v", keys)
	}
	if l := must[Limit](t)(c.Limit(ctx, k.ID, 1)); !l.Allowed {
		t.Errorf("limit: %+v", l)
	}
	r := Reservation{Scope: k.ID, Key: "x", Hash: "h", OpID: tasks.NewOpID("web-1")}
	if _, first, err := c.Reserve(ctx, r); err != nil || !first {
		t.Errorf("reserving: %v %v", first, err)
	}
	ok(t, c.Answer(ctx, r, 202, []byte("{}")))
	ok(t, c.RevokeKey(ctx, "alice", k.ID))
}

func useInventory(t *testing.T, s *Store) {
	t.Helper()
	ctx, c := t.Context(), NewClient(s)
	n := testNode(t, s, "web-1")
	var domains []Domain
	var sites []Site
	for _, name := range []string{"a.example", "b.example", "c.example", "d.example", "e.example"} {
		domains = append(domains, Domain{Account: "alice", Domain: name})
		sites = append(sites, testSite("web-1", "alice", name, ""), testSite("web-1", "bob", name, ""))
	}
	ok(t, n.PublishDomains(ctx, domains))
	ok(t, n.PublishSites(ctx, time.Now(), sites))
	ok(t, n.PublishDomains(ctx, domains[:1]))
	ok(t, n.PublishSites(ctx, time.Now(), sites[:7]))
	if got := publishedPage(t, c, SiteFilter{Account: "alice"}); got != 4 {
		t.Errorf("alice has %d sites, want 4", got)
	}
	if got := publishedPage(t, c, SiteFilter{}); got != 7 {
		t.Errorf("%d sites, want 7", got)
	}
	if at := must[[]Domain](t)(c.Domain(ctx, "b.example")); len(at) != 0 {
		t.Errorf("gone domain is at %v", at)
	}
	ok(t, c.SetDrain(ctx, "web-1", true))
	if node := must[NodeInfo](t)(c.Node(ctx, "web-1")); node.State != NodeDraining || node.Sites != 7 {
		t.Errorf("node: %+v", node)
	}
	if got := gathered(t, NewSnapshot(s)); got["wptk_nodes{draining}"] != 1 || len(got) < 20 {
		t.Errorf("metrics: %v", got)
	}
}

func publishedPage(t *testing.T, c *Client, f SiteFilter) int {
	t.Helper()
	return len(must[Page[Site]](t)(c.Sites(t.Context(), f)).Items)
}
