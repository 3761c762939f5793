package tasks

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const slugForTest = "back-stage"

// hide hides the login page of a site.
func (v *visited) hide(t *testing.T) SecurityHideLoginResult {
	t.Helper()
	return answerOf[SecurityHideLoginResult](t, v.does(t, "security.hide-login", `{"enabled":true,"slug":"`+slugForTest+`"}`, Succeeded))
}

// password gives the boss a password again, whatever tests before have done.
func (v *visited) password(t *testing.T) {
	t.Helper()
	v.does(t, "password.reset", asJSON(t, map[string]any{"user": "boss", "password": sealed(t, rootPassword)}), Succeeded)
}

func loginIsHidden(t *testing.T, v *visited) {
	v.password(t)
	r := v.hide(t)
	if !r.Enabled || r.LoginURL != v.SiteURL+"/"+slugForTest+"/" || r.Suspended {
		t.Errorf("%+v", r)
	}
	v.mustHavePlugin(t, true)
	t.Run("strangers", func(t *testing.T) { strangersFindNothing(t, v) })
	t.Run("logging in and out", func(t *testing.T) { ownersComeAndGo(t, v) })
	t.Run("interim login", func(t *testing.T) { interimLoginWorks(t, v) })
	t.Run("lost password", func(t *testing.T) { lostPasswordsAreReset(t, v) })
	t.Run("protected post", func(t *testing.T) { protectedPostsOpen(t, v) })
	t.Run("login link", func(t *testing.T) {
		link, _ := v.link(t, "", "/wp-admin/profile.php")
		b := v.browser(t)
		if b.use(link); b.who() != "boss" {
			t.Errorf("logged in as %q", b.who())
		}
	})
	t.Run("stays", func(t *testing.T) { hiddenStaysHidden(t, v) })
	t.Run("slug", func(t *testing.T) { takenSlugsAreRefused(t, v) })
	t.Run("plain permalinks", func(t *testing.T) { plainPermalinksWork(t, v) })
	t.Run("kill switch", func(t *testing.T) { killSwitchWorks(t, v) })
	t.Run("shown again", func(t *testing.T) { loginIsShownAgain(t, v) })
}

// In a subdirectory, on an old WordPress, with must-use plugins in another place.
func TestPeopleGetInToASubdirectory(t *testing.T) {
	t.Parallel()
	v := newNode(t).open(t, "nils", "sub.test", "public_html/blog", Install{Version: "6.2"})
	v.mu = "must-use"
	v.define(t, "define( 'WPMU_PLUGIN_DIR', __DIR__ . '/wp-content/must-use' );")
	link, r := v.link(t, "", "/wp-admin/profile.php")
	b := v.browser(t)
	if p := b.use(link); r.Redirect != "http://sub.test/blog/wp-admin/profile.php" || p.location != r.Redirect || b.who() != "boss" {
		t.Errorf("%v, logged in as %q", p, b.who())
	}
	if p := b.get("/wp-login.php"); p.status != http.StatusNotFound { // of the domain, where no WordPress is
		t.Errorf("%v", p)
	}
	elsewhere := asJSON(t, map[string]any{"redirect": "http://sub.test/shop/", "token": sealed(t, string(new(AdminAutologin).Draw()))})
	if out := v.does(t, "admin.autologin", elsewhere, Failed); out.Error.Code != CodeInvalidPayload {
		t.Errorf("%+v", out.Error)
	}
	v.hide(t)
	t.Run("strangers", func(t *testing.T) { strangersFindNothing(t, v) })
	t.Run("logging in and out", func(t *testing.T) { ownersComeAndGo(t, v) })
	t.Run("lost password", func(t *testing.T) { lostPasswordsAreReset(t, v) })
	t.Run("protected post", func(t *testing.T) { protectedPostsOpen(t, v) })
	t.Run("shown again", func(t *testing.T) { loginIsShownAgain(t, v) })
}

// A network has one slug for all of its sites, and its first super admin gets the link.
func TestPeopleGetInToANetwork(t *testing.T) {
	t.Parallel()
	v := newNode(t).open(t, "nina", "net.test", "public_html", Install{Version: "6.5", Multisite: Subdirectories})
	made := v.put(t, v.mu+"/more.php", `<?php
		add_action( 'init', function () {
			if ( isset( $_GET['more'] ) ) {
				wpmu_create_blog( 'net.test', '/second/', 'Second', 1 );
				wpmu_create_user( 'guest', 'guest pass 1', 'guest@net.test' );
			}
		}, 99 );`)
	v.browser(t).get("?more=1")
	must(t, os.Remove(made))
	link, r := v.link(t, "", "")
	b := v.browser(t)
	if p := b.use(link); r.User != "boss" || p.location != "http://net.test/wp-admin/" || b.who() != "boss" {
		t.Errorf("%v, logged in as %q", p, b.who())
	}
	if p := b.get("wp-admin/network/"); p.status != http.StatusOK {
		t.Errorf("%v", p)
	}
	// A user of the network who has nothing to do with the site.
	stranger := asJSON(t, map[string]any{"user": "guest", "token": sealed(t, string(new(AdminAutologin).Draw()))})
	if out := v.does(t, "admin.autologin", stranger, Failed); out.Error.Code != CodeNoSuchUser {
		t.Errorf("%+v", out.Error)
	}
	payload := asJSON(t, map[string]any{"user": "jane", "email": "jane@net.test", "password": sealed(t, rootPassword)})
	v.does(t, "admin.create", payload, Succeeded)
	v.hide(t)
	t.Run("strangers", func(t *testing.T) { strangersFindNothing(t, v) })
	t.Run("logging in and out", func(t *testing.T) { ownersComeAndGo(t, v) })
	c := v.browser(t)
	if p := c.get("second/" + slugForTest + "/"); p.status != http.StatusOK || !strings.Contains(p.body, `action="http://net.test/second/`+slugForTest+`/"`) {
		t.Errorf("%v", p)
	}
	if c.logIn(slugForTest+"/", "jane", rootPassword); c.who() != "jane" {
		t.Errorf("logged in as %q", c.who())
	}
	if taken := v.does(t, "security.hide-login", `{"enabled":true,"slug":"second"}`, Failed); taken.Error.Code != CodeInvalidPayload {
		t.Errorf("%+v", taken.Error)
	}
	v.does(t, "security.hide-login", `{"enabled":false}`, Succeeded)
	v.mustHavePlugin(t, v.links(t) > 0)
}

// strangersFindNothing asks for all that must be gone and all that must not, and then looks
// for the slug in every answer.
func strangersFindNothing(t *testing.T, v *visited) {
	b := v.browser(t)
	for _, gone := range []string{
		"wp-login.php", "wp-login.php?action=lostpassword", "wp-login.php?action=rp&key=x&login=boss", "wp-login.php?action=postpass",
		"wp-login.php?redirect_to=%2F", "wp-login.php/wp-admin/admin-ajax.php", "wp-login.php?action=logout", "wp-login.php?interim-login=1",
		"wp-admin/", "wp-admin/index.php", "wp-admin/plugins.php", "wp-admin/options.php", "wp-admin/install.php", "wp-admin/upgrade.php",
		"wp-admin/customize.php", "wp-admin/network/", "wp-admin/user/", "wp-admin/authorize-application.php", "wp-admin/maint/repair.php",
		"wp-signup.php", "wp-activate.php", "login", "login/", "admin", "dashboard", "wp-login", "?" + slugForTest,
	} {
		p := b.get(gone)
		want := http.StatusNotFound
		if v.Multisite && strings.HasPrefix(gone, "wp-signup") || strings.HasPrefix(gone, "wp-activate") && v.Multisite {
			continue // pages of a network, which lead nowhere but to itself
		}
		if strings.HasPrefix(gone, "?") {
			want = http.StatusOK // the front page: the slug is a path here
		}
		if p.status != want || strings.Contains(p.body, `name="pwd"`) {
			t.Errorf("%s: %v", gone, p)
		}
	}
	for path, want := range map[string]int{
		"": http.StatusOK, "wp-json/": http.StatusOK, "wp-cron.php": http.StatusOK, "wp-admin/admin-post.php": http.StatusOK, "feed/": http.StatusOK,
		"wp-admin/admin-ajax.php": http.StatusBadRequest, "wp-admin/admin-ajax.php?action=nothing": http.StatusBadRequest,
		"wp-admin/load-styles.php?load=login": http.StatusOK, "xmlrpc.php": http.StatusMethodNotAllowed,
	} {
		if p := b.get(path); p.status != want {
			t.Errorf("%s: %d, want %d", path, p.status, want)
		}
	}
	// Ways in which others have given the address away.
	post := url.Values{"post_password": {"x"}}
	with := func(more ...string) url.Values {
		form := url.Values{"post_password": {"x"}}
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return form
	}
	b.post("wp-login.php?action=postpass", with("redirect_to", "/wp-login.php"))
	b.post("wp-login.php?action=postpass", with("redirect_to", "wp-login.php?action=register"))
	b.post("wp-comments-post.php", url.Values{"comment": {"hello"}, "author": {"a"}, "email": {"a@b.example"}, "comment_post_ID": {"1"}, "redirect_to": {"/wp-login.php"}})
	for path, form := range map[string]url.Values{
		"wp-login.php?action=postpass&key=1": post, "wp-login.php?action=postpass&checkemail=confirm": post,
		"wp-login.php?action=postpass": with("action", "login"), "wp-login.php": with("log", "boss", "pwd", rootPassword),
		"wp-login.php?action=lostpassword": with("user_login", "boss"),
	} {
		if p := b.post(path, form); p.status != http.StatusNotFound {
			t.Errorf("POST %s: %v", path, p)
		}
	}
	for _, answer := range b.seen {
		if request, rest, _ := strings.Cut(answer, ": "); strings.Contains(rest, slugForTest) && !strings.Contains(request, slugForTest) {
			t.Errorf("%s tells the slug", request)
		}
	}
}

func ownersComeAndGo(t *testing.T, v *visited) {
	b := v.browser(t)
	form := b.get(slugForTest)
	if form.status != http.StatusOK || !strings.Contains(form.body, `action="`+v.SiteURL+"/"+slugForTest+`/"`) || strings.Contains(form.body, "wp-login.php") {
		t.Fatalf("%v", form)
	}
	if p := b.logIn(slugForTest+"/", "boss", "wrong"); p.status != http.StatusOK || !strings.Contains(p.body, "login_error") {
		t.Errorf("%v", p)
	}
	p := b.logIn(slugForTest+"/", "boss", rootPassword)
	if p.status != http.StatusFound || p.location != v.SiteURL+"/wp-admin/" || b.who() != "boss" {
		t.Fatalf("%v, logged in as %q", p, b.who())
	}
	// The redirect of a directory without its slash is the web server's.
	dashboard := b.get("wp-admin/")
	out := regexp.MustCompile(`href=["']([^"']*action=logout[^"']*)["']`).FindStringSubmatch(dashboard.body)
	if dashboard.status != http.StatusOK || out == nil || !strings.Contains(out[1], "/"+slugForTest+"/") {
		t.Fatalf("no way out: %v", dashboard)
	}
	p = b.get(html.UnescapeString(out[1]))
	if p.status != http.StatusFound || !strings.HasPrefix(p.location, v.SiteURL+"/"+slugForTest+"/?loggedout=true") {
		t.Errorf("%v", p)
	}
	if p = b.follow(p); p.status != http.StatusOK || !strings.Contains(p.body, "logged out") {
		t.Errorf("%v", p)
	}
	if p = b.get("wp-admin/"); p.status != http.StatusNotFound {
		t.Errorf("%v", p)
	}
}

func interimLoginWorks(t *testing.T, v *visited) {
	b := v.browser(t)
	if p := b.get(slugForTest + "/?interim-login=1"); p.status != http.StatusOK || !strings.Contains(p.body, "interim-login") {
		t.Errorf("%v", p)
	}
	p := b.post(slugForTest+"/", url.Values{"log": {"boss"}, "pwd": {rootPassword}, "testcookie": {"1"}, "interim-login": {"1"}})
	if p.status != http.StatusOK || !strings.Contains(p.body, "interim-login-success") {
		t.Errorf("%v", p)
	}
}

func lostPasswordsAreReset(t *testing.T, v *visited) {
	mail := filepath.Join(v.home(), "mail.txt")
	mu := v.put(t, v.mu+"/mail.php", `<?php
		add_filter( 'pre_wp_mail', function ( $sent, $mail ) { file_put_contents( '`+mail+`', $mail['message'] ); return true; }, 10, 2 );`)
	defer os.Remove(mu)
	b := v.browser(t)
	if p := b.get(slugForTest + "/?action=lostpassword"); p.status != http.StatusOK || !strings.Contains(p.body, "user_login") {
		t.Errorf("%v", p)
	}
	p := b.post(slugForTest+"/?action=lostpassword", url.Values{"user_login": {"boss"}})
	if p.status != http.StatusFound || p.location != v.SiteURL+"/"+slugForTest+"/?checkemail=confirm" {
		t.Fatalf("%v", p)
	}
	if p = b.follow(p); p.status != http.StatusOK {
		t.Errorf("%v", p)
	}
	text, err := os.ReadFile(mail)
	must(t, err)
	must(t, os.Remove(mail))
	link := regexp.MustCompile(`http\S+key=\S+`).FindString(string(text))
	if !strings.HasPrefix(link, v.SiteURL+"/"+slugForTest+"/?") {
		t.Fatalf("the mail has %q: %s", link, text)
	}
	p = b.follow(b.get(strings.Fields(link)[0])) // the key goes into a cookie
	key := regexp.MustCompile(`name="rp_key" value="([^"]+)"`).FindStringSubmatch(p.body)
	if p.status != http.StatusOK || key == nil {
		t.Fatalf("%v", p)
	}
	action := regexp.MustCompile(`id="resetpassform" action="([^"]+)"`).FindStringSubmatch(p.body)
	if action == nil {
		t.Fatalf("no form: %v", p)
	}
	const password = "by mail 1234"
	p = b.post(html.UnescapeString(action[1]), url.Values{"pass1": {password}, "pass2": {password}, "rp_key": {key[1]}})
	if p.status != http.StatusOK || !strings.Contains(p.body, "has been reset") {
		t.Errorf("%v", p)
	}
	if b.logIn(slugForTest+"/", "boss", password); b.who() != "boss" {
		t.Error("the new password does not work")
	}
	v.password(t)
}

func protectedPostsOpen(t *testing.T, v *visited) {
	v.exec(t, "UPDATE {posts} SET post_password = 'sesame' WHERE ID = 1")
	defer v.exec(t, "UPDATE {posts} SET post_password = '' WHERE ID = 1")
	b := v.browser(t)
	p := b.get("?p=1")
	for p.status == http.StatusMovedPermanently {
		p = b.follow(p)
	}
	post := p
	action := regexp.MustCompile(`action="([^"]+action=postpass[^"]*)"`).FindStringSubmatch(p.body)
	if action == nil || action[1] != v.SiteURL+"/wp-login.php?action=postpass" {
		t.Fatalf("%q: %v", action, p)
	}
	p = b.post(action[1], url.Values{"post_password": {"sesame"}, "redirect_to": {v.SiteURL + "/?p=1"}})
	if p.status != http.StatusFound || strings.Contains(p.location, slugForTest) {
		t.Errorf("%v", p)
	}
	p = b.get("?p=1")
	for p.status == http.StatusMovedPermanently {
		p = b.follow(p)
	}
	if strings.Contains(p.body, "action=postpass") || !strings.Contains(post.body, "action=postpass") {
		t.Errorf("the post stays closed: %v", p)
	}
}

// Neither a login link that was used nor a new one changes what is hidden, nor does time.
func hiddenStaysHidden(t *testing.T, v *visited) {
	before, err := os.Stat(v.muPlugin())
	must(t, err)
	long := before.ModTime().Add(-24 * 60 * 60 * 1e9)
	must(t, os.Chtimes(v.muPlugin(), long, long))
	b := v.browser(t)
	b.get("")
	v.mustHavePlugin(t, true)
	if p := b.get("wp-login.php"); p.status != http.StatusNotFound {
		t.Errorf("%v", p)
	}
}

func takenSlugsAreRefused(t *testing.T, v *visited) {
	for _, slug := range []string{"hello-world", "author"} {
		out := v.does(t, "security.hide-login", fmt.Sprintf(`{"enabled":true,"slug":%q}`, slug), Failed)
		if out.Error.Code != CodeInvalidPayload || v.option(t, "wptk_hide_login") != slugForTest {
			t.Errorf("%s: %+v", slug, out.Error)
		}
	}
}

// Without pretty addresses nothing but index.php may reach WordPress.
func plainPermalinksWork(t *testing.T, v *visited) {
	v.exec(t, "UPDATE {options} SET option_value = '' WHERE option_name = 'permalink_structure'")
	defer v.exec(t, "UPDATE {options} SET option_value = '/%year%/%monthnum%/%day%/%postname%/' WHERE option_name = 'permalink_structure'")
	if r := v.hide(t); r.LoginURL != v.SiteURL+"/?"+slugForTest {
		t.Errorf("%+v", r)
	}
	b := v.browser(t)
	p := b.get("?" + slugForTest)
	if p.status != http.StatusOK || !strings.Contains(p.body, `action="`+v.SiteURL+"/?"+slugForTest+`"`) {
		t.Errorf("%v", p)
	}
	if p = b.logIn("?"+slugForTest, "boss", rootPassword); p.status != http.StatusFound || b.who() != "boss" {
		t.Errorf("%v", p)
	}
	if p = v.browser(t).get("wp-login.php"); p.status != http.StatusNotFound {
		t.Errorf("%v", p)
	}
}

func killSwitchWorks(t *testing.T, v *visited) {
	putBack := v.define(t, "define( 'WPTK_HIDE_LOGIN', false );")
	b := v.browser(t)
	if p := b.get("wp-login.php"); p.status != http.StatusOK {
		t.Errorf("%v", p)
	}
	if p := b.get("wp-admin/"); p.status != http.StatusFound || strings.Contains(p.location, slugForTest) {
		t.Errorf("%v", p)
	}
	if p := b.get(slugForTest + "/"); p.status != http.StatusNotFound {
		t.Errorf("%v", p)
	}
	if r := v.hide(t); !r.Suspended || r.LoginURL != v.SiteURL+"/wp-login.php" {
		t.Errorf("%+v", r)
	}
	putBack()
	if p := b.get("wp-login.php"); p.status != http.StatusNotFound {
		t.Errorf("%v", p)
	}
}

func loginIsShownAgain(t *testing.T, v *visited) {
	// An op that is taken back leaves the slug that was there before it.
	cut := v.then(t, "security.hide-login", `{"enabled":true,"slug":"another-door"}`)
	cut.fail = func(e Entry) error {
		if e.Mark == MarkDone && e.Step == "apply" {
			return errDead
		}
		return nil
	}
	if _, err := cut.attempt(); err == nil {
		t.Fatal("the worker lives")
	}
	cut.fail = nil
	cancelled := make(chan struct{})
	close(cancelled)
	cut.cfg.Cancelled = cancelled
	cut.mustEnd(Cancelled)
	if p := v.browser(t).get(slugForTest + "/"); p.status != http.StatusOK {
		t.Errorf("%v", p)
	}

	r := answerOf[SecurityHideLoginResult](t, v.does(t, "security.hide-login", `{"enabled":false}`, Succeeded))
	if r.Enabled || r.Slug != "" || r.LoginURL != v.SiteURL+"/wp-login.php" {
		t.Errorf("%+v", r)
	}
	b := v.browser(t)
	if p := b.get("wp-login.php"); p.status != http.StatusOK {
		t.Errorf("%v", p)
	}
	if p := b.get(slugForTest + "/"); p.status != http.StatusNotFound {
		t.Errorf("%v", p)
	}
	if p := b.get("wp-admin/"); p.status != http.StatusFound {
		t.Errorf("%v", p)
	}
	v.mustHavePlugin(t, v.links(t) > 0)
}
