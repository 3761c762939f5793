package tasks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// node is a hosting node of real parts: PHP, WP-CLI, WordPress, MariaDB, tenants.
type node struct {
	host *wp.Host
	home string // accounts are below it
	sql  *sql.DB
	cli  wp.CLIConfig

	catalog Catalog
	ops     Ops
}

func newNode(t *testing.T) *node {
	t.Helper()
	cache := devstack.CacheT(t)
	server := devstack.SharedMariaDB(t)
	n := &node{home: wptest.Dir(t), host: &wp.Host{Node: "node-1", SiteURL: "http://{domain}"}}
	n.cli = wp.CLIConfig{PHP: "php", Phar: filepath.Join(cache, "wp-cli", "wp-cli.phar"), StateDir: wptest.Dir(t)}
	n.connect(t, server)
	var err error
	n.host.Layout, err = wp.ParseLayout(n.home + "/*/domains/*")
	must(t, err)
	n.host.Layout = n.host.Layout.WithUsers(wptest.Tenant)
	n.host.Packages, err = wp.OpenPackages(cache, wptest.Dir(t))
	must(t, err)
	n.host.CLI, err = wp.NewCLI(n.cli)
	must(t, err)
	n.host.Snapshots, err = wp.OpenSnapshots(t.TempDir())
	must(t, err)
	return n
}

// connect makes a server the node's own.
func (n *node) connect(t *testing.T, server *devstack.Server) {
	t.Helper()
	_, port, err := net.SplitHostPort(server.Addr)
	must(t, err)
	n.host.DBHost = "127.0.0.1:" + port
	n.host.DB, err = wp.NewAdmin(server.DSN())
	must(t, err)
	n.sql, err = sql.Open("mysql", server.DSN())
	must(t, err)
	db, pool := n.host.DB, n.sql
	t.Cleanup(func() { _ = db.Close(); _ = pool.Close() })
}

// newSlimNode is a node whose WordPress is three files and whose PHP fails at
// once: for everything that ends before, or with, the first command.
func newSlimNode(t *testing.T) *node {
	t.Helper()
	n := newNode(t)
	source := wptest.Dir(t)
	core := filepath.Join(source, "core", "9.9")
	var sums strings.Builder
	for name, content := range map[string]string{
		"index.php": "<?php\n", "wp-settings.php": "<?php\n", "wp-includes/version.php": "<?php\n$wp_version = '9.9';\n",
	} {
		file := filepath.Join(core, "wordpress", name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, []byte(content), 0o644))
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256([]byte(content)), name)
	}
	must(t, os.WriteFile(filepath.Join(core, "SHA256SUMS"), []byte(sums.String()), 0o644))
	must(t, os.WriteFile(filepath.Join(source, "core", "LATEST"), []byte("9.9\n"), 0o644))
	var err error
	n.host.Packages, err = wp.OpenPackages(source, wptest.Dir(t))
	must(t, err)
	n.cli.PHP, n.cli.StateDir = "/bin/false", wptest.Dir(t)
	n.host.CLI, err = wp.NewCLI(n.cli)
	must(t, err)
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// order is one install op and everything that its attempts share.
type order struct {
	t       *testing.T
	node    *node
	op      Op
	task    *Install
	journal *FileJournal
	dir     string // of the journal
	fail    func(Entry) error
	cfg     ExecuteConfig

	mu    sync.Mutex
	log   []string // of the op, as the requester may read it
	slogs []string // of the worker
}

// lineWriter collects the worker's log, to be shown with a failure.
type lineWriter struct{ o *order }

func (w lineWriter) Write(p []byte) (int, error) {
	w.o.mu.Lock()
	defer w.o.mu.Unlock()
	w.o.slogs = append(w.o.slogs, string(p))
	return len(p), nil
}

const rootPassword = `p ä'"\$x!{} S3cure•pass`

// order makes the op for a domain of an account, which gets its directory.
func (n *node) order(t *testing.T, account, domain, path string, task Install) *order {
	t.Helper()
	wptest.Domain(t, n.home, account, domain)
	if task.AdminUser == "" {
		task.AdminUser = "boss"
	}
	task.Title, task.AdminEmail, task.AdminPassword = `O'Brien & "Sons" ☕`, "boss@"+domain, rootPassword
	if found := task.Validate(); len(found) > 0 {
		t.Fatal(found)
	}
	must(t, Seal(&task, sealForTest))
	payload, err := json.Marshal(task)
	must(t, err)
	decoded, spec, err := Decode("install", payload)
	must(t, err)
	o := &order{t: t, node: n, task: decoded.(*Install)}
	o.journal, o.dir = openJournal(t)
	o.op = Op{ID: NewOpID(n.host.Node), Kind: spec.Kind, Class: spec.Class, Payload: payload, Site: SiteRef{
		ID: SiteID(n.host.Node, account, domain, path), Node: n.host.Node, Account: account, Domain: domain, Path: path,
	}}
	o.cfg = ExecuteConfig{
		Op: o.op, Spec: spec, Task: o.task, Journal: o, Log: slog.New(slog.NewTextHandler(lineWriter{o}, nil)),
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	return o
}

// Load and Append are the order's journal: the real one, behind a place to fail.
func (o *order) Load(op string) (Record, error) { return o.journal.Load(op) }

func (o *order) Append(op string, e Entry) error {
	if o.fail != nil {
		if err := o.fail(e); err != nil {
			return err
		}
	}
	return o.journal.Append(op, e)
}

// attempt runs the op as a fresh worker would.
func (o *order) attempt() (Outcome, error) {
	o.t.Helper()
	cfg := o.cfg
	cfg.Op.Attempt++
	o.cfg.Op = cfg.Op
	ref := o.op.Site
	cfg.Run = &Run{Op: cfg.Op, Host: o.node.host, Open: openForTest, Log: o.logLine, Catalog: o.node.catalog, Ops: o.node.ops}
	cfg.Run.Site, cfg.Run.Missing = o.node.host.Layout.Find(ref.Account, ref.Domain, ref.Path)
	return Execute(wp.WithRun(o.t.Context(), wp.RunHooks{Log: o.logLine}), cfg)
}

func (o *order) logLine(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = append(o.log, line)
}

func (o *order) mustEnd(state State) Outcome {
	o.t.Helper()
	out, err := o.attempt()
	must(o.t, err)
	o.mustBe(out, state)
	return out
}

func (o *order) mustBe(out Outcome, state State) {
	o.t.Helper()
	if out.State != state {
		journal, _ := os.ReadFile(filepath.Join(o.dir, o.op.ID+".jsonl"))
		o.t.Fatalf("ended as %s (%+v), want %s\n%s\n%s\n%s",
			out.State, out.Error, state, journal, strings.Join(o.log, "\n"), strings.Join(o.slogs, ""))
	}
}

func (o *order) home() string {
	return filepath.Join(o.node.home, o.op.Site.Account, "domains", o.op.Site.Domain)
}

func (o *order) docroot() string { return filepath.Join(o.home(), o.op.Site.Path) }

func (o *order) result(out Outcome) InstallResult {
	o.t.Helper()
	var r InstallResult
	must(o.t, json.Unmarshal(out.Result, &r))
	return r
}

// databases lists those of an account, with their users: "name" and "user@host".
func (n *node) databases(t *testing.T, account string) []string {
	t.Helper()
	rows, err := n.sql.QueryContext(t.Context(), `SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE ?
		UNION ALL SELECT CONCAT(User, '@', Host) FROM mysql.user WHERE User LIKE ?`, account+`\_%`, account+`\_%`)
	must(t, err)
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		names = append(names, name)
	}
	must(t, rows.Err())
	return names
}

// entries lists a directory; none gives nothing.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// mustBeWhole checks that exactly one database, one user and one docroot came
// out of the op, and that the password opens the site.
func (o *order) mustBeWhole(out Outcome) InstallResult {
	o.t.Helper()
	t := o.t
	r := o.result(out)
	want := []string{r.DBName, r.DBUser + "@127.0.0.1"}
	if got := o.node.databases(t, o.op.Site.Account); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("databases and users: %q, want %q", got, want)
	}
	top, _, _ := strings.Cut(o.op.Site.Path, "/")
	if got := entries(t, o.home()); len(got) != 1 || got[0] != top {
		t.Errorf("the domain's directory has %q", got)
	}
	for _, gone := range []string{wp.Marker, wp.Marker + "s"} {
		if _, err := os.Lstat(filepath.Join(o.docroot(), gone)); err == nil {
			t.Errorf("%s is left", gone)
		}
	}
	info, err := os.Stat(filepath.Join(o.docroot(), configFile))
	if err != nil || info.Mode().Perm() != configMode {
		t.Errorf("wp-config: %v %v", info, err)
	}
	site, err := o.node.host.Layout.Find(o.op.Site.Account, o.op.Site.Domain, o.op.Site.Path)
	must(t, err)
	ok, err := o.node.host.CLI.UserCheckPassword(t.Context(), site, o.task.AdminUser, rootPassword)
	if err != nil || !ok {
		t.Errorf("the password does not open the site: %v", err)
	}
	o.mustKeepSecrets(out)
	return r
}

// mustBeGone checks that nothing of the op is left but an empty docroot where
// there was one.
func (o *order) mustBeGone(before []string) {
	o.t.Helper()
	if got := o.node.databases(o.t, o.op.Site.Account); len(got) != 0 {
		o.t.Errorf("databases and users are left: %q", got)
	}
	if got := entries(o.t, o.home()); strings.Join(got, " ") != strings.Join(before, " ") {
		o.t.Errorf("the domain's directory has %q, and had %q", got, before)
	}
}

// mustKeepSecrets looks for both passwords in all that leaves the process.
func (o *order) mustKeepSecrets(out Outcome) {
	o.t.Helper()
	config, err := os.ReadFile(filepath.Join(o.docroot(), configFile))
	must(o.t, err)
	parsed, err := wp.ParseConfig(config)
	must(o.t, err)
	journal, err := os.ReadFile(filepath.Join(o.dir, o.op.ID+".jsonl"))
	must(o.t, err)
	spoken := fmt.Sprintf("%s\n%s\n%s\n%s\n%+v", journal, strings.Join(o.log, "\n"), strings.Join(o.slogs, ""), out.Result, out.Error)
	for _, secret := range []string{rootPassword, parsed.DBPassword} {
		if strings.Contains(spoken, secret) || bytes.Contains(journal, []byte(secret)) {
			o.t.Errorf("a password is in the journal, the log or the result")
		}
	}
}
