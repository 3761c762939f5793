package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wispanel/wptk/wp"
)

// A safe update looks at the site (safe_probe.go), closes it for visitors (safe_close.go),
// copies its tables (safe_snapshot.go), and only then lets the kind do its work. When the
// site looks worse afterwards, or anything fails, all of it is taken back without PHP: the
// kind renames its files back, and wp-config.php is pointed at the copy of the tables. The
// steps are undone newest first, so that the site is opened when everything is in place.

// safeguard is the safe part of an update at work.
type safeguard struct {
	*Run
	on bool
	// idle: nothing is to be changed, so nothing is to be guarded.
	idle func() (bool, error)
	// tell makes the result of an update that was taken back.
	tellBack func(SafeReport) (any, error)

	door    string // the secret that lets our probe in, of this attempt only
	changed time.Time
}

// asksSafe is the default of the payloads' field.
func asksSafe(safe *bool) bool { return safe == nil || *safe }

// guarded makes the safeguard of an op. One that an earlier program began without, as its
// plan tells, goes on without.
func (r *Run) guarded(ask bool, planKey string) *safeguard {
	begunWithout := r.Get(planKey) != "" && r.Get(keySafe) == ""
	return &safeguard{Run: r, on: ask && !begunWithout}
}

const (
	keySafe        = "safe"         // the wp.DatabasePart to be copied: the op is a safe one
	keySafeURL     = "safe_url"     // the site's own address
	keySafeBefore  = "safe_before"  // wp.Sight
	keySafeAfter   = "safe_after"   // the same, with the update
	keySafeAgain   = "safe_again"   // the same, after taking it back
	keySafeReasons = "safe_reasons" // []string: why it was taken back
	keySafeReceipt = "safe_receipt" // SnapshotReceipt
	keySafeTouched = "safe_touched" // from here on something may have changed
)

// SafeReport tells how a safe update went.
type SafeReport struct {
	// ProbedBy is http, or cli where the node's web server does not answer, or is not known:
	// then only the front page was rendered.
	ProbedBy    string           `json:"probed_by" enum:"http,cli"`
	Pages       []SafePage       `json:"pages"`
	Regressions []string         `json:"regressions,omitempty" doc:"In which ways the site was worse with the update: why it was taken back."`
	Notes       []string         `json:"notes,omitempty" doc:"What was wrong already before, or is remarkable."`
	Snapshot    *SnapshotReceipt `json:"snapshot,omitempty"`
	RolledBack  bool             `json:"rolled_back"`
	AsBefore    *bool            `json:"as_before,omitempty" doc:"After taking it back: whether the site answers as before the update."`
}

// SafePage is what one page answered: its status, 0 for none.
type SafePage struct {
	Path   string `json:"path"`
	Before int    `json:"before"`
	After  *int   `json:"after,omitempty"`
	Again  *int   `json:"again,omitempty" doc:"After taking the update back."`
}

// SnapshotReceipt says what was copied, where it is, how large, and until when.
type SnapshotReceipt struct {
	TakenAt  time.Time `json:"taken_at"`
	Database string    `json:"database" doc:"The database with the copy of the tables. After a rollback it is the site's own."`
	Tables   int       `json:"tables"`
	Rows     int64     `json:"rows"`
	Bytes    int64     `json:"bytes" doc:"Of the tables, as the database server estimates them."`
	Files    []string  `json:"files" doc:"What of the site's files is kept, below the domain's directory."`
	Stage    string    `json:"stage" doc:"Where they are kept, below the domain's directory."`
	// KeptUntil is null once the snapshot is removed.
	KeptUntil *time.Time `json:"kept_until,omitempty"`
	Removed   bool       `json:"removed"`
}

// start decides, in the plan step of a kind, whether the site can be guarded. What cannot be
// taken back is refused before anything is changed.
func (g *safeguard) start(ctx context.Context, site wp.Site) error {
	if !g.on {
		return nil
	}
	if g.Host.Snapshots == nil {
		return noSnapshot("this node has no place for snapshots", "Have the operator look at the worker's state directory.")
	}
	part, err := g.tables(ctx, site)
	if err != nil {
		return err
	}
	b, err := json.Marshal(part)
	if err != nil {
		return fmt.Errorf("encoding database: %w", err)
	}
	return errors.Join(g.Set(keySafeURL, site.URL), g.Set(keySafe, string(b)))
}

func noSnapshot(reason, hint string) error {
	return Permanent(nil, Failure{Code: CodeSnapshotImpossible,
		Message: "The update could not be taken back, so it was not begun: " + reason + ".",
		Hint:    hint + " Or send safe=false, and have a backup."})
}

// only leaves the guard's steps out where it guards nothing.
func (g *safeguard) only(steps []Step) []Step {
	if g.on {
		return steps
	}
	return slices.DeleteFunc(steps, func(s Step) bool { return guardSteps[s.Name] })
}

var guardSteps = map[string]bool{"baseline": true, "close": true, "snapshot": true, "probe": true}

// skip is the Check of the guard's steps.
func (g *safeguard) skip(context.Context) (bool, error) { return g.idle() }

// addressed is the site under its own address.
func (g *safeguard) addressed() (wp.Site, error) {
	site, err := g.existing()
	if err != nil {
		return wp.Site{}, err
	}
	return site.WithURL(g.Get(keySafeURL))
}

// touch says that the update is about to change something. The site must still be closed: a
// snapshot of a site that has gone on since is worth nothing.
func (g *safeguard) touch(ctx context.Context) error {
	if !g.on {
		return nil
	}
	g.changed = time.Now()
	if g.Get(keySafeTouched) != "" {
		return nil
	}
	site, err := g.existing()
	if err != nil {
		return err
	}
	mark, err := g.Host.Files.Maintenance(ctx, site, time.Now())
	if err != nil {
		return err
	}
	if mark.Kind != wp.MarkerOurs || mark.Op != g.Op.ID || !mark.On(time.Now()) {
		return Permanent(nil, Failure{Code: CodeConflict, Message: "The site was opened while it was being updated, so the update was not begun.",
			Hint: "Somebody has removed the maintenance marker, or the worker was away for long. Try again."})
	}
	return g.Set(keySafeTouched, time.Now().UTC().Format(time.RFC3339))
}

// mustRestore reports that what the site has now is to be replaced by the snapshot.
func (g *safeguard) mustRestore() bool { return g.Get(keySafeTouched) != "" && !g.keptPart() }

// report puts together what is known so far; nil for an update that is not safe.
func (g *safeguard) report() (*SafeReport, error) {
	if !g.on || g.Get(keySafeBefore) == "" {
		return nil, nil
	}
	var before, after, again wp.Sight
	r := SafeReport{Pages: []SafePage{}, RolledBack: g.Get(keySafeAgain) != ""}
	for key, into := range map[string]any{
		keySafeBefore: &before, keySafeAfter: &after, keySafeAgain: &again, keySafeReasons: &r.Regressions, keySafeReceipt: &r.Snapshot,
	} {
		if err := g.recallJSON(key, into); err != nil {
			return nil, err
		}
	}
	r.ProbedBy, r.Notes = before.By, before.Troubles()
	for i, note := range r.Notes {
		r.Notes[i] = "before the update: " + note
	}
	for i, p := range before.Pages {
		page := SafePage{Path: "/" + p.Path, Before: p.Status}
		if i < len(after.Pages) {
			page.After = &after.Pages[i].Status
		}
		if i < len(again.Pages) {
			page.Again = &again.Pages[i].Status
		}
		r.Pages = append(r.Pages, page)
	}
	if r.RolledBack {
		same := len(again.Worse(before)) == 0
		r.AsBefore = &same
	}
	return &r, nil
}

func (r *Run) recallJSON(key string, into any) error {
	if r.Get(key) == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(r.Get(key)), into); err != nil {
		return fmt.Errorf("reading %s: %w", key, err)
	}
	return nil
}

func (r *Run) setJSON(key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", key, err)
	}
	return r.Set(key, string(b))
}
