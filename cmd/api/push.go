package main

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// pushRequest is the body of POST /wordpress/push.
type pushRequest struct {
	SourceID   string          `json:"source_id" maxLength:"64" example:"wp_4e8a1b2c3d4e5f60" doc:"The install that has what is pushed, mostly a staging copy. It is only read."`
	TargetID   string          `json:"target_id" maxLength:"64" example:"wp_4e8a1b2c3d4e5f61" doc:"The install that gets it. Its configuration, keys and people stay."`
	Select     tasks.Selection `json:"select,omitzero" doc:"What is pushed. Left out: languages, plugins, themes and uploads, and all tables but users and usermeta. What is named alone is pushed alone."`
	Checkpoint *bool           `json:"checkpoint,omitempty" doc:"Make a backup of the target first; true when left out."`
	DryRun     bool            `json:"dry_run,omitempty" doc:"Only tell what would be pushed."`
	OnBusy     string          `json:"on_busy,omitempty" enum:"queue,fail" doc:"When another operation has the target; queue by default."`
}

type pushInput struct {
	Body pushRequest
}

// Resolve names all problems of the body together with those of its types. Ids are looked up,
// and not found when they are none.
func (in *pushInput) Resolve(huma.Context) []error {
	q := in.Body
	var errs []error
	for _, p := range (&tasks.Push{Select: q.Select}).Validate() {
		if p.Field != "source_id" {
			errs = append(errs, &huma.ErrorDetail{Location: "body." + p.Field, Message: p.Reason})
		}
	}
	if q.SourceID == q.TargetID && q.SourceID != "" {
		errs = append(errs, &huma.ErrorDetail{Location: "body.target_id", Message: "is the source itself"})
	}
	return errs
}

// push answers POST /wordpress/push. The caller must see both installs; the operation is the
// target's.
func (s *server) push(ctx context.Context, in *pushInput) (*mutation, error) {
	q := in.Body
	exchangeOf(ctx).target = q.TargetID
	source, err := s.seen(ctx, q.SourceID)
	if err != nil {
		return nil, err
	}
	target, err := s.seen(ctx, q.TargetID)
	if err != nil {
		return nil, err
	}
	if source.Node != target.Node || source.Account != target.Account {
		return nil, invalid(tasks.Problem{Field: "source_id", Reason: "must be an install of the target's account, on the target's node"})
	}
	node, err := s.servingNode(ctx, target.Node)
	if err != nil {
		return nil, err
	}
	task := &tasks.Push{Source: source.SiteRef, Select: q.Select, Checkpoint: q.Checkpoint, DryRun: q.DryRun}
	op, err := s.opOf(task, target.SiteRef, node.Recipient)
	if err != nil {
		return nil, err
	}
	return s.submit(ctx, queue.Submission{Op: op, FailIfBusy: q.OnBusy == "fail"})
}
