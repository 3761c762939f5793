package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

const someBackup = `"backup_id":"bk_0191f3c2-7a5b-7cc1-9d7e-3f52a10b8c4e"`

func TestRestoreIsOfTheInstallThatChanges(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id, other := k.listed("alice", "blog.com"), k.listed("alice", "staging.blog.com")
	must(t, k.node.PublishDomains(t.Context(), []queue.Domain{
		{Node: "n1", Account: "alice", Domain: "blog.com"}, {Node: "n1", Account: "alice", Domain: "staging.blog.com"},
	}))
	for _, c := range []struct {
		body, id string
		other    bool
	}{
		{`{"id":"` + id + `",` + someBackup + `,"paths":["wp-content/uploads"],"checkpoint":false}`, id, false},
		{`{"id":"` + id + `",` + someBackup + `,"target_domain":"staging.blog.com"}`, other, true},
		{`{"id":"` + id + `",` + someBackup + `,"target_domain":"blog.com","target_path":"public_html"}`, id, false},
	} {
		a := k.call(k.alice, "POST", "/api/v1/wordpress/restore", c.body)
		if a.status != http.StatusAccepted || a.text(t, "type") != "restore" || a.text(t, "id") != c.id {
			t.Fatalf("%s: %d %s", c.body, a.status, a.raw)
		}
		op, err := k.client.Get(t.Context(), a.text(t, "operation_id"))
		must(t, err)
		var got tasks.Restore
		must(t, json.Unmarshal(op.Payload, &got))
		if got.OtherSite != c.other || !strings.Contains(c.body, got.BackupID) {
			t.Errorf("%s: %+v", c.body, got)
		}
	}
}

func TestRestoreRefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id, foreign := k.listed("alice", "blog.com"), k.listed("bob", "bob.com")
	must(t, k.node.PublishDomains(t.Context(), []queue.Domain{
		{Node: "n1", Account: "alice", Domain: "blog.com"}, {Node: "n1", Account: "alice", Domain: "empty.com"}, {Node: "n1", Account: "bob", Domain: "bob.com"},
	}))
	for _, c := range []struct {
		body, says string
		status     int
	}{
		{`{"id":"` + id + `"}`, "backup_id", 400},
		{`{"id":"` + id + `","backup_id":"latest"}`, "backup_id", 400},
		{`{"id":"` + id + `",` + someBackup + `,"type":"half"}`, "type", 400},
		{`{"id":"` + id + `",` + someBackup + `,"type":"files","tables":["wp_posts"]}`, "tables", 400},
		{`{"id":"` + id + `",` + someBackup + `,"paths":["../../etc"]}`, "paths", 400},
		{`{"id":"` + id + `",` + someBackup + `,"paths":["wp-content","wp-content/uploads"]}`, "paths", 400},
		{`{"id":"` + id + `",` + someBackup + `,"tables":["x; DROP"]}`, "tables", 400},
		{`{"id":"` + id + `",` + someBackup + `,"target_path":"public_html"}`, "target_domain", 400},
		{`{"id":"` + id + `",` + someBackup + `,"target_domain":"a b"}`, "target_domain", 400},
		{`{"id":"` + foreign + `",` + someBackup + `}`, "", 404},
		{`{"id":"` + foreign + `",` + someBackup + `,"target_domain":"blog.com"}`, "", 404},
		{`{"id":"` + id + `",` + someBackup + `,"target_domain":"bob.com"}`, "", 404},
		{`{"id":"` + id + `",` + someBackup + `,"target_domain":"empty.com"}`, "install", 404},
	} {
		a := k.call(k.alice, "POST", "/api/v1/wordpress/restore", c.body)
		if a.status != c.status || !strings.Contains(a.raw, c.says) || a.json(t)["success"] != false {
			t.Errorf("%s: %d %s", c.body, a.status, a.raw)
		}
	}
}
