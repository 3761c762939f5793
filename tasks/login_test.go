package tasks

import (
	"bytes"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wispanel/wptk/wp/proc"
	"github.com/wispanel/wptk/wp/wptest"
)

// mustLogIn serves the site with PHP's own server, as the tenant, and logs in
// the way a browser does.
func (o *order) mustLogIn() {
	o.t.Helper()
	addr := o.serve()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		password string
		status   int
	}{{"not the password", http.StatusOK}, {rootPassword, http.StatusFound}} {
		form := url.Values{"log": {o.task.AdminUser}, "pwd": {c.password}, "testcookie": {"1"}}
		req, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, "http://"+addr+"/wp-login.php", strings.NewReader(form.Encode()))
		must(o.t, err)
		req.Host = o.op.Site.Domain
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Cookie", "wordpress_test_cookie=WP%20Cookie%20check")
		res, err := client.Do(req)
		must(o.t, err)
		must(o.t, res.Body.Close())
		loggedIn := false
		for _, cookie := range res.Cookies() {
			loggedIn = loggedIn || strings.HasPrefix(cookie.Name, "wordpress_logged_in_")
		}
		if res.StatusCode != c.status || loggedIn != (c.status == http.StatusFound) {
			o.t.Errorf("logging in with %d characters: status %d, logged in %v", len(c.password), res.StatusCode, loggedIn)
		}
	}
}

// serve starts php -S on the docroot and answers its address.
func (o *order) serve() string { return o.serveDir(o.docroot()) }

func (o *order) serveDir(dir string) string {
	o.t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(o.t, err)
	addr := free.Addr().String()
	must(o.t, free.Close())
	who, err := wptest.Tenant(o.op.Site.Account)
	must(o.t, err)
	said := &announcement{made: make(chan struct{})}
	server, err := proc.Start(o.t.Context(), proc.Spec{
		// The opcode cache looks at a file every two seconds only; tests write and look at once.
		Path: program(o.t, "php"), Args: []string{"-d", "opcache.enable=0", "-S", addr, "-t", dir}, Dir: dir,
		Env: []string{"PATH=" + os.Getenv("PATH")}, As: who, Stderr: said,
	})
	must(o.t, err)
	o.t.Cleanup(server.Kill)
	select {
	case <-said.made:
	case <-server.Done():
		o.t.Fatalf("php -S ended: %s", said.text)
	}
	return addr
}

// announcement waits for the line that PHP's server writes when it listens.
type announcement struct {
	text []byte
	made chan struct{}
	once sync.Once
}

func (a *announcement) Write(p []byte) (int, error) {
	if a.text = append(a.text, p...); bytes.Contains(a.text, []byte("started")) {
		a.once.Do(func() { close(a.made) })
	}
	return len(p), nil
}

func program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("no %s in PATH", name)
	return ""
}
