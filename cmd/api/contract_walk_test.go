package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// published is every endpoint of the API page and of the contract that goes with it.
var published = []string{
	"POST /install", "GET /install/{id}/progress", "GET /installations", "GET /installation", "GET /status",
	"GET /operations", "GET /operations/{id}", "POST /operations/{id}/cancel", "POST /operations/{id}/retry", "GET /operations/{id}/log", "GET /operations/{id}/events", "GET /events", "GET /installations/{id}/events",
	"POST /clone", "POST /core/update", "POST /reinstall-core", "POST /maintenance", "POST /search-replace", "DELETE /delete",
	"POST /admin/create", "POST /auto-login", "POST /password/reset",
	"GET /plugins", "POST /plugins/install", "POST /plugins/activate", "POST /plugins/deactivate", "POST /plugins/update", "POST /plugins/delete",
	"GET /themes", "POST /themes/install", "POST /themes/activate", "POST /themes/deactivate", "POST /themes/update", "POST /themes/delete",
	"GET /cache", "POST /cache/enable", "POST /cache/disable", "POST /cache/flush", "POST /cache/purge",
	"GET /backups", "POST /backup", "POST /restore", "DELETE /backups/{id}", "GET /backups/{id}/download", "POST /backups/{id}/verify",
	"GET /security", "GET /verify-checksums", "POST /verify-checksums",
	"POST /security/disable-file-edit", "POST /security/file-protection", "POST /security/hide-login", "POST /security/toggle-debug",
}

// unbuilt are those that do not exist yet. Whoever builds one takes it from here.
var unbuilt []string

// walked is one operation of the document, with what a good request for it needs.
type walked struct {
	method, template string
	path             string // with the walk's own ids
	body             string // "" for none
	site             bool   // it names an install or one of its operations
	admin            bool
	status           int // of the good answer, as documented
}

func (w walked) String() string {
	return w.method + " " + strings.TrimPrefix(w.template, apiBase+"/wordpress")
}

// apiDocument is what the walk reads of the OpenAPI document.
type apiDocument struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			In, Name string
			Required bool
		}
		RequestBody struct {
			Content map[string]struct{ Schema schema }
		}
		Responses map[string]json.RawMessage
	}
	Components struct{ Schemas map[string]schema }
}

type schema struct {
	Ref        string `json:"$ref"`
	Properties map[string]struct {
		Type     any
		Examples []any
		Enum     []any
	}
	Required []string
}

// chosen is what a good request needs beside the examples of the document, or instead.
var chosen = map[string]map[string]any{
	"POST /install":             {"domain": "shop.com", "path": "public_html", "title": "Shop", "admin_user": "boss", "admin_email": "boss@shop.com"},
	"POST /security/hide-login": {"slug": "backstage"},
	"POST /cache/purge":         {"url": "https://blog.com/about/"},
	"POST /plugins/update":      {"plugin": "akismet"}, "POST /plugins/activate": {"plugin": "akismet"},
	"POST /plugins/deactivate": {"plugin": "akismet"}, "POST /plugins/delete": {"plugin": "akismet"},
	"POST /themes/update": {"theme": "twentytwentyfour"}, "POST /themes/delete": {"theme": "twentytwentyfour"},
	"DELETE /delete":              {"id": ""}, // of the install, put in by the walk
	"POST /schedules":             {"kind": "site.inspect", "target": map[string]any{"account": "alice"}, "cron": "@daily"},
	"PATCH /schedules/{id}":       {"name": "other"},
	"POST /push":                  {"source_id": "", "target_id": tasks.SiteID("n1", "alice", "blog.com", "live")},
	"POST /clone":                 {"source_id": "", "target_domain": "shop.com", "target_path": "copy"},
	"PATCH /api/v1/webhooks/{id}": {"enabled": true},
}

// walk lists all operations that the document has.
func (k *kit) walk(site queue.Site, op string) (all []walked) {
	k.t.Helper()
	var doc apiDocument
	must(k.t, json.Unmarshal([]byte(k.call("", "GET", "/openapi.json", "").raw), &doc))
	key := k.call(k.alice, "GET", apiBase+"/users/alice/api-keys", "")
	var keys struct {
		Keys []struct{ ID string } `json:"api_keys"`
	}
	if err := json.Unmarshal([]byte(key.raw), &keys); err != nil || len(keys.Keys) == 0 {
		k.t.Fatalf("%v %s", err, key.raw)
	}
	for _, template := range slices.Sorted(maps.Keys(doc.Paths)) {
		for method, o := range doc.Paths[template] {
			w := walked{method: strings.ToUpper(method), template: template, admin: strings.HasPrefix(template, apiBase+"/nodes") || template == consoleLinks || template == auditURL}
			id := op
			switch {
			case w.admin:
				id = "n1"
			case strings.HasPrefix(template, apiBase+"/wordpress/schedules"):
				id = k.someSchedule()
			case strings.HasPrefix(template, apiBase+"/webhooks"):
				id = k.hook(k.alice, `{"url":"https://example.com/"}`).ID
			case strings.HasSuffix(template, "/api-keys/{id}/rotate"): // one of its own, since another request revokes the first
				replaced, _, err := k.client.CreateKey(k.t.Context(), queue.NewKey{Name: "to be replaced", Owner: "alice"})
				must(k.t, err)
				id = replaced.ID
			case strings.HasPrefix(template, apiBase+"/users"):
				id = keys.Keys[0].ID
			case strings.Contains(template, "/backups/{id}"):
				w.site, id = true, tasks.BackupID(op)
			case strings.Contains(template, "/installations/{id}"):
				w.site, id = true, site.ID
			case strings.Contains(template, "{id}"):
				w.site = true
			}
			w.path = strings.NewReplacer("{id}", id, "{username}", "alice", "{measure}", "block-xmlrpc", "{delivery}", "dlv_0").Replace(template)
			for _, p := range o.Parameters {
				if p.In == "query" && p.Name == "id" && p.Required {
					w.path += "?id=" + url.QueryEscape(site.ID)
					w.site = true
				}
			}
			if media, ok := o.RequestBody.Content["application/json"]; ok {
				w.fill(doc, media.Schema, site)
			}
			for code := range o.Responses {
				if n := 0; code != "default" {
					_, err := fmt.Sscan(code, &n)
					must(k.t, err)
					w.status = n
				}
			}
			all = append(all, w)
		}
	}
	if len(all) < 50 {
		k.t.Fatalf("the document has %d operations", len(all))
	}
	return all
}

// fill makes a good body of what the document requires and shows as examples.
func (w *walked) fill(doc apiDocument, s schema, site queue.Site) {
	if s.Ref != "" {
		s = doc.Components.Schemas[s.Ref[strings.LastIndex(s.Ref, "/")+1:]]
	}
	body := map[string]any{}
	for _, name := range s.Required {
		p := s.Properties[name]
		switch {
		case len(p.Examples) > 0:
			body[name] = p.Examples[0]
		case len(p.Enum) > 0:
			body[name] = p.Enum[0]
		case p.Type == "boolean":
			body[name] = true
		default:
			body[name] = "example"
		}
	}
	maps.Copy(body, chosen[w.String()])
	for _, name := range []string{"id", "source_id"} {
		if _, ok := s.Properties[name]; ok {
			body[name] = site.ID
			w.site = true
		}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.body = string(raw)
}

// elsewhere is the same request for another install.
func (w walked) elsewhere(site queue.Site, op, other, otherOp string) (path, body string) {
	swap := strings.NewReplacer(site.ID, other, op, otherOp, tasks.BackupID(op), tasks.BackupID(otherOp))
	return swap.Replace(w.path), swap.Replace(w.body)
}

// ended is an op of an install that has ended: failed for those of shop.com, so that
// there is something to try again.
func (k *kit) ended(secret string, site queue.Site) string {
	k.t.Helper()
	got := k.call(secret, "POST", apiBase+"/wordpress/inspect", `{"id":"`+site.ID+`"}`)
	if got.status != http.StatusAccepted {
		k.t.Fatalf("%d %s", got.status, got.raw)
	}
	id := got.text(k.t, "operation_id")
	k.finished(secret, id)
	// That it is said to have made.
	must(k.t, k.client.PutBackup(k.t.Context(), tasks.Backup{ID: tasks.BackupID(id), Op: id, Site: site.SiteRef, Type: tasks.BackupFull, Bytes: 1}))
	return id
}

func newWalk(t *testing.T) (k *kit, site queue.Site, op string) {
	k = newKit(t)
	site = k.putSite("alice", "blog.com", "public_html")
	k.putSite("alice", "blog.com", "live")
	k.work(func(_ context.Context, op tasks.Op, _ *queue.Recorder) (tasks.Outcome, error) {
		if op.Kind == "site.inspect" {
			return tasks.Outcome{State: tasks.Failed, Error: &tasks.Failure{Code: tasks.CodeTimeout, Message: "It took too long.", Hint: "Try again."}}, nil
		}
		return tasks.Outcome{State: tasks.Succeeded}, nil
	})
	return k, site, k.ended(k.alice, site)
}

func TestEveryPublishedEndpointIsServed(t *testing.T) {
	t.Parallel()
	k, site, op := newWalk(t)
	served := map[string]bool{}
	for _, w := range k.walk(site, op) {
		served[w.String()] = true
	}
	for _, endpoint := range published {
		switch later := slices.Contains(unbuilt, endpoint); {
		case !served[endpoint] && !later:
			t.Errorf("%s is published, and not in the document", endpoint)
		case served[endpoint] && later:
			t.Errorf("%s is built; take it from the list of those that are not", endpoint)
		}
	}
	for _, endpoint := range unbuilt {
		if !slices.Contains(published, endpoint) {
			t.Errorf("%s is not even published", endpoint)
		}
	}
}

// mustBeRefused wants an error, in the envelope.
func (a answer) mustBeRefused(t *testing.T, why string, status int, code string) {
	t.Helper()
	body := a.json(t)
	message, _ := body["message"].(string)
	if a.status != status || body["code"] != code || body["status"] != float64(status) || body["success"] != false || message == "" || body["error"] != message {
		t.Errorf("%s: got %d %s, want %d %s", why, a.status, a.raw, status, code)
	}
	if id := a.header.Get("X-Request-Id"); id == "" || body["request_id"] != id {
		t.Errorf("%s: request id: header %q, body %v", why, id, body["request_id"])
	}
	for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
		if a.header.Get(name) == "" {
			t.Errorf("%s: no %s", why, name)
		}
	}
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("%s: content type %q", why, ct)
	}
}

func TestEveryRouteRefusesInTheEnvelope(t *testing.T) {
	t.Parallel()
	k, site, op := newWalk(t)
	reader := k.key(queue.NewKey{Name: "r", Owner: "alice", Permissions: []string{queue.PermRead}})
	for _, w := range k.walk(site, op) {
		t.Run(w.String(), func(t *testing.T) {
			call := func(key, method, path, body string) answer { return callOn(t, k.api.URL, key, method, path, body) }
			call("", w.method, w.path, w.body).mustBeRefused(t, "without a key", 401, "UNAUTHORIZED")
			call("wsp_"+strings.Repeat("0", 48), w.method, w.path, w.body).mustBeRefused(t, "with a bad key", 401, "UNAUTHORIZED")
			call(k.alice, "PUT", w.path, "").mustBeRefused(t, "with the wrong method", 405, "METHOD_NOT_ALLOWED")
			key := k.alice
			if w.admin {
				call(k.alice, w.method, w.path, w.body).mustBeRefused(t, "without an admin's key", 403, "FORBIDDEN")
				key = k.admin
			}
			if w.method != http.MethodGet {
				call(reader, w.method, w.path, w.body).mustBeRefused(t, "with a key for reading", 403, "FORBIDDEN")
			}
			if w.body != "" {
				for name, body := range map[string]string{
					"broken JSON": w.body[:len(w.body)-1], "an unknown field": `{"nope":1,` + w.body[1:], "a list": "[]", "a duplicate": strings.TrimSuffix(w.body, "}") + "," + w.body[1:],
				} {
					call(key, w.method, w.path, body).mustBeRefused(t, "with "+name, 400, "VALIDATION_ERROR")
				}
				if !strings.HasSuffix(w.template, "/delete") || w.method != http.MethodDelete {
					call(key, w.method, w.path, "{}").mustBeRefused(t, "with nothing", 400, "VALIDATION_ERROR")
				}
			}
			if w.method == http.MethodGet {
				separator := "?"
				if strings.Contains(w.path, "?") {
					separator = "&"
				}
				if !strings.HasSuffix(w.template, "/events") {
					call(key, w.method, w.path+separator+"nope=1", "").mustBeRefused(t, "with an unknown query", 400, "VALIDATION_ERROR")
				}
			}
		})
	}
}

// Someone else's id must be told from one that does not exist by nothing at all.
func TestSomeoneElsesIDIsUnknownOnEveryRoute(t *testing.T) {
	t.Parallel()
	k, site, op := newWalk(t)
	bobs := k.putSite("bob", "bob.com", "public_html")
	bobsOp := k.ended(k.bob, bobs)
	nowhere, nowhereOp := tasks.SiteID("n1", "alice", "blog.com", "nowhere"), tasks.NewOpID("n1")
	named := 0
	for _, w := range k.walk(site, op) {
		if !w.site {
			continue
		}
		named++
		t.Run(w.String(), func(t *testing.T) {
			ask := func(other, otherOp string) answer {
				path, body := w.elsewhere(site, op, other, otherOp)
				return callOn(t, k.api.URL, k.alice, w.method, path, body, "X-Request-Id", "same")
			}
			foreign, unknown := ask(bobs.ID, bobsOp), ask(nowhere, nowhereOp)
			foreign.mustBeRefused(t, "someone else's", 404, "NOT_FOUND")
			if foreign.raw != unknown.raw || foreign.status != unknown.status {
				t.Errorf("someone else's answers %s, an unknown one %s", foreign.raw, unknown.raw)
			}
			ask("wp_1", "op_1").mustBeRefused(t, "malformed", 404, "NOT_FOUND")
		})
	}
	if named < 40 {
		t.Errorf("only %d routes name an install", named)
	}
	ops, err := k.client.List(t.Context(), queue.OpFilter{Account: "bob"})
	if must(t, err); len(ops.Items) != 1 {
		t.Errorf("bob's install got %d operations", len(ops.Items))
	}
	// And the keys of another user.
	for _, path := range []string{"/users/bob/api-keys", "/users/nobody/api-keys"} {
		k.call(k.alice, "GET", apiBase+path, "").mustBeRefused(t, path, 404, "NOT_FOUND")
	}
}

// at200 are changes that are over when they are answered.
var at200 = []string{
	"POST /operations/{id}/cancel", "POST /operations/{id}/pause", "POST /operations/{id}/resume",
	"POST /schedules", "PATCH /schedules/{id}", "DELETE /schedules/{id}",
}

func TestEveryChangeIsAcceptedAndEnds(t *testing.T) {
	t.Parallel()
	k, site, op := newWalk(t)
	changes := 0
	for _, w := range k.walk(site, op) {
		if w.method == http.MethodGet || !strings.HasPrefix(w.template, apiBase+"/wordpress/") || slices.Contains(at200, w.String()) {
			continue
		}
		changes++
		t.Run(w.String(), func(t *testing.T) {
			ask := func() answer {
				return callOn(t, k.api.URL, k.alice, w.method, w.path, w.body, "Idempotency-Key", w.String())
			}
			got := ask()
			if got.status != http.StatusAccepted || w.status != http.StatusAccepted {
				t.Fatalf("answers %d, documented %d: %s", got.status, w.status, got.raw)
			}
			if !slices.Equal(names(t, got.raw)[:6], []string{"success", "id", "operation_id", "type", "status", "progress_url"}) {
				t.Errorf("fields of %s", got.raw)
			}
			id, where := got.text(t, "operation_id"), got.text(t, "progress_url")
			if got.json(t)["success"] != true || !strings.HasPrefix(where, apiBase+"/wordpress/install/") || got.header.Get("Location") == "" {
				t.Errorf("answers %v %s", got.header, got.raw)
			}
			for _, path := range []string{where, got.header.Get("Location")} {
				if p := callOn(t, k.api.URL, k.alice, "GET", path, ""); p.status != 200 {
					t.Errorf("%s answers %d %s", path, p.status, p.raw)
				}
			}
			again := ask()
			if again.text(t, "operation_id") != id || again.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("asked again: %v %s", again.header, again.raw)
			}
			end := k.finished(k.alice, id).json(t)
			if state, _ := end["status"].(string); !tasks.State(state).Final() || end["operation_id"] != id {
				t.Errorf("ended as %v", end)
			}
		})
	}
	if changes < 30 {
		t.Errorf("only %d changes", changes)
	}
}
