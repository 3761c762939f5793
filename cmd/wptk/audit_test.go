package main

import (
	"strings"
	"testing"
)

func TestAuditTailPrintsOldestFirstAndCleansWhatItShows(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("GET /wordpress/audit", fakeAnswer{body: `{"success":true,"newest":"2-0.0-0","entries":[
		{"at":"2026-11-24T19:00:02Z","key":"wsp_01234567","account":"alice","addr":"10.0.0.1","action":"DELETE /api/v1/wordpress/delete","target":"wp_1\u001b[31m","outcome":"refused","status":403},
		{"at":"2026-11-24T19:00:01Z","account":"operator","action":"keys create","outcome":"accepted"}]}`})
	got := api.wptk("audit", "tail", "--outcome", "refused", "--key", "wsp_")
	lines := strings.Split(got.out, "\n")
	if got.status != exitOK || len(lines) != 3 || !strings.Contains(lines[0], "keys create") || strings.Contains(got.out, "\x1b") {
		t.Errorf("%d %q %q", got.status, got.out, got.err)
	}
	mustContain(t, lines[1], "refused", "alice wsp_01234567…", "10.0.0.1", "403")
	if got := api.wptk("audit", "tail", "-n", "2000"); got.status != exitUsage {
		t.Errorf("%d %s", got.status, got.err)
	}
}
