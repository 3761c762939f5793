package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

func factsOf(version string) wp.Details {
	return wp.Details{
		Status: wp.StatusOK, Core: &wp.CoreFacts{Version: version, Update: "9.9"}, Issues: []wp.Issue{{Code: "core_update", Severity: wp.SeverityWarning}},
		Plugins: &wp.PluginFacts{List: []wp.Plugin{{Slug: "akismet", File: "akismet/akismet.php", Version: version, Status: "active", Update: "9.1"}}},
		Themes:  &wp.ThemeFacts{},
		Users:   &wp.UserFacts{Total: 1, ByRole: map[string]int{"administrator": 1}, Admins: []wp.Administrator{{ID: 1, Login: "boss"}}},
		Files:   &wp.Usage{Bytes: 5, Complete: true}, Database: &wp.DatabaseFacts{Name: "alice_wp", Bytes: 7},
	}
}

// inspects keeps details of a site, as its worker does.
func (k *kit) inspects(site queue.Site, d wp.Details, at time.Time) {
	facts, err := d.Encode()
	must(k.t, err)
	must(k.t, k.node.PutDetails(k.t.Context(), site.ID, queue.Details{At: at, Seen: site, Facts: facts}))
}

// inspector serves the node's lanes and counts the inspections. Each finds version.
func (k *kit) inspector(site queue.Site, version string) *atomic.Int32 {
	count := new(atomic.Int32)
	k.work(func(_ context.Context, op tasks.Op, _ *queue.Recorder) (tasks.Outcome, error) {
		if op.Kind == "site.inspect" {
			count.Add(1)
			k.inspects(site, factsOf(version), time.Now())
		}
		return tasks.Outcome{State: tasks.Succeeded}, nil
	})
	return count
}

func patient(d *deps) { d.FreshWait = freshWait }

const (
	pluginsOf      = "/api/v1/wordpress/plugins?id="
	themesOf       = "/api/v1/wordpress/themes?id="
	installationOf = "/api/v1/wordpress/installation?id="
)

func TestReadsComeFromTheInventoryAndSayHowOldTheyAre(t *testing.T) {
	t.Parallel()
	k := newKit(t, patient)
	site := k.putSite("alice", "blog.com", "public_html")
	k.inspects(site, factsOf("5.1"), time.Now().Add(-90*time.Second))
	got := k.call(k.alice, "GET", pluginsOf+site.ID, "")
	var plugins []wp.Plugin
	if err := json.Unmarshal([]byte(got.raw), &plugins); err != nil || len(plugins) != 1 || plugins[0].Slug != "akismet" || plugins[0].Update != "9.1" {
		t.Errorf("%v %s", err, got.raw)
	}
	if age := got.header.Get("Age"); len(age) != 2 || age < "90" {
		t.Errorf("Age %q", age)
	}
	if _, err := http.ParseTime(got.header.Get("Last-Modified")); err != nil || got.header.Get("Warning") != "" {
		t.Errorf("headers %v", got.header)
	}
	if got := k.call(k.alice, "GET", themesOf+site.ID, ""); got.raw != "[]\n" && got.raw != "[]" {
		t.Errorf("themes %q", got.raw)
	}
	one := k.call(k.alice, "GET", installationOf+site.ID, "").json(t)
	sizes, health := one["sizes"].(map[string]any), one["health"].(map[string]any)
	if one["stale"] != false || one["users"].(map[string]any)["total"] != 1.0 || sizes["files"].(map[string]any)["bytes"] != 5.0 ||
		len(health["issues"].([]any)) != 1 || health["status"] != "ok" || one["inspected_at"] == nil || len(one["plugins"].([]any)) != 1 {
		t.Errorf("%v", one)
	}
	if ops, err := k.client.List(t.Context(), queue.OpFilter{}); err != nil || len(ops.Items) != 0 {
		t.Errorf("reading made operations: %+v %v", ops.Items, err)
	}
}

func TestFreshReadAsksTheNode(t *testing.T) {
	t.Parallel()
	k := newKit(t, patient)
	site := k.putSite("alice", "blog.com", "public_html")
	k.inspects(site, factsOf("5.1"), time.Now().Add(-time.Hour))
	count := k.inspector(site, "5.2")
	got := k.call(k.alice, "GET", pluginsOf+site.ID+"&fresh=true", "")
	if got.status != 200 || !strings.Contains(got.raw, `"5.2"`) || got.header.Get("Age") != "0" || got.header.Get("Warning") != "" {
		t.Errorf("%d %s %v", got.status, got.raw, got.header)
	}
	k.call(k.alice, "GET", themesOf+site.ID, "")
	k.call(k.alice, "GET", themesOf+site.ID+"&fresh=true", "")
	if n := count.Load(); n != 2 {
		t.Errorf("%d inspections", n)
	}
}

func TestFirstReadAndReadAfterAChangeAreFreshByThemselves(t *testing.T) {
	t.Parallel()
	k := newKit(t, patient)
	site := k.putSite("alice", "blog.com", "public_html")
	count := k.inspector(site, "5.2")
	for want := int32(1); want <= 2; want++ {
		for range 3 {
			if got := k.call(k.alice, "GET", pluginsOf+site.ID, ""); got.status != 200 || !strings.Contains(got.raw, `"5.2"`) {
				t.Fatalf("%d %s", got.status, got.raw)
			}
		}
		if n := count.Load(); n != want {
			t.Errorf("%d inspections, want %d", n, want)
		}
		must(t, k.node.SpoilDetails(t.Context(), site.ID)) // as after an op
	}
}

func TestNodeThatDoesNotAnswerLeavesTheOldAnswer(t *testing.T) {
	t.Parallel()
	k := newKit(t) // nobody serves the lanes
	site, never := k.putSite("alice", "blog.com", "public_html"), k.putSite("alice", "shop.com", "public_html")
	k.inspects(site, factsOf("5.1"), time.Now().Add(-time.Hour))
	for range 3 {
		got := k.call(k.alice, "GET", pluginsOf+site.ID+"&fresh=true", "")
		if got.status != 200 || !strings.Contains(got.raw, `"5.1"`) || !strings.HasPrefix(got.header.Get("Warning"), "110 ") || got.header.Get("Age") < "3600" {
			t.Errorf("%d %s %v", got.status, got.raw, got.header)
		}
	}
	ops, err := k.client.List(t.Context(), queue.OpFilter{})
	if err != nil || len(ops.Items) != 1 {
		t.Errorf("%d operations for three readers, %v", len(ops.Items), err)
	}
	if got := k.call(k.alice, "GET", installationOf+site.ID+"&fresh=true", "").json(t); got["stale"] != true {
		t.Errorf("%v", got)
	}
	got := k.call(k.alice, "GET", pluginsOf+never.ID, "")
	if got.status != 503 || got.text(t, "code") != "NODE_UNAVAILABLE" || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := k.call(k.alice, "GET", installationOf+never.ID, "").json(t); got["plugins"] != nil || got["inspected_at"] != nil || got["stale"] != true || got["domain"] != "shop.com" {
		t.Errorf("%v", got)
	}
	must(t, k.client.SetDrain(t.Context(), "n1", true))
	if got := k.call(k.alice, "GET", pluginsOf+site.ID+"&fresh=true", ""); got.status != 200 {
		t.Errorf("draining: %d %s", got.status, got.raw)
	}
}

func TestPartOfABrokenSiteSaysWhyItIsMissing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := k.putSite("alice", "blog.com", "public_html")
	k.inspects(site, wp.Details{Status: wp.StatusBroken, Reason: "its database is away"}, time.Now())
	got := k.call(k.alice, "GET", pluginsOf+site.ID, "")
	if got.status != 409 || !strings.Contains(got.text(t, "error"), "its database is away") {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := k.call(k.alice, "GET", installationOf+site.ID, ""); got.status != 200 || got.json(t)["themes"] != nil {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestInstallThatIsGoneIsNotFoundAfterAFreshRead(t *testing.T) {
	t.Parallel()
	k := newKit(t, patient)
	site := k.putSite("alice", "blog.com", "public_html")
	k.work(func(ctx context.Context, op tasks.Op, _ *queue.Recorder) (tasks.Outcome, error) {
		return tasks.Outcome{State: tasks.Failed, Error: &tasks.Failure{Code: tasks.CodeNoWordPress}}, k.node.RemoveSite(ctx, op.Site.ID)
	})
	if got := k.call(k.alice, "GET", pluginsOf+site.ID+"&fresh=true", ""); got.status != 404 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	for _, path := range []string{pluginsOf, themesOf, installationOf} {
		other := k.putSite("bob", "bob.com", "public_html")
		if got := k.call(k.alice, "GET", path+other.ID+"&fresh=true", ""); got.status != 404 {
			t.Errorf("%s of somebody else: %d", path, got.status)
		}
	}
}

func TestStatusCountsInstallsByTheirState(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ok, broken, theirs := k.putSite("alice", "blog.com", "a"), k.putSite("alice", "blog.com", "b"), k.putSite("bob", "bob.com", "c")
	broken.Status, theirs.Status = queue.SiteBroken, queue.SiteSuspended
	must(t, k.node.PublishSites(t.Context(), time.Now().Add(time.Second), []queue.Site{ok, broken, theirs}))
	for key, want := range map[string]map[string]any{
		k.alice: {"total": 2.0, "ok": 1.0, "broken": 1.0, "suspended": 0.0}, k.admin: {"total": 3.0, "ok": 1.0, "broken": 1.0, "suspended": 1.0},
	} {
		counts := k.call(key, "GET", "/api/v1/wordpress/status", "").json(t)["counts"].(map[string]any)
		for name, n := range want {
			if counts[name] != n {
				t.Errorf("%s = %v, want %v", name, counts[name], n)
			}
		}
	}
}
