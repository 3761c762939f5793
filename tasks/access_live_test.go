package tasks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// sealed is a secret as it comes in a payload.
func sealed(t *testing.T, plain string) string {
	t.Helper()
	s, err := sealForTest(plain)
	must(t, err)
	return s
}

// asJSON is a payload.
func asJSON(t *testing.T, fields map[string]any) string {
	t.Helper()
	b, err := json.Marshal(fields)
	must(t, err)
	return string(b)
}

// link makes a login link as the API does, and puts its token into the result.
func (v *visited) link(t *testing.T, user, redirect string) (string, AdminAutologinResult) {
	t.Helper()
	token := string(new(AdminAutologin).Draw())
	op := v.then(t, "admin.autologin", asJSON(t, map[string]any{"user": user, "redirect": redirect, "token": sealed(t, token)}))
	out := op.mustEnd(Succeeded)
	journal, err := os.ReadFile(op.dir + "/" + op.op.ID + ".jsonl")
	must(t, err)
	if spoken := string(journal) + strings.Join(op.log, "\n") + strings.Join(op.slogs, ""); strings.Contains(spoken, token) {
		t.Errorf("the token is in the journal or the log")
	}
	r := answerOf[AdminAutologinResult](t, out)
	if left := time.Until(r.ExpiresAt); left < 20*time.Second || left > time.Minute {
		t.Errorf("expires in %v", left)
	}
	return strings.Replace(r.LoginURL, SecretMark, token, 1), r
}

// use presses the button of a login link.
func (b *browser) use(link string) page {
	b.t.Helper()
	u, err := url.Parse(link)
	must(b.t, err)
	return b.post(u.Path, url.Values{"wptk-login": {u.Query().Get("wptk-login")}})
}

func TestPeopleGetInToASite(t *testing.T) {
	t.Parallel()
	v := newNode(t).open(t, "lena", "door.test", "public_html", Install{})
	t.Run("users", func(t *testing.T) { usersAreMade(t, v) })
	t.Run("password", func(t *testing.T) { passwordsAreReset(t, v) })
	t.Run("link", func(t *testing.T) { linksLogInOnce(t, v) })
	t.Run("link refused", func(t *testing.T) { linksAreRefused(t, v) })
	t.Run("link redirect", func(t *testing.T) { linksLeadToTheSite(t, v) })
	t.Run("link race", func(t *testing.T) { ofManyOneWins(t, v) })
	t.Run("link on a broken site", func(t *testing.T) { linksSurviveBrokenCode(t, v) })
	t.Run("must-use plugin", func(t *testing.T) { pluginGoesWhenUnused(t, v) })
	t.Run("hidden login", func(t *testing.T) { loginIsHidden(t, v) })
}

func usersAreMade(t *testing.T, v *visited) {
	const password = `s3cret "pass' \ ☕`
	payload := asJSON(t, map[string]any{"user": "jane", "email": "jane@door.test", "password": sealed(t, password)})
	op := v.then(t, "admin.create", payload)
	r := answerOf[AdminCreateResult](t, op.mustEnd(Succeeded))
	if r.User != "jane" || r.Role != "administrator" || r.Email != "jane@door.test" || r.UserID < 2 {
		t.Errorf("%+v", r)
	}
	b := v.browser(t)
	if b.logIn("wp-login.php", "jane", password); b.who() != "jane" || b.get("wp-admin/plugins.php").status != http.StatusOK {
		t.Errorf("jane is %q", b.who())
	}
	for field, fields := range map[string]map[string]any{
		CodeUserExists:     {"user": "jane", "email": "other@door.test"},
		"email":            {"user": "joan", "email": "jane@door.test"},
		CodeInvalidPayload: {"user": "joan", "email": "joan@door.test", "role": "emperor"},
	} {
		fields["password"] = sealed(t, password)
		if out := v.does(t, "admin.create", asJSON(t, fields), Failed); out.Error.Code != CodeInvalidPayload && out.Error.Code != CodeUserExists {
			t.Errorf("%s: %+v", field, out.Error)
		}
	}
	// An op that is cut short takes back its own user and nobody else's.
	stopped := v.then(t, "admin.create", asJSON(t, map[string]any{"user": "june", "email": "june@door.test", "role": "editor", "password": sealed(t, password)}))
	stopped.fail = func(e Entry) error {
		if e.Mark == MarkDone {
			return errDead
		}
		return nil
	}
	if _, err := stopped.attempt(); err == nil {
		t.Fatal("the worker lives")
	}
	stopped.fail = nil
	cancelled := make(chan struct{})
	close(cancelled)
	stopped.cfg.Cancelled = cancelled
	stopped.mustEnd(Cancelled)
	if site, err := v.node.host.Find(v.op.Site.Account, v.op.Site.Domain, v.op.Site.Path); err != nil {
		t.Error(err)
	} else if _, err := v.node.host.CLI.UserGet(t.Context(), site, "june"); err == nil {
		t.Error("june is left")
	}
}

func passwordsAreReset(t *testing.T, v *visited) {
	b := v.browser(t)
	if b.logIn("wp-login.php", "boss", rootPassword); b.who() != "boss" {
		t.Fatal("the boss cannot log in")
	}
	const password = `another "one' \`
	v.does(t, "password.reset", asJSON(t, map[string]any{"user": "boss", "password": sealed(t, password)}), Succeeded)
	if who := b.who(); who != "" {
		t.Errorf("%s is still logged in", who)
	}
	if b.logIn("wp-login.php", "boss", rootPassword); b.who() != "" {
		t.Error("the old password still works")
	}
	if b.logIn("wp-login.php", "boss", password); b.who() != "boss" {
		t.Error("the new password does not work")
	}
	if out := v.does(t, "password.reset", asJSON(t, map[string]any{"user": "nobody", "password": sealed(t, password)}), Failed); out.Error.Code != CodeNoSuchUser {
		t.Errorf("%+v", out.Error)
	}
}

func linksLogInOnce(t *testing.T, v *visited) {
	link, r := v.link(t, "", "")
	if r.User != "boss" || r.Redirect != "http://door.test/wp-admin/" {
		t.Errorf("%+v", r)
	}
	v.mustHavePlugin(t, true)
	b := v.browser(t)
	for range 3 { // what chat programs do with a link
		p := v.browser(t).get(link)
		if p.status != http.StatusOK || !strings.Contains(p.body, "Log in as boss") || p.header.Get("Set-Cookie") != "" {
			t.Fatalf("%v", p)
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex", "X-Frame-Options": "DENY"} {
			if got := p.header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	p := b.use(link)
	if p.status != http.StatusSeeOther || p.location != r.Redirect || !strings.Contains(p.header.Get("Cache-Control"), "no-store") {
		t.Errorf("%v %v", p, p.header)
	}
	if b.who() != "boss" || v.links(t) != 0 {
		t.Errorf("logged in as %q, %d links are left", b.who(), v.links(t))
	}
	other := v.browser(t)
	if again := other.use(link); again.status != http.StatusForbidden || other.who() != "" {
		t.Errorf("the link works twice: %v", again)
	}
	link, _ = v.link(t, "jane", "")
	if b.use(link); b.who() != "jane" { // over a session of somebody else
		t.Errorf("logged in as %q", b.who())
	}
}

// Whatever is wrong with a link, the answer is the same.
func linksAreRefused(t *testing.T, v *visited) {
	refusal := v.browser(t).get("?wptk-login=" + string(new(AdminAutologin).Draw()))
	if refusal.status != http.StatusForbidden {
		t.Fatalf("%v", refusal)
	}
	link, _ := v.link(t, "boss", "")
	for name, spoilt := range map[string]string{
		"expired":        `'$.expires', ` + fmt.Sprint(time.Now().Unix()-1),
		"other site":     `'$.site', 'http://other.test'`,
		"no such user":   `'$.user', 4711`,
		"wrong user":     `'$.login', 'jane'`,
		"user of its id": `'$.user', 2`,
	} {
		good := v.option(t, "wptk\\_login\\_%")
		v.exec(t, "UPDATE {options} SET option_value = JSON_SET(option_value, "+spoilt+") WHERE option_name LIKE 'wptk\\_login\\_%'")
		b := v.browser(t)
		for _, p := range []page{b.get(link), b.use(link)} {
			if p.status != refusal.status || p.body != refusal.body {
				t.Errorf("%s: %v", name, p)
			}
		}
		if b.who() != "" {
			t.Errorf("%s: logged in", name)
		}
		v.exec(t, "UPDATE {options} SET option_value = ? WHERE option_name LIKE 'wptk\\_login\\_%'", good)
	}
	for _, token := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 44), "%00", "' OR 1=1 --"} {
		if p := v.browser(t).post("", url.Values{"wptk-login": {token}}); p.status != refusal.status || p.body != refusal.body {
			t.Errorf("%q: %v", token, p)
		}
	}
	if p := v.browser(t).post("", url.Values{"wptk-login[]": {"x"}}); p.body != refusal.body {
		t.Errorf("an array: %v", p)
	}
	chosen := asJSON(t, map[string]any{"token": sealed(t, "age:of-my-own-choice")})
	if out := v.does(t, "admin.autologin", chosen, Failed); out.Error.Code != CodeInvalidPayload {
		t.Errorf("%+v", out.Error)
	}
	payload := asJSON(t, map[string]any{"user": "nobody", "token": sealed(t, string(new(AdminAutologin).Draw()))})
	if out := v.does(t, "admin.autologin", payload, Failed); out.Error.Code != CodeNoSuchUser {
		t.Errorf("%+v", out.Error)
	}
}

func linksLeadToTheSite(t *testing.T, v *visited) {
	for redirect, want := range map[string]string{
		"/wp-admin/plugins.php?s=a b":            "", // a space
		"/wp-admin/plugins.php?s=a%20b#top":      "http://door.test/wp-admin/plugins.php?s=a%20b#top",
		"http://door.test/about":                 "http://door.test/about",
		"https://DOOR.test/wp-admin/?x=http://y": "https://door.test/wp-admin/?x=http://y",
		"https://evil.test/":                     "",
		"http://door.test.evil.test/":            "",
		"http://door.test:8080/":                 "",
		"http://door.test@evil.test/":            "",
		"//evil.test/":                           "",
		`/\evil.test`:                            "",
		"/a/../../x":                             "",
		"/%2e%2E/x":                              "",
		"javascript:alert(1)":                    "",
		"wp-admin/":                              "",
	} {
		fields := map[string]any{"redirect": redirect, "token": sealed(t, string(new(AdminAutologin).Draw()))}
		task, _, err := Decode("admin.autologin", []byte(asJSON(t, fields)))
		must(t, err)
		if len(task.Validate()) > 0 {
			if want != "" {
				t.Errorf("%q is refused", redirect)
			}
			continue
		}
		if want == "" {
			out := v.does(t, "admin.autologin", asJSON(t, fields), Failed)
			if out.Error.Code != CodeInvalidPayload {
				t.Errorf("%q: %+v", redirect, out.Error)
			}
			continue
		}
		link, r := v.link(t, "", redirect)
		if p := v.browser(t).use(link); r.Redirect != want || p.location != want {
			t.Errorf("%q leads to %q, and really to %q", redirect, r.Redirect, p.location)
		}
	}
}

func ofManyOneWins(t *testing.T, v *visited) {
	link, _ := v.link(t, "", "")
	const clients = 50
	var wg sync.WaitGroup
	pages := make([]page, clients)
	for i := range clients {
		b := v.browser(t)
		wg.Go(func() { pages[i] = b.use(link) })
	}
	wg.Wait()
	won := 0
	for _, p := range pages {
		switch p.status {
		case http.StatusSeeOther:
			won++
		case http.StatusForbidden:
		default:
			t.Errorf("%v", p)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d clients are logged in", won, clients)
	}
}

// A plugin that ends PHP, and a must-use plugin whose name comes later, keep nobody out.
func linksSurviveBrokenCode(t *testing.T, v *visited) {
	plugin := v.put(t, "plugins/broken/broken.php", "<?php\n/* Plugin Name: Broken */\nthrow new Exception( 'broken' );\n")
	v.exec(t, "UPDATE {options} SET option_value = 'a:1:{i:0;s:17:\"broken/broken.php\";}' WHERE option_name = 'active_plugins'")
	mu := v.put(t, v.mu+"/zzz.php", "<?php\n")
	b := v.browser(t)
	if p := b.get(""); p.status != http.StatusInternalServerError {
		t.Fatalf("the site is not broken: %v", p)
	}
	link, _ := v.link(t, "", "")
	must(t, os.WriteFile(mu, []byte("<?php throw new Exception( 'broken too' );\n"), 0o644))
	if p := b.use(link); p.status != http.StatusSeeOther {
		t.Errorf("%v", p)
	}
	must(t, os.Remove(mu))
	must(t, os.Remove(plugin))
	v.exec(t, "UPDATE {options} SET option_value = 'a:0:{}' WHERE option_name = 'active_plugins'")
	if b.who() != "boss" {
		t.Errorf("logged in as %q", b.who())
	}
}

func pluginGoesWhenUnused(t *testing.T, v *visited) {
	b := v.browser(t)
	link, _ := v.link(t, "", "")
	b.get("")
	v.mustHavePlugin(t, true) // a link is on its way
	long := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(v.muPlugin(), long, long))
	b.get("")
	v.mustHavePlugin(t, false)
	if n := v.links(t); n != 0 {
		t.Errorf("%d links are left", n)
	}
	if p := b.use(link); p.status == http.StatusSeeOther {
		t.Errorf("a link without the plugin: %v", p)
	}
	v.put(t, v.mu+"/wptk.php", "<?php // mine\n")
	payload := asJSON(t, map[string]any{"token": sealed(t, string(new(AdminAutologin).Draw()))})
	if out := v.does(t, "admin.autologin", payload, Failed); out.Error.Code != CodeConflict {
		t.Errorf("%+v", out.Error)
	}
	if mine, err := os.ReadFile(v.muPlugin()); err != nil || string(mine) != "<?php // mine\n" || v.links(t) != 0 {
		t.Errorf("%s %v, %d links", mine, err, v.links(t))
	}
	must(t, os.Remove(v.muPlugin()))
}
