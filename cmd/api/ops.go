package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

type opInput struct {
	ID string `path:"id" maxLength:"64" doc:"An operation's id, or an install's for its newest operation."`
}

type opAnswer struct {
	Status int
	Body   operation
}

// find is the op that an id names, if the caller may see it.
func (s *server) find(ctx context.Context, id string) (tasks.Op, error) {
	op, err := s.Ledger.Get(ctx, id)
	if err == nil && !sees(ctx, op.Site.Account) {
		err = queue.ErrNotFound
	}
	return op, err
}

func (s *server) getOperation(ctx context.Context, in *opInput) (*opAnswer, error) {
	op, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	v := s.view(ctx, op, time.Now())
	v.Result = s.reveal(ctx, op)
	return &opAnswer{Status: http.StatusOK, Body: v}, nil
}

// cancelOperation answers 200 when the op has ended, 202 while it still has to stop.
func (s *server) cancelOperation(ctx context.Context, in *opInput) (*opAnswer, error) {
	exchangeOf(ctx).target = in.ID
	op, err := s.find(ctx, in.ID)
	if err == nil {
		op, err = s.Ledger.Cancel(ctx, op.ID)
	}
	if err != nil {
		return nil, err
	}
	status := http.StatusAccepted
	if op.State.Final() {
		status = http.StatusOK
	}
	return &opAnswer{Status: status, Body: s.view(ctx, op, time.Now())}, nil
}

// retryOperation runs the payload of an op that came to nothing once more. Its
// secrets are sealed to the node already, so the API need not see them.
func (s *server) retryOperation(ctx context.Context, in *opInput) (*mutation, error) {
	exchangeOf(ctx).target = in.ID
	old, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if old.Rollout() {
		return s.retryRollout(ctx, old)
	}
	if err := s.Ledger.VerifyOp(old); err != nil { // its payload is signed anew
		return nil, err
	}
	switch old.State {
	case tasks.Failed, tasks.Cancelled, tasks.RolledBack:
	default:
		return nil, newProblem("CONFLICT", fmt.Sprintf("The operation is %s; only a failed or cancelled one can be retried", old.State))
	}
	if makes, err := provisions(old); err != nil {
		return nil, err
	} else if makes {
		if err := mayProvision(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := s.servingNode(ctx, old.Site.Node); err != nil {
		return nil, err
	}
	return s.submit(ctx, queue.Submission{
		Op:           tasks.Op{Kind: old.Kind, Class: old.Class, Site: old.Site, Payload: old.Payload, Revealed: old.Revealed},
		FailIfExists: old.Kind == kindInstall || old.Kind == kindClone,
	})
}

// mutation is the answer to a change.
type mutation struct {
	Status   int
	Location string `header:"Location"`
	Replayed string `header:"Idempotency-Replayed"`
	Body     mutationBody
}

type mutationBody struct {
	Success     bool            `json:"success"`
	ID          string          `json:"id" example:"wp_4e8a1b2c3d4e5f60" doc:"The install, known before the operation has run; of an operation on many, its own id."`
	OperationID string          `json:"operation_id,omitempty"`
	Type        string          `json:"type" example:"install"`
	Status      tasks.State     `json:"status,omitempty" example:"queued"`
	ProgressURL string          `json:"progress_url,omitempty"`
	Position    int             `json:"queue_position,omitempty"`
	DryRun      bool            `json:"dry_run,omitempty"`
	Would       *plan           `json:"would,omitempty" doc:"What a dry run found would be done."`
	Children    *queue.Counts   `json:"children,omitempty" doc:"Of an operation on many installs."`
	Rollout     *rolloutPreview `json:"rollout,omitempty" doc:"What a dry run found would be done to many installs."`
	Install     *installation   `json:"installation,omitempty" doc:"The install that was there already, with on_exists=return."`
}

// submit records an op and answers 202. It fills in who asked, and the id that an
// Idempotency-Key reserved, if there was one.
func (s *server) submit(ctx context.Context, sub queue.Submission) (*mutation, error) {
	x := exchangeOf(ctx)
	sub.Op.ID = tasks.NewOpID(sub.Op.Site.Node)
	if x.opID != "" {
		// Reserved before the node was known: only the shard has to be set right.
		sub.Op.ID = x.opID[:len(x.opID)-2] + tasks.NodeShard(sub.Op.Site.Node)
	}
	sub.Op.KeyID, sub.Op.RequestID, sub.Retention = x.key.ID, x.id, s.Retention
	x.target = sub.Op.Site.ID + " " + sub.Op.ID
	receipt, err := s.Ledger.Submit(ctx, sub)
	if err != nil {
		return nil, err
	}
	op := receipt.Op
	out := &mutation{Status: http.StatusAccepted, Location: apiBase + "/wordpress/operations/" + op.ID, Body: mutationBody{
		Success: true, ID: op.Site.ID, OperationID: op.ID, Type: op.Kind, Status: op.State,
		ProgressURL: apiBase + "/wordpress/install/" + op.Site.ID + "/progress", Position: receipt.Position,
	}}
	if !receipt.Created {
		out.Replayed = "true"
	}
	return out, nil
}

type opsInput struct {
	State  []string `query:"state" doc:"Comma-separated." enum:"queued,running,succeeded,failed,rolled_back,unverified,cancelled"`
	Kind   []string `query:"kind" doc:"Comma-separated." maxItems:"32"`
	Site   string   `query:"site" maxLength:"64" doc:"An install's id."`
	Node   string   `query:"node" maxLength:"63"`
	Many   bool     `query:"many" doc:"Only operations on many installs."`
	IDs    []string `query:"ids" maxItems:"1000" doc:"Comma-separated; answers exactly these, unknown ones left out."`
	Limit  int      `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string   `query:"cursor" maxLength:"256"`
}

type opsAnswer struct {
	Link string `header:"Link"`
	Body struct {
		Success    bool        `json:"success"`
		Operations []operation `json:"operations"`
		NextCursor string      `json:"next_cursor" doc:"Empty on the last page. A page may be short and still have a next."`
	}
}

func (s *server) listOperations(ctx context.Context, in *opsInput) (*opsAnswer, error) {
	page, err := s.operationsOf(ctx, in)
	if err != nil {
		return nil, err
	}
	out, now := &opsAnswer{}, time.Now()
	out.Body.Success, out.Body.NextCursor = true, page.Next
	out.Body.Operations = make([]operation, 0, len(page.Items))
	for _, op := range page.Items {
		if sees(ctx, op.Site.Account) {
			out.Body.Operations = append(out.Body.Operations, s.view(ctx, op, now))
		}
	}
	if page.Next != "" {
		out.Link = nextLink(apiBase+"/wordpress/operations", page.Next, url.Values{
			"state": join(in.State), "kind": join(in.Kind), "site": {in.Site}, "node": {in.Node}, "many": onlyTrue(in.Many), "limit": {fmt.Sprint(in.Limit)}})
	}
	return out, nil
}

func onlyTrue(b bool) []string {
	if !b {
		return nil
	}
	return []string{"true"}
}

func (s *server) operationsOf(ctx context.Context, in *opsInput) (queue.Page[tasks.Op], error) {
	if len(in.IDs) > 0 {
		ops, err := s.Ledger.GetMany(ctx, in.IDs)
		return queue.Page[tasks.Op]{Items: ops}, err
	}
	filter := queue.OpFilter{Account: scopeOf(ctx), Kinds: in.Kind, Site: in.Site, Node: in.Node, Rollouts: in.Many, Limit: in.Limit, Cursor: in.Cursor}
	for _, state := range in.State {
		filter.States = append(filter.States, tasks.State(state))
	}
	return s.Ledger.List(ctx, filter)
}

func join(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return []string{strings.Join(list, ",")}
}

// nextLink is the Link header of RFC 8288 for the next page, the filters kept.
func nextLink(path, cursor string, filters url.Values) string {
	q := url.Values{"cursor": {cursor}}
	for name, values := range filters {
		if len(values) == 1 && values[0] != "" {
			q[name] = values
		}
	}
	return "<" + path + "?" + q.Encode() + `>; rel="next"`
}

type logInput struct {
	ID    string `path:"id" maxLength:"64"`
	After string `query:"after" maxLength:"64" doc:"next_cursor of the answer before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

type logLine struct {
	At   stamp  `json:"at"`
	Text string `json:"text"`
}

type logAnswer struct {
	Body struct {
		Success    bool      `json:"success"`
		Lines      []logLine `json:"lines"`
		NextCursor string    `json:"next_cursor" doc:"Ask again with after=<this> for what comes later."`
	}
}

func (s *server) operationLog(ctx context.Context, in *logInput) (*logAnswer, error) {
	op, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	lines, next, err := s.Ledger.Log(ctx, op.ID, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &logAnswer{}
	out.Body.Success, out.Body.NextCursor, out.Body.Lines = true, next, make([]logLine, len(lines))
	for i, l := range lines {
		out.Body.Lines[i] = logLine{At: stamp(l.At), Text: l.Text}
	}
	return out, nil
}
