package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

func (s *server) pauseOperation(ctx context.Context, in *opInput) (*opAnswer, error) {
	return s.setPaused(ctx, in.ID, true)
}

func (s *server) resumeOperation(ctx context.Context, in *opInput) (*opAnswer, error) {
	return s.setPaused(ctx, in.ID, false)
}

func (s *server) setPaused(ctx context.Context, id string, paused bool) (*opAnswer, error) {
	exchangeOf(ctx).target = id
	op, err := s.find(ctx, id)
	if err == nil {
		op, err = s.Ledger.PauseRollout(ctx, op.ID, paused)
	}
	if err != nil {
		return nil, err
	}
	return &opAnswer{Status: http.StatusOK, Body: s.view(ctx, op, time.Now())}, nil
}

type childrenInput struct {
	ID     string   `path:"id" maxLength:"64" doc:"The operation on many installs."`
	State  []string `query:"state" doc:"Comma-separated." enum:"queued,running,succeeded,failed,rolled_back,unverified,skipped,cancelled"`
	Limit  int      `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string   `query:"cursor" maxLength:"16"`
}

// childView is one install of an operation on many.
type childView struct {
	ID          string         `json:"id" doc:"The install."`
	OperationID string         `json:"operation_id" doc:"Known before it is begun. There is none when the install was skipped."`
	Domain      string         `json:"domain"`
	Path        string         `json:"path"`
	Node        string         `json:"node"`
	Account     string         `json:"account"`
	Status      tasks.State    `json:"status" enum:"queued,running,succeeded,failed,rolled_back,unverified,skipped,cancelled"`
	Reason      string         `json:"reason" doc:"Why nothing was done: gone, suspended, broken, error_rate or cancelled."`
	Progress    int            `json:"progress"`
	StartedAt   stamp          `json:"started_at"`
	FinishedAt  stamp          `json:"finished_at"`
	Error       *tasks.Failure `json:"error"`
}

type childrenAnswer struct {
	Link string `header:"Link"`
	Body struct {
		Success    bool        `json:"success"`
		Children   []childView `json:"children"`
		NextCursor string      `json:"next_cursor" doc:"Empty on the last page."`
	}
}

// listChildren answers GET …/operations/{id}/children.
func (s *server) listChildren(ctx context.Context, in *childrenInput) (*childrenAnswer, error) {
	op, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	page, err := s.Ledger.Children(ctx, op.ID, queue.ChildFilter{States: statesOf(in.State), Limit: in.Limit, Cursor: in.Cursor})
	if err != nil {
		return nil, err
	}
	out := &childrenAnswer{}
	out.Body.Success, out.Body.NextCursor, out.Body.Children = true, page.Next, make([]childView, len(page.Items))
	for i, c := range page.Items {
		v := childView{ID: c.Site.ID, OperationID: c.OpID, Domain: c.Site.Domain, Path: c.Site.Path, Node: c.Site.Node, Account: c.Site.Account,
			Status: c.State, Reason: c.Reason, Progress: c.Op.Progress,
			StartedAt: stamp(c.Op.StartedAt), FinishedAt: stamp(c.Op.FinishedAt), Error: c.Op.Error}
		if c.Reason != "" {
			v.OperationID = ""
		}
		out.Body.Children[i] = v
	}
	if page.Next != "" {
		out.Link = nextLink(childrenURL(op.ID), page.Next, url.Values{"state": join(in.State), "limit": {fmt.Sprint(in.Limit)}})
	}
	return out, nil
}

func childrenURL(id string) string { return apiBase + "/wordpress/operations/" + id + "/children" }

func statesOf(names []string) []tasks.State {
	var states []tasks.State
	for _, name := range names {
		states = append(states, tasks.State(name))
	}
	return states
}

// retryRollout runs those installs of a rollout again that failed, as a new rollout with the
// same limits. Those that it never came to are not in it: nothing went wrong with them.
func (s *server) retryRollout(ctx context.Context, old tasks.Op) (*mutation, error) {
	if !old.State.Final() {
		return nil, newProblem("CONFLICT", fmt.Sprintf("The operation is %s; only one that has ended can be retried", old.State))
	}
	if err := s.Ledger.VerifyRollout(ctx, old); err != nil {
		return nil, err
	}
	var refs []tasks.SiteRef
	for cursor := ""; ; {
		page, err := s.Ledger.Children(ctx, old.ID, queue.ChildFilter{
			States: []tasks.State{tasks.Failed, tasks.RolledBack}, Limit: 1000, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		for _, c := range page.Items {
			refs = append(refs, c.Site)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(refs) == 0 {
		return nil, newProblem("CONFLICT", "No install of the operation has failed")
	}
	plan, err := s.Ledger.RolloutPlan(ctx, old.ID)
	if err != nil {
		return nil, err
	}
	plan.Waves, plan.Jitter = []int{len(refs)}, 0
	return s.submitRollout(ctx, queue.RolloutSubmission{Op: tasks.Op{Kind: old.Kind, Payload: old.Payload}, Sites: refs, Plan: plan})
}
