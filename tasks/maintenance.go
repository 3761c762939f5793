package tasks

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

var maintenanceSpec = Spec{
	Kind:     "maintenance",
	Class:    Interactive,
	Deadline: 3 * time.Minute,
	New:      func() Task { return new(Maintenance) },
}

const (
	defaultMaintenance = 60       // minutes
	maxMaintenance     = 7 * 1440 // a week: a site that is forgotten opens again
)

// Maintenance closes a site for visitors until a time, or opens it again. Only a marker that
// this toolkit has set is taken away; one of WordPress or a plugin belongs to their update.
type Maintenance struct {
	Enabled bool `json:"enabled" doc:"Close the site, or open it again."`
	Minutes int  `json:"minutes,omitempty" minimum:"1" maximum:"10080" example:"60" doc:"How long it stays closed at most; 60 when left out. It opens by itself."`
	Force   bool `json:"force,omitempty" doc:"Replace or remove a maintenance marker that somebody else has set, such as an update of WordPress that runs or has died."`
}

// MaintenanceResult is how the site was left.
type MaintenanceResult struct {
	Enabled bool       `json:"enabled"`
	Until   *time.Time `json:"until,omitempty"`
	// Before is whose marker was there: none, ours, foreign or expired.
	Before wp.MarkerKind `json:"before"`
}

// Kind is "maintenance".
func (*Maintenance) Kind() string { return maintenanceSpec.Kind }

// Validate reports what is wrong with the request.
func (p *Maintenance) Validate() []Problem {
	var found []Problem
	if p.Minutes < 0 || p.Minutes > maxMaintenance {
		found = append(found, Problem{"minutes", fmt.Sprintf("must be from 1 to %d, which is a week", maxMaintenance)})
	}
	if p.Minutes != 0 && !p.Enabled {
		found = append(found, Problem{"minutes", "makes sense only with enabled=true"})
	}
	return found
}

// closer is one change of the maintenance mode at work.
type closer struct {
	*Run
	ask *Maintenance
}

const (
	keyMarkerBefore = "marker_before" // kind, and behind a colon the content in base64
	keyUntil        = "until"         // RFC 3339
)

// Steps lists the change and the look at it.
func (p *Maintenance) Steps(r *Run) []Step {
	c := &closer{Run: r, ask: p}
	message := "Opening the site"
	if p.Enabled {
		message = "Closing the site"
	}
	return []Step{
		{Name: "marker", Message: message, Do: c.change, Undo: c.restore},
		{Name: "verify", Message: "Asking WordPress", Verify: c.verify},
	}
}

func (c *closer) change(ctx context.Context) error {
	site, err := c.installed(ctx)
	if err != nil {
		return err
	}
	mark, err := c.Host.Files.Maintenance(ctx, site, time.Now())
	if err != nil {
		return err
	}
	mine := mark.Kind == wp.MarkerOurs && mark.Op == c.Op.ID
	if mark.Kind == wp.MarkerForeign && !c.ask.Force {
		return foreignMarker(mark)
	}
	// A marker of this very op is from an attempt that has noted the one before.
	if !mine {
		before := string(mark.Kind) + ":" + base64.StdEncoding.EncodeToString(mark.Content)
		if _, err := c.Recall(keyMarkerBefore, func() (string, error) { return before, nil }); err != nil {
			return err
		}
	}
	if !c.ask.Enabled {
		return c.open(ctx, site, mark)
	}
	until, err := c.until()
	if err != nil {
		return err
	}
	if err := c.Host.Files.WriteFile(ctx, site, wp.MaintenanceFile, wp.RenderMaintenance(c.Op.ID, until), 0o644); err != nil {
		return fmt.Errorf("writing maintenance marker: %w", err)
	}
	return nil
}

// open leaves an expired marker alone: it closes nothing, and is not ours.
func (c *closer) open(ctx context.Context, site wp.Site, mark wp.MaintenanceMark) error {
	if mark.Kind != wp.MarkerOurs && mark.Kind != wp.MarkerForeign {
		return nil
	}
	if err := c.Host.Files.RemoveTree(ctx, site, wp.MaintenanceFile); err != nil {
		return fmt.Errorf("removing maintenance marker: %w", err)
	}
	return nil
}

// until is the same time in every attempt.
func (c *closer) until() (time.Time, error) {
	text, err := c.Recall(keyUntil, func() (string, error) {
		minutes := c.ask.Minutes
		if minutes == 0 {
			minutes = defaultMaintenance
		}
		return time.Now().Add(time.Duration(minutes) * time.Minute).UTC().Truncate(time.Second).Format(time.RFC3339), nil
	})
	if err != nil {
		return time.Time{}, err
	}
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading deadline: %w", err)
	}
	return until, nil
}

func foreignMarker(mark wp.MaintenanceMark) error {
	f := Failure{
		Code:    CodeConflict,
		Message: "The site is in a maintenance mode that was not set here.",
		Hint:    "An update of WordPress may be running. Wait for it to end, or send force=true to take the mode over.",
	}
	if !mark.Until.IsZero() {
		f.Message = "The site is in a maintenance mode that was not set here; it ends by itself at " + mark.Until.UTC().Format(time.RFC3339) + "."
	}
	return Permanent(nil, f)
}

// verify looks at the marker, and has WordPress's side confirm it. A site that is too broken
// to be asked has its marker all the same.
func (c *closer) verify(ctx context.Context) error {
	site, err := c.existing()
	if err != nil {
		return err
	}
	mark, err := c.Host.Files.Maintenance(ctx, site, time.Now())
	if err != nil {
		return err
	}
	result := MaintenanceResult{Enabled: c.ask.Enabled, Before: c.markerBefore().Kind}
	if c.ask.Enabled {
		until, err := c.until()
		if err != nil {
			return err
		}
		result.Until = &until
		if mark.Kind != wp.MarkerOurs || mark.Op != c.Op.ID || !mark.Until.Equal(until) {
			return markerChanged()
		}
	} else if mark.On(time.Now()) {
		return markerChanged()
	}
	if err := c.SetResult(result); err != nil {
		return err
	}
	switch active, err := c.Host.CLI.MaintenanceActive(ctx, site); {
	case err != nil:
		return maintenanceUnconfirmed(err)
	case active != mark.On(time.Now()):
		return maintenanceUnconfirmed(errors.New("WordPress says otherwise"))
	}
	return nil
}

func markerChanged() error {
	return Permanent(nil, Failure{Code: CodeConflict, Message: "Something else changed the site's maintenance mode at the same time.",
		Hint: "An update of WordPress may be running. Try again when it has ended."})
}

func maintenanceUnconfirmed(err error) error {
	return Unconfirmed(err, Failure{Code: CodeUnconfirmed, Message: "The maintenance mode is set as asked for, but WordPress could not be asked.",
		Hint: "Open the site in a browser."})
}

// restore makes the marker what it was, unless somebody else has changed it since.
func (c *closer) restore(ctx context.Context) error {
	before := c.markerBefore()
	if before.Kind == "" {
		return nil // nothing was changed yet
	}
	site, err := c.existing()
	if err != nil {
		return err
	}
	mark, err := c.Host.Files.Maintenance(ctx, site, time.Now())
	if err != nil {
		return err
	}
	ours := mark.Kind == wp.MarkerOurs && mark.Op == c.Op.ID
	if c.ask.Enabled && !ours || !c.ask.Enabled && mark.Kind != wp.MarkerNone {
		return nil
	}
	if before.Kind == wp.MarkerNone {
		return c.Host.Files.RemoveTree(ctx, site, wp.MaintenanceFile)
	}
	return c.Host.Files.WriteFile(ctx, site, wp.MaintenanceFile, before.Content, 0o644)
}

// markerBefore is what Recall has kept of the marker that this op has replaced.
func (r *Run) markerBefore() wp.MaintenanceMark {
	kind, content, _ := strings.Cut(r.Get(keyMarkerBefore), ":")
	text, err := base64.StdEncoding.DecodeString(content)
	if err != nil {
		return wp.MaintenanceMark{}
	}
	return wp.MaintenanceMark{Kind: wp.MarkerKind(kind), Content: text}
}
