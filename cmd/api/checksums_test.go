package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

func TestLastChecksumsAreThoseOfTheNewestComparison(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := k.putSite("alice", "blog.com", "public_html")
	const checksums = "/api/v1/wordpress/verify-checksums"
	if got := k.call(k.alice, "GET", checksums+"?id="+site.ID, ""); got.status != 200 || !strings.Contains(got.raw, `"result":null`) {
		t.Errorf("before any: %d %s", got.status, got.raw)
	}
	result, err := json.Marshal(tasks.ChecksumsResult{OK: true, Core: tasks.PackageReport{Slug: "wordpress", Counts: map[wp.Class]int{}},
		Plugins: []tasks.PackageReport{}, Findings: []wp.Finding{}})
	must(t, err)
	k.work(func(context.Context, tasks.Op, *queue.Recorder) (tasks.Outcome, error) {
		return tasks.Outcome{State: tasks.Succeeded, Result: result}, nil
	})
	accepted := k.call(k.alice, "POST", checksums, `{"id":"`+site.ID+`","ignore":["x/**"]}`)
	if accepted.status != 202 {
		t.Fatalf("%d %s", accepted.status, accepted.raw)
	}
	op := accepted.text(t, "operation_id")
	if got := k.call(k.alice, "GET", progressURL(op)+"?wait=30&since=0", ""); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	for got := k.call(k.alice, "GET", progressURL(op), ""); got.json(t)["done"] != true; got = k.call(k.alice, "GET", progressURL(op)+"?wait=30", "") {
		if got.status != 200 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
	}
	got := k.call(k.alice, "GET", checksums+"?id="+site.ID, "")
	if got.status != 200 || got.text(t, "operation_id") != op || !strings.Contains(got.raw, `"ok":true`) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := k.call(k.bob, "GET", checksums+"?id="+site.ID, ""); got.status != 404 {
		t.Errorf("somebody else: %d", got.status)
	}
}
