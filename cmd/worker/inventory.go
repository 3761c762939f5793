package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

// inventory keeps what Redis says about this node's domains and installs true:
// made, changed, moved or deleted by hand or by another panel.
type inventory struct {
	host       *wp.Host
	node       *queue.Node
	phpVersion string
	every      time.Duration
	log        *slog.Logger

	// known is what the last scan found, by domain directory. A domain that could
	// not be looked at to the end keeps its installs. Nil before the first scan.
	known map[string][]queue.Site
}

// run scans at start, at every tick and when somebody asks, until ctx ends. A
// scan that fails is logged; what was known stays.
func (v *inventory) run(ctx context.Context) error {
	tick := time.NewTicker(v.every)
	defer tick.Stop()
	for {
		if err := v.scan(ctx); err != nil && ctx.Err() == nil {
			v.log.Error("scanning site directories", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-v.node.Rescan():
		}
	}
}

func (v *inventory) scan(ctx context.Context) error {
	began := time.Now()
	census, err := v.host.Layout.Census()
	if err != nil {
		return err
	}
	for _, skipped := range census.Skipped {
		v.log.Debug("passing over a directory", "err", skipped)
	}
	// Domains first: a request for a new one waits for exactly this.
	if err := v.node.PublishDomains(ctx, domainsOf(v.host.Node, census.Domains)); err != nil {
		return err
	}
	report := v.host.Files.Scan(ctx, census.Domains)
	for _, odd := range report.Errs {
		v.log.Warn("scanning a domain", "err", odd)
	}
	facts, err := wp.Inspect(ctx, v.host, report.Found...)
	if err != nil {
		return err
	}
	found := make(map[string][]queue.Site)
	for i, f := range report.Found {
		found[f.Site.Home] = append(found[f.Site.Home], v.record(f.Site, facts[i], queue.SourceScan))
	}
	return v.publish(ctx, began, found, report.Incomplete)
}

// publish writes the installs of a scan. Before anything is known of a domain
// that was not seen to the end, nothing can be taken for gone: then installs are
// only added.
func (v *inventory) publish(ctx context.Context, began time.Time, found map[string][]queue.Site, incomplete []wp.DomainDir) error {
	for _, d := range incomplete {
		if v.known == nil {
			return v.add(ctx, found)
		}
		if len(found[d.Dir]) < len(v.known[d.Dir]) {
			found[d.Dir] = v.known[d.Dir]
		}
	}
	var all []queue.Site
	for _, sites := range found {
		all = append(all, sites...)
	}
	if err := v.node.PublishSites(ctx, began, all); err != nil {
		return err
	}
	v.known = found
	return nil
}

func (v *inventory) add(ctx context.Context, found map[string][]queue.Site) error {
	for _, sites := range found {
		for _, site := range sites {
			if err := v.node.PutSite(ctx, site); err != nil {
				return err
			}
		}
	}
	return nil
}

// refresh looks at one install that an op has made or changed, so that it is
// listed by the time the op is seen as done.
func (v *inventory) refresh(ctx context.Context, site wp.Site) error {
	found, err := v.host.Files.Look(ctx, site)
	if err != nil {
		return fmt.Errorf("looking at install: %w", err)
	}
	facts, err := wp.Inspect(ctx, v.host, found)
	if err != nil {
		return err
	}
	return v.node.PutSite(ctx, v.record(found.Site, facts[0], queue.SourceInstall))
}

func (v *inventory) record(site wp.Site, f wp.Facts, source string) queue.Site {
	return queue.Site{
		SiteRef: tasks.SiteRef{
			ID:   tasks.SiteID(v.host.Node, site.Account, site.Domain, site.Path),
			Node: v.host.Node, Account: site.Account, Domain: site.Domain, Path: site.Path,
		},
		Status: queue.SiteStatus(f.Status), Reason: f.Reason, Docroot: site.Docroot,
		Version: f.Version, Title: f.Title, URL: f.URL, AdminURL: f.AdminURL,
		DBName: f.DBName, DBUser: f.DBUser, DBHost: f.DBHost, TablePrefix: f.TablePrefix,
		Debug: f.Debug, Multisite: f.Multisite, PHPVersion: v.phpVersion, Source: source,
		UpdatedAt: time.Now(),
	}
}

func domainsOf(node string, dirs []wp.DomainDir) []queue.Domain {
	domains := make([]queue.Domain, len(dirs))
	for i, d := range dirs {
		domains[i] = queue.Domain{Node: node, Account: d.Account, Domain: d.Domain}
	}
	return domains
}
