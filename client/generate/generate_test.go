package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestClientIsAsTheDocumentHasIt(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../" + document)
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile("../" + name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("client/%s is not what the document says (%v): run go generate ./client", name, err)
		}
	}
}

func TestEveryNameIsOfAnOperationThatExists(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../" + document)
	if err != nil {
		t.Fatal(err)
	}
	for id := range methodNames {
		if !bytes.Contains(raw, []byte(`"`+id+`"`)) {
			t.Errorf("there is no %s any more", id)
		}
	}
}

func TestNamesAreLikeGo(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"admin_url": "AdminURL", "id": "ID", "ids": "IDs", "last_operation_id": "LastOperationID", "delivery": "Delivery",
		"get-wordpress-new-thing": "GetWordpressNewThing", "php_version": "PHPVersion",
	} {
		if got := goName(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := pathExpression("/api/v1/users/{username}/api-keys/{id}"); got != `"/users/" + url.PathEscape(username) + "/api-keys/" + url.PathEscape(id)` {
		t.Errorf("the path is %s", got)
	}
}

func TestADocumentThatTheGeneratorDoesNotUnderstandIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`[`, `{"paths":{"/x":{"get":{"operationId":"get-x","responses":{"200":{}}}}}}`} {
		if _, err := generate([]byte(bad)); err == nil || strings.Contains(err.Error(), "formatting") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
