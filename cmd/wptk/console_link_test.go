package main

import (
	"strings"
	"testing"
)

func TestConsolePrintsALinkWhoseCodeIsInNoRequest(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	code := strings.Repeat("a", 48)
	api.on("POST /console/links", fakeAnswer{status: 201, body: `{"success":true,"code":"` + code + `","expires_at":"2026-01-02T03:04:05.000Z"}`})
	got := api.wptk("console")
	if want := api.URL + "/console#" + code + "\n"; got.status != exitOK || got.out != want || strings.Contains(got.err, code) {
		t.Errorf("%d, %q, %q; want %q", got.status, got.out, got.err, want)
	}
}

func TestConsoleSaysWhyThereIsNoLink(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("POST /console/links", fakeAnswer{status: 403, body: `{"success":false,"code":"FORBIDDEN","error":"An admin key is needed","message":"An admin key is needed","status":403}`})
	if got := api.wptk("console"); got.status != exitRefused || !strings.Contains(got.err, "An admin key is needed") {
		t.Errorf("%d, %q", got.status, got.err)
	}
}
