package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

func TestMain(m *testing.M) { os.Exit(devstack.Main(m)) }

// kit is an API on a Redis database of the test's own, one node with the domains
// blog.com and shop.com of alice and bob.com of bob, and a key for each of them.
type kit struct {
	t       testing.TB
	url     string // of Redis
	prefix  string
	store   *queue.Store
	client  *queue.Client
	node    *queue.Node
	nodeKey *seal.Key
	deps    deps
	api     *httptest.Server
	log     *bytes.Buffer // valid after the API is closed, or under lock of the handler

	alice, bob, admin string // secrets
}

func newKit(t testing.TB, change ...func(*deps)) *kit {
	t.Helper()
	k := &kit{t: t, url: devstack.SharedRedis(t), prefix: t.Name() + ":", log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(k.log, nil))
	store, err := queue.Open(t.Context(), queue.Options{URL: k.url, Prefix: k.prefix}, log)
	must(t, err)
	t.Cleanup(func() { store.Close() })
	k.store, k.client = store, queue.NewClient(store)
	secrets, err := seal.LoadOrCreate(filepath.Join(t.TempDir(), "api.age"))
	must(t, err)
	watcher := queue.NewWatcher(store)
	background(t, watcher.Run)
	feed := queue.NewFeed(store, watcher)
	background(t, feed.Run)
	k.deps = deps{
		Ledger: k.client, Watcher: watcher, Feed: feed, Metrics: queue.NewMetrics(prometheus.NewRegistry()),
		Secrets: secrets, Log: log, RateLimit: 10_000, FreshWait: 50 * time.Millisecond, Ready: store.Ping, Closing: t.Context(),
	}
	for _, f := range change {
		f(&k.deps)
	}
	k.api = k.serve()
	k.addNode()
	k.alice = k.key(queue.NewKey{Name: "a", Owner: "alice"})
	k.bob = k.key(queue.NewKey{Name: "b", Owner: "bob"})
	k.admin = k.key(queue.NewKey{Name: "root", Owner: "operator", Role: queue.RoleAdmin})
	return k
}

// serve starts one more API process on the same Redis.
func (k *kit) serve() *httptest.Server {
	srv := httptest.NewServer(newServer(k.deps))
	k.t.Cleanup(srv.Close)
	return srv
}

func (k *kit) addNode() {
	k.t.Helper()
	var err error
	k.nodeKey, err = seal.LoadOrCreate(filepath.Join(k.t.TempDir(), "node.age"))
	must(k.t, err)
	k.node = queue.NewNode(k.store, queue.NodeConfig{
		ID: "n1", Version: "1", Recipient: k.nodeKey.Recipient(), PHP: "8.3", WPCLI: "2.12.0",
		WordPress: []string{"6.9", "6.10"}, FastSlots: 2, BulkSlots: 1,
	})
	must(k.t, k.node.Register(k.t.Context()))
	must(k.t, k.node.PublishDomains(k.t.Context(), []queue.Domain{
		{Node: "n1", Account: "alice", Domain: "blog.com"},
		{Node: "n1", Account: "alice", Domain: "shop.com"},
		{Node: "n1", Account: "bob", Domain: "bob.com"},
	}))
}

func (k *kit) key(n queue.NewKey) string {
	k.t.Helper()
	_, secret, err := k.client.CreateKey(k.t.Context(), n)
	must(k.t, err)
	return secret
}

// work serves the node's lanes with fn until the test ends.
func (k *kit) work(fn func(context.Context, tasks.Op, *queue.Recorder) (tasks.Outcome, error)) {
	background(k.t, func(ctx context.Context) error { return k.node.Serve(ctx, queue.Handler{Run: fn}) })
}

// background runs fn until the test ends and waits for it.
func background(t testing.TB, fn func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			t.Errorf("background: %v", err)
		}
	})
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	raw    string
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.raw), &v); err != nil {
		t.Fatalf("%v in %q", err, a.raw)
	}
	return v
}

func (a answer) text(t testing.TB, field string) string {
	t.Helper()
	s, _ := a.json(t)[field].(string)
	return s
}

// call sends one request; headers come in pairs.
func (k *kit) call(secret, method, path, body string, headers ...string) answer {
	k.t.Helper()
	return callOn(k.t, k.api.URL, secret, method, path, body, headers...)
}

func callOn(t testing.TB, base, secret, method, path, body string, headers ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, reader)
	must(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK && endless(path) {
		e, err := (&sseClient{lines: bufio.NewReader(res.Body)}).next()
		must(t, err)
		return answer{res.StatusCode, res.Header, e.data}
	}
	raw, err := io.ReadAll(res.Body)
	must(t, err)
	return answer{res.StatusCode, res.Header, string(raw)}
}

// endless are the streams that no end of an op ends.
func endless(path string) bool {
	return strings.HasPrefix(path, accountEventsPath) || strings.HasPrefix(path, apiBase+"/wordpress/installations/")
}

const goodInstall = `{"domain":"blog.com","path":"public_html","title":"Blog","admin_user":"boss","admin_email":"boss@blog.com","db_name":"blog_wp"`

// install accepts a good install with more fields, which begin with a comma.
func (k *kit) install(secret, more string, headers ...string) answer {
	k.t.Helper()
	a := k.call(secret, "POST", "/api/v1/wordpress/install", goodInstall+more+"}", headers...)
	if a.status != http.StatusAccepted {
		k.t.Fatalf("install answered %d %s", a.status, a.raw)
	}
	return a
}

func progressURL(id string) string { return "/api/v1/wordpress/install/" + id + "/progress" }

// finished polls an op until it is done.
func (k *kit) finished(secret, id string) answer {
	k.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		a := k.call(secret, "GET", progressURL(id)+"?wait=10", "")
		if a.json(k.t)["done"] == true {
			return a
		}
	}
	k.t.Fatalf("op %s did not finish", id)
	return answer{}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
