package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

func TestLimitIsSharedByAllProcesses(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(d *deps) { d.RateLimit = 60 })
	other := k.serve()
	id := k.install(k.admin, `,"account":"alice"`).text(t, "id")
	for i := range 60 {
		base, path := k.api.URL, "/api/v1/wordpress/operations"
		if i%2 == 1 {
			base, path = other.URL, progressURL(id)
		}
		got := callOn(t, base, k.alice, "GET", path, "")
		if want := fmt.Sprint(59 - i); got.status != 200 || got.header.Get("X-RateLimit-Remaining") != want {
			t.Fatalf("request %d: %d, remaining %s, want %s", i+1, got.status, got.header.Get("X-RateLimit-Remaining"), want)
		}
	}
	for _, path := range []string{"/api/v1/wordpress/operations", progressURL(id), "/api/v1/nothing"} {
		got := callOn(t, other.URL, k.alice, "GET", path, "")
		if got.status != 429 || got.text(t, "code") != "RATE_LIMITED" || got.header.Get("Retry-After") == "" ||
			got.header.Get("X-RateLimit-Remaining") != "0" || got.header.Get("X-RateLimit-Reset") == "" {
			t.Errorf("61st to %s: %d %v %s", path, got.status, got.header, got.raw)
		}
	}
	if got := k.call(k.bob, "GET", "/api/v1/wordpress/operations", ""); got.status != 200 {
		t.Errorf("another key is limited too: %d", got.status)
	}
}

func TestKeyHasItsOwnLimit(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	slow := k.key(queue.NewKey{Name: "slow", Owner: "alice", RateLimit: 1})
	if got := k.call(slow, "GET", "/api/v1/wordpress/operations", ""); got.status != 200 || got.header.Get("X-RateLimit-Limit") != "1" {
		t.Errorf("first: %d %v", got.status, got.header)
	}
	if got := k.call(slow, "GET", "/api/v1/wordpress/operations", ""); got.status != 429 {
		t.Errorf("second: %d", got.status)
	}
}

func TestGuessingKeysIsLimitedByAddress(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(d *deps) { d.RateLimit = 5 })
	for i := range 7 {
		want := 401
		if i >= 5 {
			want = 429
		}
		if got := k.call("wsp_"+strings.Repeat(fmt.Sprint(i), 48), "GET", "/api/v1/wordpress/status", ""); got.status != want {
			t.Errorf("guess %d: %d, want %d", i+1, got.status, want)
		}
	}
	if got := k.call(k.alice, "GET", "/api/v1/wordpress/status", ""); got.status != 200 {
		t.Errorf("a good key from that address: %d", got.status)
	}
}

func TestSameIdempotencyKeyIsOneOperation(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	other := k.serve()
	answers := make([]answer, 20)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			base := k.api.URL
			if i%2 == 1 {
				base = other.URL
			}
			answers[i] = callOn(t, base, k.alice, "POST", "/api/v1/wordpress/install", goodInstall+"}", "Idempotency-Key", "one")
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a.status != 202 || a.text(t, "operation_id") != answers[0].text(t, "operation_id") {
			t.Errorf("got %d %s", a.status, a.raw)
		}
	}
	again := k.call(k.alice, "POST", "/api/v1/wordpress/install", " "+goodInstall+" }", "Idempotency-Key", "one")
	if again.status != 202 || again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Location") == "" ||
		again.text(t, "operation_id") != answers[0].text(t, "operation_id") {
		t.Errorf("repeat: %d %v %s", again.status, again.header, again.raw)
	}
	if page, err := k.client.List(t.Context(), queue.OpFilter{}); err != nil || len(page.Items) != 1 {
		t.Errorf("%d ops, %v; want 1", len(page.Items), err)
	}
	mismatch := k.call(k.alice, "POST", "/api/v1/wordpress/install", goodInstall+`,"locale":"de_DE"}`, "Idempotency-Key", "one")
	if mismatch.status != 422 || mismatch.text(t, "code") != "IDEMPOTENCY_MISMATCH" {
		t.Errorf("other body: %d %s", mismatch.status, mismatch.raw)
	}
	if theirs := k.call(k.bob, "POST", "/api/v1/wordpress/install", strings.Replace(goodInstall, "blog.com", "bob.com", 1)+"}", "Idempotency-Key", "one"); theirs.status != 202 {
		t.Errorf("another account's key of the same name: %d %s", theirs.status, theirs.raw)
	}
}

func TestRefusedRequestLeavesItsIdempotencyKeyFree(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	bad := k.call(k.alice, "POST", "/api/v1/wordpress/install", "{}", "Idempotency-Key", "k")
	good := k.call(k.alice, "POST", "/api/v1/wordpress/install", goodInstall+"}", "Idempotency-Key", "k")
	if bad.status != 400 || good.status != 202 || good.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("bad %d, good %d %s", bad.status, good.status, good.raw)
	}
}

// A crash between the record and the answer looks like this to the next process:
// reserved, submitted, not answered.
func TestRepeatOfACrashedRequestFindsItsOperation(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	first := k.install(k.alice, "", "Idempotency-Key", "c")
	rdb := k.store.Client()
	keys, err := rdb.Keys(t.Context(), k.prefix+"idem:*").Result()
	must(t, err)
	for _, key := range keys {
		must(t, rdb.HDel(t.Context(), key, "status", "body").Err())
	}
	again := k.install(k.alice, "", "Idempotency-Key", "c")
	if again.text(t, "operation_id") != first.text(t, "operation_id") || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("first %s\nagain %v %s", first.raw, again.header, again.raw)
	}
}

func TestOthersObjectsDoNotExist(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	a := k.install(k.alice, "")
	op, id := a.text(t, "operation_id"), a.text(t, "id")
	site := k.putSite("alice", "shop.com", "public_html")
	const ops = "/api/v1/wordpress/operations"
	for _, c := range [][2]string{
		{"GET", progressURL(id)}, {"GET", progressURL(op)}, {"GET", ops + "/" + op}, {"GET", ops + "/" + id},
		{"GET", ops + "/" + op + "/log"}, {"GET", ops + "/" + op + "/events"},
		{"POST", ops + "/" + op + "/cancel"}, {"POST", ops + "/" + op + "/retry"},
		{"GET", "/api/v1/wordpress/installation?id=" + site.ID},
		{"GET", "/api/v1/users/alice/api-keys"}, {"POST", "/api/v1/users/alice/api-keys"}, {"DELETE", "/api/v1/users/alice/api-keys/0123456789abcdef"},
	} {
		body := ""
		if c[0] == "POST" && strings.HasSuffix(c[1], "keys") {
			body = `{"name":"x"}`
		}
		theirs, unknown := k.call(k.bob, c[0], c[1], body), k.call(k.bob, "GET", progressURL(tasks.NewOpID("n1")), "")
		if theirs.status != 404 || theirs.text(t, "error") != unknown.text(t, "error") {
			t.Errorf("%s %s as bob: %d %s", c[0], c[1], theirs.status, theirs.raw)
		}
		if c[0] == "GET" && !strings.HasSuffix(c[1], "/events") && k.call(k.admin, c[0], c[1], "").status != 200 {
			t.Errorf("%s %s as admin is not 200", c[0], c[1])
		}
	}
	for _, list := range []string{ops, ops + "?ids=" + op, "/api/v1/wordpress/installations", "/api/v1/wordpress/status"} {
		if got := k.call(k.bob, "GET", list, ""); strings.Contains(got.raw, "alice") || strings.Contains(got.raw, op) || strings.Contains(got.raw, site.ID) {
			t.Errorf("bob reads of alice in %s: %s", list, got.raw)
		}
	}
}

func TestPasswordIsNowhereInRedis(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	const password = "S3cure•pass-that-is-unique"
	k.install(k.alice, `,"admin_password":"`+password+`"`, "Idempotency-Key", "p")
	made := k.call(k.alice, "POST", "/api/v1/users/alice/api-keys", `{"name":"second"}`, "Idempotency-Key", "q")
	if made.status != 201 {
		t.Fatalf("creating a key: %d %s", made.status, made.raw)
	}
	secret := made.text(t, "key")
	again := k.call(k.alice, "POST", "/api/v1/users/alice/api-keys", `{"name":"second"}`, "Idempotency-Key", "q")
	if again.text(t, "key") != secret || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("repeated creation: %v %s", again.header, again.raw)
	}
	dump := everything(t, k.store.Client())
	for _, s := range []string{password, secret, k.alice} {
		if strings.Contains(dump, s) {
			t.Errorf("%.12s… is in Redis", s)
		}
	}
	if !strings.Contains(dump, "blog.com") {
		t.Error("the search found nothing at all")
	}
	k.api.Close()
	if strings.Contains(k.log.String(), password) || strings.Contains(k.log.String(), secret) {
		t.Error("a secret is in the log")
	}
}

// everything is the text of every key and value in a Redis database.
func everything(t *testing.T, rdb redis.UniversalClient) string {
	t.Helper()
	ctx, out := t.Context(), &strings.Builder{}
	keys, err := rdb.Keys(ctx, "*").Result()
	must(t, err)
	for _, key := range keys {
		kind, err := rdb.Type(ctx, key).Result()
		must(t, err)
		var v any
		switch kind {
		case "hash":
			v, err = rdb.HGetAll(ctx, key).Result()
		case "string":
			v, err = rdb.Get(ctx, key).Result()
		case "list":
			v, err = rdb.LRange(ctx, key, 0, -1).Result()
		case "set":
			v, err = rdb.SMembers(ctx, key).Result()
		case "zset":
			v, err = rdb.ZRange(ctx, key, 0, -1).Result()
		case "stream":
			v, err = rdb.XRange(ctx, key, "-", "+").Result()
		case "none": // it has gone meanwhile
		default:
			err = errors.New("unexpected type " + kind)
		}
		must(t, err)
		fmt.Fprintln(out, key, v)
	}
	return out.String()
}

// succeed ends every op at once, with what it got opened by the node's key.
func (k *kit) succeed(passwords chan<- string) func(context.Context, tasks.Op, *queue.Recorder) (tasks.Outcome, error) {
	return func(_ context.Context, op tasks.Op, rec *queue.Recorder) (tasks.Outcome, error) {
		var task struct {
			Password string `json:"admin_password"`
		}
		if err := json.Unmarshal(op.Payload, &task); err != nil {
			return tasks.Outcome{}, err
		}
		plain, err := k.nodeKey.Open(task.Password)
		if err != nil {
			return tasks.Outcome{}, err
		}
		passwords <- plain
		rec.Log("all done")
		return tasks.Outcome{State: tasks.Succeeded, Result: json.RawMessage(`{"id":"` + op.Site.ID + `"}`)}, nil
	}
}

func TestGeneratedPasswordIsShownOnceToItsRequester(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	passwords := make(chan string, 1)
	k.work(k.succeed(passwords))
	id := k.install(k.alice, "").text(t, "id")
	onNode := <-passwords
	for range 2 { // an admin who looks in does not use it up
		if got := k.finished(k.admin, id); strings.Contains(got.raw, "admin_password") {
			t.Errorf("admin sees %s", got.raw)
		}
	}
	other := k.serve()
	first := k.finished(k.alice, id).json(t)["result"].(map[string]any)
	if first["admin_password"] != onNode || first["id"] != id || len(onNode) != passwordLength {
		t.Errorf("result %v, node got %q", first, onNode)
	}
	for _, base := range []string{k.api.URL, other.URL} {
		if got := callOn(t, base, k.alice, "GET", progressURL(id), ""); strings.Contains(got.raw, "admin_password") {
			t.Errorf("shown twice: %s", got.raw)
		}
	}
}

func TestLongPollReturnsOnChange(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.install(k.alice, `,"admin_password":"given-by-hand"`).text(t, "id")
	before := k.call(k.alice, "GET", progressURL(id), "").json(t)
	polled := make(chan answer, 1)
	go func() {
		polled <- callOn(t, k.api.URL, k.alice, "GET", progressURL(id)+fmt.Sprintf("?wait=60&since=%v", before["seq"]), "")
	}()
	k.work(k.succeed(make(chan string, 1)))
	after := <-polled
	if after.status != 200 || after.json(t)["seq"].(float64) <= before["seq"].(float64) {
		t.Errorf("before %v\nafter %s", before, after.raw)
	}
	k.finished(k.alice, id)
	if got := k.call(k.alice, "GET", progressURL(id)+"?wait=60&since=1000", ""); got.json(t)["done"] != true {
		t.Errorf("a finished op is waited for: %s", got.raw)
	}
}

func TestClosingProcessEndsLongPolls(t *testing.T) {
	t.Parallel()
	closing, closes := context.WithCancel(t.Context())
	k := newKit(t, func(d *deps) { d.Closing = closing })
	id := k.install(k.alice, "").text(t, "id")
	polled := make(chan answer, 1)
	go func() { polled <- callOn(t, k.api.URL, k.alice, "GET", progressURL(id)+"?wait=60", "") }()
	closes()
	if got := <-polled; got.status != 200 || got.text(t, "status") != "queued" {
		t.Errorf("got %d %s", got.status, got.raw)
	}
	if got := k.call("", "GET", "/readyz", ""); got.status != 503 {
		t.Errorf("readyz while closing: %d", got.status)
	}
}

func TestEventsStreamToTheEndAndResume(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	a := k.install(k.alice, `,"admin_password":"given-by-hand"`)
	path := "/api/v1/wordpress/operations/" + a.text(t, "operation_id") + "/events"
	streamed := make(chan answer, 1)
	go func() { streamed <- callOn(t, k.api.URL, k.alice, "GET", path, "") }()
	k.work(k.succeed(make(chan string, 1)))
	got := <-streamed
	if got.status != 200 || got.header.Get("Content-Type") != "text/event-stream" ||
		!strings.HasPrefix(got.raw, "id: ") || !strings.Contains(got.raw, "event: snapshot\n") ||
		!strings.Contains(got.raw, "event: done\n") || !strings.Contains(got.raw, `"status":"succeeded"`) {
		t.Errorf("stream: %d %v\n%s", got.status, got.header, got.raw)
	}
	resumed := k.call(k.alice, "GET", path, "", "Last-Event-ID", "1")
	if strings.Contains(resumed.raw, "snapshot") || strings.Contains(resumed.raw, "id: 1\n") || !strings.Contains(resumed.raw, "event: done") {
		t.Errorf("resumed: %s", resumed.raw)
	}
	if over := k.call(k.alice, "GET", path, "", "Last-Event-ID", "1000"); over.status != http.StatusNoContent {
		t.Errorf("resumed at the end: %d %s", over.status, over.raw)
	}
	if bad := k.call(k.alice, "GET", path, "", "Last-Event-ID", "x"); bad.status != 400 {
		t.Errorf("bad id: %d %s", bad.status, bad.raw)
	}
	log := k.call(k.alice, "GET", "/api/v1/wordpress/operations/"+a.text(t, "operation_id")+"/log", "")
	if log.status != 200 || !strings.Contains(log.raw, "all done") {
		t.Errorf("log: %d %s", log.status, log.raw)
	}
}

func TestCancelledOperationCanBeRetried(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	a := k.install(k.alice, "")
	op := "/api/v1/wordpress/operations/" + a.text(t, "operation_id")
	if got := k.call(k.alice, "POST", op+"/retry", ""); got.status != 409 {
		t.Errorf("retry of a queued one: %d %s", got.status, got.raw)
	}
	if got := k.call(k.alice, "POST", op+"/cancel", ""); got.status != 200 || got.text(t, "status") != "cancelled" {
		t.Errorf("cancel: %d %s", got.status, got.raw)
	}
	retried := k.call(k.alice, "POST", op+"/retry", "", "Idempotency-Key", "r")
	if retried.status != 202 || retried.text(t, "id") != a.text(t, "id") || retried.text(t, "operation_id") == a.text(t, "operation_id") {
		t.Fatalf("retry: %d %s", retried.status, retried.raw)
	}
	passwords := make(chan string, 1)
	k.work(k.succeed(passwords))
	got := k.finished(k.alice, a.text(t, "id")).json(t)
	if result, _ := got["result"].(map[string]any); result["admin_password"] != <-passwords {
		t.Errorf("the retry lost the generated password: %v", got)
	}
	list := k.call(k.alice, "GET", "/api/v1/wordpress/operations?state=cancelled,succeeded&limit=1", "")
	if !strings.Contains(list.raw, `"succeeded"`) || list.text(t, "next_cursor") == "" || !strings.Contains(list.header.Get("Link"), `rel="next"`) {
		t.Errorf("list: %v %s", list.header, list.raw)
	}
}

func TestKeyMakesNoStrongerKey(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for name, c := range map[string]struct {
		own    queue.NewKey
		body   string
		status int
	}{
		"same":          {queue.NewKey{}, `{"name":"x"}`, 201},
		"weaker":        {queue.NewKey{}, `{"name":"x","permissions":["read"]}`, 201},
		"admin":         {queue.NewKey{}, `{"name":"x","role":"admin"}`, 403},
		"faster":        {queue.NewKey{}, `{"name":"x","rate_limit":100000}`, 403},
		"from anywhere": {queue.NewKey{IPWhitelist: []string{"127.0.0.0/8"}}, `{"name":"x"}`, 403},
		"from within":   {queue.NewKey{IPWhitelist: []string{"127.0.0.0/8"}}, `{"name":"x","ip_whitelist":["127.0.0.1"]}`, 201},
		"no scope":      {queue.NewKey{Permissions: []string{"wordpress"}}, `{"name":"x","permissions":["wordpress"]}`, 403},
		"no name":       {queue.NewKey{}, `{}`, 400},
		"bad network":   {queue.NewKey{}, `{"name":"x","ip_whitelist":["nowhere"]}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.own.Name, c.own.Owner = "own", "alice"
			_, secret, err := k.client.CreateKey(t.Context(), c.own)
			must(t, err)
			got := callOn(t, k.api.URL, secret, "POST", "/api/v1/users/alice/api-keys", c.body)
			if got.status != c.status {
				t.Errorf("got %d %s", got.status, got.raw)
			}
		})
	}
}

func TestRevokedKeyOpensNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	made := k.call(k.admin, "POST", "/api/v1/users/carol/api-keys", `{"name":"c"}`)
	if made.status != 201 {
		t.Fatalf("create: %d %s", made.status, made.raw)
	}
	id := made.json(t)["api_key"].(map[string]any)["id"].(string)
	secret := made.text(t, "key")
	if got := k.call(secret, "GET", "/api/v1/wordpress/status", ""); got.status != 200 {
		t.Fatalf("new key: %d %s", got.status, got.raw)
	}
	if got := k.call(secret, "GET", "/api/v1/users/carol/api-keys", ""); !strings.Contains(got.raw, id) || strings.Contains(got.raw, secret) {
		t.Errorf("list: %s", got.raw)
	}
	if got := k.call(k.admin, "DELETE", "/api/v1/users/carol/api-keys/"+id, ""); got.status != 200 {
		t.Errorf("revoke: %d %s", got.status, got.raw)
	}
	if got := k.call(secret, "GET", "/api/v1/wordpress/status", ""); got.status != 401 {
		t.Errorf("revoked key: %d %s", got.status, got.raw)
	}
}

func TestRedisAwayAnswersUnavailable(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	redis := devstack.RedisT(t)
	store, err := queue.Open(t.Context(), queue.Options{URL: redis.URL(0)}, k.deps.Log)
	must(t, err)
	t.Cleanup(func() { store.Close() })
	_, secret, err := queue.NewClient(store).CreateKey(t.Context(), queue.NewKey{Name: "x", Owner: "alice"})
	must(t, err)
	k.deps.Ledger, k.deps.Ready = queue.NewClient(store), store.Ping
	api := k.serve()
	if got := callOn(t, api.URL, "", "GET", "/readyz", ""); got.status != 200 {
		t.Errorf("ready: %d %s", got.status, got.raw)
	}
	must(t, redis.Stop())
	for _, path := range []string{"/api/v1/wordpress/status", progressURL("wp_0000000000000000"), "/readyz"} {
		got := callOn(t, api.URL, secret, "GET", path, "")
		if got.status != 503 || got.text(t, "code") != "QUEUE_UNAVAILABLE" || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v %s", path, got.status, got.header, got.raw)
		}
	}
	if got := callOn(t, api.URL, "", "GET", "/healthz", ""); got.status != 200 {
		t.Errorf("alive: %d %s", got.status, got.raw)
	}
}

func TestChangesLeaveAnAuditLine(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.install(k.alice, "")
	k.call("", "POST", "/api/v1/wordpress/install", "{}")
	k.api.Close()
	for _, want := range []string{
		`logger=audit key=` + k.alice[:12] + ` session="" account=alice addr=127.0.0.1 action="POST /api/v1/wordpress/install"`,
		`logger=audit key="" session="" account="" addr=127.0.0.1 action="POST /api/v1/wordpress/install" target="" outcome=refused status=401`,
	} {
		if !strings.Contains(k.log.String(), want) {
			t.Errorf("no %q in\n%s", want, k.log)
		}
	}
}
