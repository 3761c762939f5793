package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// The token of a login link exists in two places: sealed for the node, and in the one answer
// to whoever asked for it.
func TestLoginLinkIsShownOnceWithATokenOf256Bits(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := k.putSite("alice", "blog.com", "public_html")
	tokens := make(chan string, 1)
	k.work(func(_ context.Context, op tasks.Op, _ *queue.Recorder) (tasks.Outcome, error) {
		var task tasks.AdminAutologin
		if err := json.Unmarshal(op.Payload, &task); err != nil {
			return tasks.Outcome{}, err
		}
		token, err := k.nodeKey.Open(string(task.Token))
		if err != nil {
			return tasks.Outcome{}, err
		}
		tokens <- token
		result, err := json.Marshal(tasks.AdminAutologinResult{LoginURL: "https://blog.com/?wptk-login=" + tasks.SecretMark, User: "boss"})
		return tasks.Outcome{State: tasks.Succeeded, Result: result}, err
	})
	a := k.call(k.alice, "POST", "/api/v1/wordpress/auto-login", `{"id":"`+site.ID+`","redirect":"/wp-admin/"}`)
	if a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	op, token := a.text(t, "operation_id"), <-tokens
	if len(token) != 43 {
		t.Errorf("the token has %d characters", len(token))
	}
	if looking := k.finished(k.admin, op); strings.Contains(looking.raw, token) {
		t.Error("an admin who looks in sees the token")
	}
	first := k.finished(k.alice, op)
	result, _ := first.json(t)["result"].(map[string]any)
	link, _ := result["login_url"].(string)
	u, err := url.Parse(link)
	if err != nil || u.Query().Get("wptk-login") != token || result["user"] != "boss" {
		t.Errorf("%s", first.raw)
	}
	if again := k.finished(k.alice, op); strings.Contains(again.raw, token) || !strings.Contains(again.raw, tasks.SecretMark) {
		t.Errorf("%s", again.raw)
	}
	k.api.Close() // then the log is ours to read
	if strings.Contains(k.log.String(), token) {
		t.Error("the token is in the log")
	}
}

func TestUsersAndLoginsAreCheckedBeforeTheyAreQueued(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := k.putSite("alice", "blog.com", "public_html")
	token := strings.Repeat("A", 43)
	for _, c := range []struct{ path, fields, field string }{
		{"auto-login", `"token":"` + token + `"`, "token"},
		{"auto-login", `"redirect":"https:///"`, "redirect"},
		{"auto-login", `"redirect":"//evil.example/"`, "redirect"},
		{"auto-login", `"user":"a\nb"`, "user"},
		{"admin/create", `"user":"jane","email":"jane"`, "email"},
		{"admin/create", `"user":"-x","email":"jane@blog.com"`, "user"},
		{"admin/create", `"user":"jane","email":"jane@blog.com","role":"--x"`, "role"},
		{"admin/create", `"user":"jane","email":"jane@blog.com","password":"short"`, "password"},
		{"password/reset", `"password":"long enough"`, "body"},
		{"security/hide-login", `"slug":"backstage"`, "body"},
		{"security/hide-login", `"enabled":true`, "slug"},
		{"security/hide-login", `"enabled":true,"slug":"wp-login"`, "slug"},
		{"security/hide-login", `"enabled":true,"slug":"../x"`, "slug"},
	} {
		a := k.call(k.alice, "POST", "/api/v1/wordpress/"+c.path, `{"id":"`+site.ID+`",`+c.fields+`}`)
		if a.status != http.StatusBadRequest || a.text(t, "code") != "VALIDATION_ERROR" || !strings.Contains(a.raw, `"field":"`+c.field+`"`) {
			t.Errorf("%s %s: %d %s", c.path, c.fields, a.status, a.raw)
		}
		if a = k.call(k.bob, "POST", "/api/v1/wordpress/"+c.path, `{"id":"`+site.ID+`",`+c.fields+`}`); a.status == http.StatusAccepted {
			t.Errorf("%s %s: bob may", c.path, c.fields)
		}
	}
}
