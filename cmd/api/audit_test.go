package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/wispanel/wptk/queue"
)

const auditURL = apiBase + auditPath

func (k *kit) trail(query string) []queue.AuditEntry {
	k.t.Helper()
	var list struct{ Entries []queue.AuditEntry }
	got := k.call(k.admin, "GET", auditURL+query, "")
	if got.status != 200 {
		k.t.Fatalf("%d %s", got.status, got.raw)
	}
	must(k.t, json.Unmarshal([]byte(got.raw), &list))
	return list.Entries
}

func TestAuditTrailHasChangesAndRefusalsAndNoOrdinaryReadings(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.install(k.alice, "")
	k.call(k.alice, "GET", "/api/v1/wordpress/installations", "")      // ordinary
	k.call(k.alice, "GET", "/api/v1/wordpress/operations/op_none", "") // not hers, or nobody's
	k.call(k.alice, "GET", auditURL, "")                               // for admins
	k.call("", "GET", "/api/v1/wordpress/installations", "")           // no key
	k.call(k.alice, "GET", "/api/v1/users/bob/api-keys", "")           // somebody else's
	var got []string
	for _, e := range k.trail("") {
		got = append([]string{e.Outcome + " " + e.Account + " " + e.Action}, got...)
		if e.Addr != "127.0.0.1" || e.Request == "" || e.At.IsZero() || (e.Account == "alice") != (e.Key == k.alice[:12]) {
			t.Errorf("%+v", e)
		}
	}
	want := []string{
		"accepted alice POST /api/v1/wordpress/install",
		"refused alice GET /api/v1/wordpress/operations/{id}",
		"refused alice GET " + auditURL,
		"refused  GET /api/v1/wordpress/installations",
		"refused alice GET /api/v1/users/{username}/api-keys",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the trail is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if list := k.trail("?outcome=refused&account=alice&action=operations&key=wsp_"); len(list) != 1 {
		t.Errorf("filtered: %+v", list)
	}
}

func TestAuditTrailHoldsNoSecret(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	made := k.call(k.alice, "POST", "/api/v1/users/alice/api-keys", `{"name":"x"}`)
	secret := made.text(t, "key")
	k.call("wsp_"+strings.Repeat("ab", 24), "GET", "/api/v1/wordpress/installations", "")
	text := k.call(k.admin, "GET", auditURL, "").raw
	if secret == "" || strings.Contains(text, secret[12:]) || strings.Contains(text, strings.Repeat("ab", 24)) {
		t.Errorf("a secret is in %s", text)
	}
}

func TestKeyIsRotatedWithAnOverlapByWhoeverMayMakeIt(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	keys, err := k.client.ListKeys(t.Context(), "alice")
	must(t, err)
	path := "/api/v1/users/alice/api-keys/" + keys[0].ID + "/rotate"
	if got := k.call(k.bob, "POST", path, ""); got.status != 404 {
		t.Errorf("bob rotates alice's: %d %s", got.status, got.raw)
	}
	if got := k.call(k.alice, "POST", path+"?overlap_hours=169", ""); got.status != 400 {
		t.Errorf("for more than a week: %d %s", got.status, got.raw)
	}
	got := k.call(k.alice, "POST", path+"?overlap_hours=1", "")
	if got.status != 201 || got.text(t, "replaced") != keys[0].ID || got.text(t, "old_valid_until") == "" {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	for _, key := range []string{k.alice, got.text(t, "key")} {
		if got := k.call(key, "GET", "/api/v1/wordpress/installations", ""); got.status != 200 {
			t.Errorf("both keys work: %d %s", got.status, got.raw)
		}
	}
	boss, _, err := k.client.CreateKey(t.Context(), queue.NewKey{Name: "boss", Owner: "alice", Role: queue.RoleAdmin})
	must(t, err)
	if got := k.call(k.alice, "POST", "/api/v1/users/alice/api-keys/"+boss.ID+"/rotate", ""); got.status != 403 {
		t.Errorf("a key with more rights than one's own: %d %s", got.status, got.raw)
	}
}
