package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// apache is a web server of the distribution in front of one site's files, run as the
// site's user, as long as a row needs it: rules in .htaccess mean nothing to PHP's own
// server. It runs no PHP; a script that is not refused comes as it is.
type apache struct{ addr string }

func (x *exam) apache() *apache {
	if x.err != nil {
		return &apache{}
	}
	path, err := program("apache2")
	if err != nil {
		x.fail("%w (deploy/setup.sh --with-web)", err)
		return &apache{}
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		x.note(err)
		return &apache{}
	}
	const modules = "/usr/lib/apache2/modules/mod_"
	var conf strings.Builder
	for _, m := range []string{"mpm_event", "authz_core", "dir", "mime", "rewrite", "headers", "autoindex", "setenvif"} {
		fmt.Fprintf(&conf, "LoadModule %s_module %s%s.so\n", m, modules, m)
	}
	tmp := x.tmp()
	fmt.Fprintf(&conf, "ServerName localhost\nListen %s\nPidFile %s/apache.pid\nErrorLog %s/apache.log\nDefaultRuntimeDir %s\nMutex file:%s\nTypesConfig /dev/null\n", addrs[0], tmp, tmp, tmp, tmp)
	conf.WriteString("StartServers 1\nServerLimit 1\nThreadsPerChild 4\nMaxRequestWorkers 4\nMinSpareThreads 1\nMaxSpareThreads 4\nDirectoryIndex index.php\n")
	fmt.Fprintf(&conf, "DocumentRoot %q\n<Directory %q>\n\tOptions Indexes FollowSymLinks\n\tAllowOverride All\n\tRequire all granted\n</Directory>\n", x.docroot(), x.docroot())
	file := x.e2e.state.dir("apache-" + x.version + ".conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		x.note(err)
		return &apache{}
	}
	p, err := x.e2e.stack.launch("apache-"+x.version, proc.Spec{Path: path, Args: []string{"-DFOREGROUND", "-f", file}, Dir: tmp, As: x.user, Env: toolEnv, Grace: time.Second})
	if err != nil {
		x.note(err)
		return &apache{}
	}
	x.undo(func() { x.note(x.e2e.stack.retire(p)) })
	x.note(x.e2e.stack.await(x.ctx, "apache", func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addrs[0])
		if err != nil {
			return err
		}
		return conn.Close()
	}))
	return &apache{addrs[0]}
}

func (a *apache) ask(x *exam, path string) (int, http.Header) {
	if x.err != nil {
		return 0, nil
	}
	req, err := http.NewRequestWithContext(x.ctx, http.MethodGet, "http://"+a.addr+path, nil)
	if err != nil {
		x.note(err)
		return 0, nil
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		x.note(err)
		return 0, nil
	}
	x.note(errors.Join(res.Body.Close()))
	return res.StatusCode, res.Header
}

func (a *apache) answers(x *exam, want int, path string) {
	got, _ := a.ask(x, path)
	x.check(x.err != nil || got == want, "Apache answers %d to %s, want %d", got, path, want)
}
