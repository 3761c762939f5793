package main

import (
	"testing"
	"time"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

const securityOf = "/api/v1/wordpress/security"

func TestSecurityReportsEveryMeasureAndItsDrift(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := k.putSite("alice", "blog.com", "public_html")
	facts := factsOf("6.5")
	facts.Security = &wp.SecurityFacts{KeysUnique: true}
	facts.Measures = []wp.MeasureStatus{
		{ID: wp.MeasureFileEdit, Status: wp.MeasureDrifted, Available: true, AppliedBy: &wp.AppliedBy{Op: "op_1"}, Drift: "gone", Diff: []string{"- a", "+ b"}},
		{ID: wp.MeasureXMLRPC, Status: wp.MeasureNotApplied, Diff: []string{}},
	}
	k.inspects(site, facts, time.Now())
	got := k.call(k.alice, "GET", securityOf+"?id="+site.ID, "")
	body := got.json(t)
	first := body["measures"].([]any)[0].(map[string]any)
	if got.status != 200 || body["drifted"] != 1.0 || first["applied_by"].(map[string]any)["operation_id"] != "op_1" || len(first["diff"].([]any)) != 2 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := k.call(k.bob, "GET", securityOf+"?id="+site.ID, ""); got.status != 404 {
		t.Errorf("somebody else's: %d", got.status)
	}
}

func TestEveryMeasureHasARoute(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := k.putSite("alice", "blog.com", "public_html")
	want := map[string]string{"disable-file-edit": "security.disable-file-edit", "toggle-debug": "security.toggle-debug", "file-protection": "security.file-protection"}
	for _, id := range tasks.OtherMeasures() {
		want[id] = "security.measure"
	}
	for path, kind := range want {
		got := k.call(k.alice, "POST", securityOf+"/"+path, `{"id":"`+site.ID+`","enabled":true}`)
		if got.status != 202 || got.text(t, "type") != kind {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	// It has a kind of its own, which asks for an address.
	if got := k.call(k.alice, "POST", securityOf+"/hide-login", `{"id":"`+site.ID+`","enabled":true,"slug":"backstage"}`); got.status != 202 || got.text(t, "type") != "security.hide-login" {
		t.Errorf("hide-login: %d %s", got.status, got.raw)
	}
	for path, status := range map[string]int{"permissions": 404, "nonsense": 404, "security-keys": 400} {
		if got := k.call(k.alice, "POST", securityOf+"/"+path, `{"id":"`+site.ID+`","enabled":false}`); got.status != status {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	for _, body := range []string{`{"enabled":true}`, `{"id":"` + site.ID + `"}`, `{"id":"` + site.ID + `","enabled":true,"mode":"x"}`, `{"id":"` + site.ID + `","enabled":true,"server":"iis"}`} {
		if got := k.call(k.alice, "POST", securityOf+"/block-xmlrpc", body); got.status != 400 {
			t.Errorf("%s: %d %s", body, got.status, got.raw)
		}
	}
}
