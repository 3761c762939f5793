package wp

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp/wptest"
)

// ruled is what rules refuse and let through, below the install's path. Every file is there.
var ruled = map[string]struct{ refused, served []string }{
	MeasureConfig: {
		[]string{"wp-config.php", "wp-config.php.bak", "wp-config.txt", ".wp-config.php.swp", "sub/wp-config.old", "wp-config%2ephp", "/wp-config.php", "WP-CONFIG.php", "wp-config-sample.php"},
		[]string{"about-wp-config/", "2020/wp-config-explained/page.html", "index.php"}},
	MeasureDotfiles: {
		[]string{".env", ".git/config", "sub/.hidden", ".htaccess.bak", ".well-knownx"},
		[]string{".well-known/acme-challenge/token", "a.b/page.html", "file..txt"}},
	MeasureUploads: {
		[]string{"wp-content/uploads/x.php", "wp-content/uploads/2020/01/x.PHP", "wp-content/uploads/x.phtml", "wp-content/uploads/x.php7", "wp-content/uploads/x.phar", "wp-content/uploads/x.php/info", "wp-content//uploads/x.php", "app/uploads/x.php", "wp-content/uploads/x%2ephp"},
		[]string{"wp-content/uploads/x.jpg", "wp-content/uploads/php.txt", "wp-content/plugins/p/p.php", "wp-content/uploads/x.php.jpg"}},
	MeasureIncludes: {
		[]string{"wp-includes/version.php", "wp-includes/js/x.php", "wp-includes//version.php", "wp-includes/js/tinymce/other.php"},
		[]string{"wp-includes/js/tinymce/wp-tinymce.php", "wp-includes/ms-files.php", "wp-includes/js/jquery.js", "wp-login.php"}},
	MeasureCache: {
		[]string{"wp-content/cache/x.php", "wp-content/plugins/p/cache/a/x.php"},
		[]string{"wp-content/cache/x.css", "wp-includes/cache.php", "wp-content/cached.php"}},
	MeasureSensitive: {
		[]string{"readme.html", "license.txt", "wp-content/plugins/p/readme.txt", "wp-content/debug.log", "composer.json", "liesmich.html", "wp-content/error_log"},
		[]string{"index.php", "license/page.html", "wp-content/uploads/my-readme.html.jpg", "wp-content/plugins/p/block.json"}},
	MeasureScripts: {[]string{"wp-admin/load-scripts.php", "wp-admin/load-styles.php?c=1"}, []string{"wp-admin/index.php"}},
	MeasureXMLRPC:  {[]string{"xmlrpc.php", "xmlrpc.php?rsd"}, []string{"index.php"}},
	MeasureAuthorScan: {
		[]string{"?author=1", "index.php?x=1&author=2", "?%61uthor=3", "?author%5B%5D=4", "?AUTHOR=5"},
		[]string{"?coauthor=1", "?author=bob", "wp-admin/index.php?author=1", "?p=1"}},
	MeasureBackupFiles: {
		[]string{"dump.sql", "dump.sql.gz", "wp-content/uploads/dump.sql.gz", "index.php.bak", "index.php~", "site.zip", "wp-content/b.tar.gz", "wp-content/uploads/old.bak", "id.pem"},
		[]string{"wp-content/uploads/2020/offer.zip", "wp-content/uploads/song.tar.gz", "index.php", "wp-content/plugins/p/old/x.js"}},
}

// rulesTree makes every file of the table, and answers its docroot.
func rulesTree(t *testing.T, below string) string {
	t.Helper()
	docroot := wptest.Dir(t)
	for _, c := range ruled {
		for _, url := range append(append([]string{}, c.refused...), c.served...) {
			path, _, _ := strings.Cut(url, "?")
			path = strings.NewReplacer("%2e", ".", "/info", "", "//", "/").Replace(path)
			if path == "" || strings.HasSuffix(path, "/") {
				path += "index.php"
			}
			file := filepath.Join(docroot, below, path)
			must(t, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("x"), 0o644))
		}
	}
	return docroot
}

func status(t *testing.T, url string) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	res, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	must(t, res.Body.Close())
	return res.StatusCode, res.Header
}

// TestRulesRefuseWhatTheyShouldAndNothingElse asks real servers, with one measure at a time.
func TestRulesRefuseWhatTheyShouldAndNothingElse(t *testing.T) {
	t.Parallel()
	who, err := wptest.Tenant("ruth")
	must(t, err)
	for _, base := range []string{"/", "/blog/"} {
		docroot := rulesTree(t, base)
		apache := wptest.Apache(t, who, docroot, "")
		for id, c := range ruled {
			only := func(other string) bool { return other == id }
			must(t, os.WriteFile(filepath.Join(docroot, base, ".htaccess"), []byte(ApacheBlock(only)), 0o644))
			rules, err := NginxRules(base, only)
			must(t, err)
			file := filepath.Join(wptest.Dir(t), "rules.conf")
			must(t, os.WriteFile(file, []byte(rules), 0o644))
			nginx, _ := wptest.Nginx(t, who, docroot, file, "")
			for server, addr := range map[string]string{"apache": apache, "nginx": nginx} {
				for _, path := range c.refused {
					if got, _ := status(t, "http://"+addr+base+path); got != http.StatusForbidden {
						t.Errorf("%s %s at %s: %s is answered %d", server, id, base, path, got)
					}
				}
				for _, path := range c.served {
					if got, _ := status(t, "http://"+addr+base+path); got != http.StatusOK {
						t.Errorf("%s %s at %s: %s is answered %d", server, id, base, path, got)
					}
				}
			}
		}
	}
}

func TestHeadersAndListingsOfRealServers(t *testing.T) {
	t.Parallel()
	who, err := wptest.Tenant("hedda")
	must(t, err)
	docroot := wptest.Dir(t)
	must(t, os.Mkdir(filepath.Join(docroot, "dir"), 0o755))
	only := func(id string) bool { return id == MeasureHeaders || id == MeasureBrowsing }
	rules, err := NginxRules("/", only)
	must(t, err)
	file := filepath.Join(wptest.Dir(t), "rules.conf")
	must(t, os.WriteFile(file, nil, 0o644))
	apache := wptest.Apache(t, who, docroot, "")
	before, _ := wptest.Nginx(t, who, docroot, file, "")
	for _, addr := range []string{apache, before} {
		if got, h := status(t, "http://"+addr+"/dir/"); got != http.StatusOK || h.Get("X-Frame-Options") != "" {
			t.Errorf("before: %d %v", got, h)
		}
	}
	must(t, os.WriteFile(file, []byte(rules), 0o644), os.WriteFile(filepath.Join(docroot, ".htaccess"), []byte(ApacheBlock(only)), 0o644))
	after, _ := wptest.Nginx(t, who, docroot, file, "")
	for _, addr := range []string{apache, after} {
		if got, h := status(t, "http://"+addr+"/dir/"); got != http.StatusForbidden || h.Get("X-Frame-Options") != "SAMEORIGIN" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("after: %d %v", got, h)
		}
	}
}
