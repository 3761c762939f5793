package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// preciousText is in every file of root's that an attack is after.
const preciousText = "<?php // as it was\n"

// closedText is in the one that nobody else may read.
const closedText = "for root and nobody else"

// precious makes what is root's: a file that everybody may read, one that nobody may, a
// directory, and a place where a success of the attacker would leave its mark.
func (h *hostile) precious() error {
	errs := []error{makeDir(h.state.dir("precious"), 0o755), makeDir(h.state.dir("precious", "dir"), 0o755)}
	for name, mode := range map[string]os.FileMode{"open.php": 0o644, "closed": 0o600} {
		text := preciousText
		if mode == 0o600 {
			text += closedText
		}
		errs = append(errs, os.WriteFile(h.state.dir("precious", name), []byte(text), mode))
	}
	marks := h.state.dir("marks")
	errs = append(errs, makeDir(marks, 0o711), os.Chmod(marks, 0o777|os.ModeSticky))
	return errors.Join(errs...)
}

// sentinels describes everything that is not the attacker's; what is the same before and
// after an attack was left alone. Times of status changes tell also of what was put back.
func (h *hostile) sentinels(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	var errs []error
	for name, look := range map[string]func() (string, error){
		"files of root":       func() (string, error) { return tree(h.state.dir("precious")) },
		"files of the victim": func() (string, error) { return tree(h.victim.root) },
		"other databases":     func() (string, error) { return h.databases(ctx) },
		"marks of code that ran as root, or where none may run": func() (string, error) { return tree(h.state.dir("marks")) },
		"connections of root": func() (string, error) { return h.canary.byRoot(), nil },
		"accounts": func() (string, error) {
			passwd, err := os.ReadFile("/etc/passwd")
			// Other runs on this machine add and remove users of theirs.
			return demoLines(string(passwd), h.mallory.account, h.victim.account, "root"), err
		},
	} {
		text, err := look()
		if err != nil {
			errs = append(errs, fmt.Errorf("looking at %s: %w", name, err))
		}
		all[name] = text
	}
	return all, errors.Join(errs...)
}

func demoLines(passwd string, names ...string) string {
	var b strings.Builder
	for line := range strings.Lines(passwd) {
		for _, name := range names {
			if strings.HasPrefix(line, name+":") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// tree lists a directory: names, owners, modes, sizes, links, times of change.
func tree(dir string) (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("%s has no owner", path)
		}
		fmt.Fprintln(&b, path, st.Mode, st.Uid, st.Gid, st.Size, st.Nlink, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
		return nil
	})
	return b.String(), err
}

// databases describes all that the attacker has no right to: names, accounts and the rows of
// the victim.
func (h *hostile) databases(ctx context.Context) (string, error) {
	var b strings.Builder
	victim, mallory := h.victim.result.DBName, ownPart(h.mallory.account)
	for _, query := range []string{
		"SELECT schema_name, '' FROM information_schema.schemata WHERE schema_name NOT LIKE '" + mallory + "%' ORDER BY 1",
		"SELECT CONCAT(user, '@', host), JSON_EXTRACT(priv, '$.access') FROM mysql.global_priv WHERE user NOT LIKE '" + mallory + "%' ORDER BY 1, 2",
		"SELECT CONCAT(user, '@', host), db FROM mysql.db WHERE user NOT LIKE '" + mallory + "%' ORDER BY 1, 2",
		"SELECT 'global rights', COUNT(*) FROM mysql.global_priv WHERE user LIKE '" + mallory + "%' AND COALESCE(JSON_EXTRACT(priv, '$.access'), 0) <> 0",
		"CHECKSUM TABLE precious.things, `" + victim + "`.`" + h.victim.prefix() + "users`, `" + victim + "`.`" + h.victim.prefix() + "posts`",
		"SELECT CONCAT(routine_schema, '.', routine_name), '' FROM information_schema.routines WHERE routine_schema NOT LIKE '" + mallory + "%' AND routine_schema <> 'sys' ORDER BY 1",
	} {
		if err := h.writeRows(ctx, &b, query); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// writeRows writes the rows of a query of two columns, a line each.
func (h *hostile) writeRows(ctx context.Context, w io.Writer, query string) error {
	rows, err := h.db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("asking for what must not change: %w", err)
	}
	defer rows.Close() // Err has what went wrong
	for rows.Next() {
		var name string
		var value any
		if err := rows.Scan(&name, &value); err != nil {
			return fmt.Errorf("reading what must not change: %w", err)
		}
		fmt.Fprintf(w, "%s %s\n", name, value)
	}
	return rows.Err()
}

func (s *e2eSite) prefix() string { return s.result.TablePrefix }

// canary is an address that nobody but the attacker has a reason to connect to.
type canary struct {
	net.Listener
	mu  sync.Mutex
	got []string
}

func newCanary() (*canary, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	c := &canary{Listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			c.mu.Lock()
			c.got = append(c.got, "uid "+ownerOf(conn.RemoteAddr().(*net.TCPAddr).Port))
			c.mu.Unlock()
			conn.Close()
		}
	}()
	return c, nil
}

// ownerOf looks up whose socket has a port of 127.0.0.1.
func ownerOf(port int) string {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return "0 (unknown: " + err.Error() + ")"
	}
	defer f.Close()
	local := fmt.Sprintf("0100007F:%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if col := strings.Fields(lines.Text()); len(col) > 7 && col[1] == local {
			return col[7]
		}
	}
	return "0 (unknown: it is gone)"
}

// byRoot lists connections that the toolkit has made itself; PHP of a tenant may connect to
// where it likes.
func (c *canary) byRoot() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, who := range c.got {
		if strings.HasPrefix(who, "uid 0") {
			b.WriteString(who + "\n")
		}
	}
	return b.String()
}
