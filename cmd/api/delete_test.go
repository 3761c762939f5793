package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// listed puts an install of an account on the list, as a scan would, and answers its id.
func (k *kit) listed(account, domain string) string {
	k.t.Helper()
	ref := tasks.SiteRef{ID: tasks.SiteID("n1", account, domain, "public_html"), Node: "n1", Account: account, Domain: domain, Path: "public_html"}
	must(k.t, k.node.PutSite(k.t.Context(), queue.Site{SiteRef: ref, Status: queue.SiteOK}))
	return ref.ID
}

func TestDeleteTakesBodyAndQuery(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.listed("alice", "blog.com")
	for _, c := range []struct{ query, body, want string }{
		{"", `{"id":"` + id + `"}`, `{}`},
		{"?id=" + id, "", `{}`},
		{"?id=" + id + "&keep_backup=false&keep_database=true&dry_run=true&include_nested=true", "", `{"keep_database":true,"keep_backup":false,"include_nested":true,"dry_run":true}`},
		{"", `{"id":"` + id + `","keep_backup":true,"keep_database":true,"dry_run":true}`, `{"keep_database":true,"keep_backup":true,"dry_run":true}`},
		{"?keep_backup=false&id=" + id, `{"dry_run":true,"id":"` + id + `"}`, `{"keep_backup":false,"dry_run":true}`},
	} {
		a := k.call(k.alice, "DELETE", "/api/v1/wordpress/delete"+c.query, c.body)
		if a.status != http.StatusAccepted || a.text(t, "type") != "site.delete" || a.text(t, "id") != id {
			t.Fatalf("%s %s: %d %s", c.query, c.body, a.status, a.raw)
		}
		op, err := k.client.Get(t.Context(), a.text(t, "operation_id"))
		must(t, err)
		var got, want tasks.SiteDelete
		must(t, json.Unmarshal(op.Payload, &got))
		must(t, json.Unmarshal([]byte(c.want), &want))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s: %s", c.query, c.body, diff)
		}
	}
}

func TestDeleteRefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id, foreign := k.listed("alice", "blog.com"), k.listed("bob", "bob.com")
	for _, c := range []struct {
		query, body, field string
		status             int
	}{
		{"", "", `"id"`, 400},
		{"", `{}`, `"id"`, 400},
		{"?id=" + id, `{"id":"wp_other"}`, `"id"`, 400},
		{"?keep_backup=true&id=" + id, `{"keep_backup":false}`, "keep_backup", 400},
		{"?dry_run=false&id=" + id, `{"dry_run":true}`, "dry_run", 400},
		{"?dry_run=yes&id=" + id, "", "dry_run", 400},
		{"?really=true&id=" + id, "", "really", 400},
		{"?id=" + id, `{"keep_backups":true}`, "keep_backups", 400},
		{"?id=" + foreign, "", "", 404},
		{"?id=wp_0000000000000000", "", "", 404},
	} {
		a := k.call(k.alice, "DELETE", "/api/v1/wordpress/delete"+c.query, c.body)
		if a.status != c.status || !strings.Contains(a.raw, c.field) || a.json(t)["success"] != false {
			t.Errorf("%s %s: %d %s", c.query, c.body, a.status, a.raw)
		}
	}
}

// What the node answers comes through as it is.
func TestDryRunsOfKindsAnswerWhatTheNodeFound(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.listed("alice", "blog.com")
	k.work(func(_ context.Context, op tasks.Op, _ *queue.Recorder) (tasks.Outcome, error) {
		return tasks.Outcome{State: tasks.Succeeded, Result: json.RawMessage(`{"dry_run":true,"would":{"kind":"` + op.Kind + `"}}`)}, nil
	})
	for _, c := range []struct{ method, path, body, kind string }{
		{"DELETE", "/delete", `{"id":"` + id + `","dry_run":true}`, "site.delete"},
		{"POST", "/search-replace", `{"id":"` + id + `","search":"http://","replace":"https://","dry_run":true}`, "search.replace"},
		{"POST", "/maintenance", `{"id":"` + id + `","enabled":true,"minutes":5}`, "maintenance"},
	} {
		a := k.call(k.alice, c.method, "/api/v1/wordpress"+c.path, c.body)
		if a.status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", c.path, a.status, a.raw)
		}
		if done := k.finished(k.alice, a.text(t, "operation_id")); !strings.Contains(done.raw, `"would":{"kind":"`+c.kind+`"}`) {
			t.Errorf("%s: %s", c.path, done.raw)
		}
	}
	for _, body := range []string{`"search":"","replace":"x"`, `"search":"x","replace":"x"`, `"search":"x"`, `"search":"x","replace":"y","tables":["a b"]`} {
		if a := k.call(k.alice, "POST", "/api/v1/wordpress/search-replace", `{"id":"`+id+`",`+body+`}`); a.status != 400 {
			t.Errorf("%s: %d %s", body, a.status, a.raw)
		}
	}
}
