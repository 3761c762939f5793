package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// scheduleTarget names the installs of a schedule, in one of four ways.
type scheduleTarget struct {
	ID      string             `json:"id,omitempty" maxLength:"64" doc:"One install."`
	IDs     []string           `json:"ids,omitempty" minItems:"1" maxItems:"10000" nullable:"false" doc:"These installs."`
	Filter  *queue.FleetFilter `json:"filter,omitempty" doc:"Those that it fits when the time comes."`
	Account string             `json:"account,omitempty" maxLength:"32" doc:"All of an account, as they are when the time comes."`
}

func (t scheduleTarget) selection() queue.Targets {
	switch {
	case t.ID != "":
		return queue.Targets{IDs: []string{t.ID}}
	case t.Account != "":
		return queue.Targets{Filter: &queue.FleetFilter{Account: t.Account}}
	}
	return queue.Targets{IDs: t.IDs, Filter: t.Filter}
}

func (t scheduleTarget) problems() []tasks.Problem {
	given := 0
	for _, is := range []bool{t.ID != "", len(t.IDs) > 0, t.Filter != nil, t.Account != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return []tasks.Problem{{Field: "target", Reason: "needs exactly one of id, ids, filter and account"}}
	}
	if t.Filter != nil && t.Filter.Empty() {
		return []tasks.Problem{{Field: "target.filter", Reason: "says nothing; all:true is every install"}}
	}
	return nil
}

// scheduleRollout is what of a rollout a schedule decides.
type scheduleRollout struct {
	Waves       waves    `json:"waves,omitempty"`
	MaxParallel int      `json:"max_parallel,omitempty" minimum:"1" maximum:"500" doc:"10 when left out."`
	PerNode     int      `json:"per_node_parallel,omitempty" minimum:"1" maximum:"100" doc:"2 when left out."`
	StopRate    *float64 `json:"stop_on_error_rate,omitempty" minimum:"0" maximum:"1" doc:"0.2 when left out."`
}

// scheduleChange is every field that may be changed later; those of a new schedule are the same.
type scheduleChange struct {
	Name    string           `json:"name,omitempty" maxLength:"100" example:"nightly"`
	Body    map[string]any   `json:"body,omitempty" doc:"As of the route of the kind, without what names its installs."`
	Target  *scheduleTarget  `json:"target,omitempty"`
	Cron    string           `json:"cron,omitempty" maxLength:"100" example:"0 3 * * *" doc:"Minute, hour, day, month, weekday; or @hourly, @daily, @weekly, @monthly."`
	TZ      *string          `json:"tz,omitempty" maxLength:"64" example:"Europe/Berlin" doc:"Time zone of cron; UTC when left out."`
	Jitter  *int             `json:"jitter_seconds,omitempty" minimum:"0" maximum:"86400" doc:"Spreads the installs over that time after it, each always at the same place."`
	Window  *queue.Window    `json:"window,omitempty"`
	Rollout *scheduleRollout `json:"rollout,omitempty"`
	Enabled *bool            `json:"enabled,omitempty" doc:"true when left out."`
}

type scheduleRequest struct {
	Kind string `json:"kind" enum:"backup,core.update,plugin.update,theme.update,checksums.verify,site.inspect" example:"site.inspect"`
	ScheduleFields
}

// ScheduleFields is exported for being embedded: encoders skip what is not.
type ScheduleFields = scheduleChange

// merge puts what was asked for over what is.
func (q scheduleChange) merge(s *queue.Schedule) []tasks.Problem {
	set(&s.Name, q.Name)
	set(&s.Cron, q.Cron)
	if q.TZ != nil {
		s.TZ = *q.TZ
	}
	if q.Jitter != nil {
		s.Plan.Jitter = *q.Jitter
	}
	if q.Window != nil {
		s.Plan.Window = q.Window
	}
	if q.Enabled != nil {
		s.Enabled = *q.Enabled
	}
	if r := q.Rollout; r != nil {
		window, jitter := s.Plan.Window, s.Plan.Jitter
		s.Plan = (&rolloutRequest{MaxParallel: r.MaxParallel, PerNode: r.PerNode, StopRate: r.StopRate}).plan(s.Kind)
		s.Plan.Window, s.Plan.Jitter, s.Waves = window, jitter, r.Waves
	}
	var found []tasks.Problem
	if q.Target != nil {
		found = q.Target.problems()
		s.Target = q.Target.selection()
	}
	if q.Body != nil || s.Payload == nil {
		found = append(found, q.payload(s)...)
	}
	found = append(found, queue.CronProblems(s.Cron, s.TZ)...)
	if _, err := queue.WavesOf(1, 0, s.Waves); err != nil {
		found = append(found, tasks.Problem{Field: "rollout.waves", Reason: err.Error()})
	}
	return append(found, s.Plan.Window.Problems("window")...)
}

func set(to *string, value string) {
	if value != "" {
		*to = value
	}
}

// payload reads the body as strictly as the route of the kind does.
func (q scheduleChange) payload(s *queue.Schedule) []tasks.Problem {
	if q.Body == nil {
		q.Body = map[string]any{}
	}
	raw, err := json.Marshal(q.Body)
	if err != nil {
		return []tasks.Problem{{Field: "body", Reason: "cannot be read"}}
	}
	task, _, err := tasks.Decode(s.Kind, raw)
	if err != nil {
		return []tasks.Problem{{Field: "body", Reason: "is no request of " + s.Kind + "; see its route"}}
	}
	var found []tasks.Problem
	for _, p := range task.Validate() {
		found = append(found, tasks.Problem{Field: "body." + p.Field, Reason: p.Reason})
	}
	if s.Payload, err = marshal(task); err != nil {
		return append(found, tasks.Problem{Field: "body", Reason: "cannot be kept"})
	}
	return found
}

// scheduleView is a schedule as it goes out.
type scheduleView struct {
	Success   bool          `json:"success"`
	ID        string        `json:"id" example:"sc_4f0c2d7e-5a1b-5c3d-8e9f-0a1b2c3d4e5f"`
	Name      string        `json:"name"`
	Kind      string        `json:"kind"`
	Account   string        `json:"account" doc:"Whose installs it may touch; empty is the operator's, all."`
	Body      object        `json:"body"`
	Target    queue.Targets `json:"target"`
	Cron      string        `json:"cron"`
	TZ        string        `json:"tz"`
	Jitter    int           `json:"jitter_seconds"`
	Window    *queue.Window `json:"window"`
	Rollout   rolloutView   `json:"rollout"`
	Enabled   bool          `json:"enabled"`
	NextAt    stamp         `json:"next_at"`
	LastAt    stamp         `json:"last_at" doc:"When it was due last."`
	Last      queue.Firing  `json:"last_result" doc:"What came of that: fired, missed, overlap, empty or failed."`
	LastOp    string        `json:"last_operation_id" doc:"The newest operation that it made."`
	Fired     int64         `json:"fired"`
	Missed    int64         `json:"missed" doc:"Times without an operation."`
	CreatedAt stamp         `json:"created_at"`
}

type rolloutView struct {
	Waves       []queue.Share `json:"waves"`
	MaxParallel int           `json:"max_parallel"`
	PerNode     int           `json:"per_node_parallel"`
	StopRate    float64       `json:"stop_on_error_rate"`
}

func viewSchedule(s queue.ScheduleState) scheduleView {
	return scheduleView{
		Success: true, ID: s.ID, Name: s.Name, Kind: s.Kind, Account: s.Account, Body: object(s.Payload), Target: s.Target,
		Cron: s.Cron, TZ: s.TZ, Jitter: s.Plan.Jitter, Window: s.Plan.Window, Enabled: s.Enabled,
		Rollout: rolloutView{Waves: orEmpty(s.Waves), MaxParallel: s.Plan.MaxParallel, PerNode: s.Plan.PerNode, StopRate: s.Plan.StopRate},
		NextAt:  stamp(s.Next), LastAt: stamp(s.Last), Last: s.Result, LastOp: s.OpID,
		Fired: s.Fired, Missed: s.Missed, CreatedAt: stamp(s.Created),
	}
}

type scheduleAnswer struct {
	Status int
	Body   scheduleView
}

// scheduleCreated is the answer to a new one: 201.
type scheduleCreated scheduleAnswer

type createScheduleInput struct {
	Body scheduleRequest
}

// Resolve adds what only the kind and the calendar can judge.
func (in *createScheduleInput) Resolve(huma.Context) []error {
	s, found := in.schedule()
	if in.Body.Target == nil {
		found = append(found, tasks.Problem{Field: "target", Reason: "is required"})
	}
	if !slices.Contains(tasks.TimedKinds(), s.Kind) {
		found = []tasks.Problem{{Field: "kind", Reason: "must be one of " + strings.Join(tasks.TimedKinds(), ", ")}}
	}
	return inBody(found)
}

func (in *createScheduleInput) schedule() (queue.Schedule, []tasks.Problem) {
	s := queue.Schedule{Kind: in.Body.Kind, Enabled: true, Plan: (*rolloutRequest)(nil).plan(in.Body.Kind)}
	found := in.Body.merge(&s)
	return s, found
}

func (s *server) createSchedule(ctx context.Context, in *createScheduleInput) (*scheduleCreated, error) {
	x := exchangeOf(ctx)
	sched, _ := in.schedule()
	sched.ID, sched.Account, sched.KeyID, sched.Created = queue.NewScheduleID(x.opID), scopeOf(ctx), x.key.ID, time.Now().UTC()
	x.target = sched.ID
	if err := s.mayTarget(ctx, sched); err != nil {
		return nil, err
	}
	state, err := s.Ledger.CreateSchedule(ctx, sched, time.Now())
	if err != nil {
		return nil, err
	}
	return &scheduleCreated{Status: http.StatusCreated, Body: viewSchedule(state)}, nil
}

// mayTarget refuses installs and accounts that the schedule's account may not touch; a filter
// sees only its own anyway, each time.
func (s *server) mayTarget(ctx context.Context, sched queue.Schedule) error {
	if f := sched.Target.Filter; f != nil {
		if sched.Account != "" && f.Account != "" && f.Account != sched.Account {
			return queue.ErrNotFound
		}
		return nil
	}
	_, err := s.Ledger.Select(ctx, sched.Account, sched.Target)
	return err
}

type scheduleInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *server) findSchedule(ctx context.Context, id string) (queue.ScheduleState, error) {
	state, err := s.Ledger.Schedule(ctx, id)
	if err == nil && !sees(ctx, state.Account) {
		err = queue.ErrNotFound
	}
	return state, err
}

func (s *server) getSchedule(ctx context.Context, in *scheduleInput) (*scheduleAnswer, error) {
	state, err := s.findSchedule(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &scheduleAnswer{Status: http.StatusOK, Body: viewSchedule(state)}, nil
}

type changeScheduleInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body scheduleChange
}

// Resolve refuses a change of nothing, which is more likely a mistake than a wish.
func (in *changeScheduleInput) Resolve(huma.Context) []error {
	q := in.Body
	if q.Name == "" && q.Body == nil && q.Target == nil && q.Cron == "" && q.TZ == nil && q.Jitter == nil && q.Window == nil && q.Rollout == nil && q.Enabled == nil {
		return inBody([]tasks.Problem{{Field: "name", Reason: "or another field is required"}})
	}
	return nil
}

func (s *server) changeSchedule(ctx context.Context, in *changeScheduleInput) (*scheduleAnswer, error) {
	exchangeOf(ctx).target = in.ID
	state, err := s.findSchedule(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.Ledger.VerifySchedule(state); err != nil { // the rest of it is signed anew
		return nil, err
	}
	sched := state.Schedule
	if found := in.Body.merge(&sched); len(found) > 0 {
		return nil, invalid(found...)
	}
	if err := s.mayTarget(ctx, sched); err != nil && in.Body.Target != nil {
		return nil, err
	}
	if state, err = s.Ledger.ChangeSchedule(ctx, sched, time.Now()); err != nil {
		return nil, err
	}
	return &scheduleAnswer{Status: http.StatusOK, Body: viewSchedule(state)}, nil
}

type schedulesAnswer struct {
	Body struct {
		Success   bool           `json:"success"`
		Schedules []scheduleView `json:"schedules"`
	}
}

func (s *server) listSchedules(ctx context.Context, _ *struct{}) (*schedulesAnswer, error) {
	all, err := s.Ledger.Schedules(ctx, scopeOf(ctx))
	if err != nil {
		return nil, err
	}
	out := &schedulesAnswer{}
	out.Body.Success, out.Body.Schedules = true, make([]scheduleView, len(all))
	for i, state := range all {
		out.Body.Schedules[i] = viewSchedule(state)
	}
	return out, nil
}

type deletedAnswer struct {
	Body struct {
		Success bool   `json:"success"`
		ID      string `json:"id"`
	}
}

func (s *server) deleteSchedule(ctx context.Context, in *scheduleInput) (*deletedAnswer, error) {
	exchangeOf(ctx).target = in.ID
	state, err := s.findSchedule(ctx, in.ID)
	if err == nil {
		err = s.Ledger.DeleteSchedule(ctx, state.Schedule)
	}
	if err != nil {
		return nil, fmt.Errorf("deleting schedule: %w", err)
	}
	out := &deletedAnswer{}
	out.Body.Success, out.Body.ID = true, in.ID
	return out, nil
}
