package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// operation is what the API says about an op.
type operation struct {
	ID            string          `json:"id"`
	OperationID   string          `json:"operation_id"`
	Type          string          `json:"type"`
	Status        tasks.State     `json:"status"`
	Done          bool            `json:"done"`
	Progress      int             `json:"progress"`
	Step          string          `json:"step"`
	StepIndex     int             `json:"step_index"`
	StepsTotal    int             `json:"steps_total"`
	Message       string          `json:"message"`
	Attempt       int             `json:"attempt"`
	QueuePosition int             `json:"queue_position"`
	CreatedAt     time.Time       `json:"created_at"`
	StartedAt     time.Time       `json:"started_at"`
	UpdatedAt     time.Time       `json:"updated_at"`
	FinishedAt    time.Time       `json:"finished_at"`
	ETASeconds    *int            `json:"eta_seconds"`
	Stalled       bool            `json:"stalled"`
	Result        json.RawMessage `json:"result"`
	Error         *tasks.Failure  `json:"error"`
	Seq           int64           `json:"seq"`
	Cancelling    bool            `json:"cancel_requested"`
	Domain        string          `json:"domain"`
	Path          string          `json:"path"`
	Node          string          `json:"node"`
}

// accepted is the 202 answer to a change.
type accepted struct {
	ID          string      `json:"id"`
	OperationID string      `json:"operation_id"`
	Type        string      `json:"type"`
	Status      tasks.State `json:"status"`
	Position    int         `json:"queue_position"`
	DryRun      bool        `json:"dry_run"`
	Would       *struct {
		Node      string   `json:"node"`
		Account   string   `json:"account"`
		Domain    string   `json:"domain"`
		Path      string   `json:"path"`
		Generates []string `json:"generates"`
		Conflict  bool     `json:"conflict"`
	} `json:"would"`
	Install *installation `json:"installation"`
}

// installed is the result of an install.
type installed struct {
	tasks.InstallResult
	AdminPassword string `json:"admin_password"` // shown once, when it was generated
}

func (o *operation) installed() (installed, error) {
	var r installed
	if len(o.Result) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(o.Result, &r); err != nil {
		return r, fmt.Errorf("reading the operation's result: %w", err)
	}
	return r, nil
}

// elapsed is how long the op has been running or has run; 0 while it waits.
func (o *operation) elapsed(now time.Time) time.Duration {
	switch {
	case o.StartedAt.IsZero():
		return 0
	case !o.FinishedAt.IsZero():
		return o.FinishedAt.Sub(o.StartedAt)
	}
	return now.Sub(o.StartedAt)
}

// label names the op for people.
func (o *operation) label() string { return clean(o.Domain) }

// stage is what the op is doing.
func (o *operation) stage() string {
	switch {
	case o.Status == tasks.Queued && o.QueuePosition > 0:
		return fmt.Sprintf("waiting behind %d", o.QueuePosition)
	case o.Status == tasks.Queued:
		return "waiting for the node"
	case o.Cancelling && !o.Done:
		return "cancelling"
	case o.StepsTotal == 0 || o.Done:
		return clean(o.Message)
	}
	what := o.Message
	if what == "" {
		what = o.Step
	}
	return fmt.Sprintf("%d/%d %s", o.StepIndex, o.StepsTotal, clean(what))
}

// failure is why the op did not succeed.
func (o *operation) failure() string {
	if o.Error == nil {
		return ""
	}
	text := clean(o.Error.Message) + " (" + clean(o.Error.Code) + ")"
	if o.Error.Hint != "" {
		text += " " + clean(o.Error.Hint)
	}
	return text
}

// watchPatience lets a watcher sit out a restart of the API: the op goes on anyway.
const watchPatience = 90 * time.Second

// eager is a client that sees a change when it happens, as one that listens to the stream
// does, and not up to a poll's pause later. Benchmarks measure the work, not the pauses.
func (c *client) eager() *client {
	eager := *c
	eager.pause = func(context.Context, time.Duration) error { return nil }
	return &eager
}

// follow shows every change of an op until it is done, and returns its end.
func (c *client) follow(ctx context.Context, id string, show func(operation, []byte) error) (operation, error) {
	patient := *c
	patient.patience = watchPatience
	query := url.Values{}
	for seen := int64(-1); ; {
		var op operation
		got, err := patient.get(ctx, "/wordpress/install/"+url.PathEscape(id)+"/progress", query, &op)
		if err != nil {
			return op, err
		}
		if op.Seq != seen || op.Done {
			if err := show(op, got.raw); err != nil || op.Done {
				return op, err
			}
		}
		// From here on the op itself: an install's id would move on to a newer one.
		id, seen = op.OperationID, op.Seq
		query = url.Values{"wait": {strconv.Itoa(int(pollFor.Seconds()))}, "since": {strconv.FormatInt(seen, 10)}}
		if err := c.pause(ctx, pace(got.header, time.Now())); err != nil {
			return op, err
		}
	}
}
