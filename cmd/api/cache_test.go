package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/wp"
)

func TestCachesAreToldWithWhatIsNotThere(t *testing.T) {
	t.Parallel()
	k := newKit(t, patient)
	site := k.putSite("alice", "blog.com", "public_html")
	const cache = "/api/v1/wordpress/cache?id="
	for name, c := range map[string]struct {
		facts wp.CacheFacts
		want  layerState
	}{
		"none offered": {wp.CacheFacts{}, layerState{Type: "object", Reason: "the node has no object cache to offer"}},
		"offered":      {wp.CacheFacts{Offered: true}, layerState{Type: "object", Available: true}},
		"ours": {wp.CacheFacts{Offered: true, Object: wp.CacheLayer{Enabled: true, DropIn: &wp.DropIn{Name: wp.ObjectCacheName, Version: "1.0.0"}}},
			layerState{Type: "object", Enabled: true, Available: true, Provider: wp.ObjectCacheName, Version: "1.0.0"}},
		"foreign": {wp.CacheFacts{Offered: true, Object: wp.CacheLayer{Enabled: true, DropIn: &wp.DropIn{}}},
			layerState{Type: "object", Enabled: true, Provider: "unknown", Reason: "somebody else's drop-in is in place; it is never overwritten"}},
	} {
		facts := factsOf("7.1")
		facts.Cache = &c.facts
		k.inspects(site, facts, time.Now())
		got := k.call(k.alice, "GET", cache+site.ID, "")
		var body struct{ Layers []layerState }
		must(t, json.Unmarshal([]byte(got.raw), &body))
		if len(body.Layers) != 3 || got.header.Get("Age") == "" {
			t.Fatalf("%s: %d %s", name, got.status, got.raw)
		}
		if diff := cmp.Diff(c.want, body.Layers[0]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if page := body.Layers[1]; !page.Available || page.Enabled || page.Reason != "" {
			t.Errorf("%s: %+v", name, page)
		}
		if opcode := body.Layers[2]; opcode.Available || opcode.Reason == "" {
			t.Errorf("%s: %+v", name, opcode)
		}
	}
	if got := k.call(k.bob, "GET", cache+site.ID, ""); got.status != 404 {
		t.Errorf("somebody else: %d", got.status)
	}
}
