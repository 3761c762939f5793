package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // the server is asked what it really has

	"github.com/wispanel/wptk/tasks"
)

// databases is what installs leave on the database server.
type databases struct{ names, users []string }

// databases lists what is there, as the administrator.
func (c *chaos) databases(ctx context.Context) (databases, error) {
	var d databases
	db, err := sql.Open("mysql", c.stack.mariadb.DSN())
	if err != nil {
		return d, fmt.Errorf("opening MariaDB: %w", err)
	}
	defer db.Close()
	if d.names, err = column(ctx, db, "SELECT schema_name FROM information_schema.schemata ORDER BY 1"); err != nil {
		return d, fmt.Errorf("listing databases: %w", err)
	}
	if d.users, err = column(ctx, db, "SELECT CONCAT(user, '@', host) FROM mysql.user ORDER BY 1"); err != nil {
		return d, fmt.Errorf("listing database users: %w", err)
	}
	return d, nil
}

func column(ctx context.Context, db *sql.DB, query string) ([]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// added is what is in after and not in before.
func added(before, after []string) (more []string) {
	for _, v := range after {
		if !slices.Contains(before, v) {
			more = append(more, v)
		}
	}
	return more
}

// inspect holds the end of an install to everything that was promised. Its error is for
// what cannot be looked at; broken promises are in the round.
func (c *chaos) inspect(ctx context.Context, r *round, site *demoSite, before databases) (err error) {
	broke := func(what string, err error) {
		if err != nil {
			r.broken = append(r.broken, what+": "+err.Error())
		}
		c.history.note(happening{Round: r.number, What: "check", Problem: problemOf(what, err)})
	}
	site.op = r.last
	if r.last.Status != tasks.Succeeded {
		r.lost = true
		r.broken = append(r.broken, fmt.Sprintf("the op %s: %s", r.last.Status, r.last.failure()))
		return nil
	}
	if site.result, err = r.last.installed(); err != nil {
		return err
	}
	// Soon: a worker that has just started rehearses an installation in a database of its own.
	for what, check := range map[string]func() error{
		"database":  func() error { return c.oneDatabase(ctx, before, site.result.DBName) },
		"directory": func() error { return onlyDocroot(site) },
	} {
		err := soon(ctx, check)
		broke(what, err)
		r.duplicated = r.duplicated || err != nil
	}
	broke("node's files", soon(ctx, func() error { return c.nothingLeft(r.last.OperationID) }))
	broke("processes", soon(ctx, c.noPHP))
	broke("owner", site.ownsFiles())
	return c.serveSite(ctx, site, func() error {
		page, err := site.front(ctx)
		if err == nil {
			err = site.showsTitle(page)
		}
		broke("site", err)
		broke("login", site.login(ctx))
		broke("inventory", site.listed(ctx, c.stack.client))
		return nil
	})
}

// oneDatabase wants one database more than before, of that name, and one user.
func (c *chaos) oneDatabase(ctx context.Context, before databases, name string) error {
	after, err := c.databases(ctx)
	if err != nil {
		return err
	}
	return errors.Join(exactly(added(before.names, after.names), name), exactlyOne(added(before.users, after.users)))
}

func problemOf(what string, err error) string {
	if err == nil {
		return ""
	}
	return what + ": " + err.Error()
}

func exactly(have []string, want string) error {
	if len(have) != 1 || have[0] != want {
		return fmt.Errorf("%q instead of %q", have, want)
	}
	return nil
}

func exactlyOne(have []string) error {
	if len(have) != 1 {
		return fmt.Errorf("%q instead of one", have)
	}
	return nil
}

// onlyDocroot finds stages and second copies: beside and inside the docroot nothing of
// ours may remain.
func onlyDocroot(s *demoSite) error {
	entries, err := os.ReadDir(s.homeDir())
	if err != nil {
		return fmt.Errorf("reading the domain's directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err := exactly(names, demoPath); err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(s.docroot(), ".wptk*"))
	if err != nil || left != nil {
		return errors.Join(err, fmt.Errorf("%q in the docroot", left))
	}
	return nil
}

// nothingLeft looks into the worker's own directory.
func (c *chaos) nothingLeft(op string) error {
	state := c.state.dir(chaosNode, "state")
	journal, err := filepath.Glob(filepath.Join(state, "journal", op+"*"))
	if err != nil {
		return err
	}
	runs, err := filepath.Glob(filepath.Join(state, "runs", "*.json"))
	if err != nil {
		return err
	}
	if left := append(journal, runs...); left != nil {
		return fmt.Errorf("%q is still there", left)
	}
	return nil
}

// soon gives what is being cleaned up at this moment a little time to be gone.
func soon(ctx context.Context, check func() error) error {
	const patience = 30 * time.Second
	for began := time.Now(); ; {
		err := check()
		if err == nil || time.Since(began) > patience {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func (c *chaos) noPHP() error {
	left, err := c.phpProcesses()
	if err == nil && left != nil {
		err = fmt.Errorf("PHP still runs as process %v", left)
	}
	return err
}

// phpProcesses are those of WP-CLI on our sites, as the kernel has them. Zombies count as
// gone: they hold nothing.
func (c *chaos) phpProcesses() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	home := []byte(c.state.dir(chaosNode))
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmd, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || len(cmd) == 0 {
			continue // gone meanwhile, or a zombie
		}
		name, _, _ := bytes.Cut(cmd, []byte{0})
		if strings.HasPrefix(filepath.Base(string(name)), "php") && bytes.Contains(cmd, home) {
			found = append(found, pid)
		}
	}
	return found, nil
}
