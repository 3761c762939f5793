package main

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// cloneRequest is the body of POST /wordpress/clone: which install, and where its copy goes.
type cloneRequest struct {
	SourceID     string          `json:"source_id" maxLength:"64" example:"wp_4e8a1b2c3d4e5f60" doc:"The install to copy. It is only read."`
	TargetDomain string          `json:"target_domain" maxLength:"253" example:"staging.blog.com" doc:"A domain that has a directory on a node, like that of an install."`
	TargetPath   string          `json:"target_path,omitempty" example:"public_html" doc:"Relative to the domain's directory; public_html by default. It must be empty, or not there yet."`
	Node         string          `json:"node,omitempty" maxLength:"63" doc:"Needed only when several nodes have the domain."`
	Account      string          `json:"account,omitempty" maxLength:"32" doc:"Needed only when several accounts have the domain."`
	Title        string          `json:"title,omitempty" doc:"The original's by default."`
	DBName       string          `json:"db_name,omitempty" doc:"A wish, as for install."`
	SSL          *bool           `json:"ssl,omitempty" doc:"https in the copy's address; the node's form of addresses by default."`
	Staging      *bool           `json:"staging,omitempty" doc:"Send no mail, and ask search engines to stay away. By default so for a copy on the original's domain or a subdomain of it, not on another domain."`
	Select       tasks.Selection `json:"select,omitzero" doc:"Leaves files of wp-content and tables out; WordPress itself with its own tables is always copied."`
	OnExists     string          `json:"on_exists,omitempty" enum:"fail,return" doc:"When WordPress is at the target already; fail by default."`
	OnBusy       string          `json:"on_busy,omitempty" enum:"queue,fail" doc:"When another operation has the target; queue by default."`
	DryRun       bool            `json:"dry_run,omitempty" doc:"Only say where the copy would go."`
}

// target is where the copy goes, in the words of install, whose rules hold for it.
func (q *cloneRequest) target() *installRequest {
	to := &installRequest{Domain: q.TargetDomain, Path: q.TargetPath, Node: q.Node, Account: q.Account, OnExists: q.OnExists}
	if to.Path == "" {
		to.Path = "public_html"
	}
	return to
}

func (q *cloneRequest) task(source tasks.SiteRef) *tasks.Clone {
	return &tasks.Clone{Source: source, Title: q.Title, DBName: q.DBName, SSL: q.SSL, Staging: q.Staging, Select: q.Select}
}

type cloneInput struct {
	Body cloneRequest
}

// Resolve names all problems of the body together with those of its types.
func (in *cloneInput) Resolve(huma.Context) []error {
	q := &in.Body
	var all []tasks.Problem
	for _, p := range q.task(tasks.SiteRef{}).Validate() {
		if p.Field != "source_id" { // looked up, and not found when it is no id
			all = append(all, p)
		}
	}
	if domain := strings.ToLower(q.TargetDomain); len(domain) > 253 || !domainName.MatchString(domain) {
		all = append(all, tasks.Problem{Field: "target_domain", Reason: "must be a domain name in ASCII (xn-- for others), such as staging.blog.com"})
	}
	if reason := badPath(q.target().Path); reason != "" {
		all = append(all, tasks.Problem{Field: "target_path", Reason: reason})
	}
	errs := make([]error, len(all))
	for i, p := range all {
		errs[i] = &huma.ErrorDetail{Location: "body." + p.Field, Message: p.Reason}
	}
	return errs
}

// clone answers POST /wordpress/clone. The caller must see both ends; the operation is the
// target's.
func (s *server) clone(ctx context.Context, in *cloneInput) (*mutation, error) {
	q := in.Body
	exchangeOf(ctx).target = q.SourceID
	source, err := s.seen(ctx, q.SourceID)
	if err != nil {
		return nil, err
	}
	to := q.target()
	place, err := s.locate(ctx, to)
	if err != nil {
		return nil, err
	}
	rel := path.Clean(to.Path)
	site := tasks.SiteRef{
		ID:   tasks.SiteID(place.Node, place.Account, to.domain(), rel),
		Node: place.Node, Account: place.Account, Domain: to.domain(), Path: rel,
	}
	if site.ID == source.ID {
		return nil, invalid(tasks.Problem{Field: "target_domain", Reason: "with this target_path is the original itself"})
	}
	if site.Node != source.Node { // which the clone asks for a backup
		if _, err := s.servingNode(ctx, source.Node); err != nil {
			return nil, err
		}
	}
	node, err := s.servingNode(ctx, place.Node)
	if err != nil {
		return nil, err
	}
	if q.DryRun {
		return s.cloneDryRun(ctx, q, site)
	}
	op, err := s.opOf(q.task(source.SiteRef), site, node.Recipient)
	if err != nil {
		return nil, err
	}
	out, err := s.submit(ctx, queue.Submission{Op: op, FailIfBusy: q.OnBusy == "fail", FailIfExists: true})
	var exists *queue.ExistsError
	if errors.As(err, &exists) {
		return s.existing(ctx, to, site, err)
	}
	return out, err
}

// seen is an install of the inventory that the caller may see.
func (s *server) seen(ctx context.Context, id string) (queue.Site, error) {
	site, err := s.Ledger.Site(ctx, id)
	if err == nil && !sees(ctx, site.Account) {
		err = queue.ErrNotFound
	}
	return site, err
}

func (s *server) cloneDryRun(ctx context.Context, q cloneRequest, site tasks.SiteRef) (*mutation, error) {
	would := &plan{Node: site.Node, Account: site.Account, Domain: site.Domain, Path: site.Path, Generates: []string{}}
	if q.DBName == "" {
		would.Generates = append(would.Generates, "db_name")
	}
	_, err := s.Ledger.Site(ctx, site.ID)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return nil, err
	}
	would.Conflict = err == nil
	return &mutation{Status: http.StatusOK, Body: mutationBody{Success: true, ID: site.ID, Type: kindClone, DryRun: true, Would: would}}, nil
}
