package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// freshWait is how long a read waits for a new inspection.
const freshWait = 15 * time.Second

// readInput is what every read of one install takes.
type readInput struct {
	ID    string `query:"id" required:"true" maxLength:"64" doc:"The install." example:"wp_4e8a1b2c3d4e5f60"`
	Fresh bool   `query:"fresh" doc:"Have the node inspect the install now and wait for it, up to 15 seconds. Where nothing is known yet, or an operation has changed the install since, reads do so by themselves."`
}

// ReadHeaders say how old an answer is. Exported for being embedded: encoders skip what is not.
type ReadHeaders struct {
	Age      string `header:"Age" doc:"Seconds since the install was inspected."`
	Modified string `header:"Last-Modified" doc:"When the install was inspected."`
	Warning  string `header:"Warning" doc:"110 when the node could not be asked in time and this is what it said earlier."`
}

// reading is an install with what its last inspection has found.
type reading struct {
	site  queue.Site
	at    time.Time
	facts *tasks.Details // nil when it never was inspected
	stale bool           // older than it should be
}

func (r reading) headers() ReadHeaders {
	var h ReadHeaders
	if r.facts != nil {
		h.Age = fmt.Sprint(max(0, int(time.Since(r.at)/time.Second)))
		h.Modified = r.at.Format(http.TimeFormat)
	}
	if r.stale {
		h.Warning = `110 wptk "Response is Stale"`
	}
	return h
}

// read is what all reads of an install are made of. Without fresh it costs two reads of
// Redis, unless there is nothing to read yet.
func (s *server) read(ctx context.Context, in readInput) (reading, error) {
	r, err := s.recall(ctx, in.ID)
	if err != nil {
		return reading{}, err
	}
	if r.facts != nil && !r.stale && !in.Fresh {
		return r, nil
	}
	if err := s.inspect(ctx, r.site, in.Fresh); err != nil {
		if queue.Unavailable(err) {
			return reading{}, err
		}
		exchangeOf(ctx).log.Info("answering a read with what is known", "site", in.ID, "err", err)
		r.stale = true
		return r, nil
	}
	return s.recall(ctx, in.ID)
}

// recall reads what is known of an install that the caller may see.
func (s *server) recall(ctx context.Context, id string) (reading, error) {
	site, err := s.Ledger.Site(ctx, id)
	if err == nil && !sees(ctx, site.Account) {
		err = queue.ErrNotFound
	}
	if err != nil {
		return reading{}, err
	}
	r := reading{site: site}
	details, err := s.Ledger.Details(ctx, id)
	if errors.Is(err, queue.ErrNotFound) {
		return r, nil
	}
	if err != nil {
		return reading{}, err
	}
	r.at, r.stale, r.facts = details.At, details.Stale, new(tasks.Details)
	if err := json.Unmarshal(details.Facts, r.facts); err != nil {
		return reading{}, fmt.Errorf("decoding details: %w", err)
	}
	return r, nil
}

// inspect has the node inspect an install and waits until it has. The error says why
// there is nothing new.
func (s *server) inspect(ctx context.Context, site queue.Site, anew bool) error {
	op, err := s.inspection(ctx, site, anew)
	if err != nil {
		return err
	}
	patience, cancel := s.untilClosing(ctx, s.freshWait())
	defer cancel()
	for !op.State.Final() {
		if err := s.Watcher.Wait(patience, op.ID, op.Seq); patience.Err() != nil {
			return fmt.Errorf("inspecting: the operation %s is still %s", op.ID, op.State)
		} else if err != nil {
			return err
		}
		if op, err = s.Ledger.Get(ctx, op.ID); err != nil {
			return err
		}
	}
	if op.State != tasks.Succeeded && (op.Error == nil || op.Error.Code != tasks.CodeNoWordPress) {
		return fmt.Errorf("inspecting: the operation %s is %s", op.ID, op.State)
	}
	return nil // gone is news as well: the node has taken it from the list
}

func (s *server) freshWait() time.Duration {
	if s.FreshWait > 0 {
		return s.FreshWait
	}
	return freshWait
}

// inspection is the op that inspects the install: one that waits already, so that readers
// who ask again and again make no heap of them, or a new one. One that runs already may
// have looked before the request came: it does for all but those who want to see it anew.
func (s *server) inspection(ctx context.Context, site queue.Site, anew bool) (tasks.Op, error) {
	newest, err := s.Ledger.Get(ctx, site.ID)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return tasks.Op{}, err
	}
	task := new(tasks.SiteInspect)
	if err == nil && newest.Kind == task.Kind() && (newest.State == tasks.Queued || newest.State == tasks.Running && !anew) {
		return newest, nil
	}
	node, err := s.servingNode(ctx, site.Node)
	if err != nil {
		return tasks.Op{}, err
	}
	op, err := s.opOf(task, site.SiteRef, node.Recipient)
	if err != nil {
		return tasks.Op{}, err
	}
	accepted, err := s.submit(ctx, queue.Submission{Op: op})
	if err != nil {
		return tasks.Op{}, err
	}
	return s.Ledger.Get(ctx, accepted.Body.OperationID)
}

// unknown is the answer to a read of a part that no inspection has found.
func (r reading) unknown(what string) *problem {
	if r.facts == nil {
		return newProblem("NODE_UNAVAILABLE", "The install has not been inspected yet").
			hint("its node does not answer, or is busy with it; try again").after(10 * time.Second)
	}
	return newProblem("CONFLICT", fmt.Sprintf("The %s of this install cannot be read: %s", what, r.facts.Reason)).
		hint("mend the site, then ask again with fresh=true")
}

type pluginsAnswer struct {
	ReadHeaders
	Body []tasks.Plugin
}

func (s *server) listPlugins(ctx context.Context, in *readInput) (*pluginsAnswer, error) {
	r, err := s.read(ctx, *in)
	if err != nil {
		return nil, err
	}
	if r.facts == nil || r.facts.Plugins == nil {
		return nil, r.unknown("plugins")
	}
	return &pluginsAnswer{r.headers(), orEmpty(r.facts.Plugins.List)}, nil
}

type themesAnswer struct {
	ReadHeaders
	Body []tasks.Theme
}

func (s *server) listThemes(ctx context.Context, in *readInput) (*themesAnswer, error) {
	r, err := s.read(ctx, *in)
	if err != nil {
		return nil, err
	}
	if r.facts == nil || r.facts.Themes == nil {
		return nil, r.unknown("themes")
	}
	return &themesAnswer{r.headers(), orEmpty(r.facts.Themes.List)}, nil
}

// inspected is what an inspection adds to an install. What could not be read is null.
type inspected struct {
	InspectedAt stamp  `json:"inspected_at" doc:"null before the first inspection, and everything below with it."`
	Stale       bool   `json:"stale" doc:"The node could not be asked in time; this is what it said earlier."`
	Health      health `json:"health"`

	Core     *tasks.CoreFacts     `json:"core"`
	Plugins  []tasks.Plugin       `json:"plugins" nullable:"true"`
	Themes   []tasks.Theme        `json:"themes" nullable:"true"`
	Users    *tasks.UserFacts     `json:"users"`
	Options  *tasks.OptionFacts   `json:"options"`
	Cache    *tasks.CacheFacts    `json:"cache"`
	Security *tasks.SecurityFacts `json:"security"`
	Sizes    sizes                `json:"sizes"`
	Cron     *tasks.CronFacts     `json:"cron"`
	PHP      *tasks.PHPFacts      `json:"php"`
}

// health says what is wrong with a site.
type health struct {
	Status  string         `json:"status" enum:"ok,broken,suspended,unreadable"`
	Reason  string         `json:"reason"`
	Culprit *tasks.Culprit `json:"culprit" doc:"What breaks the site, where PHP's message tells."`
	Limited bool           `json:"limited" doc:"Read without the site's plugins and theme, because they break it."`
	Issues  []tasks.Issue  `json:"issues" doc:"What deserves attention, the worst first."`
}

// sizes is what an install takes.
type sizes struct {
	Files    *tasks.Usage         `json:"files"`
	Database *tasks.DatabaseFacts `json:"database"`
}

// Inspected is exported for being embedded: encoders skip what is not.
type Inspected = inspected

func (r reading) inspected() inspected {
	out := inspected{Stale: r.stale, Health: health{Status: string(r.site.Status), Reason: r.site.Reason, Issues: []tasks.Issue{}}}
	d := r.facts
	if d == nil {
		return out
	}
	out.InspectedAt = stamp(r.at)
	out.Health.Culprit, out.Health.Limited, out.Health.Issues = d.Culprit, d.Limited, orEmpty(d.Issues)
	out.Core, out.Users, out.Options, out.Cache, out.Security, out.Cron, out.PHP = d.Core, d.Users, d.Options, d.Cache, d.Security, d.Cron, d.PHP
	out.Sizes = sizes{d.Files, d.Database}
	if d.Plugins != nil {
		out.Plugins = orEmpty(d.Plugins.List)
	}
	if d.Themes != nil {
		out.Themes = orEmpty(d.Themes.List)
	}
	return out
}
