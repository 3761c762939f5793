package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

type hooked struct{ ID, Secret string }

// hook creates a webhook.
func (k *kit) hook(key, body string) hooked {
	k.t.Helper()
	a := k.call(key, "POST", apiBase+"/webhooks", body)
	var made struct {
		Secret  string
		Webhook struct{ ID string }
	}
	if err := json.Unmarshal([]byte(a.raw), &made); err != nil || a.status != http.StatusCreated {
		k.t.Fatalf("%v: %d %s", err, a.status, a.raw)
	}
	return hooked{made.Webhook.ID, made.Secret}
}

// loopback is a policy that lets tests receive.
func loopback(d *deps) {
	d.Egress = webhookPolicy([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
}

// courier delivers what the kit's API is asked to, quickly.
func (k *kit) courier() {
	k.t.Helper()
	c := queue.NewCourier(k.store, k.client, k.deps.Watcher, queue.CourierConfig{
		Sender: newSender(k.deps), Poll: 20 * time.Millisecond, Forward: 50 * time.Millisecond,
		Backoff: func(tries int) (time.Duration, bool) { return 10 * time.Millisecond, tries < 3 },
	})
	background(k.t, c.Run)
}

// received is one request that arrived.
type received struct {
	header http.Header
	body   []byte
}

// receiver is a web server that keeps what arrives and answers as it is told.
func receiver(t *testing.T, answer http.HandlerFunc) (url string, arrived chan received) {
	arrived = make(chan received, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		arrived <- received{r.Header, body}
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, arrived
}

// delivery waits until the newest delivery of a webhook has ended.
func (k *kit) delivery(key, hook string) map[string]any {
	k.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		a := k.call(key, "GET", apiBase+"/webhooks/"+hook+"/deliveries", "")
		if list, _ := a.json(k.t)["deliveries"].([]any); len(list) > 0 {
			if d, _ := list[0].(map[string]any); d["status"] != "waiting" {
				return d
			}
		}
		select {
		case <-deadline:
			k.t.Fatalf("no delivery has ended: %s", a.raw)
		case <-tick.C:
		}
	}
}

func plainHMAC(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func verifies(t *testing.T, secret string, r received) {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	must(t, err)
	if err := wh.Verify(r.body, r.header); err != nil {
		t.Errorf("Standard Webhooks: %v", err)
	}
}

func TestEndIsDeliveredSignedTwoWays(t *testing.T) {
	t.Parallel()
	k := newKit(t, loopback)
	k.work(k.succeed(make(chan string, 1)))
	k.courier()
	url, arrived := receiver(t, nil)
	hook := k.hook(k.alice, `{"url":"`+url+`/in?x=1","events":["wordpress.install.*"]}`)
	foreign, nothing := receiver(t, nil)
	k.hook(k.bob, `{"url":"`+foreign+`"}`)
	op := k.install(k.alice, "").text(t, "operation_id")
	got := <-arrived
	verifies(t, hook.Secret, got)
	if got.header.Get("X-WisPanel-Signature") != plainHMAC(hook.Secret, got.body) || got.header.Get("User-Agent") != "WisPanel-Webhook/1" ||
		got.header.Get("X-WisPanel-Delivery") != got.header.Get("webhook-id") || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%v", got.header)
	}
	var e struct {
		Event     string
		Timestamp time.Time
		Data      map[string]any
	}
	must(t, json.Unmarshal(got.body, &e))
	if e.Event != "wordpress.install.succeeded" || e.Timestamp.IsZero() || e.Data["operation_id"] != op || e.Data["status"] != "succeeded" || e.Data["domain"] != "blog.com" {
		t.Errorf("%s", got.body)
	}
	if d := k.delivery(k.alice, hook.ID); d["status"] != "delivered" || d["response_status"] != 200.0 || d["operation_id"] != op {
		t.Errorf("%v", d)
	}
	if len(nothing) != 0 {
		t.Error("bob is told of alice's install")
	}
	// The password that is shown once was not in it: it is still to be had.
	if end := k.finished(k.alice, op); !strings.Contains(end.raw, "admin_password") || strings.Contains(string(got.body), `"admin_password":"`) {
		t.Errorf("%s", end.raw)
	}
	// And again, by hand, under the same id.
	id := got.header.Get("webhook-id")
	if a := k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/deliveries/"+id+"/redeliver", ""); a.status != http.StatusAccepted {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if again := <-arrived; again.header.Get("webhook-id") != id || string(again.body) != string(got.body) {
		t.Errorf("%v %s", again.header, again.body)
	}
}

func TestRotatedSecretOverlaps(t *testing.T) {
	t.Parallel()
	k := newKit(t, loopback)
	k.courier()
	url, arrived := receiver(t, nil)
	hook := k.hook(k.alice, `{"url":"`+url+`","enabled":false}`)
	a := k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/rotate", "", "Idempotency-Key", "r")
	fresh := a.text(t, "secret")
	if a.status != 201 || !strings.HasPrefix(fresh, "whsec_") || fresh == hook.Secret {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if again := k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/rotate", "", "Idempotency-Key", "r"); again.text(t, "secret") != fresh {
		t.Errorf("repeated: %s", again.raw)
	}
	k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/test", "")
	got := <-arrived
	verifies(t, hook.Secret, got)
	verifies(t, fresh, got)
	if got.header.Get("X-WisPanel-Signature") != plainHMAC(fresh, got.body) || got.header.Get("X-WisPanel-Signature-Previous") != plainHMAC(hook.Secret, got.body) {
		t.Errorf("%v", got.header)
	}
	if a := k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/rotate?overlap_hours=0", ""); a.status != 201 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/test", "")
	got = <-arrived
	wh, err := standardwebhooks.NewWebhook(fresh)
	must(t, err)
	if wh.Verify(got.body, got.header) == nil || got.header.Get("X-WisPanel-Signature-Previous") != "" {
		t.Error("the secret before is still good")
	}
	if secrets := everything(t, k.store.Client()); strings.Contains(secrets, strings.TrimPrefix(fresh, secretPrefix)) || strings.Contains(secrets, strings.TrimPrefix(hook.Secret, secretPrefix)) {
		t.Error("a secret is in Redis as it is")
	}
	k.api.Close()
	if strings.Contains(k.log.String(), "whsec_") {
		t.Error("a secret is in the log")
	}
}

func TestWebhookGoesNowhereInside(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.courier()
	var reached atomic.Int32
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(inside.Close)
	port := inside.URL[strings.LastIndex(inside.URL, ":"):]
	// What its text gives away is refused at once …
	for _, url := range []string{"http://example.com/", inside.URL, "https://10.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
		"https://example.com:25/", "https://user:pw@example.com/", "https://example.com/#x", "ftp://example.com/", "file:///etc/passwd", "https://", "gopher://x", "https://a b/", "https://a\\nb/", "x", ""} {
		body, err := json.Marshal(map[string]any{"url": url})
		must(t, err)
		if a := k.call(k.alice, "POST", apiBase+"/webhooks", string(body)); a.status != 400 || !strings.Contains(a.raw, `"field":"url"`) {
			t.Errorf("%q: %d %s", url, a.status, a.raw)
		}
	}
	// … and a name that leads inside when it is connected to.
	hook := k.hook(k.alice, `{"url":"https://localhost`+port+`/"}`)
	k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/test", "")
	d := k.delivery(k.alice, hook.ID)
	if reason, _ := d["error"].(string); d["status"] != "failed" || d["attempts"] != 3.0 || !strings.Contains(reason, "not public") || reached.Load() != 0 {
		t.Errorf("%v, reached %d", d, reached.Load())
	}
}

func TestRedirectOfAReceiverIsNotFollowed(t *testing.T) {
	t.Parallel()
	k := newKit(t, loopback)
	k.courier()
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(elsewhere.Close)
	url, _ := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	hook := k.hook(k.alice, `{"url":"`+url+`"}`)
	k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/test", "")
	if d := k.delivery(k.alice, hook.ID); d["status"] != "failed" || d["response_status"] != 307.0 || reached.Load() != 0 {
		t.Errorf("%v, reached %d", d, reached.Load())
	}
}

func TestEndlessAnswerOfAReceiverIsCut(t *testing.T) {
	t.Parallel()
	k := newKit(t, loopback)
	k.courier()
	url, _ := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	})
	hook := k.hook(k.alice, `{"url":"`+url+`"}`)
	k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/test", "")
	if d := k.delivery(k.alice, hook.ID); d["status"] != "delivered" {
		t.Errorf("%v", d)
	}
}

func TestGoneReceiverDisablesItsWebhook(t *testing.T) {
	t.Parallel()
	k := newKit(t, loopback)
	k.courier()
	url, _ := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	hook := k.hook(k.alice, `{"url":"`+url+`"}`)
	k.call(k.alice, "POST", apiBase+"/webhooks/"+hook.ID+"/test", "")
	k.delivery(k.alice, hook.ID)
	one := k.call(k.alice, "GET", apiBase+"/webhooks/"+hook.ID, "")
	if w, _ := one.json(t)["webhook"].(map[string]any); w["enabled"] != false || w["disabled_reason"] != queue.OffGone || w["failing_since"] == nil {
		t.Errorf("%s", one.raw)
	}
	on := k.call(k.alice, "PATCH", apiBase+"/webhooks/"+hook.ID, `{"enabled":true,"events":["*"]}`)
	if w, _ := on.json(t)["webhook"].(map[string]any); w["enabled"] != true || w["disabled_reason"] != "" || w["failing_since"] != nil {
		t.Errorf("%s", on.raw)
	}
}

func TestWebhooksOfOthersDoNotExist(t *testing.T) {
	t.Parallel()
	k := newKit(t, loopback)
	bobs := k.hook(k.bob, `{"url":"https://example.com/"}`)
	everyones := k.hook(k.admin, `{"url":"https://example.com/","all_accounts":true}`)
	operator := k.key(queue.NewKey{Name: "o", Owner: "operator"}) // of the same account, but no admin
	for _, c := range []struct{ key, id string }{{k.alice, bobs.ID}, {k.alice, everyones.ID}, {operator, everyones.ID}, {k.alice, "wh_0"}} {
		at := apiBase + "/webhooks/" + c.id
		for _, r := range [][3]string{{"GET", at, ""}, {"PATCH", at, `{"url":"https://example.com/"}`}, {"DELETE", at, ""}, {"POST", at + "/rotate", ""}, {"POST", at + "/test", ""},
			{"GET", at + "/deliveries", ""}, {"POST", at + "/deliveries/dlv_0/redeliver", ""}} {
			k.call(c.key, r[0], r[1], r[2]).mustBeRefused(t, r[0]+" "+r[1], 404, "NOT_FOUND")
		}
	}
	for key, want := range map[string]int{k.alice: 0, k.bob: 1, operator: 0, k.admin: 2} {
		if list, _ := k.call(key, "GET", apiBase+"/webhooks", "").json(t)["webhooks"].([]any); len(list) != want {
			t.Errorf("lists %v, want %d", list, want)
		}
	}
	k.call(k.alice, "POST", apiBase+"/webhooks", `{"url":"https://example.com/","all_accounts":true}`).mustBeRefused(t, "all", 403, "FORBIDDEN")
	k.call(k.alice, "POST", apiBase+"/webhooks", `{"url":"https://example.com/","account":"bob"}`).mustBeRefused(t, "bob's", 404, "NOT_FOUND")
	k.call(k.alice, "POST", apiBase+"/webhooks", `{"url":"https://example.com/","events":["wordpress.nothing.*"]}`).mustBeRefused(t, "events", 400, "VALIDATION_ERROR")
	wordpress := k.key(queue.NewKey{Name: "w", Owner: "alice", Permissions: []string{queue.PermWordPress}})
	k.call(wordpress, "GET", apiBase+"/webhooks", "").mustBeRefused(t, "scope", 403, "FORBIDDEN")
	webhooks := k.key(queue.NewKey{Name: "h", Owner: "alice", Permissions: []string{queue.PermWebhooks}})
	k.hook(webhooks, `{"url":"https://example.com/"}`)
}

func TestEventTooLargeGoesOutWithoutItsResult(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	op := tasks.Op{ID: tasks.NewOpID("n1"), Kind: "install", State: tasks.Succeeded, Result: json.RawMessage(`{"text":"` + strings.Repeat("x", 300<<10) + `"}`), FinishedAt: time.Unix(1, 0)}
	body, err := newSender(k.deps).body(context.Background(), queue.Webhook{}, queue.Delivery{OpID: op.ID, Event: queue.EventOf(op)}, op)
	if must(t, err); len(body) > 4<<10 || !strings.Contains(string(body), "omitted") || !json.Valid(body) {
		t.Errorf("%d bytes", len(body))
	}
}
