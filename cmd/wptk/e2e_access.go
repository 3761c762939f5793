package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/wispanel/wptk/deploy/devtools"
	"github.com/wispanel/wptk/tasks"
)

const (
	loginPage = "/wp-login.php"
	userFacts = `$u = get_user_by( 'login', $args[0] ); return $u ? array( $u->user_email, array_values( $u->roles ) ) : null;`
)

func checkAdminCreate(x *exam) {
	var made struct {
		tasks.AdminCreateResult
		Password string
	}
	x.undo(func() {
		x.ask(nil, `$u = get_user_by( 'login', 'e2e-editor' ); return $u && wp_delete_user( $u->ID );`)
		x.wordpress(nil, userFacts, "e2e-editor")
	})
	x.change("/admin/create", fields{"user": "e2e-editor", "email": "editor@example.com", "role": "editor"}, &made)
	x.wordpress([]any{"editor@example.com", []string{"editor"}}, userFacts, "e2e-editor")
	_, in := x.logsIn(loginPage, "e2e-editor", made.Password)
	x.check(in, "the generated password does not log in")
}

func checkPasswordReset(x *exam) {
	session, in := x.logsIn(loginPage, e2eAdmin, x.password)
	x.check(in, "the password does not log in before")
	x.visits(session, http.StatusOK, "/wp-admin/profile.php", nil)
	x.undo(func() {
		x.change("/password/reset", fields{"user": e2eAdmin, "password": x.password}, nil)
		_, in := x.logsIn(loginPage, e2eAdmin, x.password)
		x.check(in, "the password that was put back does not log in")
	})
	var reset struct{ Password string }
	x.change("/password/reset", fields{"user": e2eAdmin}, &reset)
	_, fresh := x.logsIn(loginPage, e2eAdmin, reset.Password)
	_, old := x.logsIn(loginPage, e2eAdmin, x.password)
	x.check(fresh && !old, "the new password logs in: %t, the old one: %t", fresh, old)
	x.visits(session, http.StatusFound, "/wp-admin/profile.php", nil) // to the login page
}

// login asks for a login link and answers its path and query.
func (x *exam) login(redirect string) (link *url.URL, form url.Values) {
	var made tasks.AdminAutologinResult
	x.change("/auto-login", fields{"user": e2eAdmin, "redirect": redirect}, &made)
	link, err := url.Parse(made.LoginURL)
	x.note(err)
	token := link.Query().Get("wptk-login")
	x.check(token != "" && strings.HasPrefix(made.LoginURL, x.url()), "the link is %q", made.LoginURL)
	return link, url.Values{"wptk-login": {token}}
}

// checkAutoLogin uses a link by hand and another one in a real browser.
func checkAutoLogin(x *exam) {
	link, form := x.login("/wp-admin/profile.php")
	for range 2 { // a look is free
		page := x.answers(http.StatusOK, "/?"+link.RawQuery)
		x.check(strings.Contains(page, "<button"), "the link's page has no button")
	}
	v := x.visitor()
	x.visits(v, http.StatusSeeOther, "/", form)
	page := x.visits(v, http.StatusOK, "/wp-admin/profile.php", nil)
	x.check(strings.Contains(page, `value="`+e2eAdmin+`"`), "the profile is not the administrator's")
	x.visits(x.visitor(), http.StatusForbidden, "/", form)
	x.answers(http.StatusForbidden, "/?"+link.RawQuery)
	x.wordpress(0, `return (int) $GLOBALS['wpdb']->get_var( "SELECT COUNT(*) FROM {$GLOBALS['wpdb']->options} WHERE option_name LIKE 'wptk\_login\_%'" );`)

	link, _ = x.login("/wp-admin/")
	x.browse(func(b *devtools.Tab) error {
		if err := b.Open(x.ctx, link.String(), "document.querySelector('form button')"); err != nil {
			return err
		}
		if err := b.Click(x.ctx, "form button", "document.querySelector('body.wp-admin #wp-admin-bar-my-account')"); err != nil {
			return err
		}
		return b.Screenshot(x.ctx, x.e2e.artefacts, "auto-login-"+x.version)
	})
}

func checkHideLogin(x *exam) {
	const slug, door = "e2e-backstage", "/e2e-backstage/"
	doors := []string{loginPage, "/wp-admin/", "/wp-admin/index.php"}
	x.undo(func() {
		x.change("/security/hide-login", fields{"enabled": false}, nil)
		x.answers(http.StatusOK, loginPage)
		x.answers(http.StatusNotFound, door)
		_, in := x.logsIn(loginPage, e2eAdmin, x.password)
		x.check(in, "nobody can log in any more")
	})
	x.change("/security/hide-login", fields{"enabled": true, "slug": slug}, nil)
	for _, path := range doors {
		x.answers(http.StatusNotFound, path)
	}
	x.answers(http.StatusOK, "/")
	x.answers(http.StatusBadRequest, "/wp-admin/admin-ajax.php") // as it does without an action
	x.answers(http.StatusOK, "/wp-json/")
	x.wordpress(x.url()+door, `return wp_login_url();`)
	v, in := x.logsIn(door, e2eAdmin, x.password)
	x.check(in, "nobody can log in at the slug")
	x.visits(v, http.StatusOK, "/wp-admin/profile.php", nil)

	_, form := x.login("/wp-admin/profile.php")
	x.visits(x.visitor(), http.StatusSeeOther, "/", form)

	x.browse(func(b *devtools.Tab) error {
		if err := b.Open(x.ctx, x.url()+loginPage, "document.title.startsWith('404')"); err != nil {
			return err
		}
		if err := b.Open(x.ctx, x.url()+door, "document.querySelector('#loginform')"); err != nil {
			return err
		}
		if err := b.Fill(x.ctx, "#user_login", e2eAdmin, "#user_pass", x.password); err != nil {
			return err
		}
		if err := b.Screenshot(x.ctx, x.e2e.artefacts, "hide-login-"+x.version); err != nil {
			return err
		}
		return b.Click(x.ctx, "#wp-submit", "document.querySelector('body.wp-admin #wp-admin-bar-my-account')")
	})
}
