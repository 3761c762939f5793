//go:build browser

package tasks

import (
	"encoding/json"
	"strings"
	"testing"
)

// A login link and the hidden login page, with all that a browser does on its own.
func TestPeopleGetInWithABrowser(t *testing.T) {
	t.Parallel()
	v := newNode(t).open(t, "olga", "browser.test", "public_html", Install{})
	v.hide(t)
	c := browse(t, v.addr)
	for _, gone := range []string{"/wp-login.php", "/wp-admin/"} {
		if c.open(v.SiteURL + gone); !strings.Contains(c.text("document.body.innerText"), "404 Not Found") {
			t.Errorf("%s shows %s", gone, c.text("document.body.innerText"))
		}
	}
	c.picture("1-hidden")

	link, _ := v.link(t, "", "/wp-admin/profile.php")
	c.open(link)
	c.picture("2-login-link")
	if button := c.text("document.querySelector('button').innerText"); button != "Log in as boss" {
		t.Errorf("the button says %q", button)
	}
	c.press("document.querySelector('button').click()")
	c.picture("3-logged-in")
	if at := c.text("location.href"); at != v.SiteURL+"/wp-admin/profile.php" || c.text("document.querySelector('#user_login').value") != "boss" {
		t.Errorf("the link leads to %s", at)
	}
	if c.open(link); !strings.Contains(c.text("document.body.innerText"), "not valid") {
		t.Errorf("a second time: %s", c.text("document.body.innerText"))
	}
	c.picture("4-used-link")

	c.open(v.SiteURL + "/wp-admin/")
	c.press("document.querySelector('#wp-admin-bar-logout a').click()")
	if at := c.text("location.href"); !strings.HasPrefix(at, v.SiteURL+"/"+slugForTest+"/?loggedout=true") {
		t.Errorf("logging out leads to %s", at)
	}
	c.picture("5-login-page")
	c.text("document.querySelector('#user_login').value = 'boss'")
	c.text("document.querySelector('#user_pass').value = " + asJavaScript(t, rootPassword))
	c.press("document.querySelector('#wp-submit').click()")
	if at := c.text("location.href"); at != v.SiteURL+"/wp-admin/" {
		t.Errorf("logging in leads to %s", at)
	}
	c.picture("6-dashboard")
}

func asJavaScript(t *testing.T, text string) string {
	t.Helper()
	b, err := json.Marshal(text)
	must(t, err)
	return string(b)
}
