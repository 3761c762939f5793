package main

import (
	"context"
	"errors"
	"path"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// restoreInput is POST /wordpress/restore.
type restoreInput struct {
	Body restoreBody
}

type restoreBody struct {
	ID           string `json:"id" maxLength:"64" example:"wp_4e8a1b2c3d4e5f60" doc:"The install that the backup is of."`
	OnBusy       string `json:"on_busy,omitempty" enum:"queue,fail" doc:"When another operation has the install; queue by default."`
	TargetDomain string `json:"target_domain,omitempty" maxLength:"253" example:"staging.blog.com" doc:"Restore into the install of another domain of the account instead, on the same node. Addresses and paths are rewritten."`
	TargetPath   string `json:"target_path,omitempty" doc:"Relative to that domain's directory; public_html by default."`
	tasks.Restore
}

// Resolve names all problems of the body.
func (in *restoreInput) Resolve(huma.Context) []error {
	q := &in.Body
	all := q.Restore.Validate()
	if q.TargetPath != "" && q.TargetDomain == "" {
		all = append(all, tasks.Problem{Field: "target_path", Reason: "makes sense only with target_domain"})
	}
	if q.TargetDomain != "" {
		if !domainName.MatchString(q.place().domain()) {
			all = append(all, tasks.Problem{Field: "target_domain", Reason: "must be a domain name in ASCII (xn-- for others), such as staging.blog.com"})
		}
		if reason := badPath(q.place().Path); reason != "" {
			all = append(all, tasks.Problem{Field: "target_path", Reason: reason})
		}
	}
	errs := make([]error, len(all))
	for i, p := range all {
		errs[i] = &huma.ErrorDetail{Location: "body." + p.Field, Message: p.Reason}
	}
	return errs
}

// place is where another domain's install is, in the words of install.
func (q *restoreBody) place() *installRequest {
	to := &installRequest{Domain: q.TargetDomain, Path: q.TargetPath}
	if to.Path == "" {
		to.Path = "public_html"
	}
	return to
}

// restore answers POST /wordpress/restore. The operation is of the install that changes.
func (s *server) restore(ctx context.Context, in *restoreInput) (*mutation, error) {
	q := in.Body
	if q.TargetDomain == "" {
		return s.change(ctx, target{ID: q.ID, OnBusy: q.OnBusy}, &q.Restore)
	}
	exchangeOf(ctx).target = q.ID
	source, err := s.Ledger.Site(ctx, q.ID)
	if err == nil && !sees(ctx, source.Account) {
		err = queue.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	to := q.place()
	to.Node, to.Account = source.Node, source.Account
	place, err := s.locate(ctx, to)
	if err != nil {
		return nil, err
	}
	id := tasks.SiteID(place.Node, place.Account, to.domain(), path.Clean(to.Path))
	if _, err := s.Ledger.Site(ctx, id); errors.Is(err, queue.ErrNotFound) {
		return nil, newProblem("NOT_FOUND", "There is no WordPress at the target").
			hint("install one there first (POST %s/wordpress/install), then restore into it", apiBase)
	} else if err != nil {
		return nil, err
	}
	q.OtherSite = q.OtherSite || id != source.ID
	return s.change(ctx, target{ID: id, OnBusy: q.OnBusy}, &q.Restore)
}
