package wp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wispanel/wptk/wp/proc"
)

const livePassword = `correct "horse" 'battery' \staple ä☕ $1`

// The whole promise at once: nothing is asked of the network, nobody can read the password
// while it happens, and afterwards it opens the door.
func TestInstalledSiteCanBeLoggedInto(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := socket.Addr().String()
	var requests atomic.Int32
	bystander := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) })}
	go bystander.Serve(socket)

	staged, err := l.prepare(t, "bob", "shop.test", "public_html", ConfigOptions{}).WithURL("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	var log []string
	stop := watchProcesses(t)
	got, err := l.cli.CoreInstall(WithRun(t.Context(), RunHooks{Log: func(s string) { log = append(log, s) }}), staged, InstallOptions{
		Title: "Bob's <Shop>", AdminUser: "bob.shop", AdminEmail: "bob@shop.test", AdminPassword: livePassword,
	})
	seen := stop()
	if err != nil {
		t.Fatal(err)
	}
	if got.SiteURL != "http://"+addr || got.Permalinks != PrettyPermalinks || got.Tables != coreTables || got.Title != "Bob's <Shop>" {
		t.Errorf("installed %+v", got)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
	if !slices.ContainsFunc(seen, func(s string) bool { return strings.Contains(s, "--admin_user=bob.shop") }) {
		t.Error("the run was not seen in the process list, so nothing is proven")
	}
	for _, text := range append(seen, log...) {
		if strings.Contains(text, "battery") {
			t.Errorf("password is in %q", text)
		}
	}

	site := l.site(t, "bob", "shop.test", "public_html")
	if err := errors.Join(Files{}.Publish(t.Context(), site, stageOf), Files{}.Commit(t.Context(), site, stageOf), bystander.Close()); err != nil {
		t.Fatal(err)
	}
	rules, err := Files{}.ReadFile(t.Context(), site, ".htaccess", 1<<16)
	if err != nil || !bytes.Contains(rules, []byte("RewriteRule . /index.php [L]")) {
		t.Errorf("rewrite rules %q %v", rules, err)
	}
	servePHP(t, l, site, addr)
	checkLogin(t, "http://"+addr)
}

// watchProcesses collects command lines and environments of all processes until the
// returned function is called.
func watchProcesses(t *testing.T) (stop func() []string) {
	t.Helper()
	done := make(chan struct{})
	seen := map[string]bool{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			files, err := filepath.Glob("/proc/[0-9]*/[ce][mn][dv]*") // cmdline and environ
			if err != nil {
				t.Error(err)
				return
			}
			for _, file := range files {
				if b, err := os.ReadFile(file); err == nil { // else it is gone, or not ours
					seen[string(b)] = true
				}
			}
		}
	})
	return func() []string {
		close(done)
		wg.Wait()
		var all []string
		for s := range seen {
			all = append(all, s)
		}
		return all
	}
}

// servePHP runs PHP's own web server as the tenant.
func servePHP(t *testing.T, l *live, site Site, addr string) {
	t.Helper()
	ready := &waitFor{text: "started", found: make(chan struct{})}
	p, err := proc.Start(t.Context(), proc.Spec{
		Path: l.cli.php, Args: []string{"-S", addr, "-t", site.Docroot}, Dir: site.Docroot,
		Env: []string{"PATH=" + searchPath, "LANG=C.UTF-8"}, Stdout: ready, Stderr: ready, As: site.User,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready.found:
	case <-p.Done():
		t.Fatalf("PHP's web server ended: %s", ready.buf.String())
	}
}

type waitFor struct {
	text  string
	found chan struct{}
	once  sync.Once
	buf   bytes.Buffer
}

func (w *waitFor) Write(p []byte) (int, error) {
	w.buf.Write(p)
	if strings.Contains(w.buf.String(), w.text) {
		w.once.Do(func() { close(w.found) })
	}
	return len(p), nil
}

func checkLogin(t *testing.T, base string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	page := func(r *http.Response, err error) (*http.Response, string) {
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r, string(body)
	}
	if r, body := page(client.Get(base + "/")); r.StatusCode != http.StatusOK || !strings.Contains(body, "Bob&#039;s &lt;Shop&gt;") {
		t.Errorf("home page: %s", r.Status)
	}
	page(client.Get(base + "/wp-login.php")) // sets the test cookie
	for password, want := range map[string]int{"wrong": 200, livePassword: 302} {
		r, body := page(client.PostForm(base+"/wp-login.php", url.Values{
			"log": {"bob.shop"}, "pwd": {password}, "testcookie": {"1"}, "redirect_to": {base + "/wp-admin/"},
		}))
		if r.StatusCode != want {
			t.Errorf("login with %q: %s, want %d\n%s", password, r.Status, want, body)
		}
	}
	home, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(jar.Cookies(home), func(c *http.Cookie) bool { return strings.HasPrefix(c.Name, "wordpress_logged_in_") }) {
		t.Errorf("no login cookie, only %v", jar.Cookies(home))
	}
}

func TestNetworkIsInstalled(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	for name, o := range map[string]struct {
		path       string
		subdomains bool
		configured bool // the constants are in wp-config.php from the start
	}{
		"carol": {"public_html", false, false}, "dave": {"public_html", true, true}, "erin": {"public_html/net", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			domain := name + ".test"
			network := &MultisiteOptions{Subdomains: o.subdomains, Domain: domain, Path: URLPath(o.path) + "/"}
			config := ConfigOptions{}
			if o.configured {
				config.Multisite = network
			}
			site := l.prepare(t, name, domain, o.path, config)
			got, err := l.cli.CoreMultisiteInstall(t.Context(), site, NetworkOptions{
				InstallOptions: InstallOptions{Title: "Net", AdminUser: name, AdminEmail: name + "@" + domain, AdminPassword: livePassword},
				Subdomains:     o.subdomains,
			})
			if err != nil || got.Tables < networkTables {
				t.Fatalf("%+v %v", got, err)
			}
			if ok, err := l.cli.CoreIsInstalled(t.Context(), site); !ok || err != nil {
				t.Errorf("installed: %v %v", ok, err)
			}
			if ok, err := l.cli.UserCheckPassword(t.Context(), site, name, livePassword); !ok || err != nil {
				t.Errorf("password: %v %v", ok, err)
			}
		})
	}
}

func TestOldestCoreIsInstalled(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	versions, err := filepath.Glob(l.cache + "/core/[0-9]*")
	if err != nil || len(versions) == 0 {
		t.Fatal(versions, err)
	}
	l.core = filepath.Base(versions[0])
	site := l.prepare(t, "grace", "old.test", "public_html", ConfigOptions{})
	got, err := l.cli.CoreInstall(t.Context(), site, InstallOptions{Title: "Old", AdminUser: "grace", AdminEmail: "g@old.test", AdminPassword: livePassword})
	if err != nil || got.Version != l.core || got.Permalinks != PrettyPermalinks {
		t.Fatalf("%+v %v", got, err)
	}
	if ok, err := l.cli.UserCheckPassword(t.Context(), site, "grace", livePassword); !ok || err != nil {
		t.Errorf("password: %v %v", ok, err)
	}
}

func TestSiteSpeaksTheLanguageOfItsFiles(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	site := l.prepare(t, "heidi", "de.test", "public_html", ConfigOptions{})
	ctx := t.Context()
	if err := (Files{}).CopyTree(ctx, site, filepath.Join(l.cache, "core", l.core, "languages"), "wp-content/languages"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.cli.CoreInstall(ctx, site, InstallOptions{
		Title: "Laden", AdminUser: "heidi", AdminEmail: "h@de.test", AdminPassword: livePassword, Locale: "de_DE",
	}); err != nil {
		t.Fatal(err)
	}
	if ok, err := l.cli.LanguageIsInstalled(ctx, site, "de_DE"); !ok || err != nil {
		t.Errorf("installed: %v %v", ok, err)
	}
	if got, err := l.cli.OptionString(ctx, site, "WPLANG"); got != "de_DE" || err != nil {
		t.Errorf("language after install %q %v", got, err)
	}
	for _, locale := range []string{"fr_FR", "en_US"} {
		if err := l.cli.LanguageActivate(ctx, site, locale); err != nil {
			t.Errorf("switching to %s: %v", locale, err)
		}
	}
	_, err := l.cli.PluginList(ctx, site)
	if err != nil {
		t.Error(err)
	}
	if _, err := l.cli.UserGet(ctx, site, "nobody"); !errors.Is(err, ErrNoUser) {
		t.Errorf("missing user: %v", err)
	}
}

// What a tenant leaves lying around must not run before our command, and what its code
// prints must not be taken for an answer.
func TestHostileSurroundingsChangeNothing(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	site := l.prepare(t, "mallory", "evil.test", "public_html", ConfigOptions{})
	ctx := t.Context()
	if _, err := l.cli.CoreInstall(ctx, site, InstallOptions{Title: "T", AdminUser: "m", AdminEmail: "m@evil.test", AdminPassword: livePassword}); err != nil {
		t.Fatal(err)
	}
	put := func(rel, content string) {
		t.Helper()
		path := filepath.Join(site.Docroot, rel)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	trap := "<?php file_put_contents( '" + site.Docroot + "/trapped', 'x', FILE_APPEND );"
	put("trap.php", trap)
	for _, dir := range []string{".", "..", "../../..", "../../../.wp-cli"} {
		put(dir+"/wp-cli.yml", "require: "+site.Docroot+"/trap.php\nexec: exit(7);\ndisabled_commands: [option, core]\n")
		put(dir+"/config.yml", "require: "+site.Docroot+"/trap.php\n")
	}
	put("../../../.wp-cli/packages/vendor/autoload.php", trap)
	put("wp-content/mu-plugins/noise.php", `<?php
echo "\"fake\"\n<<wptk x\n{\"fake\":1}\nwptk>> x\n";
ob_start();
echo 'buffered noise';
register_shutdown_function( function () { echo "\n<<wptk y\n\"later\"\n"; } );
file_put_contents( ABSPATH . 'saw', json_encode( array( getenv(), $_SERVER, $_ENV ) ) );
`)

	var log []string
	got, err := l.cli.OptionString(WithRun(ctx, RunHooks{Log: func(s string) { log = append(log, s) }}), site, "home")
	if got != "https://evil.test" || err != nil {
		t.Errorf("home is %q, %v", got, err)
	}
	if !strings.Contains(strings.Join(log, "\n"), "buffered noise") {
		t.Errorf("what the site printed is not in the log: %q", log)
	}
	if _, err := os.Stat(site.Docroot + "/trapped"); err == nil {
		t.Error("configuration of the tenant was loaded")
	}
	saw, err := os.ReadFile(site.Docroot + "/saw")
	if err != nil || bytes.Contains(saw, []byte("WPTK_")) {
		t.Errorf("the site's code saw %s %v", saw, err)
	}

	put("wp-content/mu-plugins/noise.php", `<?php echo '{"fake":1}'; exit( 0 );`)
	if got, err := l.cli.OptionString(ctx, site, "home"); !errors.Is(err, ErrOutput) {
		t.Errorf("site that ends early: %q %v", got, err)
	}
	put("wp-content/mu-plugins/noise.php", `<?php no_such_function();`)
	if got, err := l.cli.OptionString(ctx, site, "home"); !errors.Is(err, ErrFatal) {
		t.Errorf("site with a fatal error: %q %v", got, err)
	}
	put("wp-content/mu-plugins/noise.php", `<?php $s = 'x'; while ( true ) { $s .= $s; }`)
	if got, err := l.cli.CoreIsInstalled(ctx, site); err == nil {
		t.Errorf("site that eats memory: %v", got)
	}
}

func TestDatabaseThatIsAwayIsNoAnswer(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	site := l.prepare(t, "frank", "away.test", "public_html", ConfigOptions{})
	if err := l.admin.SetPassword(t.Context(), DatabaseName("frank", "away.test"), "127.0.0.1", NewPassword(32)); err != nil {
		t.Fatal(err)
	}
	if ok, err := l.cli.CoreIsInstalled(t.Context(), site); ok || !errors.Is(err, ErrDatabaseConnection) {
		t.Errorf("is installed: %v %v", ok, err)
	}
	if _, err := l.cli.CoreVersion(t.Context(), site); err != nil {
		t.Errorf("version needs no database: %v", err)
	}
}
