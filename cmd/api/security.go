package main

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/tasks"
)

type securityAnswer struct {
	ReadHeaders
	Body securityReport
}

// securityReport is how an install is hardened.
type securityReport struct {
	Success bool   `json:"success"`
	ID      string `json:"id"`
	// Drifted counts what was applied and is not as it was left.
	Drifted  int                   `json:"drifted"`
	Measures []tasks.MeasureStatus `json:"measures"`
	Facts    *tasks.SecurityFacts  `json:"facts" doc:"What else an inspection has found; null when the site's code kept it from being read."`
	ReadAt   time.Time             `json:"read_at"`
}

// getSecurity reports every measure: what was asked for, what is there, and why not.
func (s *server) getSecurity(ctx context.Context, in *readInput) (*securityAnswer, error) {
	r, err := s.read(ctx, *in)
	if err != nil {
		return nil, err
	}
	if r.facts == nil || r.facts.Measures == nil {
		return nil, r.unknown("security measures")
	}
	report := securityReport{Success: true, ID: in.ID, Measures: r.facts.Measures, Facts: r.facts.Security, ReadAt: r.at}
	for _, m := range report.Measures {
		if m.Status == tasks.MeasureDrifted {
			report.Drifted++
		}
	}
	return &securityAnswer{r.headers(), report}, nil
}

// measureBody is the body of a change of one measure; which one is in the path.
type measureBody struct {
	Enabled bool   `json:"enabled" doc:"True applies the measure, false takes it back exactly."`
	Server  string `json:"server,omitempty" enum:"auto,apache,nginx" doc:"Whom rules are for; auto is what the node is set up for."`
}

type measureInput struct {
	Measure string `path:"measure" maxLength:"64" example:"block-xmlrpc" doc:"One of block-directory-browsing, no-script-concatenation, block-xmlrpc, limit-xmlrpc, block-author-scan, block-backup-files, security-headers, disable-pingbacks, security-keys."`
	Body    manyBody[measureBody]
}

func (in *measureInput) task() *tasks.SecurityMeasure {
	return &tasks.SecurityMeasure{Measure: in.Measure, Enabled: in.Body.Task.Enabled, Server: in.Body.Task.Server}
}

// Resolve adds what only the kind can judge. An unknown measure is no bad request but
// an address that does not exist.
func (in *measureInput) Resolve(huma.Context) []error {
	problems := in.Body.Target.problems()
	for _, p := range in.task().Validate() {
		if p.Field != "measure" {
			problems = append(problems, p)
		}
	}
	return inBody(problems)
}

// changeMeasure serves the measures that have no kind of their own.
func (s *server) changeMeasure(ctx context.Context, in *measureInput) (*mutation, error) {
	task := in.task()
	for _, p := range task.Validate() {
		if p.Field == "measure" {
			return nil, newProblem("NOT_FOUND", "No such measure").hint("%s", "the measure "+p.Reason)
		}
	}
	return s.changeMany(ctx, in.Body.Target, task)
}
