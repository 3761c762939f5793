package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// OpcacheState is PHP's opcode cache in the web server's PHP, as that tells it.
type OpcacheState struct {
	Known   bool   `json:"known" doc:"False: it could not be asked; reason says why."`
	Reason  string `json:"reason" doc:"Why it is unknown, or off."`
	Enabled bool   `json:"enabled"`
	Used    int64  `json:"used_bytes"`
	Memory  int64  `json:"memory_bytes"`
	Scripts int64  `json:"scripts"`
	Hits    int64  `json:"hits"`
	Misses  int64  `json:"misses"`
	// Forgotten are files of the site, when it was asked to forget them.
	Forgotten int64 `json:"-"`
}

// ErrOpcache is the class of errors of an opcode cache that cannot be reached.
var ErrOpcache = errors.New("the web server's PHP cannot be asked")

const opcacheTime = 10 * time.Second

// Opcache asks the web server's PHP for its opcode cache, and has it forget the site's files
// if forget is true. errors.Is ErrOpcache when that cannot be, for a reason that belongs to
// the node or to the pool; the text behind it says which. Numbers are of the whole cache,
// which all pools of one PHP-FPM share.
//
// The script lies in a directory and in a file that nobody but the account can read, so only
// a pool that runs as the account can run it.
func (h *Host) Opcache(ctx context.Context, site Site, stage string, forget bool) (OpcacheState, error) {
	if h.PHPSocket == "" {
		return OpcacheState{}, fmt.Errorf("%w: this node does not say where it listens (--php-socket)", ErrOpcache)
	}
	conn, err := h.dialPHP(ctx, site)
	if err != nil {
		return OpcacheState{}, err
	}
	defer conn.Close()
	code, err := phpFiles.ReadFile("php/opcache.php")
	if err != nil {
		return OpcacheState{}, fmt.Errorf("reading script: %w", err)
	}
	if err := h.Files.call(ctx, site, "wp.script", fileRequest{Stage: stage, Data: code}, nil, nil); err != nil {
		return OpcacheState{}, err
	}
	docroot := ""
	if forget {
		docroot = site.Docroot
	}
	state, err := askOpcache(conn, path.Join(site.Home, stage), docroot)
	if gone := h.Files.Remove(ctx, site, stage); err == nil {
		err = gone
	}
	return state, err
}

// opcacheOf is Opcache for a report: what keeps it from being read is its reason.
func (h *Host) opcacheOf(ctx context.Context, site Site) OpcacheState {
	state, err := h.Opcache(ctx, site, StageName("opcache"), false)
	if err != nil {
		return OpcacheState{Reason: ReasonOpcache(err)}
	}
	return state
}

// ReasonOpcache is what an error of Opcache says for people.
func ReasonOpcache(err error) string {
	if !errors.Is(err, ErrOpcache) {
		return ErrOpcache.Error()
	}
	return cleanLine(err.Error(), 200)
}

const opcacheScript = "opcache.php"

func askOpcache(conn net.Conn, dir, forget string) (OpcacheState, error) {
	if err := conn.SetDeadline(time.Now().Add(opcacheTime)); err != nil {
		return OpcacheState{}, fmt.Errorf("asking PHP: %w", err)
	}
	status, body, err := FastCGI(conn, [][2]string{
		{"GATEWAY_INTERFACE", "CGI/1.1"}, {"SERVER_PROTOCOL", "HTTP/1.1"}, {"SERVER_SOFTWARE", "wptk"}, {"REQUEST_METHOD", "GET"},
		{"DOCUMENT_ROOT", dir}, {"SCRIPT_FILENAME", dir + "/" + opcacheScript}, {"SCRIPT_NAME", "/" + opcacheScript},
		{"REQUEST_URI", "/" + opcacheScript}, {"QUERY_STRING", ""}, {"REDIRECT_STATUS", "200"},
		{"REMOTE_ADDR", "127.0.0.1"}, {"SERVER_NAME", "localhost"}, {"WPTK_FORGET", forget},
	})
	if err != nil {
		return OpcacheState{}, fmt.Errorf("%w: %w", ErrOpcache, err)
	}
	var got struct {
		Enabled                             bool
		Reason                              string
		Used, Memory, Scripts, Hits, Misses int64
		Forgotten, Kept                     int64
	}
	if status != 200 {
		return OpcacheState{}, fmt.Errorf("%w: it answers %d, and does not run as the account, or not where the account's files are", ErrOpcache, status)
	}
	if err := parseJSON(body, &got); err != nil {
		return OpcacheState{}, fmt.Errorf("%w: %w", ErrOpcache, err)
	}
	if got.Kept > 0 {
		return OpcacheState{}, fmt.Errorf("%w: it refuses to forget files", ErrOpcache)
	}
	return OpcacheState{
		Known: true, Reason: cleanLine(got.Reason, 100), Enabled: got.Enabled, Used: max(0, got.Used), Memory: max(0, got.Memory),
		Scripts: max(0, got.Scripts), Hits: max(0, got.Hits), Misses: max(0, got.Misses), Forgotten: max(0, got.Forgotten),
	}, nil
}

// dialPHP connects to the pool of a site. This process does it, since a pool's socket is often
// open to the web server alone; so the way to it has to be root's, or the worker's own, and
// whoever listens has to be root or the account.
func (h *Host) dialPHP(ctx context.Context, site Site) (net.Conn, error) {
	if err := site.check(); err != nil {
		return nil, err
	}
	file := strings.NewReplacer("{account}", site.Account, "{domain}", site.Domain).Replace(h.PHPSocket)
	if err := trustedSocket(file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpcache, err)
	}
	conn, err := (&net.Dialer{Timeout: opcacheTime}).DialContext(ctx, "unix", file)
	if err != nil {
		return nil, fmt.Errorf("%w: nobody listens at %s", ErrOpcache, filepath.Base(file))
	}
	if err := peerIs(conn, site); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrOpcache, err), conn.Close())
	}
	return conn, nil
}

var errForeignSocket = errors.New("whoever listens there is neither root nor the account")

func peerIs(conn net.Conn, site Site) error {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return errForeignSocket
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failure error
	if err := raw.Control(func(fd uintptr) { peer, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || failure != nil {
		return errors.Join(err, failure)
	}
	if peer.Uid != 0 && peer.Uid != site.User.UID && int(peer.Uid) != os.Geteuid() {
		return errForeignSocket
	}
	return nil
}

// trustedSocket refuses a path that somebody else could have led astray: every directory on
// the way has to be root's or ours, and its own one nobody else's to write, /tmp neither.
func trustedSocket(file string) error {
	dir, name := filepath.Split(file)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("there is no directory of %s", name)
	}
	if err := safeChain(dir); err != nil || info.Mode()&fs.ModeSticky != 0 {
		return fmt.Errorf("others may write into the directory of %s, or into one above it", name)
	}
	if info, err = os.Lstat(file); err != nil || info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("there is no socket %s", name)
	}
	return nil
}

func init() { register("wp.script", childScript) }

// childScript puts a script into a stage that only the account can enter.
func childScript(_ context.Context, c child) (any, error) {
	if err := removeAll(c.root, c.Stage); err != nil {
		return nil, err
	}
	if err := c.root.Mkdir(c.Stage, 0o700); err != nil {
		return nil, fmt.Errorf("making a place for the script: %w", err)
	}
	dir, err := c.root.OpenRoot(c.Stage)
	if err != nil {
		return nil, fmt.Errorf("opening the place of the script: %w", err)
	}
	defer dir.Close()
	return nil, replace(dir, opcacheScript, c.Data, 0o600)
}
