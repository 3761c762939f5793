package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// strangers are what belongs to bob, one of each sort that a path can name.
type strangers struct{ site, op, schedule, hook, key string }

func (k *kit) strangers() (s strangers) {
	k.t.Helper()
	bobs := k.putSite("bob", "bob.com", "public_html")
	s.site, s.op = bobs.ID, k.ended(k.bob, bobs)
	made := k.call(k.bob, "POST", schedulesPath, `{"name":"n","kind":"site.inspect","target":{"account":"bob"},"cron":"0 3 * * *"}`)
	s.schedule = made.text(k.t, "id")
	s.hook = k.hook(k.bob, `{"url":"https://example.com/"}`).ID
	keys, err := k.client.ListKeys(k.t.Context(), "bob")
	if must(k.t, err); len(keys) == 0 || s.schedule == "" {
		k.t.Fatalf("%d keys, %s", len(keys), made.raw)
	}
	s.key = keys[0].ID
	return s
}

// nobodys are ids of the same form that nothing has.
func nobodys() strangers {
	return strangers{tasks.SiteID("n1", "alice", "blog.com", "nowhere"), tasks.NewOpID("n1"), "sch_00000000000000000000000000000000",
		"wh_00000000000000000000000000000000", "0000000000000000"}
}

// of is the same request for an object of somebody else; ok is false when it names none.
func (s strangers) of(w walked, site queue.Site, op, account string) (path, body string, ok bool) {
	id := ""
	switch {
	case w.site:
		path, body = w.elsewhere(site, op, s.site, s.op)
		return path, body, true
	case strings.HasPrefix(w.template, apiBase+"/wordpress/schedules/"):
		id = s.schedule
	case strings.HasPrefix(w.template, apiBase+"/webhooks/"):
		id = s.hook
	case strings.HasPrefix(w.template, apiBase+"/users/"):
		id = s.key
	default:
		return w.path, w.body, false
	}
	return strings.NewReplacer("{id}", id, "{username}", account, "{delivery}", "dlv_0").Replace(w.template), w.body, true
}

// badKeys are keys of alice that open nothing, each for a reason of its own.
func (k *kit) badKeys() map[string]string {
	k.t.Helper()
	kept, revoked, err := k.client.CreateKey(k.t.Context(), queue.NewKey{Name: "revoked", Owner: "alice"})
	must(k.t, err)
	must(k.t, k.client.RevokeKey(k.t.Context(), "alice", kept.ID))
	end := time.Now().Add(50 * time.Millisecond)
	expired := k.key(queue.NewKey{Name: "expired", Owner: "alice", ExpiresAt: end})
	<-time.After(time.Until(end)) // the moment itself is what is waited for
	return map[string]string{
		"no key": "", "a key that never was": "wsp_" + strings.Repeat("0", 48), "a revoked key": revoked, "an expired key": expired,
		"a key for another address": k.key(queue.NewKey{Name: "elsewhere", Owner: "alice", IPWhitelist: []string{"192.0.2.0/24"}}),
	}
}

// wrongScope is a key of alice that may do something, and not this.
func (k *kit) wrongScopes() func(w walked) string {
	read := k.key(queue.NewKey{Name: "read", Owner: "alice", Permissions: []string{queue.PermRead}})
	word := k.key(queue.NewKey{Name: "wordpress", Owner: "alice", Permissions: []string{queue.PermWordPress}})
	hook := k.key(queue.NewKey{Name: "webhooks", Owner: "alice", Permissions: []string{queue.PermWebhooks}})
	return func(w walked) string {
		switch {
		case w.method != http.MethodGet:
			return read
		case strings.HasPrefix(w.template, apiBase+"/wordpress"):
			return hook
		}
		return word
	}
}

// Every endpoint of the document × (own, other's, missing, revoked, expired, wrong scope,
// wrong address). An endpoint that is added is in the matrix by being in the document.
func TestEveryEndpointIsClosedToEverybodyElse(t *testing.T) {
	t.Parallel()
	k, site, op := newWalk(t)
	other, nobody := k.strangers(), nobodys()
	bad, scoped := k.badKeys(), k.wrongScopes()
	all := k.walk(site, op)
	call := func(key, method, path, body string) answer {
		return callOn(t, k.api.URL, key, method, path, body, "X-Request-Id", "same")
	}
	objects := 0
	for _, w := range all {
		for why, key := range bad {
			call(key, w.method, w.path, w.body).mustBeRefused(t, w.String()+" with "+why, 401, "UNAUTHORIZED")
		}
		call(scoped(w), w.method, w.path, w.body).mustBeRefused(t, w.String()+" with a key for something else", 403, "FORBIDDEN")
		if w.admin {
			call(k.alice, w.method, w.path, w.body).mustBeRefused(t, w.String()+" without an admin's key", 403, "FORBIDDEN")
			continue
		}
		path, body, ok := other.of(w, site, op, "bob")
		if !ok { // it names nothing: then it tells of nothing that is bob's
			if w.method == http.MethodGet {
				got := call(k.alice, w.method, path, body)
				for _, id := range []string{other.site, other.op, other.schedule, other.hook, other.key, "bob.com"} {
					if strings.Contains(got.raw, id) {
						t.Errorf("%s shows alice %s of bob: %s", w, id, got.raw)
					}
				}
			}
			continue
		}
		objects++
		foreign := call(k.alice, w.method, path, body)
		foreign.mustBeRefused(t, w.String()+" of bob", 404, "NOT_FOUND")
		path, body, _ = nobody.of(w, site, op, "nobody")
		unknown := call(k.alice, w.method, path, body)
		unknown.mustBeRefused(t, w.String()+" of nobody", 404, "NOT_FOUND")
		if foreign.raw != unknown.raw {
			t.Errorf("%s: bob's answers %s, nobody's %s", w, foreign.raw, unknown.raw)
		}
	}
	if len(all) < 60 || objects < 50 {
		t.Errorf("%d endpoints, %d of them name something", len(all), objects)
	}
	k.mustBeOpenToTheirOwner(all)
	k.mustStillBeBobs(other)
}

// mustBeOpenToTheirOwner shows that it was not the request that was refused above.
func (k *kit) mustBeOpenToTheirOwner(all []walked) {
	k.t.Helper()
	key := k.key(queue.NewKey{Name: "last", Owner: "alice"}) // one of the requests revokes alice's first
	for _, w := range all {
		if w.admin {
			key := k.admin
			// A node that is in use is not removed: that answer is the owner's too.
			if got := k.call(key, w.method, w.path, w.body); got.status >= 300 && got.status != 409 {
				k.t.Errorf("%s answers an admin %d %s", w, got.status, got.raw)
			}
			continue
		}
		got := k.call(key, w.method, w.path, w.body)
		// What an earlier request has ended or taken away, and what the kit has none of, is gone for its owner too.
		gone := got.status == http.StatusNotFound && (strings.Contains(w.template, "/webhooks/{id}") || strings.Contains(w.template, "/schedules/{id}"))
		if got.status == http.StatusUnauthorized || got.status == http.StatusForbidden || got.status == http.StatusNotFound && !gone {
			k.t.Errorf("%s answers its owner %d %s", w, got.status, got.raw)
		}
	}
}

// mustStillBeBobs looks at what alice reached for.
func (k *kit) mustStillBeBobs(other strangers) {
	k.t.Helper()
	ops, err := k.client.List(k.t.Context(), queue.OpFilter{Account: "bob"})
	if must(k.t, err); len(ops.Items) != 1 {
		k.t.Errorf("bob's install got %d operations", len(ops.Items))
	}
	for _, path := range []string{"/wordpress/installation?id=" + other.site, "/wordpress/operations/" + other.op,
		"/wordpress/schedules/" + other.schedule, "/webhooks/" + other.hook} {
		if got := k.call(k.bob, "GET", apiBase+path, ""); got.status != http.StatusOK {
			k.t.Errorf("bob's %s answers %d %s", path, got.status, got.raw)
		}
	}
}
