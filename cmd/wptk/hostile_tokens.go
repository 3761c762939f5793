package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// tokenCases are requests without the right to make them, and requests that are two things
// at once.
func tokenCases(h *hostile) (all []hostileCase) {
	site := "/wordpress/installation?id=" + h.victim.id
	keys := map[string][]string{ // headers, in pairs
		"no key": {}, "an empty key": {"Authorization", "Bearer "}, "a made-up key": {"Authorization", "Bearer wsp_" + strings.Repeat("0", 48)},
		"a revoked key": {"Authorization", "Bearer " + h.keys["revoked"]}, "a key for another address": {"Authorization", "Bearer " + h.keys["elsewhere"]},
		"a key for another address, and a forged one": {"Authorization", "Bearer " + h.keys["elsewhere"], "X-Forwarded-For", "192.0.2.1"},
		"a key for another address, and Cloudflare's": {"Authorization", "Bearer " + h.keys["elsewhere"], "CF-Connecting-IP", "192.0.2.1", "X-Real-IP", "192.0.2.1", "True-Client-IP", "192.0.2.1"},
		"a key for another address, and Forwarded":    {"Authorization", "Bearer " + h.keys["elsewhere"], "Forwarded", "for=192.0.2.1"},
		"the prefix of a key":                         {"Authorization", "Bearer " + h.keys["victim"][:16]},
		"a key in capitals":                           {"Authorization", "Bearer " + strings.ToUpper(h.keys["victim"])},
		"a key with a space behind it":                {"Authorization", "Bearer " + h.keys["victim"] + " x"},
		"a key as a password":                         {"Authorization", "Basic " + h.keys["victim"]},
		"a key in a cookie":                           {"Cookie", "token=" + h.keys["victim"]},
		"a key in another header":                     {"X-Api-Key", h.keys["victim"]},
		"a token that is none":                        {"Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYWRtaW4ifQ."},
		"a key that is a pattern of Redis":            {"Authorization", "Bearer wsp_*"},
		"the hash of a key":                           {"Authorization", "Bearer " + strings.Repeat("a", 64)},
	}
	for name, headers := range keys {
		all = append(all, hostileCase{name: name, short: true, attack: func(x *attack) {
			status, answer, _ := x.raw("", http.MethodGet, apiRoot+site, "", headers...)
			x.mustRefuse(status, answer, http.StatusUnauthorized)
		}})
	}
	all = append(all, hostileCase{name: "a key in the address", short: true, attack: func(x *attack) {
		status, answer, _ := x.raw("", http.MethodGet, apiRoot+site+"&api_key="+h.keys["victim"], "")
		x.mustRefuse(status, answer, http.StatusUnauthorized)
	}})
	requests := []struct {
		name, key, method, path, body string
		headers                       []string
		want                          []int
	}{
		{"a change with a key for reading", "reader", "POST", "/wordpress/maintenance", `{"id":"ID","enabled":true}`, nil, []int{403}},
		{"a change with a key for reading, said to be a GET", "reader", "POST", "/wordpress/maintenance", `{"id":"ID","enabled":true}`, []string{"X-HTTP-Method-Override", "GET"}, []int{403}},
		{"a site with a key for webhooks", "webhooks", "GET", "/wordpress/installation?id=ID", "", nil, []int{403}},
		{"all nodes", "mallory", "GET", "/nodes", "", nil, []int{403}},
		{"a link to the console", "mallory", "POST", "/console/links", "", nil, []int{403}},
		{"draining a node", "mallory", "POST", "/nodes/hostile/drain", "", nil, []int{403}},
		{"nodes by going up", "mallory", "GET", "/wordpress/../nodes", "", nil, []int{301, 307, 308, 400, 403, 404}},
		{"nodes by an escaped slash", "mallory", "GET", "/wordpress/..%2fnodes", "", nil, []int{400, 403, 404}},
		{"nodes with two slashes", "mallory", "GET", "//nodes", "", nil, []int{301, 307, 308, 403, 404}},
		{"the victim's keys", "mallory", "GET", "/users/" + h.victim.account + "/api-keys", "", nil, []int{404}},
		{"a key for the victim", "mallory", "POST", "/users/" + h.victim.account + "/api-keys", `{"name":"x"}`, nil, []int{404}},
		{"an admin's key", "mallory", "POST", "/users/" + h.mallory.account + "/api-keys", `{"name":"x","role":"admin"}`, nil, []int{400, 403}},
		{"a webhook for all accounts", "mallory", "POST", "/webhooks", `{"url":"https://example.com/","all_accounts":true}`, nil, []int{400, 403, 404}},
		{"a webhook for the victim's account", "mallory", "POST", "/webhooks", `{"url":"https://example.com/","account":` + text(h.victim.account) + `}`, nil, []int{400, 403, 404}},
		{"a schedule for the victim's account", "mallory", "POST", "/wordpress/schedules", `{"kind":"site.inspect","target":{"account":` + text(h.victim.account) + `},"cron":"@daily"}`, nil, []int{400, 403, 404}},
		{"a schedule for the victim's site", "mallory", "POST", "/wordpress/schedules", `{"kind":"site.inspect","target":{"ids":["VICTIM"]},"cron":"@daily"}`, nil, []int{400, 403, 404}},
		{"many sites, one of them the victim's", "mallory", "POST", "/wordpress/maintenance", `{"ids":["ID","VICTIM"],"enabled":true}`, nil, []int{400, 403, 404}},
		{"an id that is SQL", "mallory", "GET", "/wordpress/installation?id=wp_1'+OR+1=1--", "", nil, []int{404}},
		{"an id that is a key of Redis", "mallory", "GET", "/wordpress/operations/*", "", nil, []int{404}},
		{"an id of a megabyte", "mallory", "GET", "/wordpress/operations/" + strings.Repeat("a", 600_000), "", nil, []int{404, 414, 431}},
		{"a page from somebody else's cursor", "mallory", "GET", "/wordpress/operations?cursor=AAAA", "", nil, []int{400}},
		{"two ids", "mallory", "GET", "/wordpress/installation?id=ID&id=VICTIM", "", nil, []int{400, 404}},
		{"a body that is a form", "mallory", "POST", "/wordpress/maintenance", `id=ID&enabled=true`, []string{"Content-Type", "application/x-www-form-urlencoded"}, []int{400, 415}},
		{"a body that is XML", "mallory", "POST", "/wordpress/maintenance", `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, []string{"Content-Type", "application/xml"}, []int{400, 415}},
		{"a method that is none", "mallory", "TRACE", "/wordpress/installation?id=ID", "", nil, []int{405, 501}},
	}
	for _, r := range requests {
		swap := strings.NewReplacer("ID", h.mallory.id, "VICTIM", h.victim.id)
		all = append(all, hostileCase{name: r.name, short: len(r.path) < 1000, attack: func(x *attack) {
			status, answer, _ := x.raw(h.keys[r.key], r.method, apiRoot+swap.Replace(r.path), swap.Replace(r.body), r.headers...)
			if status >= 400 {
				if r.want[0] == 404 && status >= 414 {
					return // the server itself has had enough of the line
				}
				x.mustRefuse(status, answer, r.want...)
			} else if !slices.Contains(r.want, status) {
				x.fail("answers %d %.300s, want %v", status, answer, r.want)
			}
		}})
	}
	return append(byName(all), loginCases(h)...)
}

// loginCases are about the links that log in, and about the lines of HTTP.
func loginCases(h *hostile) []hostileCase {
	return []hostileCase{
		{name: "an id of a request that fills the log", short: true, attack: func(x *attack) {
			_, _, header := x.raw(h.keys["mallory"], http.MethodGet, apiRoot+"/wordpress/operations", "", "X-Request-Id", strings.Repeat("a", 4000))
			x.check(len(header.Get("X-Request-Id")) < 200, "the request's id is %d long", len(header.Get("X-Request-Id")))
		}},
		{name: "line ends inside a header", short: true, attack: func(x *attack) {
			got := x.wire("GET /api/v1/nodes HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\rSet-Cookie: b\r\nAuthorization: Bearer " + h.keys["mallory"] + "\r\nConnection: close\r\n\r\n")
			x.check(strings.HasPrefix(got, "HTTP/1.1 4") && !strings.Contains(got, "\nSet-Cookie"), "answers %.300q", got)
		}},
		{name: "two lengths", short: true, attack: func(x *attack) {
			got := x.wire("POST /api/v1/wordpress/maintenance HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}GET ")
			x.check(strings.HasPrefix(got, "HTTP/1.1 400"), "answers %.300q", got)
		}},
		{name: "a length and chunks", short: true, attack: func(x *attack) {
			got := x.wire("POST /api/v1/wordpress/maintenance HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nGET /api/v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n")
			x.check(strings.HasPrefix(got, "HTTP/1.1 4") && strings.Count(got, "HTTP/1.1 ") == 1, "answers %.300q", got)
		}},
		{name: "a login link raced by fifty", attack: raceLogin},
		{name: "a login link for the victim's site", short: true, attack: func(x *attack) {
			x.refuses("/auto-login", `{"id":`+text(h.victim.id)+`}`)
		}},
		{name: "a login link that leads elsewhere", short: true, attack: func(x *attack) {
			for _, to := range []string{"https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)", "https:///", "/a\r\nSet-Cookie: x"} {
				x.futile("/auto-login", `{"id":`+text(x.id)+`,"redirect":`+text(to)+`}`)
			}
		}},
		{name: "the list of sites and of operations", short: true, attack: func(x *attack) {
			for _, path := range []string{"/wordpress/installations", "/wordpress/operations", "/wordpress/schedules", "/webhooks", "/wordpress/installations?node=hostile", "/wordpress/operations?site=" + h.victim.id} {
				_, answer, _ := x.raw(h.keys["mallory"], http.MethodGet, apiRoot+path, "")
				x.check(!strings.Contains(answer, h.victim.account) && !strings.Contains(answer, h.victim.domain), "%s shows the victim: %.300s", path, answer)
			}
		}},
	}
}

// wire sends bytes that no client library would.
func (x *attack) wire(request string) (answer string) {
	if x.exam.err != nil {
		return ""
	}
	conn, err := net.DialTimeout("tcp", x.hostile.stack.apiAddr, 10*time.Second)
	if err != nil {
		x.note(err)
		return ""
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(request)); err != nil {
		x.note(err)
		return ""
	}
	x.note(conn.SetReadDeadline(time.Now().Add(5 * time.Second)))
	buf := make([]byte, 16<<10)
	n := 0
	for n < len(buf) {
		m, err := conn.Read(buf[n:])
		n += m
		if err != nil {
			break // closed, or nothing more comes
		}
	}
	return string(buf[:n])
}

// raceLogin has fifty browsers press the button of one link at the same time.
func raceLogin(x *attack) {
	served, err := x.hostile.stack.startSite(x.ctx, x.demoSite)
	x.note(err)
	x.undo(func() {
		ctx, cancel := context.WithTimeout(x.ctx, time.Minute)
		defer cancel()
		x.note(served.Stop(ctx))
		x.hostile.stack.forget(served)
	})
	x.keep()
	var made tasks.AdminAutologinResult
	x.change("/auto-login", fields{"user": demoAdmin}, &made)
	link, err := url.Parse(made.LoginURL)
	x.note(err)
	if x.exam.err != nil {
		return
	}
	form := url.Values{"wptk-login": {link.Query().Get("wptk-login")}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for range 50 {
		v := x.visitor()
		wg.Go(func() {
			res, _, err := v.visit(x.ctx, "/", form) //nolint:bodyclose // visit has read and closed it
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got[res.StatusCode]++
			}
		})
	}
	wg.Wait()
	x.check(got[http.StatusSeeOther] == 1, "answers by status: %v", got)
}

// strangerCases ask every endpoint of the API's own document for the victim's site. An
// endpoint that is added is among them by being in the document.
func strangerCases(h *hostile) (all []hostileCase) {
	victimOp := h.victim.op.OperationID
	for i, e := range h.endpoints {
		method, template, _ := strings.Cut(e, " ")
		path := strings.NewReplacer("{id}", victimOp, "{measure}", "block-xmlrpc").Replace(template)
		if strings.Contains(template, "/backups/{id}") {
			path = strings.Replace(template, "{id}", tasks.BackupID(victimOp), 1)
		}
		if strings.Contains(template, "/installations/{id}") {
			path = strings.Replace(template, "{id}", h.victim.id, 1)
		}
		switch template {
		case "/install", "/installations", "/operations", "/schedules", "/status", "/events":
			continue // they name no site; the lists have a case of their own
		}
		all = append(all, hostileCase{name: e + " of the victim", short: i%4 == 0, attack: func(x *attack) {
			body := ""
			if method == http.MethodGet {
				if !strings.Contains(template, "{id}") {
					path += "?id=" + h.victim.id
				}
			} else if !strings.Contains(template, "{id}") || strings.Contains(template, "/schedules/") {
				body = h.goodBody(template)
			}
			status, answer, _ := x.raw(h.keys["mallory"], method, apiRoot+"/wordpress"+path, body)
			x.mustRefuse(status, answer, http.StatusNotFound)
		}})
	}
	return all
}

// goodBody is a body that the API would accept from the victim.
func (h *hostile) goodBody(template string) string {
	body := map[string]any{"id": h.victim.id}
	switch template {
	case "/clone":
		body = map[string]any{"source_id": h.victim.id, "target_domain": h.mallory.domain, "target_path": "copy"}
	case "/push":
		body = map[string]any{"source_id": h.victim.id, "target_id": h.mallory.id}
	case "/restore":
		body["backup_id"] = tasks.BackupID(h.victim.op.OperationID)
	case "/search-replace":
		body["search"], body["replace"] = "a", "b"
	case "/admin/create":
		body["user"], body["email"] = "eve", "eve@example.com"
	case "/password/reset":
		body["user"] = demoAdmin
	case "/security/hide-login":
		body["enabled"], body["slug"] = true, "backstage"
	case "/cache/purge":
		body["url"] = h.victim.url() + "/"
	case "/schedules/{id}":
		body = map[string]any{"name": "x"}
	}
	switch {
	case strings.HasPrefix(template, "/security/") && template != "/security/hide-login", template == "/maintenance":
		body["enabled"] = true
	case strings.HasPrefix(template, "/plugins/"):
		body["plugin"] = "akismet"
	case strings.HasPrefix(template, "/themes/"):
		body["theme"] = "twentytwentyfour"
	case strings.HasPrefix(template, "/cache/") && template != "/cache/purge":
		body["type"] = "object"
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Sprint(err) // a map of strings always encodes
	}
	return string(raw)
}
