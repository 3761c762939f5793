package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
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
	memory     *memory
	inspector  *inspector

	// known is what the last scan found, or an earlier worker has published, by domain
	// directory. A domain that could not be looked at to the end keeps its installs.
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
	if err := v.remember(ctx); err != nil {
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
		found[f.Site.Home] = append(found[f.Site.Home], v.record(f.Site, facts[i]))
	}
	return v.publish(ctx, began, found, report)
}

// remember reads, once, what an earlier worker has published: without it nothing that
// this one cannot see could be told from what is gone.
func (v *inventory) remember(ctx context.Context) error {
	if v.known != nil {
		return nil
	}
	all, err := v.node.KnownSites(ctx)
	if err != nil {
		return err
	}
	known := make(map[string][]queue.Site)
	for _, k := range all {
		v.memory.load(k)
		known[homeOf(k.Site)] = append(known[homeOf(k.Site)], k.Site)
	}
	v.known = known
	return nil
}

// homeOf is the domain's directory.
func homeOf(s queue.Site) string {
	if s.Path == "" {
		return s.Docroot
	}
	return strings.TrimSuffix(s.Docroot, "/"+s.Path)
}

// publish writes the installs of a scan.
func (v *inventory) publish(ctx context.Context, began time.Time, found map[string][]queue.Site, report wp.ScanReport) error {
	for _, d := range report.Incomplete {
		if len(found[d.Dir]) < len(v.known[d.Dir]) {
			found[d.Dir] = v.known[d.Dir]
		}
	}
	for _, c := range report.Closed {
		found[c.Domain.Dir] = replaced(found[c.Domain.Dir], v.behind(c))
	}
	var all []queue.Site
	for _, sites := range found {
		all = append(all, sites...)
	}
	if err := v.node.PublishSites(ctx, began, all); err != nil {
		return err
	}
	v.known = found
	v.memory.only(all, began)
	v.inspector.schedule(all)
	return nil
}

// replaced is the list with others in place of those of the same id, or behind it.
func replaced(list, others []queue.Site) []queue.Site {
	return append(slices.DeleteFunc(slices.Clone(list), func(old queue.Site) bool {
		return slices.ContainsFunc(others, func(other queue.Site) bool { return other.ID == old.ID })
	}), others...)
}

// behind lists the known installs at and below a closed directory.
func (v *inventory) behind(c wp.ClosedDir) []queue.Site {
	var sites []queue.Site
	for _, site := range v.known[c.Domain.Dir] {
		if c.Path != "" && site.Path != c.Path && !strings.HasPrefix(site.Path, c.Path+"/") {
			continue
		}
		site.Status, site.Reason = queue.SiteUnreadable, "its directory cannot be entered"
		if c.Suspended || c.Domain.Suspended {
			site.Status, site.Reason = queue.SiteSuspended, "its directory is closed"
		}
		site.UpdatedAt = time.Now()
		sites = append(sites, site)
	}
	return sites
}

// after looks at the install of an op that has ended, so that the list is right by the
// time the op is seen as done.
func (v *inventory) after(ctx context.Context, op tasks.Op, end tasks.State, run *tasks.Run) error {
	id := op.Site.ID
	if errors.Is(run.Missing, wp.ErrNoDomain) {
		return v.gone(ctx, id)
	}
	if run.Missing != nil {
		return fmt.Errorf("looking at install: %w", run.Missing)
	}
	found, err := v.host.Files.Look(ctx, run.Site)
	if errors.Is(err, fs.ErrNotExist) {
		return v.gone(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("looking at install: %w", err)
	}
	facts, err := wp.Inspect(ctx, v.host, found)
	if err != nil {
		return err
	}
	if makesSite(op.Kind) && (end == tasks.Succeeded || end == tasks.Unverified) {
		v.memory.made(id)
	}
	if op.Kind == kindInstall && (end == tasks.Succeeded || end == tasks.Unverified) {
		if err := v.host.ForgetMeasures(ctx, id); err != nil { // of another install, in the same place
			return err
		}
	}
	site := v.record(found.Site, facts[0])
	if run.Inspected != nil {
		return v.keep(ctx, site, *run.Inspected)
	}
	if err := v.node.SpoilDetails(ctx, id); err != nil {
		return err
	}
	v.inspector.soon(site)
	return v.node.PutSite(ctx, site)
}

const (
	kindInstall = "install"
	kindClone   = "clone"
)

// makesSite: the op's install is a new one.
func makesSite(kind string) bool { return kind == kindInstall || kind == kindClone }

func (v *inventory) gone(ctx context.Context, id string) error {
	v.memory.forget(id)
	v.inspector.forget(id)
	return errors.Join(v.host.ForgetMeasures(ctx, id), v.node.RemoveSite(ctx, id))
}

// keep publishes what an inspection found, and what it means for the list.
func (v *inventory) keep(ctx context.Context, listed queue.Site, d wp.Details) error {
	facts, err := d.Encode()
	if err != nil {
		return err
	}
	seen := seenBy(listed, d)
	if err := v.node.PutSite(ctx, v.memory.saw(seen)); err != nil {
		return err
	}
	v.inspector.done(seen, d.ReadAt)
	return v.node.PutDetails(ctx, listed.ID, queue.Details{At: d.ReadAt, Seen: seen, Facts: facts})
}

// record is an install as the list shows it: what files and tables say, completed by what
// the last inspection has seen.
func (v *inventory) record(site wp.Site, f wp.Facts) queue.Site {
	return v.memory.complete(queue.Site{
		SiteRef: tasks.SiteRef{
			ID:   tasks.SiteID(v.host.Node, site.Account, site.Domain, site.Path),
			Node: v.host.Node, Account: site.Account, Domain: site.Domain, Path: site.Path,
		},
		Status: queue.SiteStatus(f.Status), Reason: f.Reason, Docroot: site.Docroot,
		Version: f.Version, Title: f.Title, URL: f.URL, AdminURL: f.AdminURL,
		DBName: f.DBName, DBUser: f.DBUser, DBHost: f.DBHost, TablePrefix: f.TablePrefix,
		Debug: f.Debug, Multisite: f.Multisite, PHPVersion: v.phpVersion,
		UpdatedAt: time.Now(),
	})
}

func domainsOf(node string, dirs []wp.DomainDir) []queue.Domain {
	domains := make([]queue.Domain, len(dirs))
	for i, d := range dirs {
		domains[i] = queue.Domain{Node: node, Account: d.Account, Domain: d.Domain}
	}
	return domains
}
