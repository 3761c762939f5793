package tasks

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp/proc"
	"github.com/wispanel/wptk/wp/wptest"
)

// visited is an install that is served, with its tables at hand.
type visited struct {
	*order
	InstallResult
	addr string
	mu   string // directory of the must-use plugins, below wp-content
}

// open installs a site and serves it from the top of its domain, every unknown path going to
// the nearest index.php, as nginx's try_files and WordPress's .htaccess do.
func (n *node) open(t *testing.T, account, domain, path string, task Install) *visited {
	t.Helper()
	o := n.order(t, account, domain, path, task)
	v := &visited{order: o, InstallResult: o.result(o.mustEnd(Succeeded)), mu: "mu-plugins"}
	router, err := os.ReadFile("../cmd/wptk/demo_router.php")
	must(t, err)
	script := filepath.Join(wptest.Dir(t), "router.php")
	must(t, os.WriteFile(script, router, 0o644))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	v.addr = free.Addr().String()
	must(t, free.Close())
	who, err := wptest.Tenant(account)
	must(t, err)
	root := filepath.Join(o.home(), "public_html")
	said := &announcement{made: make(chan struct{})}
	server, err := proc.Start(t.Context(), proc.Spec{
		Path: program(t, "php"), Args: []string{"-d", "opcache.enable=0", "-S", v.addr, "-t", root, script}, Dir: root,
		Env: []string{"PATH=" + os.Getenv("PATH"), "PHP_CLI_SERVER_WORKERS=6"}, As: who, Stderr: said,
	})
	must(t, err)
	t.Cleanup(server.Kill)
	select {
	case <-said.made:
	case <-server.Done():
		t.Fatalf("php -S ended: %s", said.text)
	}
	return v
}

// does runs an op of another kind on the site and answers what it ended with.
func (v *visited) does(t *testing.T, kind, payload string, state State) Outcome {
	t.Helper()
	return v.then(t, kind, payload).mustEnd(state)
}

func (v *visited) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	query = strings.NewReplacer("{options}", v.DBName+"."+v.TablePrefix+"options", "{posts}", v.DBName+"."+v.TablePrefix+"posts").Replace(query)
	_, err := v.node.sql.ExecContext(t.Context(), query, args...)
	must(t, err)
}

func (v *visited) option(t *testing.T, like string) (value string) {
	t.Helper()
	query := "SELECT option_value FROM " + v.DBName + "." + v.TablePrefix + "options WHERE option_name LIKE ?"
	must(t, v.node.sql.QueryRowContext(t.Context(), query, like).Scan(&value))
	return value
}

// links counts the login links that are stored.
func (v *visited) links(t *testing.T) (n int) {
	t.Helper()
	query := "SELECT COUNT(*) FROM " + v.DBName + "." + v.TablePrefix + "options WHERE option_name LIKE 'wptk\\_login\\_%'"
	must(t, v.node.sql.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// put writes a file of the tenant's into wp-content.
func (v *visited) put(t *testing.T, rel, content string) string {
	t.Helper()
	file := filepath.Join(v.docroot(), "wp-content", rel)
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(content), 0o644))
	giveTo(t, v.op.Site.Account, filepath.Join(v.docroot(), "wp-content"))
	return file
}

// define writes a line of PHP into wp-config.php, and answers what takes it out again.
func (v *visited) define(t *testing.T, line string) (putBack func()) {
	t.Helper()
	file := filepath.Join(v.docroot(), configFile)
	before, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, []byte(strings.Replace(string(before), "<?php", "<?php "+line, 1)), configMode))
	return func() { must(t, os.WriteFile(file, before, configMode)) }
}

// muPlugin is where ours is, when it is there.
func (v *visited) muPlugin() string {
	return filepath.Join(v.docroot(), "wp-content", v.mu, "wptk.php")
}

func (v *visited) mustHavePlugin(t *testing.T, want bool) {
	t.Helper()
	info, err := os.Stat(v.muPlugin())
	if (err == nil) != want {
		t.Errorf("the must-use plugin: %v, should be there: %t", err, want)
	}
	if err == nil && info.Mode().Perm() != 0o644 {
		t.Errorf("the must-use plugin has mode %v", info.Mode())
	}
}

// browser is a visitor with cookies of its own, which does not follow redirects.
type browser struct {
	t    *testing.T
	site *visited
	http *http.Client
	last string   // where it was before
	seen []string // everything that was answered, headers included
}

func (v *visited) browser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	must(t, err)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", v.addr)
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	return &browser{t: t, site: v, http: &http.Client{Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is an answer that was read.
type page struct {
	status   int
	location string
	header   http.Header
	body     string
}

func (p page) String() string { return fmt.Sprintf("%d %s %.300s", p.status, p.location, p.body) }

// get visits a path, or a whole address.
func (b *browser) get(to string) page { b.t.Helper(); return b.do(http.MethodGet, to, nil) }

func (b *browser) post(to string, form url.Values) page {
	b.t.Helper()
	return b.do(http.MethodPost, to, form)
}

func (b *browser) do(method, to string, form url.Values) page {
	b.t.Helper()
	base, err := url.Parse(b.site.SiteURL + "/")
	must(b.t, err)
	u, err := base.Parse(to)
	must(b.t, err)
	req, err := http.NewRequestWithContext(b.t.Context(), method, u.String(), strings.NewReader(form.Encode()))
	must(b.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if b.last != "" {
		req.Header.Set("Referer", b.last)
	}
	b.last = u.String()
	res, err := b.http.Do(req)
	must(b.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(b.t, err)
	p := page{status: res.StatusCode, location: res.Header.Get("Location"), header: res.Header, body: string(body)}
	b.seen = append(b.seen, fmt.Sprintf("%s %s: %v %s", method, to, res.Header, body))
	return p
}

// follow visits what a redirect leads to.
func (b *browser) follow(p page) page {
	b.t.Helper()
	if p.status < 300 || p.status > 399 {
		b.t.Fatalf("no redirect: %v", p)
	}
	return b.get(p.location)
}

// who is the user that wp-admin greets; empty when it greets nobody.
func (b *browser) who() string {
	b.t.Helper()
	p := b.get("wp-admin/profile.php")
	if m := regexp.MustCompile(`name="user_login"[^>]* value="([^"]*)"`).FindStringSubmatch(p.body); p.status == http.StatusOK && m != nil {
		return m[1]
	}
	return ""
}

// logIn fills in a login form.
func (b *browser) logIn(form, user, password string) page {
	b.t.Helper()
	b.get(form) // for the test cookie
	return b.post(form, url.Values{"log": {user}, "pwd": {password}, "testcookie": {"1"}})
}
