package main

import (
	"context"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// signIn makes a link with a key and opens it.
func (k *kit) signIn(key string) (session string) {
	k.t.Helper()
	a := k.call("", "POST", consoleSession, `{"code":"`+k.consoleCode(key)+`"}`)
	if a.status != http.StatusCreated {
		k.t.Fatalf("signing in: %d %s", a.status, a.raw)
	}
	return a.text(k.t, "token")
}

func (k *kit) consoleCode(key string) string {
	k.t.Helper()
	a := k.call(key, "POST", consoleLinks, "")
	if a.status != http.StatusCreated || len(a.text(k.t, "code")) != 48 {
		k.t.Fatalf("making a link: %d %s", a.status, a.raw)
	}
	return a.text(k.t, "code")
}

func TestConsoleIsSmallAndAsksNobodyElse(t *testing.T) {
	t.Parallel()
	elsewhere := regexp.MustCompile(`(https?:)?//[a-zA-Z0-9]|@import|\burl\(`)
	total := 0
	err := fs.WalkDir(consoleFiles, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := consoleFiles.ReadFile(name)
		must(t, err)
		total += len(raw)
		text := strings.ReplaceAll(string(raw), `xmlns="http://www.w3.org/2000/svg"`, "")
		if found := elsewhere.FindString(text); found != "" {
			t.Errorf("%s has %s", name, found)
		}
		for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage", "document.cookie", " style=", "onclick="} {
			if strings.Contains(text, way) {
				t.Errorf("%s uses %s", name, way)
			}
		}
		return nil
	})
	must(t, err)
	if total > 60<<10 || total < 10<<10 {
		t.Errorf("the console has %d bytes", total)
	}
}

func TestConsoleIsServedUnderAStrictPolicy(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	page := k.call("", "GET", consolePath, "")
	if page.status != http.StatusOK || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %v", page.status, page.header)
	}
	if regexp.MustCompile(`<script[^>]*>[^<]|<style`).MatchString(page.raw) {
		t.Error("the page has something inline")
	}
	named := regexp.MustCompile(`(?:src|href)="(console/[^"]+)"`).FindAllStringSubmatch(page.raw, -1)
	if len(named) < 3 {
		t.Errorf("the page names %v", named)
	}
	paths := []string{consolePath}
	for _, m := range named {
		paths = append(paths, "/"+m[1])
	}
	for _, at := range paths {
		a := k.call("", "GET", at, "")
		h := a.header
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(h.Get("Content-Security-Policy"), part) {
				t.Errorf("%s: the policy lacks %s", at, part)
			}
		}
		if a.status != 200 || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", at, a.status, h)
		}
		if again := k.call("", "GET", at, "", "If-None-Match", h.Get("ETag")); again.status != http.StatusNotModified || again.raw != "" {
			t.Errorf("%s again: %d", at, again.status)
		}
		if plain := k.call("", "GET", at, "", "Accept-Encoding", "identity"); plain.raw != a.raw || plain.header.Get("Content-Encoding") != "" {
			t.Errorf("%s is not the same when it is not packed", at)
		}
	}
	if a := k.call("", "GET", path.Join(consolePath, "index.html"), ""); a.status != http.StatusNotFound {
		t.Errorf("the page is at a second address: %d", a.status)
	}
}

func TestSignInLinkIsForAdminsOnceAndForOneOfFifty(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	if a := k.call(k.alice, "POST", consoleLinks, ""); a.status != http.StatusForbidden {
		t.Errorf("a customer's key: %d %s", a.status, a.raw)
	}
	code := k.consoleCode(k.admin)
	statuses := make(chan int, 50)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { statuses <- k.call("", "POST", consoleSession, `{"code":"`+code+`"}`).status })
	}
	all.Wait()
	close(statuses)
	got := map[int]int{}
	for status := range statuses {
		got[status]++
	}
	if got[http.StatusCreated] != 1 || got[http.StatusUnauthorized] != 49 {
		t.Errorf("fifty at once: %v", got)
	}
}

func TestWhateverIsWrongWithALinkTheAnswerIsTheSame(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	used := k.consoleCode(k.admin)
	k.call("", "POST", consoleSession, `{"code":"`+used+`"}`)
	key, secret, err := k.client.CreateKey(t.Context(), queue.NewKey{Name: "x", Owner: "operator", Role: queue.RoleAdmin})
	must(t, err)
	orphan := k.consoleCode(secret)
	must(t, k.client.RevokeKey(t.Context(), "", key.ID))
	away := k.key(queue.NewKey{Name: "away", Owner: "operator", Role: queue.RoleAdmin, IPWhitelist: []string{"192.0.2.0/24"}})
	found, err := k.client.LookupKey(t.Context(), away)
	must(t, err)
	elsewhere, _, err := k.client.NewCode(t.Context(), found)
	must(t, err)
	var first string
	for why, code := range map[string]string{"used": used, "never made": strings.Repeat("0", 48), "no code": "", "a key": secret, "of a revoked key": orphan, "of a key for another address": elsewhere} {
		a := k.call("", "POST", consoleSession, `{"code":"`+code+`"}`, "X-Request-Id", "same")
		a.mustBeRefused(t, why, 401, "UNAUTHORIZED")
		if first == "" {
			first = a.raw
		}
		if a.raw != first {
			t.Errorf("%s: %s", why, a.raw)
		}
	}
	for _, body := range []string{"", "[]", `{"code":1}`, `{"code":"a","code":"b"}`} {
		k.call("", "POST", consoleSession, body).mustBeRefused(t, body, 400, "VALIDATION_ERROR")
	}
	k.call("", "POST", consoleSession, `{}`, "Content-Type", "text/plain").mustBeRefusedPlainly(t, 415)
}

func (a answer) mustBeRefusedPlainly(t *testing.T, status int) {
	t.Helper()
	if a.status != status || a.json(t)["success"] != false {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// An Idempotency-Key repeats answers to their owner; a sign-in has none yet.
func TestSignInIsNotRepeatedToWhoeverKnowsItsIdempotencyKey(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	body := `{"code":"` + k.consoleCode(k.admin) + `"}`
	if a := k.call("", "POST", consoleSession, body, "Idempotency-Key", "guessed"); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	k.call("", "POST", consoleSession, body, "Idempotency-Key", "guessed").mustBeRefused(t, "a second time", 401, "UNAUTHORIZED")
}

// Every endpoint of the document that is not on the list is closed to a session, the ones
// that make keys and links above all.
func TestSessionOpensWhatTheConsoleShowsAndNothingElse(t *testing.T) {
	t.Parallel()
	k, site, op := newWalk(t)
	session := k.signIn(k.admin)
	opened := map[string]bool{}
	for _, w := range k.walk(site, op) {
		route := w.method + " " + w.template
		if !consoleRoutes[route] {
			k.call(session, w.method, w.path, w.body).mustBeRefused(t, w.String()+" in a session", 403, "FORBIDDEN")
			continue
		}
		opened[route] = true
		if got := k.call(session, w.method, w.path, w.body); got.status >= 400 && got.status != http.StatusConflict {
			t.Errorf("%s answers a session %d %s", w, got.status, got.raw)
		}
	}
	if len(opened) != len(consoleRoutes) {
		t.Errorf("the document has %d of the console's routes: %v", len(opened), opened)
	}
}

func TestConsoleOfAKeyForReadingChangesNothing(t *testing.T) {
	t.Parallel()
	k, _, op := newWalk(t)
	reader := k.key(queue.NewKey{Name: "wall", Owner: "operator", Role: queue.RoleAdmin, Permissions: []string{queue.PermRead}})
	a := k.call("", "POST", consoleSession, `{"code":"`+k.consoleCode(reader)+`"}`)
	session := a.text(t, "token")
	if a.json(t)["may_change"] != false {
		t.Errorf("%s", a.raw)
	}
	if got := k.call(session, "GET", apiBase+"/nodes", ""); got.status != 200 {
		t.Errorf("it may not look: %d %s", got.status, got.raw)
	}
	k.call(session, "POST", apiBase+"/wordpress/operations/"+op+"/retry", "").mustBeRefused(t, "retry", 403, "FORBIDDEN")
	hooks := k.key(queue.NewKey{Name: "hooks", Owner: "operator", Role: queue.RoleAdmin, Permissions: []string{queue.PermWebhooks}})
	k.call(hooks, "POST", consoleLinks, "").mustBeRefused(t, "a key for webhooks", 403, "FORBIDDEN")
}

func TestSessionEndsBySigningOutAndWithItsKey(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	key, secret, err := k.client.CreateKey(t.Context(), queue.NewKey{Name: "x", Owner: "operator", Role: queue.RoleAdmin})
	must(t, err)
	one, two := k.signIn(secret), k.signIn(secret)
	if a := k.call(one, "DELETE", consoleSession, ""); a.status != http.StatusNoContent {
		t.Errorf("signing out: %d %s", a.status, a.raw)
	}
	const nodes = apiBase + "/nodes"
	k.call(one, "GET", nodes, "").mustBeRefused(t, "after signing out", 401, "UNAUTHORIZED")
	k.call(one, "DELETE", consoleSession, "").mustBeRefused(t, "signing out again", 401, "UNAUTHORIZED")
	if a := k.call(two, "GET", nodes, ""); a.status != http.StatusOK {
		t.Errorf("the other session: %d", a.status)
	}
	must(t, k.client.RevokeKey(t.Context(), "", key.ID))
	k.call(two, "GET", nodes, "").mustBeRefused(t, "with a revoked key", 401, "UNAUTHORIZED")
	k.api.Close()
	log := k.log.String()
	for _, line := range []string{"action=\"POST /console/session\"", "action=\"DELETE /console/session\"", "action=\"POST /api/v1/console/links\""} {
		if !strings.Contains(log, line) {
			t.Errorf("no audit line has %s", line)
		}
	}
	if !regexp.MustCompile(`action="POST /console/session".*session=[0-9a-f]{16}|session=[0-9a-f]{16}.*action="POST /console/session"`).MatchString(log) {
		t.Error("no audit line tells the session that was opened")
	}
	if strings.Contains(log, one) || strings.Contains(log, secret) {
		t.Error("the log has a secret")
	}
}

// A console is a second reader of what its key has asked for: it must leave what is shown
// once to the program that asked.
func TestConsoleLeavesOneTimeSecretsToWhoAskedForThem(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.work(func(context.Context, tasks.Op, *queue.Recorder) (tasks.Outcome, error) {
		return tasks.Outcome{State: tasks.Succeeded, Result: []byte(`{"user":"boss"}`)}, nil
	})
	op := k.install(k.admin, "").text(t, "operation_id")
	session := k.signIn(k.admin)
	for done := false; !done; {
		done = k.call(k.alice, "GET", apiBase+"/wordpress/operations?ids="+op, "").json(t)["operations"].([]any)[0].(map[string]any)["done"] == true
	}
	stream := k.call(session, "GET", apiBase+"/wordpress/operations/"+op+"/events", "", "Last-Event-ID", "0")
	if stream.status != http.StatusOK || !strings.Contains(stream.raw, "event: done") || strings.Contains(stream.raw, "admin_password\":") {
		t.Errorf("the console sees %d %s", stream.status, stream.raw)
	}
	if a := k.finished(k.admin, op); !strings.Contains(a.raw, `"admin_password":"`) {
		t.Errorf("nothing was left to who asked: %s", a.raw)
	}
}

func TestConsoleCountsForItself(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(d *deps) { d.RateLimit = 5 })
	session := k.signIn(k.admin)
	for range 6 {
		k.call(session, "GET", apiBase+"/nodes", "")
	}
	if a := k.call(session, "GET", apiBase+"/nodes", ""); a.status != http.StatusTooManyRequests {
		t.Errorf("the console has no limit: %d", a.status)
	}
	if a := k.call(k.admin, "GET", apiBase+"/nodes", ""); a.status != http.StatusOK {
		t.Errorf("looking on has used up the key's limit: %d", a.status)
	}
}
