package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const took = `{"success":true,"id":"wp_1","operation_id":"op_1","type":"install","status":"queued","progress_url":"/api/v1/wordpress/install/wp_1/progress"}`

var (
	limited = fakeAnswer{status: 429, header: map[string]string{"Retry-After": "7"},
		body: `{"success":false,"code":"RATE_LIMITED","error":"Too many requests","message":"Too many requests","status":429}`}
	away = fakeAnswer{status: 503, header: map[string]string{"Retry-After": "5"},
		body: `{"success":false,"code":"QUEUE_UNAVAILABLE","error":"The queue is not reachable","message":"The queue is not reachable","status":503}`}
)

func TestChangeIsRepeatedWithTheSameIdempotencyKeyAfterRetryAfter(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("POST /wordpress/install", limited, away, fakeAnswer{status: 202, body: took})
	got := api.wptk("install", "blog.com")
	if got.status != exitOK {
		t.Fatalf("exit status %d: %s", got.status, got.err)
	}
	if want := []time.Duration{7 * time.Second, 5 * time.Second}; !slices.Equal(got.pauses, want) {
		t.Errorf("waited %v, want %v", got.pauses, want)
	}
	asked := api.asked()
	if len(asked) != 3 {
		t.Fatalf("%d requests", len(asked))
	}
	for _, r := range asked {
		if key := r.header.Get("Idempotency-Key"); key == "" || key != asked[0].header.Get("Idempotency-Key") {
			t.Errorf("idempotency key %q after %q", key, asked[0].header.Get("Idempotency-Key"))
		}
	}
	mustContain(t, got.err, "Too many requests; the API asks to wait 7s")
	mustContain(t, got.out, "op_1 accepted for install wp_1", "wptk ops watch op_1")
}

func TestWaitingForTheAPIHasAnEnd(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("GET /nodes", limited)
	got := api.wptk("nodes", "list")
	var waited time.Duration
	for _, d := range got.pauses {
		waited += d
	}
	if got.status != exitRefused || waited == 0 || waited > maxRetryAfter {
		t.Errorf("exit status %d after waiting %v", got.status, waited)
	}
}

func TestEverythingTheAPISaysAboutARefusalIsShown(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("POST /wordpress/install", fakeAnswer{status: 400, body: `{"success":false,"code":"VALIDATION_ERROR","error":"Invalid path","message":"Invalid path: must be relative",
		"status":400,"request_id":"req1","hint":"give it as public_html","details":[{"field":"path","reason":"must be relative"},{"field":"admin_email","reason":"is no address"}]}`})
	got := api.wptk("install", "blog.com", "--path", "/etc")
	if got.status != exitRefused {
		t.Errorf("exit status %d", got.status)
	}
	lines := strings.Split(strings.TrimSpace(got.err), "\n")
	want := []string{"wptk: Invalid path: must be relative", "  path: must be relative", "  admin_email: is no address",
		"  hint: give it as public_html", "  code: VALIDATION_ERROR", "  request: req1"}
	for i, line := range want {
		if !slices.Contains(lines, line) && i != 1 { // the message has it already
			t.Errorf("line %q is missing in:\n%s", line, got.err)
		}
	}
	if got.out != "" {
		t.Errorf("standard output has %q", got.out)
	}
}

func TestAnswerOfAProxyIsNotTakenForTheAPIs(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("GET /nodes", fakeAnswer{status: 403, body: "<html>no \x1b[31mentry</html>"})
	got := api.wptk("nodes", "list")
	if got.status != exitRefused {
		t.Errorf("exit status %d", got.status)
	}
	mustContain(t, got.err, "not from a toolkit API", "403")
	mustNotContain(t, got.err, "\x1b")
}

func TestRedirectIsNotFollowedWithTheKey(t *testing.T) {
	t.Parallel()
	stranger := newFakeAPI(t)
	api := newFakeAPI(t)
	api.on("GET /nodes", fakeAnswer{status: 302, header: map[string]string{"Location": stranger.URL + apiRoot + "/nodes"}})
	if got := api.wptk("nodes", "list"); got.status != exitRefused {
		t.Errorf("exit status %d", got.status)
	}
	if n := len(stranger.asked()); n != 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}

func TestExitStatusTellsUsageFromAnUnreachableAPI(t *testing.T) {
	t.Parallel()
	gone := newFakeAPI(t)
	gone.Close()
	key := map[string]string{"WPTK_KEY": testKey}
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		want int
	}{
		{"unreachable", key, []string{"nodes", "list", "--api", gone.URL}, exitRefused},
		{"no key", nil, []string{"nodes", "list"}, exitUsage},
		{"missing key file", nil, []string{"nodes", "list", "--key-file", "/nonexistent"}, exitUsage},
		{"unknown command", key, []string{"explode"}, exitUsage},
		{"unknown flag", key, []string{"nodes", "list", "--what"}, exitUsage},
		{"no domain", key, []string{"install"}, exitUsage},
		{"bad address", key, []string{"nodes", "list", "--api", "ftp://x"}, exitUsage},
		{"two passwords", key, []string{"install", "x.com", "--ask-password", "--admin-password-file", "-"}, exitUsage},
		{"help", nil, []string{"--help"}, exitOK},
		{"version", nil, []string{"--version"}, exitOK},
	} {
		if got := runIn(t.Context(), t, c.env, c.args...); got.status != c.want {
			t.Errorf("%s: exit status %d, want %d: %s", c.name, got.status, c.want, got.err)
		}
	}
}

func TestPasswordAndKeyFilesReachTheAPIAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keyFile, passwordFile := filepath.Join(dir, "key"), filepath.Join(dir, "password")
	for path, text := range map[string]string{keyFile: testKey + "\n", passwordFile: "s3cr3t \"pw\"\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	api := newFakeAPI(t)
	api.on("POST /wordpress/install", fakeAnswer{status: 202, body: took})
	got := runIn(t.Context(), t, nil, "install", "blog.com", "--key-file", keyFile, "--admin-password-file", passwordFile,
		"--admin-user", "boss", "--plugin", "akismet", "--plugin", "hello-dolly@1.7.2", "--no-ssl", "--version", "6.5", "--api", api.URL)
	if got.status != exitOK {
		t.Fatalf("exit status %d: %s", got.status, got.err)
	}
	mustContain(t, api.asked()[0].body, `"admin_password":"s3cr3t \"pw\""`, `"ssl":false`, `"version":"6.5"`, `"plugins":["akismet","hello-dolly@1.7.2"]`)
	mustNotContain(t, got.out+got.err, "s3cr3t", testKey)
}

func TestEmptyPasswordFileIsRefusedRatherThanGeneratingOne(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	api := newFakeAPI(t)
	if got := api.wptk("install", "blog.com", "--admin-password-file", file); got.status != exitUsage || len(api.asked()) != 0 {
		t.Errorf("exit status %d after %d requests", got.status, len(api.asked()))
	}
}

func TestPaceSpendsTheRateLimitEvenly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		left, seconds int
		want          time.Duration
	}{
		{60, 60, time.Second},
		{6000, 60, 200 * time.Millisecond},
		{1, 60, 5 * time.Second},
		{0, 3, 3 * time.Second},
		{10, -5, 200 * time.Millisecond},
	} {
		h := http.Header{}
		h.Set("X-RateLimit-Remaining", strconv.Itoa(c.left))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(testNow.Add(time.Duration(c.seconds)*time.Second).Unix(), 10))
		if got := pace(h, testNow); got != c.want {
			t.Errorf("%d left for %d s: pace %v, want %v", c.left, c.seconds, got, c.want)
		}
	}
	if got := pace(http.Header{}, testNow); got != time.Second {
		t.Errorf("without headers: pace %v", got)
	}
}

func TestInterruptedWaitEndsAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pause(ctx, time.Hour); err == nil {
		t.Error("no error")
	}
}
