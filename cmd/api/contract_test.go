package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

func TestEmptyInstallAnswersThePublishedBytes(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, body := range []string{"", "{}"} {
		got := k.call(k.alice, "POST", "/api/v1/wordpress/install", body, "X-Request-Id", "req-1")
		const message = `Missing fields. Got: domain_name=\"\", path=\"\", db_name=\"\", domain=\"\"`
		want := `{"success":false,"code":"VALIDATION_ERROR","error":"` + message + `","message":"` + message + `","status":400,"request_id":"req-1","details":[`
		if got.status != 400 || !strings.HasPrefix(got.raw, want) {
			t.Errorf("body %q: %d\n got %s\nwant %s…", body, got.status, got.raw, want)
		}
	}
	got := k.call(k.alice, "POST", "/api/v1/wordpress/install", `{"domain_name":"blog.com","db_name":"x\"y"}`)
	if want := `Missing fields. Got: domain_name="blog.com", path="", db_name="x\"y", domain=""`; got.text(t, "error") != want {
		t.Errorf("error = %s, want %s", got.text(t, "error"), want)
	}
}

func TestEveryErrorHasTheEnvelope(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	reader := k.key(queue.NewKey{Name: "r", Owner: "alice", Permissions: []string{queue.PermRead}})
	elsewhere := k.key(queue.NewKey{Name: "e", Owner: "alice", IPWhitelist: []string{"192.0.2.0/24"}})
	const install, ops = "/api/v1/wordpress/install", "/api/v1/wordpress/operations"
	for name, c := range map[string]struct {
		key, method, path, body string
		headers                 []string
		status                  int
		code, message           string
	}{
		"no header":        {"", "GET", ops, "", nil, 401, "UNAUTHORIZED", "Missing authorization"},
		"bad key":          {"wsp_" + strings.Repeat("0", 48), "GET", ops, "", nil, 401, "UNAUTHORIZED", "Invalid API key"},
		"malformed key":    {"nonsense", "GET", ops, "", nil, 401, "UNAUTHORIZED", "Invalid API key"},
		"other address":    {elsewhere, "GET", ops, "", nil, 401, "UNAUTHORIZED", "Invalid API key"},
		"wrong scope":      {reader, "POST", install, "{}", nil, 403, "FORBIDDEN", "API key is not scoped for 'wordpress'"},
		"not an admin":     {k.alice, "GET", "/api/v1/nodes", "", nil, 403, "FORBIDDEN", "An admin key is needed"},
		"unknown path":     {k.alice, "GET", "/api/v1/nothing", "", nil, 404, "NOT_FOUND", ""},
		"unknown outside":  {"", "GET", "/nothing", "", nil, 404, "NOT_FOUND", ""},
		"double slash":     {k.alice, "GET", "/api/v1//wordpress/operations", "", nil, 404, "NOT_FOUND", ""},
		"wrong method":     {k.alice, "PUT", install, "{}", nil, 405, "METHOD_NOT_ALLOWED", ""},
		"unknown op":       {k.alice, "GET", ops + "/" + tasks.NewOpID("n1"), "", nil, 404, "NOT_FOUND", "Not found"},
		"malformed op":     {k.alice, "GET", ops + "/op_1", "", nil, 404, "NOT_FOUND", "Not found"},
		"unknown progress": {k.alice, "GET", progressURL("wp_0000000000000000"), "", nil, 404, "NOT_FOUND", "Not found"},
		"unknown site":     {k.alice, "GET", "/api/v1/wordpress/installation?id=wp_1", "", nil, 404, "NOT_FOUND", "Not found"},
		"no site id":       {k.alice, "GET", "/api/v1/wordpress/installation", "", nil, 400, "VALIDATION_ERROR", ""},
		"unknown domain":   {k.alice, "POST", install, strings.Replace(goodInstall, "blog.com", "new.com", 1) + "}", nil, 404, "NOT_FOUND", "Unknown domain new.com"},
		"foreign domain":   {k.alice, "POST", install, strings.Replace(goodInstall, "blog.com", "bob.com", 1) + "}", nil, 404, "NOT_FOUND", "Unknown domain bob.com"},
		"form body":        {k.alice, "POST", install, goodInstall + "}", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		"other charset":    {k.alice, "POST", install, goodInstall + "}", []string{"Content-Type", "application/json; charset=utf-16"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		"bad query":        {k.alice, "GET", ops + "?limit=0", "", nil, 400, "VALIDATION_ERROR", ""},
		"unknown query":    {k.alice, "GET", ops + "?liimt=5", "", nil, 400, "VALIDATION_ERROR", ""},
		"bad cursor":       {k.alice, "GET", ops + "?cursor=x", "", nil, 400, "VALIDATION_ERROR", ""},
		"bad wait":         {k.alice, "GET", progressURL("wp_0000000000000000") + "?wait=61", "", nil, 400, "VALIDATION_ERROR", ""},
		"bad idempotency":  {k.alice, "POST", install, goodInstall + "}", []string{"Idempotency-Key", strings.Repeat("x", 256)}, 400, "VALIDATION_ERROR", ""},
		"foreign account":  {k.alice, "GET", "/api/v1/users/bob/api-keys", "", nil, 404, "NOT_FOUND", "Not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := callOn(t, k.api.URL, c.key, c.method, c.path, c.body, c.headers...)
			body := got.json(t)
			if got.status != c.status || body["code"] != c.code || c.message != "" && body["error"] != c.message {
				t.Errorf("got %d %s", got.status, got.raw)
			}
			if body["success"] != false || body["status"] != float64(c.status) || body["error"] != body["message"] {
				t.Errorf("envelope: %s", got.raw)
			}
			if id := got.header.Get("X-Request-Id"); id == "" || body["request_id"] != id {
				t.Errorf("request id: header %q, body %v", id, body["request_id"])
			}
			if strings.HasPrefix(c.path, apiBase) && got.header.Get("X-RateLimit-Limit") == "" {
				t.Errorf("no rate limit headers: %v", got.header)
			}
			if ct := got.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("content type %q", ct)
			}
		})
	}
}

func TestBodiesAreReadStrictly(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for name, c := range map[string]struct {
		body   string
		status int
		field  string // in details
	}{
		"duplicate key":  {goodInstall + `,"domain":"shop.com"}`, 400, "body"},
		"wrong case":     {strings.Replace(goodInstall, `"title"`, `"Title"`, 1) + "}", 400, "Title"},
		"unknown field":  {goodInstall + `,"nope":1}`, 400, "nope"},
		"wrong type":     {goodInstall + `,"plugins":"akismet"}`, 400, "plugins"},
		"broken":         {goodInstall, 400, "body"},
		"two values":     {goodInstall + "}{}", 400, "body"},
		"invalid utf-8":  {goodInstall + ",\"theme\":\"\xff\"}", 400, "body"},
		"deep nesting":   {goodInstall + `,"plugins":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}", 400, "body"},
		"absolute path":  {strings.Replace(goodInstall, "public_html", "/etc", 1) + "}", 400, "path"},
		"path upwards":   {strings.Replace(goodInstall, "public_html", "a/../../b", 1) + "}", 400, "path"},
		"bad enum":       {goodInstall + `,"on_busy":"maybe"}`, 400, "on_busy"},
		"over 1 MiB":     {goodInstall + `,"theme":"` + strings.Repeat("x", 1<<20) + `"}`, 413, ""},
		"not an object":  {`[]`, 400, "body"},
		"another domain": {goodInstall + `,"domain_name":"shop.com"}`, 400, "domain_name"},
		"null":           {`null`, 400, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := callOn(t, k.api.URL, k.alice, "POST", "/api/v1/wordpress/install", c.body)
			if got.status != c.status || c.field != "" && !slices.Contains(fields(t, got), c.field) {
				t.Errorf("got %d %.400s", got.status, got.raw)
			}
		})
	}
	if n, err := k.client.List(t.Context(), queue.OpFilter{}); err != nil || len(n.Items) != 0 {
		t.Errorf("%d ops were made, %v", len(n.Items), err)
	}
}

func TestBodyOfUnknownLengthIsCutAtTheLimit(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, key := range []string{"", "k"} {
		body := strings.NewReader(goodInstall + `,"theme":"` + strings.Repeat("x", 1<<20) + `"}`)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.api.URL+"/api/v1/wordpress/install", io.MultiReader(body))
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+k.alice)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		defer res.Body.Close()
		if raw, err := io.ReadAll(res.Body); res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(raw), "PAYLOAD_TOO_LARGE") {
			t.Errorf("key %q: %d %s %v", key, res.StatusCode, raw, err)
		}
	}
}

func TestWrongMethodNamesTheRightOnes(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	if got := k.call(k.alice, "PUT", "/api/v1/users/alice/api-keys", "{}"); got.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %q", got.header.Get("Allow"))
	}
}

func TestPanicAnswersWithItsRequestIDOnly(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(d *deps) { d.Ready = func(context.Context) error { panic("secret detail") } })
	got := k.call("", "GET", "/readyz", "", "X-Request-Id", "req-9")
	if got.status != 500 || got.text(t, "code") != "INTERNAL_ERROR" || got.text(t, "request_id") != "req-9" || strings.Contains(got.raw, "secret") {
		t.Errorf("got %d %s", got.status, got.raw)
	}
}

func TestAllProblemsComeAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	got := k.call(k.alice, "POST", "/api/v1/wordpress/install", `{"domain":"b_d","path":"../x","nope":1,"plugins":5,"on_exists":"x"}`)
	for _, want := range []string{"domain", "path", "nope", "plugins", "on_exists"} {
		if !slices.Contains(fields(t, got), want) {
			t.Errorf("%s is not among %v", want, fields(t, got))
		}
	}
}

// fields lists what the details of an error are about.
func fields(t *testing.T, a answer) []string {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(a.raw), &p); err != nil {
		t.Fatalf("%v in %s", err, a.raw)
	}
	var all []string
	for _, d := range p.Details {
		all = append(all, d.Field)
	}
	return all
}

func TestInstallIsAcceptedAsPublished(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	got := k.install(k.alice, `,"admin_password":"S3cure•pass"`)
	body := got.json(t)
	id, op := got.text(t, "id"), got.text(t, "operation_id")
	if body["success"] != true || body["type"] != "install" || body["status"] != "queued" ||
		body["progress_url"] != progressURL(id) || !tasks.IsSiteID(id) || !tasks.IsOpID(op) || got.header.Get("Location") == "" {
		t.Errorf("got %v %s", got.header, got.raw)
	}
	if want := tasks.SiteID("n1", "alice", "blog.com", "public_html"); id != want {
		t.Errorf("id = %s, want %s", id, want)
	}
	for _, by := range []string{id, op} {
		p := k.call(k.alice, "GET", progressURL(by), "")
		if p.status != 200 || p.text(t, "operation_id") != op || p.header.Get("Retry-After") == "" {
			t.Errorf("progress by %s: %d %v %s", by, p.status, p.header, p.raw)
		}
	}
}

func TestProgressHasTheFieldsOfTheContractInOrder(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.install(k.alice, "").text(t, "id")
	want := []string{"success", "id", "operation_id", "type", "status", "done", "progress", "step", "step_index", "steps_total", "message",
		"attempt", "queue_position", "created_at", "started_at", "updated_at", "finished_at", "eta_seconds", "stalled", "result", "error"}
	got := names(t, k.call(k.alice, "GET", progressURL(id), "").raw)
	if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("fields = %v", got)
	}
}

func TestInstallationsBeginWithTheSeedsFieldsInOrder(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.putSite("alice", "blog.com", "public_html")
	want := []string{"id", "domain", "domain_id", "path", "version", "site_title", "site_url", "admin_url",
		"db_name", "db_user", "db_host", "table_prefix", "debug", "multisite"}
	got := k.call(k.alice, "GET", "/api/v1/wordpress/installations", "")
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(got.raw), &list); err != nil || len(list) != 1 {
		t.Fatalf("not a bare array of one: %s", got.raw)
	}
	if fields := names(t, string(list[0])); !slices.Equal(fields[:len(want)], want) {
		t.Errorf("fields = %v", fields)
	}
	status := k.call(k.alice, "GET", "/api/v1/wordpress/status", "").json(t)
	if status["wp_cli_available"] != true || len(status["installations"].([]any)) != 1 {
		t.Errorf("status = %v", status)
	}
}

func (k *kit) putSite(account, domain, path string) queue.Site {
	k.t.Helper()
	site := queue.Site{
		SiteRef: tasks.SiteRef{ID: tasks.SiteID("n1", account, domain, path), Node: "n1", Account: account, Domain: domain, Path: path},
		Status:  queue.SiteOK, Docroot: "/home/" + account + "/domains/" + domain + "/" + path, Version: "6.9.4", Title: "Blog",
		Source: queue.SourceScan, UpdatedAt: time.Now(),
	}
	must(k.t, k.node.PutSite(k.t.Context(), site))
	return site
}

// names lists the names of a JSON object in order.
func names(t *testing.T, object string) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewBufferString(object))
	var list []string
	if _, err := dec.Token(); err != nil {
		t.Fatalf("%v in %s", err, object)
	}
	for dec.More() {
		name, err := dec.Token()
		must(t, err)
		list = append(list, name.(string))
		var skip json.RawMessage
		must(t, dec.Decode(&skip))
	}
	return list
}

func TestInstallationPagesAreLinked(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, path := range []string{"a", "b", "c"} {
		k.putSite("alice", "blog.com", path)
	}
	next, seen := "/api/v1/wordpress/installations?limit=2", 0
	for pages := 0; next != "" && pages < 5; pages++ {
		a := k.call(k.alice, "GET", next, "")
		var list []installation
		must(t, json.Unmarshal([]byte(a.raw), &list))
		seen += len(list)
		next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
	}
	if seen != 3 {
		t.Errorf("saw %d installs over all pages, want 3", seen)
	}
}

func TestInstallWhereWordPressIsConflictsOrReturnsIt(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := k.putSite("alice", "blog.com", "public_html")
	const path = "/api/v1/wordpress/install"
	conflict := k.call(k.alice, "POST", path, goodInstall+"}")
	if conflict.status != 409 || conflict.text(t, "id") != site.ID || conflict.json(t)["installation"] == nil {
		t.Errorf("conflict: %d %s", conflict.status, conflict.raw)
	}
	returned := k.call(k.alice, "POST", path, goodInstall+`,"on_exists":"return"}`)
	if returned.status != 200 || returned.text(t, "id") != site.ID || returned.json(t)["installation"] == nil {
		t.Errorf("return: %d %s", returned.status, returned.raw)
	}
	dry := k.call(k.alice, "POST", path, goodInstall+`,"dry_run":true}`)
	if would, _ := dry.json(t)["would"].(map[string]any); dry.status != 200 || would["conflict"] != true || would["account"] != "alice" {
		t.Errorf("dry run: %d %s", dry.status, dry.raw)
	}
}

func TestBusyInstallSaysWhichOperationIsInTheWay(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	first := k.install(k.alice, "").text(t, "operation_id")
	got := k.call(k.alice, "POST", "/api/v1/wordpress/install", goodInstall+`,"on_busy":"fail"}`)
	if got.status != 409 || got.text(t, "operation_id") != first {
		t.Errorf("got %d %s", got.status, got.raw)
	}
	if second := k.install(k.alice, "").json(t); second["queue_position"] != 1.0 {
		t.Errorf("second in line: %v", second)
	}
}

func TestDrainingNodeTakesNothingNew(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	if got := k.call(k.admin, "POST", "/api/v1/nodes/n1/drain", ""); got.status != 200 || !strings.Contains(got.raw, `"draining"`) {
		t.Fatalf("drain: %d %s", got.status, got.raw)
	}
	got := k.call(k.alice, "POST", "/api/v1/wordpress/install", goodInstall+"}")
	if got.status != 503 || got.text(t, "code") != "NODE_UNAVAILABLE" || got.header.Get("Retry-After") == "" {
		t.Errorf("install: %d %v %s", got.status, got.header, got.raw)
	}
	if got := k.call(k.admin, "POST", "/api/v1/nodes/n1/undrain", ""); got.status != 200 {
		t.Fatalf("undrain: %d %s", got.status, got.raw)
	}
	k.install(k.alice, "")
}

func TestNodeInUseIsRemovedByForceAlone(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	op := k.install(k.alice, "").text(t, "operation_id")
	got := k.call(k.admin, "DELETE", "/api/v1/nodes/n1", "")
	if got.status != 409 || !strings.Contains(got.raw, "it is up, ") || !strings.Contains(got.raw, "1 operations wait") {
		t.Errorf("in use: %d %s", got.status, got.raw)
	}
	if got := k.call(k.alice, "DELETE", "/api/v1/nodes/n1?force=true", ""); got.status != 403 {
		t.Errorf("not an admin: %d %s", got.status, got.raw)
	}
	if got := k.call(k.admin, "DELETE", "/api/v1/nodes/n1?force=true", ""); got.status != 200 || got.json(t)["operations"] != 1.0 {
		t.Errorf("by force: %d %s", got.status, got.raw)
	}
	if got := k.call(k.alice, "GET", "/api/v1/wordpress/operations/"+op, ""); !strings.Contains(got.raw, `"cancelled"`) {
		t.Errorf("its operation: %d %s", got.status, got.raw)
	}
	if got := k.call(k.admin, "DELETE", "/api/v1/nodes/n1", ""); got.status != 404 {
		t.Errorf("again: %d %s", got.status, got.raw)
	}
}

func TestNewDomainIsFoundByAScan(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	background(t, k.node.Run)
	k.work(nil)
	go func() {
		select {
		case <-k.node.Rescan():
		case <-t.Context().Done():
			return
		}
		k.node.PublishDomains(t.Context(), []queue.Domain{{Node: "n1", Account: "alice", Domain: "new.com"}})
	}()
	got := k.call(k.alice, "POST", "/api/v1/wordpress/install", strings.Replace(goodInstall, "blog.com", "new.com", 1)+"}")
	if got.status != http.StatusAccepted {
		t.Errorf("got %d %s", got.status, got.raw)
	}
}
