package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

const manyPath = apiBase + "/wordpress/verify-checksums"

// roll is a kit whose rollouts are carried out, with three installs of alice and one of bob.
func roll(t *testing.T, run func(tasks.Op) tasks.Outcome) (k *kit, alices []queue.Site, bobs queue.Site) {
	k = newKit(t)
	alices = []queue.Site{k.putSite("alice", "blog.com", "public_html"), k.putSite("alice", "blog.com", "public_html/b"), k.putSite("alice", "shop.com", "public_html")}
	bobs = k.putSite("bob", "bob.com", "public_html")
	k.work(func(_ context.Context, op tasks.Op, _ *queue.Recorder) (tasks.Outcome, error) { return run(op), nil })
	background(t, queue.NewConductor(k.client, 0).Run)
	return k, alices, bobs
}

func fine(tasks.Op) tasks.Outcome { return tasks.Outcome{State: tasks.Succeeded} }

func idList(sites ...queue.Site) string {
	var ids []string
	for _, s := range sites {
		ids = append(ids, s.ID)
	}
	text, err := json.Marshal(ids)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestOneRequestForManyInstallsIsOneOperationWithAChildEach(t *testing.T) {
	t.Parallel()
	k, sites, _ := roll(t, fine)
	body := fmt.Sprintf(`{"ids":%s,"rollout":{"canary":1,"waves":["50%%"]}}`, idList(sites...))
	got := k.call(k.alice, "POST", manyPath, body, "Idempotency-Key", "many")
	op := got.text(t, "operation_id")
	if got.status != http.StatusAccepted || got.text(t, "id") != op || got.text(t, "type") != "checksums.verify" || !strings.Contains(got.raw, `"children":{"total":3,"queued":3`) {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if again := k.call(k.alice, "POST", manyPath, body, "Idempotency-Key", "many"); again.text(t, "operation_id") != op || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: %s", again.raw)
	}
	end := k.finished(k.alice, op)
	if end.text(t, "status") != "succeeded" || !strings.Contains(end.raw, `"succeeded":3`) || end.json(t)["progress"] != float64(100) {
		t.Errorf("ended as %s", end.raw)
	}
	children := k.call(k.alice, "GET", end.text(t, "children_url")+"?state=succeeded&limit=2", "")
	list, _ := children.json(t)["children"].([]any)
	if children.status != 200 || len(list) != 2 || children.header.Get("Link") == "" {
		t.Fatalf("%d %s", children.status, children.raw)
	}
	child, _ := list[0].(map[string]any)
	one := k.call(k.alice, "GET", apiBase+"/wordpress/operations/"+fmt.Sprint(child["operation_id"]), "")
	if child["id"] != sites[0].ID || one.text(t, "parent_id") != op || one.text(t, "status") != "succeeded" {
		t.Errorf("child %v: %s", child, one.raw)
	}
	if stream := k.call(k.alice, "GET", apiBase+"/wordpress/operations/"+op+"/events", ""); !strings.Contains(stream.raw, "event: done") {
		t.Errorf("stream %s", stream.raw)
	}
	if listed := k.call(k.alice, "GET", apiBase+"/wordpress/operations?many=true", ""); strings.Count(listed.raw, `"operation_id"`) != 1 || !strings.Contains(listed.raw, op) {
		t.Errorf("listed %s", listed.raw)
	}
	k.call(k.bob, "GET", apiBase+"/wordpress/operations/"+op, "").mustBeRefused(t, "somebody else's", 404, "NOT_FOUND")
	k.call(k.bob, "GET", end.text(t, "children_url"), "").mustBeRefused(t, "somebody else's children", 404, "NOT_FOUND")
	k.call(k.alice, "POST", apiBase+"/wordpress/operations/"+op+"/pause", "").mustBeRefused(t, "pausing what has ended", 409, "CONFLICT")
	k.call(k.alice, "POST", apiBase+"/wordpress/operations/"+fmt.Sprint(child["operation_id"])+"/pause", "").mustBeRefused(t, "pausing one install's", 409, "CONFLICT")
}

func TestIDsOfOthersRefuseTheWholeRequestAndAreAllNamed(t *testing.T) {
	t.Parallel()
	k, sites, bobs := roll(t, fine)
	nowhere := tasks.SiteID("n1", "alice", "blog.com", "nowhere")
	got := k.call(k.alice, "POST", manyPath, fmt.Sprintf(`{"ids":["%s","%s","%s"]}`, sites[0].ID, bobs.ID, nowhere))
	got.mustBeRefused(t, "ids of others", 404, "NOT_FOUND")
	if !strings.Contains(got.raw, bobs.ID) || !strings.Contains(got.raw, nowhere) || strings.Contains(got.raw, sites[0].ID) {
		t.Errorf("%s", got.raw)
	}
	if ops, err := k.client.List(t.Context(), queue.OpFilter{}); err != nil || len(ops.Items) != 0 {
		t.Errorf("%v %d operations", err, len(ops.Items))
	}
}

func TestFilterSeesOwnInstallsOnly(t *testing.T) {
	t.Parallel()
	k, _, bobs := roll(t, fine)
	for _, c := range []struct {
		key, filter string
		total       int
	}{
		{k.alice, `{"all":true}`, 3}, {k.alice, `{"domain":"blog.com"}`, 2}, {k.admin, `{"all":true}`, 4}, {k.admin, `{"account":"bob"}`, 1},
		{k.alice, `{"q":"SHOP"}`, 1}, {k.alice, `{"account":"alice","node":"n1"}`, 3},
	} {
		got := k.call(c.key, "POST", manyPath, `{"filter":`+c.filter+`,"rollout":{"dry_run":true,"canary":1}}`)
		if got.status != 200 || !strings.Contains(got.raw, fmt.Sprintf(`"total":%d`, c.total)) || c.key == k.alice && strings.Contains(got.raw, bobs.ID) {
			t.Errorf("%s: %d %s", c.filter, got.status, got.raw)
		}
	}
	for _, filter := range []string{`{}`, `{"account":"bob"}`, `{"plugin":"akismet"}`, `{"domain":"bob.com"}`} {
		k.call(k.alice, "POST", manyPath, `{"filter":`+filter+`}`).mustBeRefused(t, filter, 400, "VALIDATION_ERROR")
	}
	if ops, err := k.client.List(t.Context(), queue.OpFilter{}); err != nil || len(ops.Items) != 0 {
		t.Errorf("%v: a dry run recorded %d operations", err, len(ops.Items))
	}
}

func TestTargetsThatDoNotGoTogetherAreRefused(t *testing.T) {
	t.Parallel()
	k, sites, _ := roll(t, fine)
	id := sites[0].ID
	for _, body := range []string{
		`{}`, `{"id":"` + id + `","ids":["` + id + `"]}`, `{"ids":[]}`, `{"id":"` + id + `","rollout":{"canary":1}}`,
		`{"ids":["` + id + `"],"on_busy":"fail"}`, `{"ids":["` + id + `"],"rollout":{"waves":["101%"]}}`, `{"ids":["` + id + `"],"rollout":{"waves":"0%"}}`,
		`{"ids":["` + id + `"],"rollout":{"max_parallel":0}}`, `{"ids":["` + id + `"],"rollout":{"stop_on_error_rate":1.5}}`,
		`{"ids":["` + id + `"],"rollout":{"window":{"from":"9","to":"10:00"}}}`, `{"ids":["` + id + `"],"rollout":{"nope":1}}`,
	} {
		k.call(k.alice, "POST", manyPath, body).mustBeRefused(t, body, 400, "VALIDATION_ERROR")
	}
	// Kinds with secrets, and those that end an install, are for one at a time.
	k.call(k.alice, "POST", apiBase+"/wordpress/password/reset", `{"ids":["`+id+`"],"user":"boss"}`).mustBeRefused(t, "passwords", 400, "VALIDATION_ERROR")
	k.call(k.alice, "DELETE", apiBase+"/wordpress/delete", `{"ids":["`+id+`"]}`).mustBeRefused(t, "deletion", 400, "VALIDATION_ERROR")
}

func TestRetryOfARolloutTakesTheFailedOnesOnly(t *testing.T) {
	t.Parallel()
	k, sites, _ := roll(t, func(op tasks.Op) tasks.Outcome {
		if op.Site.Domain == "shop.com" {
			return tasks.Outcome{State: tasks.Failed, Error: &tasks.Failure{Code: "x", Message: "No."}}
		}
		return tasks.Outcome{State: tasks.Succeeded}
	})
	got := k.call(k.alice, "POST", manyPath, `{"filter":{"all":true},"rollout":{"stop_on_error_rate":1,"per_node_parallel":3}}`)
	op := got.text(t, "operation_id")
	k.call(k.alice, "POST", apiBase+"/wordpress/operations/"+op+"/retry", "").mustBeRefused(t, "too early", 409, "CONFLICT")
	if end := k.finished(k.alice, op); end.text(t, "status") != "failed" || !strings.Contains(end.raw, "items_failed") {
		t.Errorf("%s", end.raw)
	}
	again := k.call(k.alice, "POST", apiBase+"/wordpress/operations/"+op+"/retry", "")
	if again.status != 202 || !strings.Contains(again.raw, `"total":1`) {
		t.Fatalf("%d %s", again.status, again.raw)
	}
	k.finished(k.alice, again.text(t, "operation_id"))
	children := k.call(k.alice, "GET", childrenURL(again.text(t, "operation_id")), "")
	if !strings.Contains(children.raw, sites[2].ID) || strings.Contains(children.raw, sites[0].ID) {
		t.Errorf("%s", children.raw)
	}
}

func TestRolloutIsPausedResumedAndCancelled(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	k, _, _ := roll(t, func(tasks.Op) tasks.Outcome { <-release; return tasks.Outcome{State: tasks.Succeeded} })
	op := k.call(k.alice, "POST", manyPath, `{"filter":{"all":true},"rollout":{"max_parallel":1}}`).text(t, "operation_id")
	at := apiBase + "/wordpress/operations/" + op
	if got := k.call(k.alice, "POST", at+"/pause", ""); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	close(release)
	if got := k.call(k.alice, "POST", at+"/resume", ""); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if got := k.call(k.alice, "POST", at+"/cancel", ""); got.status != 202 && got.status != 200 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	end := k.finished(k.alice, op)
	if state := end.text(t, "status"); state != "cancelled" && state != "succeeded" {
		t.Errorf("%s", end.raw)
	}
}
