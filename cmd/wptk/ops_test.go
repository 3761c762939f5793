package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"

	"github.com/wispanel/wptk/tasks"
)

const progressOf1 = "GET /wordpress/install/op_1/progress"

var madeSite = map[string]any{"id": "wp_1", "site_url": "https://blog.com", "admin_url": "https://blog.com/wp-admin/",
	"admin_user": "boss", "admin_password": "Gen3rated", "version": "7.1.1", "db_name": "alice_blog"}

func TestWatchPrintsALineAStepAndExitsAsTheOperationEnded(t *testing.T) {
	t.Parallel()
	failure := map[string]any{"code": "disk_full", "message": "The disk of the node is full.", "hint": "Free some space."}
	for status, want := range map[string]int{"succeeded": exitOK, "failed": exitFailed, "cancelled": exitFailed, "unverified": exitFailed, "rolled_back": exitFailed} {
		fields := map[string]any{"result": madeSite}
		if status == "failed" {
			fields = map[string]any{"error": failure, "progress": 40}
		}
		api := newFakeAPI(t)
		api.on(progressOf1,
			progress(map[string]any{"status": "queued", "step_index": 0, "progress": 0, "seq": 1}),
			progress(nil), progress(map[string]any{"progress": 15, "seq": 4}),
			progress(map[string]any{"step_index": 3, "message": "Creating the database", "seq": 5}),
			ended(status, fields))
		got := api.wptk("ops", "watch", "op_1")
		if got.status != want {
			t.Errorf("%s: exit status %d, want %d: %s", status, got.status, want, got.err)
		}
		mustContain(t, got.out, "waiting for the node", "2/8 Copying WordPress files", "3/8 Creating the database", status)
		if n := strings.Count(got.out, "Copying WordPress files"); n != 1 {
			t.Errorf("%s: %d lines for one step:\n%s", status, n, got.out)
		}
		if status == "failed" {
			mustContain(t, got.out, "The disk of the node is full. (disk_full) Free some space.")
		}
		if status == "succeeded" {
			mustContain(t, got.out, "https://blog.com", "boss", "Gen3rated", "shown this once")
		}
		asked := api.asked()
		if len(asked) != 5 || asked[0].query != "" || asked[4].query != "since=5&wait=30" {
			t.Errorf("%s: asked %+v", status, asked)
		}
	}
}

func TestJSONWatchPassesEveryAnswerOnOneLineEach(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("POST /wordpress/install", fakeAnswer{status: 202, body: took})
	api.on(progressOf1, progress(nil), progress(nil), progress(map[string]any{"seq": 4}), ended("succeeded", nil))
	got := api.wptk("install", "blog.com", "--watch", "--json")
	if got.status != exitOK {
		t.Fatalf("exit status %d: %s", got.status, got.err)
	}
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if len(lines) != 4 { // taken, two changes (an answer without news is none), the end
		t.Fatalf("%d lines:\n%s", len(lines), got.out)
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestWatchSitsOutARestartOfTheAPI(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on(progressOf1, progress(nil), fakeAnswer{status: 502, body: "bad gateway"}, away, ended("succeeded", nil))
	if got := api.wptk("ops", "watch", "op_1"); got.status != exitOK {
		t.Errorf("exit status %d: %s", got.status, got.err)
	}
}

func TestInterruptedWatchLeavesTheOperationAloneAndSaysHowToCancel(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("GET /wordpress/install/wp_1/progress", progress(nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs bytes.Buffer
	con := &console{out: &out, err: &errs, now: time.Now, getenv: func(string) string { return testKey },
		pause: func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }}
	if status := run(ctx, []string{"ops", "watch", "wp_1", "--api", api.URL}, con); status != exitInterrupted {
		t.Errorf("exit status %d", status)
	}
	mustContain(t, errs.String(), "goes on", "wptk ops cancel op_1")
	for _, r := range api.asked() {
		if r.method != "GET" {
			t.Errorf("asked %s %s", r.method, r.path)
		}
	}
}

func TestTextOfATenantCannotReachTheTerminal(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	hostile, err := json.Marshal([]map[string]any{{"id": "wp_1", "status": "ok", "site_title": "x\x1b]0;owned\x07\x1b[2J\u009b31m\ny", "site_url": "https://a\rb", "node": "n1"}})
	if err != nil {
		t.Fatal(err)
	}
	api.on("GET /wordpress/installations", fakeAnswer{body: string(hostile)})
	got := api.wptk("sites", "list")
	mustNotContain(t, got.out, "\x1b", "\x07", "\r", "\u009b")
	if n := strings.Count(got.out, "\n"); n != 2 {
		t.Errorf("%d lines:\n%q", n, got.out)
	}
}

func TestListsFollowTheCursorAsFarAsAsked(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	page := func(next string, ids ...string) fakeAnswer {
		ops := make([]json.RawMessage, len(ids))
		for i, id := range ids {
			ops[i] = json.RawMessage(progress(map[string]any{"operation_id": id}).body)
		}
		raw, err := json.Marshal(map[string]any{"operations": ops, "next_cursor": next})
		if err != nil {
			t.Fatal(err)
		}
		return fakeAnswer{body: string(raw)}
	}
	api.on("GET /wordpress/operations", page("c1", "op_a", "op_b"), page("", "op_c"))
	got := api.wptk("ops", "list", "--limit", "3", "--state", "running,queued")
	mustContain(t, got.out, "OPERATION", "op_a", "op_b", "op_c", "blog.com/public_html", "1m ago")
	asked := api.asked()
	if len(asked) != 2 || asked[0].query != "limit=3&state=running%2Cqueued" || asked[1].query != "cursor=c1&limit=1&state=running%2Cqueued" {
		t.Errorf("asked %+v", asked)
	}

	api.on("GET /wordpress/installations",
		fakeAnswer{body: `[{"id":"wp_a"}]`, header: map[string]string{"Link": `</api/v1/wordpress/installations?cursor=a%00b&limit=1>; rel="next"`}},
		fakeAnswer{body: `[{"id":"wp_b"}]`})
	got = api.wptk("sites", "list", "--all")
	mustContain(t, got.out, "wp_a", "wp_b")
	if last := api.asked()[3].query; last != "cursor=a%00b&limit=1000" {
		t.Errorf("second page asked for with %q", last)
	}
}

func TestLogIsFollowedToTheEndOfTheOperation(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	lines := func(next string, texts ...string) fakeAnswer {
		all := []map[string]any{}
		for _, text := range texts {
			all = append(all, map[string]any{"at": testNow, "text": text})
		}
		raw, err := json.Marshal(map[string]any{"lines": all, "next_cursor": next})
		if err != nil {
			t.Fatal(err)
		}
		return fakeAnswer{body: string(raw)}
	}
	api.on("GET /wordpress/operations/op_1/log", lines("1", "one"), lines("2", "two"), lines("3", "last words"))
	api.on("GET /wordpress/operations/op_1", progress(nil), ended("succeeded", nil))
	got := api.wptk("ops", "log", "op_1", "--follow")
	if got.status != exitOK {
		t.Fatalf("exit status %d: %s", got.status, got.err)
	}
	mustContain(t, got.out, "one", "two", "last words")
	if last := api.asked()[len(api.asked())-1]; last.query != "after=2&limit=1000" {
		t.Errorf("last asked %+v", last)
	}
}

func TestCancelRetryAndDrainSayWhatTheyDid(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("POST /wordpress/operations/op_1/cancel", ended("cancelled", nil), fakeAnswer{status: 202, body: progress(map[string]any{"cancel_requested": true}).body}, ended("succeeded", nil))
	for _, want := range []string{"op_1 is cancelled", "undoes what it made", "had ended before: succeeded"} {
		mustContain(t, api.wptk("ops", "cancel", "op_1").out, want)
	}
	api.on("POST /wordpress/operations/op_1/retry", fakeAnswer{status: 202, body: strings.ReplaceAll(took, "op_1", "op_2")})
	api.on("GET /wordpress/install/op_2/progress", ended("succeeded", map[string]any{"operation_id": "op_2"}))
	if got := api.wptk("ops", "retry", "op_1", "--watch"); got.status != exitOK {
		t.Errorf("retry: exit status %d: %s", got.status, got.err)
	}
	api.on("POST /nodes/n1/drain", fakeAnswer{body: `{"success":true,"node":{"id":"n1","state":"draining","running":2}}`})
	mustContain(t, api.wptk("nodes", "drain", "n1").out, "n1 starts nothing new; it runs 2 now.")
}

func TestStrangeIDsStayInTheirPathSegment(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.wptk("ops", "show", "../../nodes?x=1")
	if got := api.asked()[0]; got.path != "/wordpress/operations/../../nodes?x=1" || got.query != "" {
		t.Errorf("asked %+v", got)
	}
}

func TestTwoBarsShowPercentStepElapsedAndTimeToGo(t *testing.T) {
	t.Parallel()
	var terminal bytes.Buffer
	con := &console{out: &terminal, terminal: true, now: func() time.Time { return testNow }}
	d := newBars(con, mpb.WithOutput(&terminal), mpb.ForceTTY(), mpb.WithWidth(120))
	eta := 20
	op := operation{OperationID: "op_1", Domain: "a.com", Status: tasks.Running, Progress: 42, StepIndex: 3, StepsTotal: 8,
		Message: "Creating the database", StartedAt: testNow.Add(-30 * time.Second), ETASeconds: &eta}
	other := op
	other.OperationID, other.Domain, other.Status, other.Done = "op_2", "b.com", tasks.Failed, true
	other.Error = &tasks.Failure{Code: "disk_full", Message: "The disk is full."}
	for _, o := range []operation{op, other} {
		if err := d.show(o, nil); err != nil {
			t.Fatal(err)
		}
	}
	if text := d.beside(&op); text != "  42% 0:30 eta 0:20  3/8 Creating the database" {
		t.Errorf("beside the bar: %q", text)
	}
	d.close()
	mustContain(t, terminal.String(), "a.com", "b.com", "failed The disk is full. (disk_full)")
}
