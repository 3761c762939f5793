package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	_ "github.com/go-sql-driver/mysql" // the server's administrator looks at what is not the attacker's

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
)

// hostile is one run: a node with two tenants, the attacker and the one who is attacked, and
// things of root's beside them.
type hostile struct {
	*e2e
	mallory, victim *e2eSite
	keys            map[string]string // of the API, by what they are for
	store           *queue.Store
	ledger          *queue.Client
	db              *sql.DB // the administrator's
	canary          *canary
	packages        string // this run's package source, to which archives are added
	maria           string // the client
	endpoints       []string
	spare           atomic.Int64 // how many of the spare domains are used
	tries, swaps    atomic.Int64 // of the races
}

// furnished brings everything up, with a site for each tenant.
func (h *hostile) furnished(ctx context.Context) error {
	bins, err := h.programs(ctx)
	if err != nil {
		return err
	}
	h.tell("Starting Redis, MariaDB, the API and a node in %s.", h.state.dir())
	for _, step := range []func(context.Context) error{h.tenants, h.stack.servers, h.sources} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if h.key, err = h.stack.makeKey(ctx, h.log); err != nil {
		return err
	}
	if err := h.makeKeys(ctx); err != nil {
		return err
	}
	if err := h.stack.processes(ctx, bins, nil, false); err != nil {
		return err
	}
	if err := h.stack.worker(bins, h.mallory.demoSite, false, "--packages", h.packages, "--sandbox", "auto"); err != nil {
		return err
	}
	if h.stack.client, err = newClient(h.stack.apiURL(), h.key); err != nil {
		return err
	}
	if err := h.stack.await(ctx, "the API", h.stack.readyz); err != nil {
		return err
	}
	err = h.stack.await(ctx, "the node", func(ctx context.Context) error { return h.stack.nodesUp(ctx, h.demo.sites[:1]) })
	if err != nil {
		return err
	}
	return h.settle(ctx)
}

// tenants makes the two accounts, and what the attacker must not touch.
func (h *hostile) tenants(ctx context.Context) (err error) {
	if err := os.Mkdir(h.state.dir("log"), 0o700); err != nil {
		return fmt.Errorf("making the folder for logs: %w", err)
	}
	for name, content := range map[string][]byte{"router.php": router, "probe.php": probe} {
		if err := os.WriteFile(h.state.dir(name), content, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	if h.front, err = newFront(); err != nil {
		return err
	}
	for _, name := range []string{"mallory", "victim"} {
		account := newUserName()
		for len(h.sites) > 0 && ownPart(account) == ownPart(h.sites[0].account) {
			account = newUserName()
		}
		s := &demoSite{node: "hostile", account: account, title: name, domain: name + ".localhost"}
		if err := h.makeSite(ctx, s); err != nil {
			return fmt.Errorf("making the tenant %s: %w", name, err)
		}
		s.php, s.port = s.addr(), h.front.port()
		h.front.sites[strings.TrimPrefix(s.url(), "http://")] = &url.URL{Scheme: "http", Host: s.php}
		h.demo.sites = append(h.demo.sites, s)
		h.sites = append(h.sites, &e2eSite{demoSite: s, e2e: h.e2e})
	}
	h.mallory, h.victim = h.sites[0], h.sites[1]
	for i := range spareDomains {
		dir := filepath.Join(h.mallory.root, "domains", fmt.Sprintf("s%d.localhost", i))
		if err := makeDir(dir, 0o711); err != nil {
			return err
		}
		// The parent is the tenant's already, but no code of the tenant's has run yet.
		if err := os.Lchown(dir, int(h.mallory.user.UID), int(h.mallory.user.GID)); err != nil {
			return fmt.Errorf("handing a directory to the tenant: %w", err)
		}
	}
	if h.canary, err = newCanary(); err != nil {
		return err
	}
	return h.precious()
}

// spareDomains is how many more sites the attacker may have.
const spareDomains = 96

func (h *hostile) spareDomain() string {
	return fmt.Sprintf("s%d.localhost", h.spare.Add(1)-1)
}

// ownPart is what the names of an account's databases begin with (wp.DatabaseName).
func ownPart(account string) string { return account[:min(len(account), 10)] }

// sources copies the package source, so that attacks can add to it.
func (h *hostile) sources(context.Context) (err error) {
	cache, err := devstack.Cache()
	if err != nil {
		return err
	}
	latest, err := os.ReadFile(cache + "/core/LATEST")
	if err != nil {
		return fmt.Errorf("reading the package source: %w", err)
	}
	h.packages = h.state.dir("packages")
	version := strings.TrimSpace(string(latest))
	for _, part := range []string{"core/" + version, "plugins", "themes", "wp-cli"} {
		if err := os.CopyFS(h.packages+"/"+part, os.DirFS(cache+"/"+part)); err != nil {
			return fmt.Errorf("copying the package source: %w", err)
		}
	}
	if err := os.WriteFile(h.packages+"/core/LATEST", latest, 0o644); err != nil {
		return fmt.Errorf("copying the package source: %w", err)
	}
	if h.maria, err = program("mariadb"); err != nil {
		return err
	}
	if h.db, err = sql.Open("mysql", h.stack.mariadb.DSN()); err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	_, err = h.db.Exec("CREATE DATABASE precious")
	if err == nil {
		_, err = h.db.Exec("CREATE TABLE precious.things AS SELECT 1 AS id, 'as it was' AS value")
	}
	if err != nil {
		return fmt.Errorf("making a database of nobody's: %w", err)
	}
	return nil
}

// makeKeys makes a key of the API for each tenant, and some that open nothing or little.
func (h *hostile) makeKeys(ctx context.Context) (err error) {
	if h.store, err = h.stack.open(ctx, h.stack.redis.URL(0), h.log); err != nil {
		return err
	}
	h.ledger, h.keys = queue.NewClient(h.store), map[string]string{}
	mallory, victim := h.mallory.account, h.victim.account
	for name, k := range map[string]queue.NewKey{
		"mallory": {Owner: mallory}, "victim": {Owner: victim},
		"reader":    {Owner: mallory, Permissions: []string{queue.PermRead}},
		"webhooks":  {Owner: mallory, Permissions: []string{queue.PermWebhooks}},
		"elsewhere": {Owner: mallory, IPWhitelist: []string{"192.0.2.0/24"}},
		"revoked":   {Owner: mallory},
	} {
		k.Name, k.RateLimit = name, demoRate
		made, secret, err := h.ledger.CreateKey(ctx, k)
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
		h.keys[name] = secret
		if name == "revoked" {
			if err := h.ledger.RevokeKey(ctx, mallory, made.ID); err != nil {
				return fmt.Errorf("revoking a key: %w", err)
			}
		}
	}
	return nil
}

// settle installs a site for each tenant; from then on everything is asked for by the attacker.
func (h *hostile) settle(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(h.sites))
	for i, s := range h.sites {
		wg.Go(func() {
			if errs[i] = s.demoSite.install(ctx, h.stack.client, silent{}); errs[i] == nil {
				s.id, s.password = s.op.ID, s.result.AdminPassword
				s.version = s.result.Version
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var err error
	if h.endpoints, err = h.documented(ctx); err != nil {
		return err
	}
	h.stack.client, err = newClient(h.stack.apiURL(), h.keys["mallory"])
	h.front.serve()
	return err
}

// razed takes down what e2e does not know of, and then everything else.
func (h *hostile) razed(keepLogs bool) error {
	var errs []error
	if h.canary != nil {
		errs = append(errs, h.canary.Close())
	}
	if h.store != nil {
		errs = append(errs, h.store.Close())
	}
	if h.db != nil {
		errs = append(errs, h.db.Close())
	}
	return errors.Join(append(errs, h.takeDown(keepLogs))...)
}
