package wp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// Web is what this node knows of its web server. The zero value is a node that knows
// nothing: rules are then written for Apache, and nobody can say whether they hold.
type Web struct {
	Server string // "apache", "nginx", or "" for what the other settings tell

	// NginxDir is where files for nginx go: NginxDir/DOMAIN/SITE.conf, to be included
	// by the domain's server block in front of its own locations:
	//	include /etc/nginx/wptk/example.com/*.conf;
	NginxDir    string
	NginxTest   []string // a command that fails when the configuration is wrong, as /usr/sbin/nginx -t
	NginxReload []string // a command that makes it hold

	// Probe is the server's own address, as "http://127.0.0.1:80": where sites are
	// asked for, under their own names. Empty: they are not.
	Probe string
}

// The servers that rules are written for.
const (
	Apache        = "apache"
	Nginx         = "nginx"
	UnknownServer = "unknown"
)

// Resolve says whom rules are for when asked is "auto" or empty, else whether the node
// can serve that; reason says why nobody can tell that the rules hold.
func (w Web) Resolve(asked string) (server, reason string) {
	if asked == "" || asked == "auto" {
		asked = w.Server
	}
	switch {
	case asked == Nginx && w.NginxDir == "":
		return Nginx, "this node has no directory for nginx rules (--nginx-include-dir)"
	case asked == Nginx || asked == "" && w.NginxDir != "":
		return Nginx, ""
	case asked == Apache:
		return Apache, ""
	}
	return UnknownServer, "this node does not say which web server it has (--web-server); the rules are in .htaccess, which Apache and LiteSpeed read"
}

// ErrServerRefuses says that the web server does not accept what was written for it.
var ErrServerRefuses = errors.New("the web server refuses the rules")

// ApplyNginx replaces the rules of a site; "" removes them. The server has tested its
// configuration before it is told to load it, and gets the earlier rules back when it
// finds a fault.
func (w Web) ApplyNginx(ctx context.Context, site Site, id, rules string) error {
	if w.NginxDir == "" {
		return fmt.Errorf("writing nginx rules: %w", fs.ErrNotExist)
	}
	file, err := w.nginxFile(site, id)
	if err != nil {
		return err
	}
	was, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading nginx rules: %w", err)
	}
	if string(was) == rules {
		return w.run(ctx, w.NginxReload) // perhaps nobody told the server the last time
	}
	if err := putServerFile(file, []byte(rules)); err != nil {
		return fmt.Errorf("writing nginx rules: %w", err)
	}
	if err := w.run(ctx, w.NginxTest); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrServerRefuses, err), putServerFile(file, was))
	}
	return w.run(ctx, w.NginxReload)
}

// NginxRulesOf reads the rules of a site as the server has them.
func (w Web) NginxRulesOf(site Site, id string) (string, error) {
	file, err := w.nginxFile(site, id)
	if err != nil {
		return "", err
	}
	rules, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading nginx rules: %w", err)
	}
	return string(rules), nil
}

func (w Web) nginxFile(site Site, id string) (string, error) {
	if err := site.check(); err != nil {
		return "", err
	}
	if !storeID.MatchString(id) || ValidDomain(site.Domain) != "" {
		return "", fmt.Errorf("naming nginx rules: %q of %q", id, site.Domain)
	}
	return filepath.Join(w.NginxDir, site.Domain, id+".conf"), nil
}

// putServerFile writes into a directory of root's, where no tenant can put a link.
func putServerFile(file string, data []byte) error {
	if len(data) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		_ = os.Remove(filepath.Dir(file)) // unless another install of the domain has rules
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(replace(dir, filepath.Base(file), data, 0o644), dir.Close())
}

const serverTime = 30 * time.Second

// run starts a command of the node's own configuration.
func (w Web) run(ctx context.Context, command []string) error {
	if len(command) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, serverTime)
	defer cancel()
	path := command[0]
	if !filepath.IsAbs(path) {
		return fmt.Errorf("running %s: the path has to be absolute", path)
	}
	out := proc.Capped(8 << 10)
	exit, err := proc.Run(ctx, proc.Spec{Path: path, Args: command[1:], Env: []string{"PATH=/usr/local/sbin:/usr/sbin:/sbin:" + searchPath, "LANG=C.UTF-8"},
		Stdout: out, Stderr: out, Trusted: true})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit status %d: %s", exit.Code, cleanLine(string(out.Bytes()), 500))
	}
	if err != nil {
		return fmt.Errorf("running %s: %w", command[0], err)
	}
	return nil
}

// Answer is what a URL of a site answered.
type Answer struct {
	Status int         `json:"status"` // 0: no answer
	Header http.Header `json:"-"`
}

// vital are the URLs that no measure may break.
var vital = []string{"", "wp-login.php", "wp-admin/admin-ajax.php", "?rest_route=/"}

// Vital asks for what no measure may break: the front page, the login, AJAX, REST. Nil
// when the node does not know where to ask.
func (w Web) Vital(ctx context.Context, site Site) map[string]int {
	if w.Probe == "" {
		return nil
	}
	got := map[string]int{}
	for _, path := range vital {
		got[path] = w.Ask(ctx, site, path).Status
	}
	return got
}

// Worse names the vital URLs that answered well before and do not any more.
func Worse(before, after map[string]int) []string {
	var worse []string
	for _, path := range vital {
		b, a := before[path], after[path]
		if refused := a == 0 || a == 401 || a == 403 || a == 404 || a >= 500; b != a && b != 0 && b < 500 && refused {
			worse = append(worse, fmt.Sprintf("/%s answers %d, and answered %d before", path, a, b))
		}
	}
	return worse
}

const askTime = 10 * time.Second

// Ask requests a URL below the site's address from the node's own server. What it
// says is read as far as the headers and no redirect is followed.
func (w Web) Ask(ctx context.Context, site Site, path string) Answer {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	v, err := w.visitor(site, "")
	if err != nil {
		return Answer{}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.scheme+"://"+v.own.Host+v.own.Path+"/"+path, nil)
	if err != nil {
		return Answer{}
	}
	v.introduce(req)
	res, err := v.client.Do(req)
	if err != nil {
		return Answer{}
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	return Answer{Status: res.StatusCode, Header: res.Header}
}

// Holds asks whether a rule is in force; known is false when the node cannot ask.
func (w Web) Holds(ctx context.Context, site Site, id string) (holds, known bool) {
	m, ok := FindMeasure(id)
	if !ok || m.rule == nil || w.Probe == "" || m.rule.sample == "" && m.rule.header == "" {
		return false, false
	}
	got := w.Ask(ctx, site, m.rule.sample)
	if m.rule.header != "" {
		return got.Header.Get(m.rule.header) != "", got.Status != 0
	}
	return got.Status == http.StatusForbidden, got.Status != 0
}
