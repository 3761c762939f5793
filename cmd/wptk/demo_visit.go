package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// visitor is a browser of a site of the demo.
type visitor struct {
	*http.Client
	site *demoSite
}

// newVisitor knows where the site is: not every system resolves names below localhost,
// as RFC 6761 section 6.3 asks and browsers do by themselves.
func newVisitor(s *demoSite) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("making cookie jar: %w", err)
	}
	return &visitor{site: s, Client: &http.Client{
		Timeout: time.Minute, Jar: jar,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.addr())
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// visit makes a request and reads the page.
func (v *visitor) visit(ctx context.Context, path string, form url.Values) (*http.Response, string, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, v.site.url()+path, body)
	if err != nil {
		return nil, "", fmt.Errorf("making request: %w", err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := v.Do(req)
	if err != nil {
		return nil, "", fmt.Errorf("asking the site: %w", err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return nil, "", fmt.Errorf("reading the site's answer: %w", err)
	}
	return res, string(page), nil
}

// front is the site's front page.
func (s *demoSite) front(ctx context.Context) (string, error) {
	v, err := newVisitor(s)
	if err != nil {
		return "", err
	}
	res, page, err := v.visit(ctx, "/", nil)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the front page answers %s", res.Status)
	}
	return page, nil
}

// showsTitle looks for the title as WordPress escapes it.
func (s *demoSite) showsTitle(page string) error {
	if !strings.Contains(page, html.EscapeString(s.title)) {
		return fmt.Errorf("%q is not on the front page", s.title)
	}
	return nil
}

// login fills in WordPress's form with the password that the API has shown.
func (s *demoSite) login(ctx context.Context) error {
	v, err := newVisitor(s)
	if err != nil {
		return err
	}
	// WordPress first wants to see that cookies are kept.
	if res, _, err := v.visit(ctx, "/wp-login.php", nil); err != nil {
		return err
	} else if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the log-in page answers %s", res.Status)
	}
	res, _, err := v.visit(ctx, "/wp-login.php", url.Values{
		"log": {s.result.AdminUser}, "pwd": {s.result.AdminPassword}, "wp-submit": {"Log In"},
		"redirect_to": {s.url() + "/wp-admin/"}, "testcookie": {"1"},
	})
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusFound || !strings.Contains(res.Header.Get("Location"), "/wp-admin/") {
		return fmt.Errorf("logging in answers %s", res.Status)
	}
	for _, c := range res.Cookies() {
		if strings.HasPrefix(c.Name, "wordpress_logged_in_") && c.Value != "" {
			return nil
		}
	}
	return errors.New("logging in gives no session")
}
