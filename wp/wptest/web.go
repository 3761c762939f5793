package wptest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// The web servers below are the distribution's own programs (deploy/setup.sh --with-web),
// run as a tenant, on a free port, for as long as the test lasts.

// Apache serves a directory as a shared host would: AllowOverride All, PHP by FastCGI at
// fcgi (none when empty). It answers the server's address.
func Apache(t testing.TB, as proc.Identity, docroot, fcgi string) string {
	t.Helper()
	dir, addr := serverDir(t, as), freeAddr(t)
	const modules = "/usr/lib/apache2/modules/mod_"
	var conf strings.Builder
	for _, m := range []string{"mpm_event", "authz_core", "dir", "mime", "rewrite", "headers", "autoindex", "proxy", "proxy_fcgi", "setenvif"} {
		fmt.Fprintf(&conf, "LoadModule %s_module %s%s.so\n", m, modules, m)
	}
	fmt.Fprintf(&conf, "ServerName localhost\nListen %s\nPidFile %s/pid\nErrorLog %s/error.log\nDefaultRuntimeDir %s\nMutex file:%s\nTypesConfig /dev/null\n", addr, dir, dir, dir, dir)
	conf.WriteString("ProxyFCGIBackendType GENERIC\nStartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\nMaxSpareThreads 8\n")
	fmt.Fprintf(&conf, "DocumentRoot %q\n<Directory %q>\n\tOptions Indexes FollowSymLinks\n\tAllowOverride All\n\tRequire all granted\n</Directory>\nDirectoryIndex index.php\n", docroot, docroot)
	if fcgi != "" {
		fmt.Fprintf(&conf, "<FilesMatch \"\\.php$\">\n\tSetHandler \"proxy:fcgi://%s\"\n</FilesMatch>\n", fcgi)
	}
	file := filepath.Join(dir, "apache.conf")
	put(t, file, conf.String())
	start(t, as, dir, addr, "/usr/sbin/apache2", "-DFOREGROUND", "-f", file)
	return addr
}

// Nginx serves a directory with what rules (a glob) has in front of its own locations. It
// answers the server's address and its configuration file.
func Nginx(t testing.TB, as proc.Identity, docroot, rules, fcgi string) (addr, conf string) {
	t.Helper()
	dir := serverDir(t, as)
	addr, conf = freeAddr(t), filepath.Join(dir, "nginx.conf")
	php := "return 200 php;"
	if fcgi != "" {
		php = "fastcgi_pass " + fcgi + ";\nfastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;\nfastcgi_param REQUEST_METHOD $request_method;\n" +
			"fastcgi_param QUERY_STRING $query_string;\nfastcgi_param REQUEST_URI $request_uri;\nfastcgi_param SCRIPT_NAME $fastcgi_script_name;\n" +
			"fastcgi_param SERVER_PROTOCOL $server_protocol;\nfastcgi_param HTTP_HOST $http_host;\nfastcgi_param REDIRECT_STATUS 200;\nfastcgi_param CONTENT_TYPE $content_type;\nfastcgi_param CONTENT_LENGTH $content_length;\n"
	}
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	put(t, conf, fmt.Sprintf("daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log %s/error.log;\nevents { worker_connections 64; }\nhttp {\naccess_log off;\nautoindex on;\n%s"+
		"server {\nlisten %s;\nroot %s;\nindex index.php;\ninclude %s;\nlocation / { try_files $uri $uri/ =404; }\nlocation ~ \\.php$ {\n%s\n}\n}\n}\n",
		dir, dir, temp.String(), addr, docroot, rules, php))
	start(t, as, dir, addr, "/usr/sbin/nginx", "-c", conf, "-e", dir+"/error.log")
	return addr, conf
}

// FastCGI runs PHP for Apache and Nginx, and answers its address. It keeps no compiled
// files, so that a change is seen at once and not two seconds later.
func FastCGI(t testing.TB, as proc.Identity) string {
	t.Helper()
	addr := freeAddr(t)
	start(t, as, serverDir(t, as), addr, "/usr/bin/php-cgi", "-d", "opcache.enable=0", "-b", addr)
	return addr
}

func serverDir(t testing.TB, as proc.Identity) string {
	t.Helper()
	dir := Dir(t)
	if os.Geteuid() == 0 {
		if err := os.Lchown(dir, int(as.UID), int(as.GID)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func put(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// said keeps what a server says, for the failure of its start.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func start(t testing.TB, as proc.Identity, dir, addr, path string, args ...string) {
	t.Helper()
	out := new(said)
	server, err := proc.Start(t.Context(), proc.Spec{Path: path, Args: args, Dir: dir, Stdout: out, Stderr: out, As: as,
		Env: []string{"PATH=/usr/bin:/bin", "PHP_FCGI_CHILDREN=2", "PHP_FCGI_MAX_REQUESTS=10000", "TMPDIR=" + dir}})
	if err != nil {
		t.Fatalf("%s (deploy/setup.sh --with-web): %v", path, err)
	}
	t.Cleanup(func() {
		server.Kill()
		<-server.Done()
		if log, _ := os.ReadFile(filepath.Join(dir, "error.log")); t.Failed() {
			t.Logf("%s said: %s\n%s", path, out, log)
		}
	})
	// There is no signal to wait for; connecting is cheap, so it is asked often.
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if c, err := net.Dial("tcp", addr); err == nil {
			self := c.LocalAddr().String() == addr // a free port may be picked for our own end, and then connects to itself
			c.Close()
			if !self {
				return
			}
		}
		select {
		case <-server.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Fatalf("%s ended: %s\n%s", path, out, log)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen: %s", path, out)
}
