package main

import (
	"sync"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/wp"
)

// memory is what is known of the node's installs beyond what a scan sees: who made
// them, and how they looked to the last inspection. Scan, ops and inspector share it.
type memory struct {
	mu    sync.Mutex
	sites map[string]remembered
}

type remembered struct {
	source string
	scan   queue.Site // what files and tables said last
	url    string     // that the list shows
	seen   queue.Site // by the last inspection; Status is empty before the first
	at     time.Time  // of the inspection that an earlier worker has published
	stale  bool       // and an op has changed the install since

	touched time.Time
}

func newMemory() *memory { return &memory{sites: map[string]remembered{}} }

func (m *memory) change(id string, fn func(*remembered)) remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.sites[id]
	r.touched = time.Now()
	fn(&r)
	m.sites[id] = r
	return r
}

func (m *memory) load(k queue.Known) {
	m.change(k.Site.ID, func(r *remembered) {
		r.source, r.url = k.Site.Source, k.Site.URL
		r.seen, r.at, r.stale = k.Details.Seen, k.Details.At, k.Details.Stale
	})
}

func (m *memory) get(id string) remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sites[id]
}

func (m *memory) made(id string) {
	m.change(id, func(r *remembered) { r.source = queue.SourceInstall })
}

// saw takes in an inspection, and answers the install as the list shows it from now on.
func (m *memory) saw(seen queue.Site) queue.Site {
	return m.change(seen.ID, func(r *remembered) {
		r.seen = seen
		if r.scan.ID == "" {
			r.scan = seen
		}
	}).listed()
}

func (m *memory) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sites, id)
}

// only forgets all installs but these, which a scan has found, and those that an op has
// made since it began.
func (m *memory) only(sites []queue.Site, began time.Time) {
	there := make(map[string]bool, len(sites))
	for _, site := range sites {
		there[site.ID] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.sites {
		if !there[id] && r.touched.Before(began) {
			delete(m.sites, id)
		}
	}
}

// addressed gives a site the address that it is known under. A network answers to no
// other, and an install may well be served under another name than its directory's.
func (m *memory) addressed(site wp.Site) wp.Site {
	if known, err := site.WithURL(m.get(site.ID).url); err == nil {
		return known
	}
	return site
}

// complete takes in what files and tables say now, and answers the install as the list shows it.
func (m *memory) complete(scan queue.Site) queue.Site {
	var listed queue.Site
	m.change(scan.ID, func(r *remembered) {
		if r.source == "" {
			r.source = queue.SourceScan
		}
		r.scan = scan
		listed = r.listed()
		r.url = listed.URL
	})
	return listed
}

// listed adds to what a scan sees what only a start of WordPress can tell: that its code
// is broken, and what a configuration that computes its values comes to.
func (r remembered) listed() queue.Site {
	out, scan, seen := r.scan, r.scan, r.seen
	switch {
	case scan.Status == queue.SiteOK && seen.Status == queue.SiteBroken:
		out.Status, out.Reason = seen.Status, seen.Reason
	case scan.Status == queue.SiteUnreadable && (seen.Status == queue.SiteOK || seen.Status == queue.SiteBroken):
		out = seen
		out.SiteRef, out.Docroot, out.PHPVersion, out.UpdatedAt = scan.SiteRef, scan.Docroot, scan.PHPVersion, scan.UpdatedAt
	}
	out.Source = r.source
	return out
}

// seenBy is the install as an inspection has seen it; listed fills in what it has not.
func seenBy(listed queue.Site, d wp.Details) queue.Site {
	seen := listed
	seen.Status, seen.Reason, seen.UpdatedAt = queue.SiteStatus(d.Status), d.Reason, d.ReadAt
	if c := d.Core; c != nil && c.Version != "" {
		seen.Version, seen.Multisite = c.Version, c.Multisite
	}
	if o := d.Options; o != nil {
		seen.Title = o.BlogName
		if o.Home != "" && o.SiteURL != "" {
			seen.URL, seen.AdminURL = o.Home, o.SiteURL+"/wp-admin/"
		}
	}
	if db := d.Database; db != nil {
		seen.DBName, seen.DBUser, seen.DBHost, seen.TablePrefix = db.Name, db.User, db.Host, db.Prefix
	}
	if s := d.Security; s != nil {
		seen.Debug = s.Constants["WP_DEBUG"] == true
	}
	return seen
}
