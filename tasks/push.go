package tasks

import (
	"context"
	"encoding/json"
	"time"

	"github.com/wispanel/wptk/wp"
)

var pushSpec = Spec{
	Kind:     "push",
	Class:    Standard,
	Deadline: 4 * time.Hour,
	New:      func() Task { return new(Push) },
}

// Push brings parts of one install, mostly a staging copy, onto another one of the same
// account, which keeps its configuration, keys and people. It is a restore of what the other
// install has at this moment: built beside the present, checked, put in place in one step, and
// taken back when the site does not come up.
type Push struct {
	Source     SiteRef   `json:"source"`
	Select     Selection `json:"select,omitzero"`
	Checkpoint *bool     `json:"checkpoint,omitempty"`
	DryRun     bool      `json:"dry_run,omitempty"`
}

// PushResult is what was pushed.
type PushResult struct {
	SourceID   string `json:"source_id"`
	SourceURL  string `json:"source_url"`
	Checkpoint string `json:"checkpoint,omitempty" doc:"The backup of the state before."`

	Paths     []string      `json:"paths"`
	TableList []string      `json:"table_list" doc:"By their names in the source."`
	Files     int64         `json:"files"`
	Bytes     int64         `json:"bytes"`
	Tables    int           `json:"tables"`
	Rows      int64         `json:"rows" doc:"Of all tables that the site now has."`
	Rewritten int64         `json:"rewritten"`
	Database  string        `json:"database,omitempty" doc:"The database that the site uses now."`
	Exchanged *wp.Exchanged `json:"exchanged,omitempty"`
	URL       string        `json:"url"`
	SiteUp    bool          `json:"site_up"`
	Leftover  string        `json:"leftover,omitempty"`
	OldTables string        `json:"old_database,omitempty"`
	DryRun    bool          `json:"dry_run,omitempty"`
}

// Kind is "push".
func (*Push) Kind() string { return pushSpec.Kind }

// Reads names the install that must not change while the op runs.
func (p *Push) Reads() []SiteRef { return []SiteRef{p.Source} }

// Validate names every problem.
func (p *Push) Validate() []Problem {
	var found problems
	found.add("source_id", validSource(p.Source))
	files, database := p.Select.halves()
	switch {
	case !files && !database:
		found.add("select", "leaves nothing to push")
	case !files && len(p.Select.Paths) > 0:
		found.add("select.paths", "makes no sense without files")
	case !database && len(p.Select.Tables) > 0:
		found.add("select.tables", "makes no sense without database")
	}
	return append(found, p.Select.problems()...)
}

// halves says what is wanted: what is named alone is wanted alone.
func (s Selection) halves() (files, database bool) {
	files, database = len(s.Tables) == 0 || len(s.Paths) > 0, len(s.Paths) == 0 || len(s.Tables) > 0
	if s.Files != nil {
		files = *s.Files
	}
	if s.Database != nil {
		database = *s.Database
	}
	return files, database
}

// Steps are those of a restore, but for where the state comes from.
func (p *Push) Steps(r *Run) []Step {
	x := &pusher{Run: r, ask: p}
	x.restore = &restorer{Run: r, from: x, ask: &Restore{
		BackupID: BackupID(r.Op.ID), OtherSite: true, Checkpoint: p.Checkpoint, DryRun: p.DryRun,
	}}
	if plan, err := x.planned(); err == nil { // of an earlier attempt
		x.narrow(plan)
	}
	steps := x.restore.ask.stepsOf(x.restore)
	for i, step := range steps {
		switch step.Name {
		case "plan":
			steps[i].Message, steps[i].Do = "Looking at both sites", x.plan
		case "unpack":
			steps[i].Message = "Copying what is pushed"
		case "check":
			steps[i].Message = "Checking what was copied"
		case "switch":
			steps[i].Message = "Putting it in place"
		case "finish":
			steps[i].Do = x.finish
		}
	}
	return steps
}

// pusher is one push at work.
type pusher struct {
	*Run
	ask     *Push
	restore *restorer
}

// pushPlan is what is pushed, kept for every attempt.
type pushPlan struct {
	URL     string           `json:"url"`
	Docroot string           `json:"docroot"`
	Prefix  string           `json:"prefix"`
	Paths   []string         `json:"paths"`
	Rows    map[string]int64 `json:"rows"` // by table, when it was looked at
	Bytes   int64            `json:"bytes"`
}

const keyPushPlan = "push_plan"

func (x *pusher) planned() (pushPlan, error) {
	var p pushPlan
	err := json.Unmarshal([]byte(x.Get(keyPushPlan)), &p)
	return p, err
}

// narrow has the restore take exactly what is pushed: it never brings a configuration along.
func (x *pusher) narrow(p pushPlan) {
	x.restore.ask.Paths, x.restore.ask.Tables = p.Paths, p.tables()
}

func (x *pusher) plan(ctx context.Context) error {
	if found := x.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...)
	}
	_, err := x.Recall(keyPushPlan, func() (string, error) {
		p, err := x.look(ctx)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(p)
		return string(b), err
	})
	if err != nil {
		return err
	}
	p, err := x.planned()
	if err != nil {
		return err
	}
	x.narrow(p)
	if err := x.restore.plan(ctx); err != nil || !x.ask.DryRun {
		return err
	}
	return x.tell(p)
}

func (x *pusher) finish(ctx context.Context) error {
	if err := x.restore.finish(ctx); err != nil {
		return err
	}
	p, err := x.planned()
	if err != nil {
		return err
	}
	return x.tell(p)
}

// tell makes the push's result of the restore's.
func (x *pusher) tell(p pushPlan) error {
	var r RestoreResult
	if err := json.Unmarshal([]byte(x.Get(resultKey)), &r); err != nil {
		return err
	}
	return x.SetResult(PushResult{
		SourceID: x.ask.Source.ID, SourceURL: p.URL, Checkpoint: r.Checkpoint, Paths: append([]string{}, p.Paths...), TableList: append([]string{}, p.tables()...),
		Files: r.Files, Bytes: r.Bytes, Tables: r.Tables, Rows: r.Rows, Rewritten: r.Rewritten, Database: r.Database, Exchanged: r.Exchanged,
		URL: r.URL, SiteUp: r.SiteUp, Leftover: r.Leftover, OldTables: r.OldTables, DryRun: r.DryRun,
	})
}
