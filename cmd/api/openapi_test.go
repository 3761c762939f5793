package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/openapi.json")

// The document is the contract that clients generate code from: whoever changes
// it sees the change in the diff of the golden file.
func TestOpenAPIDocumentIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	got := k.call("", "GET", "/openapi.json", "")
	const golden = "testdata/openapi.json"
	if *update {
		must(t, os.WriteFile(golden, []byte(got.raw), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if !bytes.Equal([]byte(got.raw), want) {
		t.Errorf("%s is not what is served; look at the difference, then run go test ./cmd/api -run OpenAPI -update", golden)
	}
	if strings.Contains(got.raw, "$schema") || strings.Contains(got.raw, "127.0.0.1") {
		t.Error("the document names a schema link or the host it was asked at")
	}
}

func TestOpenAPIDocumentHasEveryRoute(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]json.RawMessage
	}
	must(t, json.Unmarshal([]byte(k.call("", "GET", "/openapi.json", "").raw), &doc))
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi = %q", doc.OpenAPI)
	}
	for _, route := range []string{
		"post /api/v1/wordpress/install", "get /api/v1/wordpress/install/{id}/progress",
		"get /api/v1/wordpress/operations", "get /api/v1/wordpress/operations/{id}",
		"post /api/v1/wordpress/operations/{id}/cancel", "post /api/v1/wordpress/operations/{id}/retry",
		"get /api/v1/wordpress/operations/{id}/log", "get /api/v1/wordpress/operations/{id}/events",
		"get /api/v1/wordpress/installations", "get /api/v1/wordpress/installation", "get /api/v1/wordpress/status",
		"get /api/v1/nodes", "post /api/v1/nodes/{id}/drain", "post /api/v1/nodes/{id}/undrain", "delete /api/v1/nodes/{id}",
		"post /api/v1/users/{username}/api-keys", "get /api/v1/users/{username}/api-keys", "delete /api/v1/users/{username}/api-keys/{id}",
	} {
		method, path, _ := strings.Cut(route, " ")
		if doc.Paths[path][method] == nil {
			t.Errorf("%s is not in the document", route)
		}
	}
}

func TestDocsPageLoadsNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	got := k.call("", "GET", "/docs", "")
	if got.status != 200 || !strings.Contains(got.raw, "/api/v1/wordpress/install") || !strings.Contains(got.raw, "admin_email") {
		t.Errorf("docs: %d %.300s", got.status, got.raw)
	}
	for _, bad := range []string{"<script", "src=", "@import", "<link"} {
		if strings.Contains(got.raw, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if csp := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
}
