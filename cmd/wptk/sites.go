package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type sitesCmd struct {
	List sitesListCmd `cmd:"" help:"All installs that the key may see."`
	Show sitesShowCmd `cmd:"" help:"One install."`
}

// installation is what the API says about an install.
type installation struct {
	ID          string    `json:"id"`
	Domain      string    `json:"domain"`
	Path        string    `json:"path"`
	Version     string    `json:"version"`
	SiteTitle   string    `json:"site_title"`
	SiteURL     string    `json:"site_url"`
	AdminURL    string    `json:"admin_url"`
	DBName      string    `json:"db_name"`
	DBUser      string    `json:"db_user"`
	DBHost      string    `json:"db_host"`
	TablePrefix string    `json:"table_prefix"`
	Debug       bool      `json:"debug"`
	Multisite   bool      `json:"multisite"`
	Node        string    `json:"node"`
	Account     string    `json:"account"`
	PHPVersion  string    `json:"php_version"`
	Status      string    `json:"status"`
	Reason      string    `json:"reason"`
	Source      string    `json:"source"`
	UpdatedAt   time.Time `json:"updated_at"`
}

type sitesListCmd struct {
	Domain string `help:"Only of this domain." env:"-"`
	Core   string `name:"version" help:"Only with this WordPress version." env:"-"`
	Node   string `help:"Only on this node." env:"-"`
	Search string `help:"Part of a domain or title." env:"-"`
	paging
}

// Run prints the list.
func (cmd *sitesListCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	query := filter("domain", cmd.Domain, "version", cmd.Core, "node", cmd.Node, "q", cmd.Search)
	var rows [][]string
	err = cmd.each(query, func(q url.Values) (int, string, error) {
		var page []installation
		got, err := c.get(ctx, "/wordpress/installations", q, &page)
		if err != nil {
			return 0, "", err
		}
		if a.json {
			return len(page), nextCursor(got.header), a.line(got.raw)
		}
		for _, s := range page {
			rows = append(rows, []string{clean(s.ID), a.status(s.Status), orDash(s.Version), orDash(s.Account),
				orDash(s.Node), ago(a.now(), s.UpdatedAt), orDash(s.SiteURL), orDash(s.SiteTitle)})
		}
		return len(page), nextCursor(got.header), nil
	})
	if err != nil || a.json {
		return err
	}
	return a.table("INSTALL STATUS VERSION ACCOUNT NODE SEEN URL TITLE", rows)
}

// nextCursor reads the cursor in a Link header with rel="next" (RFC 8288).
func nextCursor(h http.Header) string {
	for _, link := range h.Values("Link") {
		target, params, ok := strings.Cut(link, ">")
		if !ok || !strings.Contains(params, `rel="next"`) {
			continue
		}
		if u, err := url.Parse(strings.TrimPrefix(strings.TrimSpace(target), "<")); err == nil {
			return u.Query().Get("cursor")
		}
	}
	return ""
}

type sitesShowCmd struct {
	ID string `arg:"" help:"Install (wp_…)."`
}

// Run prints one install.
func (cmd *sitesShowCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var s installation
	got, err := c.get(ctx, "/wordpress/installation", url.Values{"id": {cmd.ID}}, &s)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	return a.facts("install", clean(s.ID), "status", a.status(s.Status), "reason", clean(s.Reason),
		"title", clean(s.SiteTitle), "site", clean(s.SiteURL), "admin", clean(s.AdminURL),
		"version", clean(s.Version), "php", clean(s.PHPVersion), "multisite", yes(s.Multisite), "debug", yes(s.Debug),
		"node", clean(s.Node), "account", clean(s.Account), "directory", clean(s.Path),
		"database", clean(s.DBName), "db user", clean(s.DBUser), "db host", clean(s.DBHost), "prefix", clean(s.TablePrefix),
		"source", clean(s.Source), "seen", ago(a.now(), s.UpdatedAt))
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
