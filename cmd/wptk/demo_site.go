package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp/proc"
)

// demoSite is the one site of a node of the demo.
type demoSite struct {
	node, account, domain, title string

	user    proc.Identity // the tenant; the invoking user without root
	root    string        // the account's directory
	port    int           // of its address
	php     string        // host:port of PHP where something is in front of it
	held    net.Listener  // keeps the port until PHP takes it
	metrics string        // the worker's, host:port

	op     operation
	result installed
}

const (
	demoPath  = "public_html"
	demoAdmin = "demo"
	demoEmail = "demo@example.com"
)

//go:embed demo_router.php
var router []byte

// makeSites makes the tenants, and a directory for a domain of each.
func (d *demo) makeSites(ctx context.Context) error {
	return d.phase("tenants", func() error {
		if !d.root {
			d.tell("Not root: the sites' code runs as you, nothing separates the two tenants. With root each has a Unix user of its own.")
		}
		if err := os.Mkdir(d.state.dir("log"), 0o700); err != nil {
			return fmt.Errorf("making the folder for logs: %w", err)
		}
		if err := os.WriteFile(d.state.dir("router.php"), router, 0o644); err != nil {
			return fmt.Errorf("writing router: %w", err)
		}
		for _, node := range []string{"alpha", "beta"} {
			s := &demoSite{node: node, account: newUserName(), domain: node + ".localhost", title: "Demo site " + node}
			if err := d.makeSite(ctx, s); err != nil {
				return fmt.Errorf("making the tenant of %s: %w", node, err)
			}
			d.sites = append(d.sites, s)
		}
		return nil
	})
}

func (d *demo) makeSite(ctx context.Context, s *demoSite) (err error) {
	s.root = d.state.dir(s.node, "home", s.account)
	if d.root {
		if s.user, err = addUser(ctx, d.state, s.account, s.root); err != nil {
			return err
		}
	} else {
		s.user = proc.Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Home: s.root}
	}
	// The node's own directories first; then the tenant's, which are given away from the
	// inside out, so that nothing is done in a directory that is the tenant's already.
	for _, dir := range []string{d.state.dir(s.node), d.state.dir(s.node, "home")} {
		if err := makeDir(dir, 0o711); err != nil && !errors.Is(err, fs.ErrExist) { // a second account of the node
			return err
		}
	}
	tenants := []string{s.root, s.tmp(), filepath.Dir(s.homeDir()), s.homeDir()}
	for _, dir := range tenants {
		if err := makeDir(dir, 0o711); err != nil {
			return err
		}
	}
	for i := len(tenants) - 1; d.root && i >= 0; i-- {
		if err := os.Lchown(tenants[i], int(s.user.UID), int(s.user.GID)); err != nil {
			return fmt.Errorf("handing a directory to the tenant: %w", err)
		}
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return err
	}
	s.metrics = addrs[0]
	if s.held, err = holdPort(); err != nil {
		return err
	}
	s.port = s.held.Addr().(*net.TCPAddr).Port
	return nil
}

// makeDir makes a directory with exactly this mode, whatever the umask is.
func makeDir(dir string, mode os.FileMode) error {
	if err := os.Mkdir(dir, mode); err != nil {
		return fmt.Errorf("making directory: %w", err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		return fmt.Errorf("making directory: %w", err)
	}
	return nil
}

func (s *demoSite) homeDir() string { return filepath.Join(s.root, "domains", s.domain) }
func (s *demoSite) docroot() string { return filepath.Join(s.homeDir(), demoPath) }
func (s *demoSite) tmp() string     { return filepath.Join(s.root, "tmp") }

// addr is where visitors come to, phpAddr where PHP listens.
func (s *demoSite) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }
func (s *demoSite) phpAddr() string {
	if s.php != "" {
		return s.php
	}
	return s.addr()
}
func (s *demoSite) url() string { return "http://" + s.domain + ":" + strconv.Itoa(s.port) }

// release gives the port to whoever serves the site; it may be called again.
func (s *demoSite) release() {
	if s.held != nil {
		s.held.Close() // it was only held
		s.held = nil
	}
}

// install asks the API for the site and follows the operation to its end.
func (s *demoSite) install(ctx context.Context, c *client, show display) error {
	var took accepted
	_, err := c.post(ctx, "/wordpress/install", installBody{Domain: s.domain, Path: demoPath,
		Title: s.title, AdminUser: demoAdmin, AdminEmail: demoEmail}, &took)
	if err != nil {
		return err
	}
	if s.op, err = c.follow(ctx, took.OperationID, show.show); err != nil {
		return err
	}
	if s.op.Status != tasks.Succeeded {
		return fmt.Errorf("the operation is %s: %s", s.op.Status, s.op.failure())
	}
	if s.result, err = s.op.installed(); err != nil {
		return err
	}
	if s.result.AdminPassword == "" {
		return errors.New("the result shows no generated password")
	}
	return nil
}

// runsAsTenant looks at the process itself.
func (s *demoSite) runsAsTenant(pid int) error {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return fmt.Errorf("reading process status: %w", err)
	}
	uid := strconv.FormatUint(uint64(s.user.UID), 10)
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		f := strings.Fields(value)
		switch {
		case name == "Uid" && strings.Join(f, " ") != strings.Join([]string{uid, uid, uid, uid}, " "):
			return fmt.Errorf("PHP has uid %s, the tenant %s", f, uid)
		case name == "NoNewPrivs" && strings.Join(f, "") != "1":
			return errors.New("PHP could gain privileges")
		}
	}
	return nil
}

// ownsFiles checks who owns the new site, and that its passwords are not for others.
func (s *demoSite) ownsFiles() error {
	for path, hidden := range map[string]os.FileMode{s.docroot(): 0o002, filepath.Join(s.docroot(), "wp-config.php"): 0o007} {
		info, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("looking at the site: %w", err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != s.user.UID || st.Gid != s.user.GID {
			return fmt.Errorf("%s does not belong to the tenant", filepath.Base(path))
		}
		if info.Mode()&hidden != 0 {
			return fmt.Errorf("%s has mode %v", filepath.Base(path), info.Mode())
		}
	}
	return nil
}

// listed checks that the inventory knows what was installed.
func (s *demoSite) listed(ctx context.Context, c *client) error {
	var site installation
	if _, err := c.get(ctx, "/wordpress/installation", url.Values{"id": {s.op.ID}}, &site); err != nil {
		return err
	}
	if site.Status != "ok" || site.Domain != s.domain || site.SiteTitle != s.title || site.SiteURL != s.url() || site.Node != s.node {
		return fmt.Errorf("it says %s %q at %s on %s", site.Status, site.SiteTitle, site.SiteURL, site.Node)
	}
	return nil
}
