package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/wispanel/wptk/queue"
)

// installation is one install: first the published fields in their order, then
// what came later.
type installation struct {
	ID          string `json:"id" example:"wp_4e8a1b2c3d4e5f60"`
	Domain      string `json:"domain"`
	DomainID    int    `json:"domain_id" doc:"Always 0; kept for older clients."`
	Path        string `json:"path" doc:"The document root, absolute."`
	Version     string `json:"version"`
	SiteTitle   string `json:"site_title"`
	SiteURL     string `json:"site_url"`
	AdminURL    string `json:"admin_url"`
	DBName      string `json:"db_name"`
	DBUser      string `json:"db_user"`
	DBHost      string `json:"db_host"`
	TablePrefix string `json:"table_prefix"`
	Debug       bool   `json:"debug"`
	Multisite   bool   `json:"multisite"`

	Node       string `json:"node"`
	Account    string `json:"account"`
	PHPVersion string `json:"php_version"`
	Status     string `json:"status" enum:"ok,broken,suspended,unreadable"`
	Reason     string `json:"reason" doc:"Why the status is not ok."`
	Source     string `json:"source" enum:"install,scan" doc:"Made here, or found on disk."`
	UpdatedAt  stamp  `json:"updated_at"`
}

func viewSite(s queue.Site) installation {
	return installation{
		ID: s.ID, Domain: s.Domain, Path: s.Docroot, Version: s.Version, SiteTitle: s.Title,
		SiteURL: s.URL, AdminURL: s.AdminURL, DBName: s.DBName, DBUser: s.DBUser, DBHost: s.DBHost,
		TablePrefix: s.TablePrefix, Debug: s.Debug, Multisite: s.Multisite,
		Node: s.Node, Account: s.Account, PHPVersion: s.PHPVersion, Status: string(s.Status), Reason: s.Reason,
		Source: s.Source, UpdatedAt: stamp(s.UpdatedAt),
	}
}

type installationsInput struct {
	Domain  string `query:"domain" maxLength:"253"`
	Version string `query:"version" maxLength:"32"`
	Node    string `query:"node" maxLength:"63"`
	Query   string `query:"q" maxLength:"100" doc:"Part of a domain or title."`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor  string `query:"cursor" maxLength:"1024"`
}

type installationsAnswer struct {
	Link string `header:"Link" doc:"rel=next is the next page. A page may be short and still have a next."`
	Body []installation
}

func (s *server) listInstallations(ctx context.Context, in *installationsInput) (*installationsAnswer, error) {
	page, err := s.Ledger.Sites(ctx, queue.SiteFilter{
		Account: scopeOf(ctx), Domain: in.Domain, Version: in.Version, Node: in.Node, Query: in.Query,
		Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := &installationsAnswer{Body: viewSites(page.Items)}
	if page.Next != "" {
		out.Link = nextLink(apiBase+"/wordpress/installations", page.Next, url.Values{
			"domain": {in.Domain}, "version": {in.Version}, "node": {in.Node}, "q": {in.Query}, "limit": {fmt.Sprint(in.Limit)}})
	}
	return out, nil
}

func viewSites(sites []queue.Site) []installation {
	views := make([]installation, len(sites))
	for i, site := range sites {
		views[i] = viewSite(site)
	}
	return views
}

// Installation is exported for being embedded: encoders skip what is not.
type Installation = installation

type installationAnswer struct {
	ReadHeaders
	Body struct {
		Success bool `json:"success"`
		Installation
		Inspected
	}
}

func (s *server) getInstallation(ctx context.Context, in *readInput) (*installationAnswer, error) {
	r, err := s.read(ctx, *in)
	if err != nil {
		return nil, err
	}
	out := &installationAnswer{ReadHeaders: r.headers()}
	out.Body.Success, out.Body.Installation, out.Body.Inspected = true, viewSite(r.site), r.inspected()
	return out, nil
}

type statusAnswer struct {
	Body statusBody
}

type statusBody struct {
	WPCLI         bool           `json:"wp_cli_available"`
	Installations []installation `json:"installations" doc:"The first 100; GET /wordpress/installations has pages."`
	Counts        siteCounts     `json:"counts"`
	Nodes         []nodeStatus   `json:"nodes"`
	Versions      []string       `json:"versions" doc:"WordPress versions ready to install."`
}

// siteCounts are all installs that the caller may see.
type siteCounts struct {
	Total      int `json:"total"`
	OK         int `json:"ok"`
	Broken     int `json:"broken"`
	Suspended  int `json:"suspended"`
	Unreadable int `json:"unreadable"`
}

func (c *siteCounts) add(status queue.SiteStatus, n int) {
	c.Total += n
	switch status {
	case queue.SiteOK:
		c.OK += n
	case queue.SiteBroken:
		c.Broken += n
	case queue.SiteSuspended:
		c.Suspended += n
	case queue.SiteUnreadable:
		c.Unreadable += n
	}
}

// countSites counts the installs of an account page by page, the first of which is there.
// The whole fleet is not walked for that: its nodes have counted.
func (s *server) countSites(ctx context.Context, first queue.Page[queue.Site], nodes []queue.NodeInfo) (siteCounts, error) {
	var counts siteCounts
	if scopeOf(ctx) == "" {
		for _, n := range nodes {
			for status, number := range n.Statuses {
				counts.add(status, number)
			}
		}
		return counts, nil
	}
	for page := first; ; {
		for _, site := range page.Items {
			counts.add(site.Status, 1)
		}
		if page.Next == "" {
			return counts, nil
		}
		var err error
		if page, err = s.Ledger.Sites(ctx, queue.SiteFilter{Account: scopeOf(ctx), Limit: 1000, Cursor: page.Next}); err != nil {
			return siteCounts{}, err
		}
	}
}

// nodeStatus is what everybody may know of a node; the rest is for admins.
type nodeStatus struct {
	ID    string          `json:"id"`
	State queue.NodeState `json:"state" enum:"up,draining,lost"`
	WPCLI string          `json:"wp_cli,omitempty"`
	PHP   string          `json:"php_version,omitempty"`
	Sites int             `json:"installations,omitempty"`
}

func (s *server) status(ctx context.Context, _ *struct{}) (*statusAnswer, error) {
	page, err := s.Ledger.Sites(ctx, queue.SiteFilter{Account: scopeOf(ctx), Limit: 100})
	if err != nil {
		return nil, err
	}
	nodes, err := s.Ledger.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := s.countSites(ctx, page, nodes)
	if err != nil {
		return nil, err
	}
	body := statusBody{Installations: viewSites(page.Items), Counts: counts, Nodes: []nodeStatus{}}
	admin := scopeOf(ctx) == ""
	seen := map[string]bool{}
	for _, n := range nodes {
		v := nodeStatus{ID: n.ID, State: n.State}
		if admin {
			v.WPCLI, v.PHP, v.Sites = n.WPCLI, n.PHP, n.Sites
		}
		body.Nodes = append(body.Nodes, v)
		if n.State == queue.NodeLost {
			continue
		}
		body.WPCLI = body.WPCLI || n.WPCLI != ""
		for _, version := range n.WordPress {
			seen[version] = true
		}
	}
	body.Versions = newestFirst(seen)
	return &statusAnswer{Body: body}, nil
}
