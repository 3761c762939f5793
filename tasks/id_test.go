package tasks

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var nodeNames = rapid.StringMatching(`[a-z0-9][a-z0-9.-]{0,62}`)

func TestEveryIDCarriesTheShardOfItsNode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		node := nodeNames.Draw(t, "node")
		op := NewOpID(node)
		site := SiteID(node, rapid.String().Draw(t, "account"), rapid.String().Draw(t, "domain"), rapid.String().Draw(t, "path"))
		for _, id := range []string{op, site} {
			shard, ok := Shard(id)
			if !ok || shard != NodeShard(node) || len(shard) != 2 {
				t.Fatalf("Shard(%q) = %q, %v; the node's is %q", id, shard, ok, NodeShard(node))
			}
		}
		if !IsOpID(op) || IsSiteID(op) || !IsSiteID(site) || IsOpID(site) {
			t.Fatalf("%q and %q are not told apart", op, site)
		}
	})
}

func TestOpIDsSortInTheOrderTheyWereMade(t *testing.T) {
	t.Parallel()
	ids := make([]string, 2000)
	for i := range ids {
		ids[i] = NewOpID([]string{"a", "node-2", "z.example"}[i%3])
	}
	if !slices.IsSorted(ids) {
		t.Fatal("ids do not sort by time")
	}
	if n := len(slices.Compact(slices.Clone(ids))); n != len(ids) {
		t.Fatalf("%d of %d ids are distinct", n, len(ids))
	}
}

func TestSiteIDIsOneForAllSpellingsOfAPlace(t *testing.T) {
	t.Parallel()
	want := SiteID("n1", "alice", "blog.example", "public_html/blog")
	for _, path := range []string{"/public_html/blog", "public_html/blog/", "public_html//blog", "./public_html/./blog"} {
		if got := SiteID("n1", "alice", "Blog.Example", path); got != want {
			t.Errorf("path %q: %s, want %s", path, got, want)
		}
	}
	for _, other := range []string{
		SiteID("n2", "alice", "blog.example", "public_html/blog"),
		SiteID("n1", "bob", "blog.example", "public_html/blog"),
		SiteID("n1", "alice", "shop.example", "public_html/blog"),
		SiteID("n1", "alice", "blog.example", "public_html"),
		SiteID("n1", "aliceblog", ".example", "public_html/blog"),
	} {
		if other == want {
			t.Errorf("two places share %s", want)
		}
	}
}

func TestSiteIDNeverChanges(t *testing.T) {
	t.Parallel()
	// Written down once: a client may have kept it for years.
	const want = "wp_931d45977fdf67f9"
	if got := SiteID("node-a", "alice", "blog.example", "public_html"); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestShardRefusesWhatIsNotAnID(t *testing.T) {
	t.Parallel()
	op, site := NewOpID("n"), SiteID("n", "a", "b.c", "d")
	for _, id := range []string{
		"", "op_", "wp_", op[3:], op + "0", op[:len(op)-1], strings.ToUpper(op), site + "00", site[:10],
		strings.Replace(op, "-", "0", 1), "wp_" + op[3:], "op_" + site[3:], "wp_zz00000000000000",
		op[:len(op)-2] + "}{", site[:3] + "{" + site[4:], strings.Replace(op, "-", "x", 1),
	} {
		if shard, ok := Shard(id); ok {
			t.Errorf("Shard(%q) = %q", id, shard)
		}
	}
}

func FuzzShard(f *testing.F) {
	f.Add(NewOpID("n"))
	f.Add(SiteID("n", "a", "b.c", "d"))
	f.Fuzz(func(t *testing.T, id string) {
		shard, ok := Shard(id)
		if ok && (len(shard) != 2 || !isHex(shard) || (!IsOpID(id) && !IsSiteID(id))) {
			t.Fatalf("Shard(%q) = %q", id, shard)
		}
	})
}
