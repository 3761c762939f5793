package main

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/tasks"
)

// deleteInput is DELETE /wordpress/delete. A body on DELETE gets lost on the way through some
// clients and proxies, so all of it may be in the query instead; what is in both must agree.
type deleteInput struct {
	ID            string      `query:"id" maxLength:"64" doc:"The install; here or in the body."`
	KeepDatabase  string      `query:"keep_database" enum:"true,false"`
	KeepBackup    string      `query:"keep_backup" enum:"true,false" doc:"true when left out."`
	IncludeNested string      `query:"include_nested" enum:"true,false"`
	DryRun        string      `query:"dry_run" enum:"true,false"`
	OnBusy        string      `query:"on_busy" enum:"queue,fail"`
	Body          *deleteBody // none at all is fine

	target target
	task   tasks.SiteDelete
}

type deleteBody struct {
	ID     string `json:"id,omitempty" maxLength:"64" example:"wp_4e8a1b2c3d4e5f60" doc:"The install; here or in the query."`
	OnBusy string `json:"on_busy,omitempty" enum:"queue,fail" doc:"When another operation has the install; queue by default."`
	tasks.SiteDelete
}

// Resolve makes one request of both places.
func (in *deleteInput) Resolve(huma.Context) []error {
	body := deleteBody{}
	if in.Body != nil {
		body = *in.Body
	}
	var errs []error
	text := func(field, query, body string) string {
		if query != "" && body != "" && query != body {
			errs = append(errs, &huma.ErrorDetail{Location: "query." + field, Message: "is another one in the body"})
		}
		if query != "" {
			return query
		}
		return body
	}
	in.target = target{ID: text("id", in.ID, body.ID), OnBusy: text("on_busy", in.OnBusy, body.OnBusy)}
	if in.target.ID == "" {
		errs = append(errs, &huma.ErrorDetail{Location: "body.id", Message: "is required, here or in the query"})
	}
	// A false in the body cannot be told from none, and means the same.
	flag := func(field, query string, body bool) bool {
		if query == "false" && body {
			errs = append(errs, &huma.ErrorDetail{Location: "query." + field, Message: "is another one in the body"})
		}
		return body || query == "true"
	}
	in.task = tasks.SiteDelete{
		KeepDatabase:  flag("keep_database", in.KeepDatabase, body.KeepDatabase),
		IncludeNested: flag("include_nested", in.IncludeNested, body.IncludeNested),
		DryRun:        flag("dry_run", in.DryRun, body.DryRun),
		KeepBackup:    body.KeepBackup,
	}
	if in.KeepBackup != "" {
		keep := in.KeepBackup == "true"
		if body.KeepBackup != nil && *body.KeepBackup != keep {
			errs = append(errs, &huma.ErrorDetail{Location: "query.keep_backup", Message: "is another one in the body"})
		}
		in.task.KeepBackup = &keep
	}
	return errs
}

// deleteSite answers DELETE /wordpress/delete.
func (s *server) deleteSite(ctx context.Context, in *deleteInput) (*mutation, error) {
	return s.change(ctx, in.target, &in.task)
}
