package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// manyTarget is what a change has in its body that may be asked of many installs at once.
type manyTarget struct {
	ID      string             `json:"id,omitempty" maxLength:"64" example:"wp_4e8a1b2c3d4e5f60" doc:"The install; or ids, or filter, for many in one operation."`
	OnBusy  string             `json:"on_busy,omitempty" enum:"queue,fail" doc:"When another operation has the install; queue by default. Goes with id only."`
	IDs     []string           `json:"ids,omitempty" minItems:"1" maxItems:"10000" nullable:"false" doc:"Many installs, in the order in which they are taken."`
	Filter  *queue.FleetFilter `json:"filter,omitempty" doc:"All installs that it fits, of those that the key may touch."`
	Rollout *rolloutRequest    `json:"rollout,omitempty" doc:"How to go about many. Goes with ids or filter."`
}

// rolloutRequest says how fast a rollout goes on, and when it stops.
type rolloutRequest struct {
	Canary      int           `json:"canary,omitempty" minimum:"0" maximum:"10000" doc:"A first wave of that many."`
	Waves       waves         `json:"waves,omitempty" doc:"Sizes of the waves after it, each a number of installs or a part of all, like \"10%\"; the rest is the last wave. A single part is repeated."`
	MaxParallel int           `json:"max_parallel,omitempty" minimum:"1" maximum:"500" doc:"Operations at a time; 10 when left out."`
	PerNode     int           `json:"per_node_parallel,omitempty" minimum:"1" maximum:"100" doc:"… on one node; 2 when left out. A node's slots for long work are a limit too."`
	StopRate    *float64      `json:"stop_on_error_rate,omitempty" minimum:"0" maximum:"1" doc:"Share of failed among those that ended, above which nothing more begins: judged when a wave has ended, when 10 have, or when the others cannot make up for it. 0.2 when left out; 1 is never."`
	Window      *queue.Window `json:"window,omitempty" doc:"Only begin installs in this part of the day."`
	DryRun      bool          `json:"dry_run,omitempty" doc:"Answer which installs it would be, and in which waves; record nothing."`
}

// waves are the sizes of waves: a list, or a single one.
type waves []queue.Share

// UnmarshalJSON takes both forms.
func (w *waves) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]queue.Share)(w))
	}
	var one queue.Share
	if err := json.Unmarshal(data, &one); err != nil {
		return fmt.Errorf("reading a wave or a list of waves: %w", err)
	}
	*w = waves{one}
	return nil
}

// Schema names every form.
func (waves) Schema(huma.Registry) *huma.Schema {
	part := func() *huma.Schema {
		least, most := 1.0, float64(queue.MaxChildren)
		return &huma.Schema{OneOf: []*huma.Schema{
			{Type: huma.TypeInteger, Minimum: &least, Maximum: &most}, {Type: huma.TypeString, Pattern: "^[1-9][0-9]?%$|^100%$"},
		}}
	}
	few := 100
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeArray, Items: part(), MaxItems: &few}, part().OneOf[0], part().OneOf[1],
	}}
}

const (
	usualParallel = 10
	usualPerNode  = 2
	usualStopRate = .2
)

// plan is the request with what it leaves out, without waves.
func (q *rolloutRequest) plan(kind string) queue.RolloutPlan {
	p := queue.RolloutPlan{MaxParallel: usualParallel, PerNode: usualPerNode, StopRate: usualStopRate, Broken: tasks.ForBroken(kind)}
	if q == nil {
		return p
	}
	p.Window = q.Window
	if q.MaxParallel > 0 {
		p.MaxParallel = q.MaxParallel
	}
	if q.PerNode > 0 {
		p.PerNode = q.PerNode
	}
	if q.StopRate != nil {
		p.StopRate = *q.StopRate
	}
	return p
}

// wavesOf cuts a number of installs.
func (q *rolloutRequest) wavesOf(total int) ([]int, error) {
	if q == nil {
		return queue.WavesOf(total, 0, nil)
	}
	return queue.WavesOf(total, q.Canary, q.Waves)
}

func (q *rolloutRequest) problems() []tasks.Problem {
	if q == nil {
		return nil
	}
	found := q.Window.Problems("rollout.window")
	if _, err := q.wavesOf(1); err != nil {
		found = append(found, tasks.Problem{Field: "rollout.waves", Reason: err.Error()})
	}
	return found
}

// problems names what does not go together.
func (to *manyTarget) problems() []tasks.Problem {
	var found []tasks.Problem
	add := func(field, reason string) { found = append(found, tasks.Problem{Field: field, Reason: reason}) }
	given := 0
	for _, is := range []bool{to.ID != "", len(to.IDs) > 0, to.Filter != nil} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		add("id", "is required; or ids, or filter")
	case given > 1:
		add("id", "is one of id, ids and filter; only one of them can be given")
	}
	if to.Filter != nil && to.Filter.Empty() {
		add("filter", "says nothing; all:true is every install")
	}
	if to.ID != "" && to.Rollout != nil {
		add("rollout", "goes with ids or filter")
	}
	if to.ID == "" && to.OnBusy == "fail" {
		add("on_busy", "fail goes with id only; an operation on many waits for each")
	}
	return append(found, to.Rollout.problems()...)
}

// manyBody is the body of a change of one or many.
type manyBody[T any] struct {
	Target manyTarget `json:",embed"`
	Task   T          `json:",embed"`
}

// Schema describes the flat object.
func (manyBody[T]) Schema(r huma.Registry) *huma.Schema {
	return flatSchema(r, reflect.TypeFor[manyTarget](), reflect.TypeFor[T]())
}

// flatSchema is one object of the fields of two. Both refuse what they do not know, so their
// union does too.
func flatSchema(r huma.Registry, target, task reflect.Type) *huma.Schema {
	flat, payload := huma.SchemaFromType(r, target), huma.SchemaFromType(r, task)
	maps.Copy(flat.Properties, payload.Properties)
	flat.Required = append(flat.Required, payload.Required...)
	flat.PrecomputeMessages()
	return flat
}

// manyInput is a request with such a body.
type manyInput[T any, P task[T]] struct {
	Body manyBody[T]
}

// Resolve adds what only the kind can judge, and what does not go together.
func (in *manyInput[T, P]) Resolve(huma.Context) []error {
	return inBody(append(in.Body.Target.problems(), P(&in.Body.Task).Validate()...))
}

// inBody are problems as huma wants them.
func inBody(problems []tasks.Problem) []error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, &huma.ErrorDetail{Location: "body." + p.Field, Message: p.Reason})
	}
	return errs
}

// changeMany records an op on one install, or a rollout on many.
func (s *server) changeMany(ctx context.Context, to manyTarget, task tasks.Task) (*mutation, error) {
	if to.ID != "" {
		return s.change(ctx, target{ID: to.ID, OnBusy: to.OnBusy}, task)
	}
	sites, err := s.Ledger.Select(ctx, scopeOf(ctx), queue.Targets{IDs: to.IDs, Filter: to.Filter})
	if err != nil {
		return nil, err
	}
	if len(sites) == 0 {
		return nil, invalid(tasks.Problem{Field: "filter", Reason: "fits no install"})
	}
	payload, err := marshal(task)
	if err != nil {
		return nil, err
	}
	plan := to.Rollout.plan(task.Kind())
	if plan.Waves, err = to.Rollout.wavesOf(len(sites)); err != nil {
		return nil, err
	}
	if to.Rollout != nil && to.Rollout.DryRun {
		return previewRollout(task.Kind(), sites, plan), nil
	}
	refs := make([]tasks.SiteRef, len(sites))
	for i, site := range sites {
		refs[i] = site.SiteRef
	}
	return s.submitRollout(ctx, queue.RolloutSubmission{Op: tasks.Op{Kind: task.Kind(), Payload: payload}, Sites: refs, Plan: plan})
}

// submitRollout records a rollout and answers 202.
func (s *server) submitRollout(ctx context.Context, sub queue.RolloutSubmission) (*mutation, error) {
	x := exchangeOf(ctx)
	sub.Op.ID = queue.NewRolloutID()
	if x.opID != "" {
		sub.Op.ID = x.opID[:len(x.opID)-2] + tasks.NodeShard("")
	}
	sub.Op.KeyID, sub.Op.RequestID, sub.Retention = x.key.ID, x.id, s.Retention
	sub.Op.Site.Account = scopeOf(ctx)
	x.target = fmt.Sprintf("%d sites %s", len(sub.Sites), sub.Op.ID)
	receipt, err := s.Ledger.SubmitRollout(ctx, sub)
	if err != nil {
		return nil, err
	}
	op := receipt.Op
	counts := &queue.Counts{}
	if err := json.Unmarshal(op.Result, counts); err != nil {
		return nil, fmt.Errorf("decoding counts: %w", err)
	}
	out := &mutation{Status: http.StatusAccepted, Location: apiBase + "/wordpress/operations/" + op.ID, Body: mutationBody{
		Success: true, ID: op.ID, OperationID: op.ID, Type: op.Kind, Status: op.State,
		ProgressURL: apiBase + "/wordpress/install/" + op.ID + "/progress", Children: counts,
	}}
	if !receipt.Created {
		out.Replayed = "true"
	}
	return out, nil
}

// rolloutPreview is what a dry run of a rollout answers.
type rolloutPreview struct {
	Total int              `json:"total"`
	Waves []int            `json:"waves" doc:"Installs of each wave."`
	Sites []previewedChild `json:"sites" doc:"The first 500, in their order."`
}

type previewedChild struct {
	ID     string `json:"id"`
	Domain string `json:"domain"`
	Path   string `json:"path"`
	Node   string `json:"node"`
	Wave   int    `json:"wave"`
	Skip   string `json:"skip,omitempty" doc:"Why it would be skipped, as things are."`
}

const previewed = 500

func previewRollout(kind string, sites []queue.Site, plan queue.RolloutPlan) *mutation {
	p := &rolloutPreview{Total: len(sites), Waves: plan.Waves, Sites: []previewedChild{}}
	wave, end := 0, 0
	for i, site := range sites[:min(len(sites), previewed)] {
		if i == end {
			end += plan.Waves[wave]
			wave++
		}
		p.Sites = append(p.Sites, previewedChild{ID: site.ID, Domain: site.Domain, Path: site.Path, Node: site.Node, Wave: wave, Skip: plan.Skips(site)})
	}
	return &mutation{Status: http.StatusOK, Body: mutationBody{Success: true, Type: kind, DryRun: true, Rollout: p}}
}
