package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/wispanel/wptk/cmd/internal/verdict"
	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
)

// setting is what a scenario wants around it.
type setting struct {
	nodes    int // 1 when 0
	domains  int // of each node
	slots    int // of a node's fast lane; 4 when 0
	proxied  bool
	sentinel bool
	cluster  bool
	more     func(*hostNode) ([]string, error) // flags of a worker beside the usual ones
	fsync    string                            // of Redis; "" is always
	millis   map[string]int                    // how long commands of the stand-in take
}

// arena is where a scenario happens: real Redis, MariaDB, API and workers, a stand-in for
// PHP and WP-CLI, and somebody who writes everything down.
type arena struct {
	*demo
	*book
	setting
	bins  binaries
	short bool
	dice  *rand.Rand

	group *devstack.Group // instead of stack.redis
	proxy *toxiproxy.Proxy
	api   *part
	nodes []*hostNode
	shim  verdict.ShimConfig
	// before is what the database server had at first.
	before databases
	marks  map[string]any // figures of the scenario's own
	missed []string       // goals of the scenario's own that were not met

	poisoned string   // domain of the op that takes the worker down
	mounts   []string // file systems of disk-full
	surveyed bool
}

// hostNode is a worker with its tenant.
type hostNode struct {
	*part
	id      string
	site    *demoSite // its account, and the first of its domains
	domains []string
	used    int // domains that were asked for
	metrics string
}

// next is a domain that nobody has asked for yet.
func (n *hostNode) next() string {
	n.used++
	return n.domains[n.used-1]
}

// n is a number that is smaller in the short run.
func (a *arena) n(full, short int) int {
	if a.short {
		return short
	}
	return full
}

func newArena(ctx context.Context, app *app, seed uint64, short bool) (a *arena, err error) {
	// The demo's parts tell people what a demo is about.
	quiet, silent := *app, *app.console
	silent.out = io.Discard
	quiet.console = &silent
	a = &arena{
		demo:  &demo{app: &quiet, findings: newFindings(&quiet), root: os.Geteuid() == 0},
		short: short, dice: rand.New(rand.NewPCG(seed, 0)), marks: map[string]any{},
	}
	if a.book, err = newBook(); err != nil {
		return nil, err
	}
	if a.state, err = newRunState(ctx, app.log); err != nil {
		return nil, errors.Join(err, a.book.remove())
	}
	a.stack = newStack(a.state)
	return a, nil
}

// up starts everything and returns when the API and all nodes are there.
func (a *arena) up(ctx context.Context, s setting) (err error) {
	s.nodes, s.domains = max(s.nodes, 1), max(s.domains, 1)
	if s.slots == 0 {
		s.slots = 4
	}
	a.setting = s
	if a.bins, err = a.programs(ctx); err != nil {
		return err
	}
	if err := os.Mkdir(a.state.dir("log"), 0o700); err != nil {
		return fmt.Errorf("making the folder for logs: %w", err)
	}
	if err := errors.Join(a.makeShim(), a.makePackages(), a.makeNodes(ctx), a.startServers(ctx)); err != nil {
		return err
	}
	if a.before, err = a.databases(ctx); err != nil {
		return err
	}
	if err := a.startAPI(ctx); err != nil {
		return err
	}
	var errs []error
	for _, n := range a.nodes {
		args := a.workerArgs(n)
		if a.more != nil {
			more, err := a.more(n)
			if err != nil {
				return err
			}
			args = append(args, more...)
		}
		n.part = a.newPart("worker-"+n.id, a.bins.worker, args)
		errs = append(errs, n.start())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return a.stack.await(ctx, "the nodes", func(ctx context.Context) error { return a.ready(ctx) })
}

// ready waits for the nodes' domains as well, which their first scan finds.
func (a *arena) ready(ctx context.Context) error {
	var sites []*demoSite
	for _, n := range a.nodes {
		sites = append(sites, n.site)
	}
	if err := a.stack.nodesUp(ctx, sites); err != nil {
		return err
	}
	for _, n := range a.nodes {
		last := installBody{Domain: n.domains[len(n.domains)-1], Path: demoPath, AdminUser: demoAdmin, AdminEmail: demoEmail, DryRun: true}
		if _, err := a.stack.client.post(ctx, "/wordpress/install", last, nil); err != nil {
			return err
		}
	}
	return nil
}

func (a *arena) databases(ctx context.Context) (databases, error) {
	return (&chaos{demo: a.demo}).databases(ctx)
}

// makeShim puts the stand-in for PHP where a worker and its tenants reach it.
func (a *arena) makeShim() error {
	if a.bins.shim == "" {
		return errors.New("finding wptk-shim beside this program (make build)")
	}
	dir := a.state.dir("shim")
	a.shim = verdict.ShimConfig{Log: filepath.Join(dir, "commands.jsonl"), Sites: filepath.Join(dir, "sites"),
		Millis: a.millis, Faults: map[string]verdict.ShimFault{}}
	program, err := os.ReadFile(a.bins.shim)
	if err != nil {
		return fmt.Errorf("reading the stand-in for PHP: %w", err)
	}
	return errors.Join(makeDir(dir, 0o755), makeDir(a.shim.Sites, 0o777|os.ModeSticky),
		writeMode(filepath.Join(dir, "php"), program, 0o755), writeMode(filepath.Join(dir, "wp-cli.phar"), nil, 0o644),
		writeMode(a.shim.Log, nil, 0o666), a.tellShim())
}

// tellShim makes the stand-in do what a.shim says from its next run on.
func (a *arena) tellShim() error {
	raw, err := json.Marshal(a.shim)
	if err != nil {
		return fmt.Errorf("encoding settings of the stand-in: %w", err)
	}
	path := a.state.dir("shim", "shim.json")
	if err := writeMode(path+".new", raw, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func writeMode(path string, data []byte, mode os.FileMode) error {
	if err := os.WriteFile(path, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	return os.Chmod(path, mode)
}

// makePackages is a WordPress of as few files as can be taken for one.
func (a *arena) makePackages() error {
	core := a.state.dir("packages", "core", "9.9")
	var sums strings.Builder
	var errs []error
	for name, content := range map[string]string{
		"index.php": "<?php\n", "wp-settings.php": "<?php\n", "wp-includes/version.php": "<?php\n$wp_version = '9.9';\n",
		"wp-includes/bulk.php": strings.Repeat("<?php // bulk\n", 20<<10), // 280 KiB, for disks that are full in the middle
	} {
		file := filepath.Join(core, "wordpress", name)
		errs = append(errs, os.MkdirAll(filepath.Dir(file), 0o755), writeMode(file, []byte(content), 0o644))
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256([]byte(content)), name)
	}
	return errors.Join(append(errs, writeMode(filepath.Join(core, "SHA256SUMS"), []byte(sums.String()), 0o644),
		writeMode(a.state.dir("packages", "core", "LATEST"), []byte("9.9\n"), 0o644))...)
}

// makeNodes makes a tenant for each node, with all domains.
func (a *arena) makeNodes(ctx context.Context) error {
	for i := range a.setting.nodes {
		n := &hostNode{id: fmt.Sprintf("n%d", i+1)}
		n.site = &demoSite{node: n.id, account: newUserName(), domain: fmt.Sprintf("%s-0.test", n.id)}
		if err := a.makeSite(ctx, n.site); err != nil {
			return fmt.Errorf("making the tenant of %s: %w", n.id, err)
		}
		n.site.release()
		n.metrics, n.domains = n.site.metrics, []string{n.site.domain}
		for d := 1; d < a.setting.domains; d++ {
			s := *n.site
			s.domain = fmt.Sprintf("%s-%d.test", n.id, d)
			if err := makeDir(s.homeDir(), 0o711); err != nil {
				return err
			}
			if a.root {
				if err := os.Lchown(s.homeDir(), int(s.user.UID), int(s.user.GID)); err != nil {
					return fmt.Errorf("handing a directory to the tenant: %w", err)
				}
			}
			n.domains = append(n.domains, s.domain)
		}
		a.nodes = append(a.nodes, n)
	}
	return nil
}

// startServers starts Redis, or three with sentinels or as a cluster, perhaps a proxy, and MariaDB.
func (a *arena) startServers(ctx context.Context) error {
	var errRedis, errMariaDB error
	var wg sync.WaitGroup
	wg.Go(func() {
		switch {
		case a.sentinel:
			a.group, errRedis = devstack.RedisSentinel(ctx)
			return
		case a.cluster:
			a.group, errRedis = devstack.RedisCluster(ctx)
			return
		}
		a.stack.redis, errRedis = devstack.Redis(ctx, devstack.RedisOptions{Dir: a.state.dir("redis"), AppendFsync: a.fsync})
	})
	wg.Go(func() {
		a.stack.mariadb, errMariaDB = devstack.MariaDB(ctx, devstack.MariaDBOptions{Dir: a.state.dir("mariadb")})
	})
	wg.Wait()
	if err := errors.Join(errRedis, errMariaDB); err != nil {
		return err
	}
	password := ""
	if a.group != nil {
		password = a.group.Password
	} else {
		password = a.stack.redis.Password
	}
	return errors.Join(a.stack.secret("redis-password", password), a.stack.secret("mysql-dsn", a.stack.mariadb.DSN()), a.startProxy())
}

// startProxy puts something that can be cut between Redis and the workers.
func (a *arena) startProxy() error {
	if !a.proxied {
		return nil
	}
	control := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	a.proxy = toxiproxy.NewProxy(control, "redis", "127.0.0.1:0", a.stack.redis.Addr)
	if err := a.proxy.Start(); err != nil {
		return fmt.Errorf("starting proxy: %w", err)
	}
	return nil // its Listen is now the port, which it keeps over a cut
}

// redisURL is for our own reads; it holds the password.
func (a *arena) redisURL() string {
	if a.group != nil {
		return a.group.URL
	}
	return a.stack.redis.URL(0)
}

func (a *arena) redisArgs(addr string) []string {
	url := "redis://" + addr + "/0"
	if a.group != nil {
		url = strings.Replace(a.group.URL, ":"+a.group.Password+"@", "", 1)
	}
	return []string{"--redis-url", url, "--redis-password-file", a.state.dir("redis-password")}
}

const chaosRate = 100_000 // requests a minute: the limit is not what is tried here

func (a *arena) startAPI(ctx context.Context) error {
	store, err := a.stack.open(ctx, a.redisURL(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // only reads from here on
	_, a.key, err = queue.NewClient(store).CreateKey(ctx, queue.NewKey{Name: "chaos", Owner: "chaos", Role: queue.RoleAdmin, RateLimit: chaosRate})
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return err
	}
	a.stack.apiAddr, a.stack.metrics = addrs[0], addrs[1]
	if a.stack.client, err = newClient(a.stack.apiURL(), a.key); err != nil {
		return err
	}
	a.api = a.newPart("api", a.bins.api, a.apiArgs(addrs[0], addrs[1]))
	if err := a.api.start(); err != nil {
		return err
	}
	return a.stack.await(ctx, "the API", a.stack.readyz)
}

func (a *arena) apiArgs(listen, metrics string) []string {
	addr := ""
	if a.stack.redis != nil {
		addr = a.stack.redis.Addr
	}
	return append([]string{"--listen", listen, "--metrics-listen", metrics, "--secrets-key-file", a.state.dir("api.age"),
		"--egress-allow", "127.0.0.0/8"}, append(a.stack.signs(), a.redisArgs(addr)...)...)
}

func (a *arena) workerArgs(n *hostNode) []string {
	addr := ""
	switch {
	case a.proxy != nil:
		addr = a.proxy.Listen
	case a.stack.redis != nil:
		addr = a.stack.redis.Addr
	}
	args := append([]string{
		"--node", n.id, "--state-dir", a.state.dir(n.id, "state"), "--sites", a.state.dir(n.id, "home") + "/*/domains/*",
		"--site-url", "http://{domain}", "--mysql-dsn-file", a.state.dir("mysql-dsn"), "--db-host", "localhost:" + a.stack.mariadb.Socket,
		"--packages", a.state.dir("packages"), "--php", a.state.dir("shim", "php"), "--wp-cli", a.state.dir("shim", "wp-cli.phar"),
		"--metrics-listen", n.metrics, "--slots-fast", strconv.Itoa(a.slots),
	}, append(a.stack.believes(), a.redisArgs(addr)...)...)
	if !a.root {
		args = append(args, "--as-invoker")
	}
	return args
}

// takeDown ends everything; what could not be ended is an error.
func (a *arena) takeDown() error {
	var errs []error
	for _, n := range a.nodes {
		if n.part != nil {
			errs = append(errs, n.stop())
		}
	}
	if a.api != nil {
		errs = append(errs, a.api.stop())
	}
	if a.proxy != nil {
		a.proxy.Stop()
	}
	if a.group != nil {
		errs = append(errs, a.group.Stop())
	}
	return errors.Join(append(errs, a.down(false))...)
}

// keep copies what explains a failure to where it outlives the run.
func (a *arena) keep() error {
	dirs := map[string]string{"log": a.state.dir("log"), "redis": a.state.dir("redis", "data"), "shim": a.state.dir("shim")}
	for _, n := range a.nodes {
		dirs["journal-"+n.id], dirs["runs-"+n.id] = a.state.dir(n.id, "state", "journal"), a.state.dir(n.id, "state", "runs")
	}
	for name, path := range dirs {
		if err := copyFiles(filepath.Join(a.book.dir, name), path); err != nil {
			return fmt.Errorf("keeping %s: %w", name, err)
		}
	}
	return nil
}

// copyFiles copies the regular files of a folder and of those in it that can be told:
// servers remove files while they are being copied.
func copyFiles(to, from string) error {
	return filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || !e.Type().IsRegular() || e.Name() == "php" {
			return nil //nolint:nilerr // gone meanwhile, or never there
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // the same
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o700), os.WriteFile(target, data, 0o600))
	})
}
