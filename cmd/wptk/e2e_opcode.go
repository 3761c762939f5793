package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/proc"
)

// opcodes gives the account a PHP that never looks at a file again, and has it forget.
func (x *exam) opcodes() {
	x.refused(tasks.CodeCacheUnavailable, "/cache/flush", fields{"type": "opcache"}) // nobody listens yet
	socket := filepath.Join(x.e2e.pools(), x.account+".sock")
	ask := x.pool(socket)
	const file = "e2e-opcode.php"
	x.undo(func() { x.drop(file) })
	x.put(file, `<?php echo 'before';`)
	x.check(ask(file) == "before", "PHP does not run the site's files")
	x.put(file, `<?php echo 'after';`)
	x.check(ask(file) == "before", "the opcode cache is not at work")
	x.change("/cache/flush", fields{"type": "opcache"}, nil)
	x.check(ask(file) == "after", "PHP runs what was there before")
	var state struct {
		Layers []struct {
			Type    string
			Enabled bool
			Opcache struct {
				Memory int64 `json:"memory_bytes"`
			}
		}
	}
	x.read("/cache", &state, "fresh", "true")
	for _, l := range state.Layers {
		x.check(x.err != nil || l.Type != "opcache" || l.Enabled && l.Opcache.Memory > 0, "the opcode cache is shown as %s", inJSON(l))
	}
}

// pool starts a PHP of the account at a socket, as PHP-FPM does, until the exam ends.
func (x *exam) pool(socket string) (ask func(file string) string) {
	fail := func(err error) func(string) string { x.note(err); return func(string) string { return "" } }
	if x.err != nil {
		return fail(nil)
	}
	php, err := program("php-cgi")
	if err != nil {
		return fail(fmt.Errorf("%w (deploy/setup.sh --with-web)", err))
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		return fail(err)
	}
	defer l.Close() //nolint:errcheck // the child has it
	l.SetUnlinkOnClose(false)
	in, err := l.File()
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	p, err := x.e2e.stack.launch("php-"+x.version, proc.Spec{Path: php, Args: []string{"-d", "opcache.enable=1", "-d", "opcache.validate_timestamps=0", "-d", "opcache.file_update_protection=0"},
		Dir: "/", As: x.user, Env: toolEnv, Grace: time.Second, Stdin: in})
	if err != nil {
		return fail(err)
	}
	x.undo(func() { x.note(errors.Join(x.e2e.stack.retire(p), os.Remove(socket))) })
	return func(file string) string {
		if x.err != nil {
			return ""
		}
		conn, err := net.Dial("unix", socket)
		if err != nil {
			x.note(err)
			return ""
		}
		defer conn.Close()
		status, body, err := wp.FastCGI(conn, [][2]string{{"REQUEST_METHOD", "GET"}, {"REDIRECT_STATUS", "200"}, {"SCRIPT_FILENAME", filepath.Join(x.docroot(), file)}})
		x.note(err)
		x.check(x.err != nil || status == http.StatusOK, "PHP answers %d", status)
		return string(body)
	}
}
