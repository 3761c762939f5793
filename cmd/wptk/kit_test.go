package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/proc"
)

// asProgram makes the test binary the program itself, for tests of whole runs.
const asProgram = "WPTK_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	proc.Main()
	if os.Getenv(asProgram) != "" {
		main()
	}
	if os.Getenv(clockChild) != "" {
		tellTime()
		return
	}
	os.Exit(devstack.Main(m))
}

// fakeAPI answers requests as a script says and remembers them.
type fakeAPI struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	answers  map[string][]fakeAnswer // by "METHOD /path"; the last one is given again and again
	requests []fakeRequest
}

type fakeAnswer struct {
	status int
	body   string
	header map[string]string
}

type fakeRequest struct {
	method, path, query, body string
	header                    http.Header
}

const testKey = "wsp_0123456789abcdef0123456789abcdef0123456789abcdef"

func newFakeAPI(t *testing.T) *fakeAPI {
	api := &fakeAPI{t: t, answers: map[string][]fakeAnswer{}}
	api.Server = httptest.NewServer(http.HandlerFunc(api.serve))
	t.Cleanup(api.Close)
	return api
}

// on sets the answers to a request, one after the other.
func (api *fakeAPI) on(request string, answers ...fakeAnswer) { api.answers[request] = answers }

func (api *fakeAPI) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		api.t.Error(err)
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, apiRoot)
	api.requests = append(api.requests, fakeRequest{r.Method, path, r.URL.RawQuery, string(body), r.Header.Clone()})
	if got := r.Header.Get("Authorization"); got != "Bearer "+testKey {
		api.t.Errorf("%s %s with authorization %q", r.Method, r.URL, got)
	}
	script := api.answers[r.Method+" "+path]
	if len(script) == 0 {
		script = []fakeAnswer{{status: 404, body: `{"success":false,"code":"NOT_FOUND","error":"Not found","message":"Not found","status":404,"request_id":"r1"}`}}
	}
	if len(script) > 1 {
		api.answers[r.Method+" "+path] = script[1:]
	}
	for name, value := range script[0].header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(max(script[0].status, http.StatusOK)) // 0 is 200
	fmt.Fprint(w, script[0].body)
}

func (api *fakeAPI) asked() []fakeRequest {
	api.mu.Lock()
	defer api.mu.Unlock()
	return append([]fakeRequest(nil), api.requests...)
}

// ran is what a command printed, and how long it wanted to wait.
type ran struct {
	status   int
	out, err string
	pauses   []time.Duration
}

var testNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// wptk runs the command line in this process, with the API's address and key.
func (api *fakeAPI) wptk(args ...string) ran {
	api.t.Helper()
	return runIn(api.t.Context(), api.t, map[string]string{"WPTK_KEY": testKey}, append(args, "--api", api.URL)...)
}

func runIn(ctx context.Context, t *testing.T, env map[string]string, args ...string) ran {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var out, errs bytes.Buffer
	var got ran
	con := &console{in: null, out: &out, err: &errs, now: func() time.Time { return testNow },
		getenv: func(name string) string { return env[name] },
		pause: func(ctx context.Context, d time.Duration) error {
			got.pauses = append(got.pauses, d)
			return ctx.Err()
		}}
	got.status = run(ctx, args, con)
	got.out, got.err = out.String(), errs.String()
	return got
}

// progress is an answer about an op; fields overwrite the usual ones.
func progress(fields map[string]any) fakeAnswer {
	op := map[string]any{
		"success": true, "id": "wp_1", "operation_id": "op_1", "type": "install", "status": "running", "done": false,
		"progress": 10, "step": "core_files", "step_index": 2, "steps_total": 8, "message": "Copying WordPress files",
		"attempt": 1, "queue_position": 0, "created_at": testNow.Add(-time.Minute), "started_at": testNow.Add(-30 * time.Second),
		"updated_at": testNow, "finished_at": nil, "eta_seconds": 20, "stalled": false, "result": nil, "error": nil,
		"seq": 3, "cancel_requested": false, "domain": "blog.com", "path": "public_html", "node": "n1",
	}
	for name, value := range fields {
		op[name] = value
	}
	raw, err := json.Marshal(op)
	if err != nil {
		panic(err)
	}
	return fakeAnswer{status: http.StatusOK, body: string(raw)}
}

func ended(status string, fields map[string]any) fakeAnswer {
	all := map[string]any{"status": status, "done": true, "progress": 100, "seq": 9, "finished_at": testNow, "message": "Done", "eta_seconds": nil}
	for name, value := range fields {
		all[name] = value
	}
	return progress(all)
}

func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

func mustNotContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in:\n%s", part, text)
		}
	}
}
