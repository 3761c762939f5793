package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const schedulesPath = apiBase + "/wordpress/schedules"

// someSchedule is the id of a schedule of alice.
func (k *kit) someSchedule() string {
	k.t.Helper()
	got := k.call(k.alice, "POST", schedulesPath, `{"name":"n","kind":"site.inspect","target":{"account":"alice"},"cron":"0 3 * * *"}`, "Idempotency-Key", "some schedule")
	if got.status != http.StatusCreated {
		k.t.Fatalf("%d %s", got.status, got.raw)
	}
	return got.text(k.t, "id")
}

func TestScheduleIsMadeReadChangedAndDeleted(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site, bobs := k.putSite("alice", "blog.com", "public_html"), k.putSite("bob", "bob.com", "public_html")
	body := fmt.Sprintf(`{"name":"nightly","kind":"core.update","body":{"minor_only":true},"target":{"ids":["%s"]},"cron":"0 3 * * *","tz":"Europe/Berlin",
		"jitter_seconds":600,"window":{"from":"02:00","to":"05:00"},"rollout":{"max_parallel":3}}`, site.ID)
	got := k.call(k.alice, "POST", schedulesPath, body)
	if got.status != 201 || got.text(t, "account") != "alice" || !strings.Contains(got.raw, `"minor_only":true`) || !strings.Contains(got.raw, `"max_parallel":3`) || got.text(t, "next_at") == "" {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	at := schedulesPath + "/" + got.text(t, "id")
	changed := k.call(k.alice, "PATCH", at, `{"cron":"@daily","tz":"","jitter_seconds":0,"enabled":false}`)
	if changed.status != 200 || changed.json(t)["next_at"] != nil || changed.text(t, "cron") != "@daily" || changed.text(t, "name") != "nightly" {
		t.Errorf("%d %s", changed.status, changed.raw)
	}
	on := k.call(k.alice, "PATCH", at, `{"enabled":true}`)
	if next, err := time.Parse(time.RFC3339, on.text(t, "next_at")); err != nil || next.Hour() != 0 || next.Minute() != 0 || next.Before(time.Now()) {
		t.Errorf("%v %s", err, on.raw)
	}
	for name, call := range map[string]answer{
		"read": k.call(k.bob, "GET", at, ""), "changed": k.call(k.bob, "PATCH", at, `{"name":"x"}`), "deleted": k.call(k.bob, "DELETE", at, ""),
		"aimed at bob's": k.call(k.alice, "PATCH", at, `{"target":{"id":"`+bobs.ID+`"}}`), "at bob": k.call(k.alice, "PATCH", at, `{"target":{"account":"bob"}}`),
	} {
		call.mustBeRefused(t, name, 404, "NOT_FOUND")
	}
	if list := k.call(k.bob, "GET", schedulesPath, ""); !strings.Contains(list.raw, `"schedules":[]`) {
		t.Errorf("bob sees %s", list.raw)
	}
	if list := k.call(k.admin, "GET", schedulesPath, ""); strings.Count(list.raw, `"id":"sc_`) != 1 {
		t.Errorf("the admin sees %s", list.raw)
	}
	if gone := k.call(k.alice, "DELETE", at, ""); gone.status != 200 {
		t.Errorf("%d %s", gone.status, gone.raw)
	}
	k.call(k.alice, "GET", at, "").mustBeRefused(t, "deleted", 404, "NOT_FOUND")
}

func TestDriftAndHealthAreCheckedBySchedule(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, kind := range []string{"site.inspect", "checksums.verify"} { // as docs/api.md has it
		got := k.call(k.alice, "POST", schedulesPath, `{"name": "nightly look", "kind": "`+kind+`", "target": {"filter": {"all": true}}, "cron": "0 3 * * *", "jitter_seconds": 3600}`)
		if got.status != 201 || got.text(t, "kind") != kind || got.text(t, "account") != "alice" {
			t.Errorf("%s: %d %s", kind, got.status, got.raw)
		}
	}
}

func TestSchedulesThatMakeNoSenseAreRefusedByField(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.putSite("alice", "blog.com", "public_html")
	for field, body := range map[string]string{
		"kind":        `{"kind":"password.reset","target":{"account":"alice"},"cron":"@daily"}`,
		"target":      `{"kind":"site.inspect","target":{"account":"alice","id":"wp_1"},"cron":"@daily"}`,
		"cron":        `{"kind":"site.inspect","target":{"account":"alice"},"cron":"every day"}`,
		"tz":          `{"kind":"site.inspect","target":{"account":"alice"},"cron":"@daily","tz":"Mars/Olympus"}`,
		"body":        `{"kind":"site.inspect","body":{"nope":1},"target":{"account":"alice"},"cron":"@daily"}`,
		"body.plugin": `{"kind":"plugin.update","target":{"account":"alice"},"cron":"@daily"}`,
		"window.to":   `{"kind":"site.inspect","target":{"account":"alice"},"cron":"@daily","window":{"from":"01:00","to":"01:00"}}`,
	} {
		got := k.call(k.alice, "POST", schedulesPath, body)
		got.mustBeRefused(t, field, 400, "VALIDATION_ERROR")
		if !strings.Contains(got.raw, `"field":"`+field+`"`) {
			t.Errorf("%s: %s", field, got.raw)
		}
	}
	for _, cron := range []string{"@every 1s", "CRON_TZ=Asia/Tokyo 0 3 * * *", "TZ=0", "0 0 31 2 *", "* * * * * *", "60 * * * *", ""} {
		got := k.call(k.alice, "POST", schedulesPath, `{"kind":"site.inspect","target":{"account":"alice"},"cron":"`+cron+`"}`)
		got.mustBeRefused(t, cron, 400, "VALIDATION_ERROR")
	}
}
