package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// installRequest is the body of POST /wordpress/install. What is right for
// WordPress is judged by tasks.Install; here is what only the API knows.
type installRequest struct {
	Domain        string    `json:"domain,omitempty" example:"blog.com" doc:"Required."`
	DomainName    string    `json:"domain_name,omitempty" doc:"Another name of domain."`
	Path          string    `json:"path,omitempty" example:"public_html" doc:"Required. Relative to the domain's directory."`
	Title         string    `json:"title,omitempty" example:"My Blog"`
	AdminUser     string    `json:"admin_user,omitempty" example:"admin"`
	AdminPassword string    `json:"admin_password,omitempty" writeOnly:"true" doc:"Generated when left out, and shown once in the result."`
	AdminEmail    string    `json:"admin_email,omitempty" example:"me@blog.com"`
	DBName        string    `json:"db_name,omitempty" example:"blog_wp" doc:"A wish: the real name is in the result, and no other account can have it."`
	Version       string    `json:"version,omitempty" example:"latest"`
	Locale        string    `json:"locale,omitempty" example:"de_DE"`
	TablePrefix   string    `json:"table_prefix,omitempty" example:"wp_"`
	Plugins       []string  `json:"plugins,omitempty" maxItems:"100" nullable:"false"`
	Theme         string    `json:"theme,omitempty"`
	Multisite     multisite `json:"multisite,omitempty"`
	SSL           *bool     `json:"ssl,omitempty"`
	InstallMode   string    `json:"install_mode,omitempty" enum:"wp-cli,golden" doc:"wp-cli runs the real wp core install; golden fills in the rows that it leaves, which is faster, and falls back to it where that is not possible. The node's own when left out."`
	Node          string    `json:"node,omitempty" maxLength:"63" doc:"Needed only when several nodes have the domain. With provision: where to make it; the least loaded node that does so when left out."`
	Account       string    `json:"account,omitempty" maxLength:"32" doc:"Needed only when several accounts have the domain, and with provision."`
	Provision     bool      `json:"provision,omitempty" doc:"Make the account and the domain's directory first, as far as they are missing. For admin keys, on nodes that are set up for it."`
	OnExists      string    `json:"on_exists,omitempty" enum:"fail,return" doc:"When WordPress is there already; fail by default."`
	OnBusy        string    `json:"on_busy,omitempty" enum:"queue,fail" doc:"When another operation has the install; queue by default."`
	DryRun        bool      `json:"dry_run,omitempty" doc:"Only say what would be done."`
}

func (q *installRequest) domain() string {
	if q.Domain != "" {
		return strings.ToLower(q.Domain)
	}
	return strings.ToLower(q.DomainName)
}

func (q *installRequest) task() *tasks.Install {
	return &tasks.Install{
		Title: q.Title, AdminUser: q.AdminUser, AdminPassword: tasks.Secret(q.AdminPassword), AdminEmail: q.AdminEmail,
		DBName: q.DBName, Version: q.Version, Locale: q.Locale, TablePrefix: q.TablePrefix,
		Plugins: q.Plugins, Theme: q.Theme, Multisite: string(q.Multisite), SSL: q.SSL, Mode: q.InstallMode, Provision: q.Provision,
	}
}

type installInput struct {
	Body *installRequest
}

// Resolve checks the whole body before the handler runs, so that its problems
// come together with those of its types.
func (in *installInput) Resolve(huma.Context) []error {
	if in.Body == nil {
		in.Body = &installRequest{}
	}
	q := in.Body
	if q.domain() == "" || q.Path == "" {
		// These words are the published contract.
		missing := newProblem("VALIDATION_ERROR", fmt.Sprintf("Missing fields. Got: domain_name=%q, path=%q, db_name=%q, domain=%q",
			q.DomainName, q.Path, q.DBName, q.Domain))
		missing.Details = q.problems()
		return []error{missing}
	}
	var errs []error
	for _, p := range q.problems() {
		errs = append(errs, &huma.ErrorDetail{Location: "body." + p.Field, Message: p.Reason})
	}
	return errs
}

var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (q *installRequest) problems() []tasks.Problem {
	var all []tasks.Problem
	wrong := func(field, reason string) { all = append(all, tasks.Problem{Field: field, Reason: reason}) }
	switch domain := q.domain(); {
	case domain == "":
		wrong("domain", "is required")
	case len(domain) > 253 || !domainName.MatchString(domain):
		wrong("domain", "must be a domain name in ASCII (xn-- for others), such as blog.com")
	case q.Domain != "" && q.DomainName != "" && !strings.EqualFold(q.Domain, q.DomainName):
		wrong("domain_name", "is another name of domain; give one, or the same twice")
	}
	if q.Path == "" {
		wrong("path", "is required")
	} else if reason := badPath(q.Path); reason != "" {
		wrong("path", reason)
	}
	if q.Provision {
		if reason := tasks.ValidNewAccount(q.Account); reason != "" {
			wrong("account", reason)
		}
	}
	return append(all, q.task().Validate()...)
}

const pathLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// badPath says why a path cannot be a place below the domain's directory. The
// node looks again, at the real tree.
func badPath(p string) string {
	switch {
	case strings.HasPrefix(p, "/"):
		return "must be relative to the domain's directory, such as public_html"
	case len(p) > 255:
		return "must be at most 255 bytes"
	case strings.ContainsFunc(p, func(c rune) bool { return c < 0x20 || c == 0x7f || c == '\\' || c == utf8.RuneError }):
		return "must have no control characters and no backslash"
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." || strings.HasPrefix(part, ".") && part != "." {
			return "must not go up, and no part of it may begin with a dot"
		}
		// As the node has it (wp.ValidPath): whatever is done with it later, it is no flag and no pattern.
		if strings.HasPrefix(part, "-") || strings.Trim(part, pathLetters) != "" {
			return "must have only letters, digits, -, _ and . in it, and no part of it may begin with a hyphen"
		}
	}
	if path.Clean(p) == "." {
		return "must be a directory below the domain's directory, such as public_html"
	}
	return ""
}

// plan is what a dry run answers.
type plan struct {
	Node      string   `json:"node"`
	Account   string   `json:"account"`
	Domain    string   `json:"domain"`
	Path      string   `json:"path"`
	Generates []string `json:"generates" doc:"What is made up because the request leaves it out."`
	Provision bool     `json:"provision" doc:"Account and directory are made as far as they are missing."`
	Conflict  bool     `json:"conflict" doc:"WordPress is there already."`
}

// install answers POST /wordpress/install.
func (s *server) install(ctx context.Context, in *installInput) (*mutation, error) {
	q := in.Body
	exchangeOf(ctx).target = q.domain() + "/" + q.Path
	place, err := s.place(ctx, q)
	if err != nil {
		return nil, err
	}
	rel := path.Clean(q.Path)
	site := tasks.SiteRef{
		ID:   tasks.SiteID(place.Node, place.Account, q.domain(), rel),
		Node: place.Node, Account: place.Account, Domain: q.domain(), Path: rel,
	}
	node, err := s.servingNode(ctx, place.Node)
	if err != nil {
		return nil, err
	}
	if q.DryRun {
		return s.dryRun(ctx, q, site)
	}
	op, err := s.opOf(q.task(), site, node.Recipient)
	if err != nil {
		return nil, err
	}
	out, err := s.submit(ctx, queue.Submission{Op: op, FailIfBusy: q.OnBusy == "fail", FailIfExists: true})
	var exists *queue.ExistsError
	if errors.As(err, &exists) {
		return s.existing(ctx, q, site, err)
	}
	return out, err
}

// existing answers an install where WordPress is: with it, or with a conflict that shows it.
func (s *server) existing(ctx context.Context, q *installRequest, site tasks.SiteRef, cause error) (*mutation, error) {
	there, err := s.Ledger.Site(ctx, site.ID)
	if err != nil {
		return nil, err
	}
	view := viewSite(there)
	if q.OnExists != "return" {
		p := problemFor(ctx, cause)
		p.Install = &view
		return nil, p
	}
	return &mutation{Status: http.StatusOK, Location: apiBase + "/wordpress/installation?id=" + site.ID,
		Body: mutationBody{Success: true, ID: site.ID, Type: kindInstall, Install: &view}}, nil
}

func (s *server) dryRun(ctx context.Context, q *installRequest, site tasks.SiteRef) (*mutation, error) {
	would := &plan{Node: site.Node, Account: site.Account, Domain: site.Domain, Path: site.Path, Provision: q.Provision, Generates: []string{}}
	for name, value := range map[string]string{"admin_password": q.AdminPassword, "db_name": q.DBName} {
		if value == "" {
			would.Generates = append(would.Generates, name)
		}
	}
	_, err := s.Ledger.Site(ctx, site.ID)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return nil, err
	}
	would.Conflict = err == nil
	return &mutation{Status: http.StatusOK, Body: mutationBody{Success: true, ID: site.ID, Type: kindInstall, DryRun: true, Would: would}}, nil
}
