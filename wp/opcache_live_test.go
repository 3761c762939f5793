package wp

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp/proc"
	"github.com/wispanel/wptk/wp/wptest"
)

// phpPool is a PHP of an account that listens as PHP-FPM does: at a socket of root's.
func phpPool(t *testing.T, as proc.Identity, file string, settings ...string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: file})
	must(t, err)
	l.SetUnlinkOnClose(false)
	socket, err := l.File()
	must(t, err, l.Close())
	args := []string{"-d", "opcache.enable=1", "-d", "opcache.validate_timestamps=0", "-d", "opcache.file_update_protection=0"}
	for _, s := range settings {
		args = append(args, "-d", s)
	}
	p, err := proc.Start(t.Context(), proc.Spec{Path: "/usr/bin/php-cgi", Args: args, Stdin: socket, As: as, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/"})
	must(t, err, socket.Close())
	t.Cleanup(p.Kill)
}

// ran asks a pool for a script of the site, as a web server does.
func ran(t *testing.T, h *Host, site Site) string {
	t.Helper()
	conn, err := h.dialPHP(t.Context(), site)
	must(t, err)
	defer conn.Close()
	status, body, err := FastCGI(conn, [][2]string{{"REQUEST_METHOD", "GET"}, {"SCRIPT_FILENAME", site.Docroot + "/index.php"}, {"REDIRECT_STATUS", "200"}})
	if err != nil || status != 200 {
		t.Fatalf("status %d: %v", status, err)
	}
	return string(body)
}

func opcacheSite(t *testing.T, account string) (*Host, Site) {
	t.Helper()
	base := wptest.Dir(t)
	home := wptest.Domain(t, base, account, account+".test")
	must(t, os.Mkdir(filepath.Join(home, "public_html"), 0o755))
	layout, err := ParseLayout(base + "/*/domains/*")
	must(t, err)
	site, err := layout.WithUsers(wptest.Tenant).Find(account, account+".test", "public_html")
	must(t, err)
	return &Host{PHPSocket: filepath.Join(wptest.Dir(t), "{account}.sock")}, site
}

func TestOpcacheForgetsFilesOfTheSiteOnly(t *testing.T) {
	t.Parallel()
	h, site := opcacheSite(t, "opal")
	socket := strings.ReplaceAll(h.PHPSocket, "{account}", site.Account)
	phpPool(t, site.User, socket)
	layout, err := ParseLayout(strings.TrimSuffix(site.Home, "/opal/domains/opal.test") + "/*/domains/*")
	must(t, err, os.Mkdir(filepath.Join(site.Home, "public_html2"), 0o755))
	neighbour, err := layout.WithUsers(wptest.Tenant).Find(site.Account, site.Domain, "public_html2")
	must(t, err)
	for _, s := range []Site{site, neighbour} {
		must(t, os.WriteFile(s.Docroot+"/index.php", []byte("<?php echo 'old';"), 0o644))
		ran(t, h, s)
		must(t, os.WriteFile(s.Docroot+"/index.php", []byte("<?php echo 'new';"), 0o644))
		if got := ran(t, h, s); got != "old" {
			t.Fatalf("the cache is not at work: %q", got)
		}
	}
	before, err := h.Opcache(t.Context(), site, StageName("op_1"), false)
	if err != nil || !before.Known || !before.Enabled || before.Scripts < 2 || before.Memory == 0 || before.Forgotten != 0 {
		t.Errorf("%+v %v", before, err)
	}
	after, err := h.Opcache(t.Context(), site, StageName("op_1"), true)
	if err != nil || after.Forgotten != 1 {
		t.Errorf("%+v %v", after, err)
	}
	if got := ran(t, h, site); got != "new" {
		t.Errorf("the site runs %q", got)
	}
	if got := ran(t, h, neighbour); got != "old" {
		t.Errorf("its neighbour runs %q", got)
	}
	if left, err := filepath.Glob(site.Home + "/.wptk*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// Neither a script nor a .user.ini switches it on: that is what cache.enable says.
func TestOpcacheThatIsOffSaysSo(t *testing.T) {
	t.Parallel()
	h, site := opcacheSite(t, "onyx")
	phpPool(t, site.User, strings.ReplaceAll(h.PHPSocket, "{account}", site.Account), "opcache.enable=0")
	must(t, os.WriteFile(site.Docroot+"/.user.ini", []byte("opcache.enable=1\n"), 0o644))
	must(t, os.WriteFile(site.Docroot+"/index.php", []byte("<?php echo json_encode( opcache_get_status( false ) ), (int) @ini_set( 'opcache.enable', '1' );"), 0o644))
	if got := ran(t, h, site); got != "false0" {
		t.Errorf("PHP says %s", got)
	}
	state, err := h.Opcache(t.Context(), site, StageName("op_1"), true)
	if err != nil || !state.Known || state.Enabled || state.Reason != "opcache.enable is off" {
		t.Errorf("%+v %v", state, err)
	}
}

func TestOpcacheIsUnknownWhereNobodyMayAsk(t *testing.T) {
	t.Parallel()
	h, site := opcacheSite(t, "olive")
	dir := filepath.Dir(h.PHPSocket)
	socket := filepath.Join(dir, site.Account+".sock")
	unknown := func(reason string) {
		t.Helper()
		if _, err := h.Opcache(t.Context(), site, StageName("op_1"), true); !errors.Is(err, ErrOpcache) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%v, want %s", err, reason)
		}
		if state := h.opcacheOf(t.Context(), site); state.Known || !strings.Contains(state.Reason, reason) {
			t.Errorf("%+v, want %s", state, reason)
		}
	}
	unknown("no socket")
	must(t, os.WriteFile(socket, nil, 0o600))
	unknown("no socket")
	must(t, os.Remove(socket), os.Symlink("/run/other.sock", socket))
	unknown("no socket")
	must(t, os.Remove(socket), os.Chmod(dir, 0o777))
	unknown("others may write")
	must(t, os.Chmod(dir, os.ModeSticky|0o777))
	unknown("others may write")
	must(t, os.Chmod(dir, 0o755))
	if os.Geteuid() == 0 {
		other, err := wptest.Tenant("olive's neighbour")
		must(t, err)
		phpPool(t, other, socket) // it cannot read the script, so that it runs nothing
		unknown("does not run as the account")
	}
	h.PHPSocket = ""
	unknown("--php-socket")
}
