package tasks

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// hardened is one real site below a path of its domain, served by Apache and nginx.
type hardened struct {
	*order
	site          wp.Site
	apache, nginx string
	rules         string // directory of rules for nginx
	conf          string
}

func newHardened(t *testing.T) *hardened {
	t.Helper()
	n := newNode(t)
	o := n.order(t, "harry", "hard.test", "public_html/blog", Install{Version: "7.1"})
	o.mustEnd(Succeeded)
	h := &hardened{order: o, rules: wptest.Dir(t)}
	var err error
	h.site, err = n.host.Find("harry", "hard.test", "public_html/blog")
	must(t, err)
	h.site.ID = o.op.Site.ID
	n.host.Measures, err = wp.OpenMeasures(filepath.Join(wptest.Dir(t), "measures"))
	must(t, err)
	who, err := wptest.Tenant("harry")
	must(t, err)
	php, top := wptest.FastCGI(t, who), filepath.Join(h.home(), "public_html")
	h.apache = wptest.Apache(t, who, top, php)
	h.nginx, h.conf = wptest.Nginx(t, who, top, h.rules+"/hard.test/*.conf", php)
	h.behind(wp.Apache)
	return h
}

// behind makes one of the servers the node's.
func (h *hardened) behind(server string) {
	switch server {
	case wp.Apache:
		h.node.host.Web = wp.Web{Server: wp.Apache, Probe: "http://" + h.apache}
	case wp.Nginx:
		nginx := []string{"/usr/sbin/nginx", "-c", h.conf, "-e", filepath.Dir(h.conf) + "/error.log"}
		h.node.host.Web = wp.Web{Server: wp.Nginx, Probe: "http://" + h.nginx, NginxDir: h.rules,
			NginxTest: append(nginx[:len(nginx):len(nginx)], "-t"), NginxReload: append(nginx[:len(nginx):len(nginx)], "-s", "reload")}
	default:
		h.node.host.Web = wp.Web{}
	}
}

func (h *hardened) do(t *testing.T, kind, payload string) SecurityResult {
	t.Helper()
	return answerOf[SecurityResult](t, h.then(t, "security."+kind, payload).mustEnd(Succeeded))
}

func (h *hardened) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(h.docroot(), name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// snapshot is everything that measures may touch: texts, modes, pingbacks.
func (h *hardened) snapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(h.read(t, "wp-config.php") + "\n--\n" + h.read(t, ".htaccess") + "\n--\n")
	must(t, filepath.WalkDir(h.home(), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && !strings.Contains(path, "wp-content/upgrade") {
			fmt.Fprintln(&b, path, info.Mode())
		}
		return err
	}))
	pings, err := h.node.host.CLI.Pings(t.Context(), h.site)
	must(t, err)
	fmt.Fprintln(&b, pings)
	return b.String()
}

func (h *hardened) get(t *testing.T, addr, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/blog/"+path, nil)
	must(t, err)
	req.Host = "hard.test"
	res, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	must(t, res.Body.Close())
	return res.StatusCode
}

// status is what the inspection says of a measure.
func (h *hardened) status(t *testing.T, id string) wp.MeasureStatus {
	t.Helper()
	all, err := h.node.host.MeasuresOf(t.Context(), h.site, &wp.SecurityFacts{})
	must(t, err)
	for _, s := range all {
		if s.ID == id {
			return s
		}
	}
	t.Fatalf("no measure %s", id)
	return wp.MeasureStatus{}
}

func (h *hardened) constant(t *testing.T, name string) (string, bool) {
	t.Helper()
	got, err := h.node.host.CLI.Constants(t.Context(), h.site, name)
	must(t, err)
	v, ok := got[name]
	return v, ok
}

// TestMeasuresHoldOnARealSiteAndAreTakenBackExactly goes through all measures on one
// site: applied, seen to work, seen by the inspection, taken back, nothing left.
func TestMeasuresHoldOnARealSiteAndAreTakenBackExactly(t *testing.T) {
	t.Parallel()
	h := newHardened(t)
	must(t, os.MkdirAll(filepath.Join(h.docroot(), "wp-content/uploads"), 0o755))
	for range 2 { // a site's first visits make directories
		for _, path := range []string{"", "wp-login.php", "wp-admin/admin-ajax.php"} {
			h.get(t, h.apache, path)
		}
	}
	before := h.snapshot(t)
	unchanged := func(t *testing.T) {
		t.Helper()
		if after := h.snapshot(t); after != before {
			t.Fatalf("something is left:\n%s", firstDifference(before, after))
		}
	}
	t.Run("inspection", func(t *testing.T) { h.inspected(t); unchanged(t) })
	t.Run("file edit", func(t *testing.T) { h.fileEdit(t); unchanged(t) })
	t.Run("debug", func(t *testing.T) { h.debugging(t); unchanged(t) })
	t.Run("file protection", func(t *testing.T) { h.protection(t); unchanged(t) })
	t.Run("others", func(t *testing.T) { h.others(t); unchanged(t) })
	t.Run("keys", func(t *testing.T) { h.keys(t) })
	before = h.snapshot(t)
	t.Run("regression", func(t *testing.T) { h.regression(t); unchanged(t) })
	t.Run("unknown server", func(t *testing.T) { h.unknownServer(t); unchanged(t) })
	t.Run("death", func(t *testing.T) { h.deaths(t); unchanged(t) })
	t.Run("uncertain", func(t *testing.T) { h.uncertain(t) })
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range x {
		if i >= len(y) || x[i] != y[i] {
			return fmt.Sprintf("line %d\n- %q\n+ %q", i, x[i:min(i+3, len(x))], y[min(i, len(y)):min(i+3, len(y))])
		}
	}
	return fmt.Sprintf("+ %q", y[len(x):])
}

// inspected checks that an inspection knows every measure, and finds none.
func (h *hardened) inspected(t *testing.T) {
	d, err := h.node.host.Examine(t.Context(), h.site)
	must(t, err)
	if len(d.Measures) != len(wp.Measures) || len(d.Failed) != 0 || d.Security == nil || d.Security.LoginHider {
		t.Errorf("%+v %+v", d.Measures, d)
	}
	for _, m := range d.Measures {
		if m.Status != wp.MeasureNotApplied || !m.Available || m.AppliedBy != nil {
			t.Errorf("%+v", m)
		}
	}
}

func (h *hardened) fileEdit(t *testing.T) {
	if r := h.do(t, "disable-file-edit", `{"enabled":true}`); r.Already || !r.Enabled || r.Measures[0].Status != wp.MeasureApplied {
		t.Errorf("%+v", r)
	}
	if v, ok := h.constant(t, "DISALLOW_FILE_EDIT"); !ok || v != "1" {
		t.Errorf("DISALLOW_FILE_EDIT is %q, %v", v, ok)
	}
	if r := h.do(t, "disable-file-edit", `{"enabled":true}`); !r.Already {
		t.Errorf("again: %+v", r)
	}
	if s := h.status(t, wp.MeasureFileEdit); s.Status != wp.MeasureApplied || s.AppliedBy == nil {
		t.Errorf("%+v", s)
	}
	// Drift: somebody takes the line out by hand.
	config := h.read(t, "wp-config.php")
	h.write(t, "wp-config.php", strings.Replace(config, "define( 'DISALLOW_FILE_EDIT', true );\n", "", 1))
	if s := h.status(t, wp.MeasureFileEdit); s.Status != wp.MeasureDrifted || s.Drift == "" || len(s.Diff) != 2 {
		t.Errorf("%+v", s)
	}
	if r := h.do(t, "disable-file-edit", `{"enabled":true}`); r.Already {
		t.Errorf("after drift: %+v", r)
	}
	h.do(t, "disable-file-edit", `{"enabled":false}`)
	if r := h.do(t, "disable-file-edit", `{"enabled":false}`); !r.Already || r.Measures[0].Status != wp.MeasureNotApplied {
		t.Errorf("off again: %+v", r)
	}
}

// write replaces a file as the tenant would.
func (h *hardened) write(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(h.docroot(), name)
	must(t, os.WriteFile(file, []byte(content), 0o644))
	if os.Geteuid() == 0 {
		must(t, os.Lchown(file, int(h.site.User.UID), int(h.site.User.GID)))
	}
}

func (h *hardened) debugging(t *testing.T) {
	r := h.do(t, "toggle-debug", `{"enabled":true,"hours":2}`)
	if strings.HasPrefix(r.Log, h.docroot()) || r.Until == nil || r.Until.Before(time.Now().Add(time.Hour)) {
		t.Errorf("%+v", r)
	}
	for name, want := range map[string]string{"WP_DEBUG": "1", "WP_DEBUG_LOG": r.Log, "WP_DEBUG_DISPLAY": ""} {
		if v, ok := h.constant(t, name); !ok || v != want {
			t.Errorf("%s is %q, %v", name, v, ok)
		}
	}
	info, err := os.Stat(r.Log)
	if must(t, err); info.Mode().Perm() != 0o600 || info.Size() != 0 {
		t.Errorf("log: %v", info.Mode())
	}
	if due, err := h.node.host.Measures.Due(time.Now().Add(3 * time.Hour)); err != nil || len(due) != 1 || due[0].Measure != wp.MeasureDebug || due[0].Hardening.Domain != "hard.test" {
		t.Errorf("due: %+v %v", due, err)
	}
	again := h.do(t, "toggle-debug", `{"enabled":true,"display":true}`)
	if v, _ := h.constant(t, "WP_DEBUG_DISPLAY"); v != "1" || again.Log != r.Log || again.Until != nil {
		t.Errorf("again: %q %+v", v, again)
	}
	// An error is really written there, and not shown.
	h.do(t, "toggle-debug", `{"enabled":true}`)
	must(t, os.MkdirAll(filepath.Join(h.docroot(), "wp-content/mu-plugins"), 0o755))
	h.write(t, "wp-content/mu-plugins/noisy.php", "<?php\ntrigger_error( 'a noise of our own' );")
	if got := h.get(t, h.apache, ""); got != http.StatusOK {
		t.Errorf("the site answers %d", got)
	}
	if text, err := os.ReadFile(r.Log); err != nil || !strings.Contains(string(text), "a noise of our own") {
		t.Errorf("log: %q %v", text, err)
	}
	must(t, os.RemoveAll(filepath.Join(h.docroot(), "wp-content/mu-plugins")))
	must(t, os.Truncate(r.Log, 0))
	h.do(t, "toggle-debug", `{"enabled":false}`)
}

func (h *hardened) protection(t *testing.T) {
	h.write(t, "wp-content/evil.php", "<?php echo 'run';")
	h.write(t, "wp-content/uploads/evil.php", "<?php echo 'run';")
	must(t, os.Chmod(filepath.Join(h.docroot(), "wp-content/evil.php"), 0o666))
	for server, addr := range map[string]string{wp.Apache: h.apache, wp.Nginx: h.nginx} {
		h.behind(server)
		if got := h.get(t, addr, "wp-content/uploads/evil.php"); got != http.StatusOK {
			t.Fatalf("%s: before: %d", server, got)
		}
		r := h.do(t, "file-protection", `{"enabled":true}`)
		if len(r.Measures) != 7 || r.Server != server {
			t.Errorf("%+v", r)
		}
		for _, m := range r.Measures {
			if m.Status != wp.MeasureApplied || !m.Available || m.ID != wp.MeasurePermissions && (m.Confirmed == nil || !*m.Confirmed) {
				t.Errorf("%s: %+v", server, m)
			}
			if s := h.status(t, m.ID); s.Status != wp.MeasureApplied || !s.Available {
				t.Errorf("%s: %+v", server, s)
			}
		}
		for path, want := range map[string]int{"wp-content/uploads/evil.php": 403, "wp-config.php": 403, "readme.html": 403, "wp-includes/version.php": 403,
			"": 200, "wp-login.php": 200, "wp-admin/admin-ajax.php": 400, "?rest_route=/": 200} {
			if got := h.get(t, addr, path); got != want {
				t.Errorf("%s: %s is answered %d, want %d", server, path, got, want)
			}
		}
		if info, err := os.Stat(filepath.Join(h.docroot(), "wp-content/evil.php")); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%v %v", info, err)
		}
		if r := h.do(t, "file-protection", `{"enabled":true}`); !r.Already {
			t.Errorf("again: %+v", r)
		}
		// One of them is taken back, the others stay.
		h.do(t, "file-protection", `{"enabled":false,"measures":["sensitive-files"]}`)
		if a, b := h.get(t, addr, "readme.html"), h.get(t, addr, "wp-config.php"); server == wp.Apache && (a != 200 || b != 403) {
			t.Errorf("%s: %d %d", server, a, b)
		}
		if server == wp.Apache { // drift
			text := h.read(t, ".htaccess")
			h.write(t, ".htaccess", strings.Replace(text, "(?:uploads|blogs", "(?:downloads|blogs", 1))
			if s := h.status(t, wp.MeasureUploads); s.Status != wp.MeasureDrifted || len(s.Diff) != 2 {
				t.Errorf("%+v", s)
			}
			if s := h.status(t, wp.MeasureConfig); s.Status != wp.MeasureApplied {
				t.Errorf("%+v", s)
			}
		}
		h.do(t, "file-protection", `{"enabled":false}`)
		if left := entries(t, h.rules); len(left) != 0 {
			t.Errorf("rules are left: %q", left)
		}
	}
	h.behind(wp.Apache)
	must(t, os.Remove(filepath.Join(h.docroot(), "wp-content/evil.php")))
	must(t, os.Remove(filepath.Join(h.docroot(), "wp-content/uploads/evil.php")))
}

func (h *hardened) others(t *testing.T) {
	for _, id := range OtherMeasures() {
		if id == wp.MeasureSecurityKeys {
			continue
		}
		r := h.do(t, "measure", fmt.Sprintf(`{"measure":%q,"enabled":true}`, id))
		if r.Already || len(r.Measures) != 1 || r.Measures[0].Status != wp.MeasureApplied || r.Measures[0].Confirmed != nil && !*r.Measures[0].Confirmed {
			t.Errorf("%s: %+v", id, r)
		}
		if id == wp.MeasureXMLRPCLimit {
			continue // is seen in the site's options, which its own test reads
		}
		if s := h.status(t, id); s.Status != wp.MeasureApplied || s.AppliedBy == nil {
			t.Errorf("%+v", s)
		}
	}
	if pings, err := h.node.host.CLI.Pings(t.Context(), h.site); err != nil || !pings.Closed() {
		t.Errorf("%+v %v", pings, err)
	}
	if got := h.get(t, h.apache, "xmlrpc.php"); got != http.StatusForbidden {
		t.Errorf("xmlrpc: %d", got)
	}
	if v, _ := h.constant(t, "CONCATENATE_SCRIPTS"); v != "" {
		t.Errorf("CONCATENATE_SCRIPTS is %q", v)
	}
	for _, id := range OtherMeasures() {
		if id != wp.MeasureSecurityKeys {
			h.do(t, "measure", fmt.Sprintf(`{"measure":%q,"enabled":false}`, id))
		}
	}
}

func (h *hardened) keys(t *testing.T) {
	old := h.read(t, "wp-config.php")
	h.do(t, "measure", `{"measure":"security-keys","enabled":true}`)
	a, err := wp.ConfigConsts([]byte(old), "AUTH_KEY", "NONCE_SALT", "DB_NAME")
	must(t, err)
	b, err := wp.ConfigConsts([]byte(h.read(t, "wp-config.php")), "AUTH_KEY", "NONCE_SALT", "DB_NAME")
	must(t, err)
	if a["AUTH_KEY"] == b["AUTH_KEY"] || a["NONCE_SALT"] == b["NONCE_SALT"] || a["DB_NAME"] != b["DB_NAME"] || len(b["AUTH_KEY"].Text) != 64 {
		t.Errorf("%v, was %v", b, a)
	}
}

// A site that does not answer any more as it did gets its rules taken back.
func (h *hardened) regression(t *testing.T) {
	// A server that does not take to the block: every answer is an error once it is there.
	htaccess := h.read(t, ".htaccess")
	moody := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if strings.Contains(h.read(t, ".htaccess"), "BEGIN WPTK") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer moody.Close()
	h.node.host.Web.Probe = moody.URL
	out := h.then(t, "security.file-protection", `{"enabled":true,"measures":["wp-config"]}`).mustEnd(RolledBack)
	if out.Error.Code != CodeVerifyFailed || !strings.Contains(out.Error.Message, "500") {
		t.Errorf("%+v", out.Error)
	}
	if h.read(t, ".htaccess") != htaccess {
		t.Errorf("not taken back: %s", h.read(t, ".htaccess"))
	}

	// nginx does not accept its configuration.
	h.behind(wp.Nginx)
	h.node.host.Web.NginxTest = []string{"/bin/false"}
	out = h.then(t, "security.measure", `{"measure":"block-xmlrpc","enabled":true}`).mustEnd(Failed)
	if out.Error.Code != CodeServerRefuses || len(entries(t, h.rules+"/hard.test")) != 0 {
		t.Errorf("%+v %q", out.Error, entries(t, h.rules))
	}
	h.behind(wp.Apache)
}

func (h *hardened) unknownServer(t *testing.T) {
	h.behind("")
	r := h.do(t, "file-protection", `{"enabled":true,"measures":["dotfiles"]}`)
	if m := r.Measures[0]; r.Server != wp.UnknownServer || m.Available || m.Reason == "" || m.Status != wp.MeasureApplied || m.Confirmed != nil {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(h.read(t, ".htaccess"), "# dotfiles") {
		t.Error("not written for Apache")
	}
	if out := h.then(t, "security.file-protection", `{"enabled":true,"server":"nginx"}`).mustEnd(Failed); out.Error.Code != CodeUnavailable {
		t.Errorf("%+v", out.Error)
	}
	h.do(t, "file-protection", `{"enabled":false,"measures":["dotfiles"]}`)
	h.behind(wp.Apache)
}

// deaths kills the worker at every boundary of the journal.
func (h *hardened) deaths(t *testing.T) {
	for _, c := range []struct {
		kind, payload string
		share         int
	}{
		{"security.toggle-debug", `{"enabled":true}`, 0}, {"security.toggle-debug", `{"enabled":false}`, 1},
		{"security.file-protection", `{"enabled":true}`, 1}, {"security.file-protection", `{"enabled":false}`, 0},
		{"security.measure", `{"measure":"disable-pingbacks","enabled":true}`, 0}, {"security.measure", `{"measure":"disable-pingbacks","enabled":false}`, 1},
	} {
		o := h.then(t, c.kind, c.payload)
		r := &reaper{order: o, share: c.share, shares: 2, after: c.share == 0, seen: map[string]bool{}}
		o.fail = r.entry
		out, err := r.live()
		must(t, err)
		o.mustBe(out, Succeeded)
		if r.deaths < 2 {
			t.Errorf("%s: %d deaths only", c.kind, r.deaths)
		}
	}
}

func (h *hardened) uncertain(t *testing.T) {
	config := h.read(t, "wp-config.php")
	h.write(t, "wp-config.php", strings.Replace(config, "<?php\n", "<?php\ninclude __DIR__ . '/more.php';\n", 1))
	odd := h.read(t, "wp-config.php")
	out := h.then(t, "security.disable-file-edit", `{"enabled":true}`).mustEnd(Failed)
	if out.Error.Code != CodeConfigUncertain || !strings.Contains(out.Error.Message, "include") || h.read(t, "wp-config.php") != odd {
		t.Errorf("%+v", out.Error)
	}
	if s := h.status(t, wp.MeasureFileEdit); s.Status != wp.MeasureUnavailable || s.Available || s.Reason == "" {
		t.Errorf("%+v", s)
	}
	h.write(t, "wp-config.php", config)
}

func TestSecurityPayloadsAreChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []Task{
		&SecurityToggleDebug{Enabled: true, Hours: 721}, &SecurityToggleDebug{Hours: 1}, &SecurityFileProtection{Measures: []string{"block-xmlrpc"}},
		&SecurityFileProtection{Server: "iis"}, &SecurityMeasure{Measure: "permissions", Enabled: true}, &SecurityMeasure{Measure: "security-keys"}, &SecurityMeasure{},
	} {
		if len(bad.Validate()) == 0 {
			t.Errorf("%+v was taken", bad)
		}
	}
}
