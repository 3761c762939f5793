package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/deploy/devstack"
)

const e2eNode = "e2e"

//go:embed e2e_probe.php
var probe []byte

// up starts servers, tenants, the API and the node.
func (e *e2e) up(ctx context.Context) error {
	bins, err := e.programs(ctx)
	if err != nil {
		return err
	}
	e.tell("Starting Redis, MariaDB, the API and a node in %s.", e.state.dir())
	if err := e.furnish(ctx); err != nil {
		return err
	}
	if err := e.stack.servers(ctx); err != nil {
		return err
	}
	// Not the toolkit's own: a cache throws away what it has no room for.
	if e.cache, err = devstack.Redis(ctx, devstack.RedisOptions{Dir: e.state.dir("cache")}); err != nil {
		return err
	}
	if e.key, err = e.stack.makeKey(ctx, e.log); err != nil {
		return err
	}
	if err := errors.Join(e.stack.processes(ctx, bins, nil, !e.root), e.stack.secret("cache-password", e.cache.Password)); err != nil {
		return err
	}
	provision := []string{}
	if e.root {
		provision = []string{"--provision"}
	}
	err = e.stack.worker(bins, e.demo.sites[0], !e.root, append(provision, "--slots-fast", "4",
		"--object-cache-url", "redis://"+e.cache.Addr+"/0", "--object-cache-password-file", e.state.dir("cache-password"),
		"--php-socket", filepath.Join(e.pools(), "{account}.sock"))...)
	if err != nil {
		return err
	}
	if e.stack.client, err = newClient(e.stack.apiURL(), e.key); err != nil {
		return err
	}
	if err := e.stack.await(ctx, "the API", e.stack.readyz); err != nil {
		return err
	}
	e.front.serve()
	return e.stack.await(ctx, "the node", func(ctx context.Context) error { return e.stack.nodesUp(ctx, e.demo.sites[:1]) })
}

// furnish makes the folders and, for each version, a tenant with a domain.
func (e *e2e) furnish(ctx context.Context) (err error) {
	for _, dir := range []string{e.state.dir("log"), e.pools()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("making folders: %w", err)
		}
	}
	for name, content := range map[string][]byte{"router.php": router, "probe.php": probe} {
		if err := os.WriteFile(e.state.dir(name), content, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	if err := e.resolveVersions(); err != nil {
		return err
	}
	if e.front, err = newFront(); err != nil {
		return err
	}
	for _, version := range e.cmd.Versions {
		s := &demoSite{node: e2eNode, account: newUserName(), title: "End & end " + version,
			domain: "wp-" + strings.ReplaceAll(version, ".", "-") + ".localhost"}
		if err := e.makeSite(ctx, s); err != nil {
			return fmt.Errorf("making the tenant of %s: %w", version, err)
		}
		s.php, s.port = s.addr(), e.front.port()
		e.front.sites[strings.TrimPrefix(s.url(), "http://")] = &url.URL{Scheme: "http", Host: s.php}
		e.demo.sites = append(e.demo.sites, s)
		e.sites = append(e.sites, &e2eSite{demoSite: s, e2e: e, version: version})
	}
	return nil
}

// pools is where the PHP of accounts listens, when a row has one.
func (e *e2e) pools() string { return e.state.dir("pools") }

// resolveVersions looks up which version is the latest.
func (e *e2e) resolveVersions() error {
	packages, err := devstack.Cache()
	if err != nil {
		return err
	}
	for i, version := range e.cmd.Versions {
		if version != "latest" {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(packages, "core", "LATEST"))
		if err != nil {
			return fmt.Errorf("looking up the latest version: %w", err)
		}
		e.cmd.Versions[i] = strings.TrimSpace(string(raw))
	}
	return nil
}

// takeDown ends what the demo does not know of, and then everything else.
func (e *e2e) takeDown(keepLogs bool) error {
	var err error
	if e.browser != nil {
		err = e.browser.Close()
	}
	if e.front != nil {
		err = errors.Join(err, e.front.close())
	}
	if e.cache != nil {
		err = errors.Join(err, e.cache.Stop())
	}
	return errors.Join(err, e.down(keepLogs))
}
