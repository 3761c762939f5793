package tasks

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp"
)

// maxClosed is how long a site stays closed for an update at most: should nobody come to
// open it, it opens by itself.
const maxClosed = 2 * time.Hour

// closing is the step that keeps visitors out, from in front of the snapshot until everything
// is decided: nobody writes what a rollback would lose, and nobody sees a broken site.
func (g *safeguard) closing() Step {
	return Step{Name: "close", Message: "Closing the site for visitors", Weight: 2, Check: g.skip, Do: g.close, Undo: g.reopen}
}

func (g *safeguard) close(ctx context.Context) error {
	site, err := g.existing()
	if err != nil {
		return err
	}
	mark, err := g.Host.Files.Maintenance(ctx, site, time.Now())
	if err != nil {
		return err
	}
	if left := time.Until(mark.Until); mark.Kind == wp.MarkerForeign && left > 0 && left <= wordPressCloses {
		f := FailureOf(foreignMarker(mark))
		f.Hint = "An update of WordPress may be running. Wait for it to end, then try again."
		return Permanent(nil, f)
	}
	if mark.Kind != wp.MarkerOurs || mark.Op != g.Op.ID {
		before := string(mark.Kind) + ":" + base64.StdEncoding.EncodeToString(mark.Content)
		if _, err := g.Recall(keyMarkerBefore, func() (string, error) { return before, nil }); err != nil {
			return err
		}
	}
	if err := g.lock(ctx, site); err != nil {
		return err
	}
	if g.Get(keySafeBefore) != "" {
		return nil
	}
	return g.lookBefore(ctx) // it was closed already, and our own door is open now
}

// wordPressCloses is how long WordPress closes a site for an update of its own.
const wordPressCloses = 10 * time.Minute

// lock writes the marker with a door for this attempt's probe.
func (g *safeguard) lock(ctx context.Context, site wp.Site) error {
	door := rand.Text()
	marker := wp.RenderClosed(g.Op.ID, time.Now().Add(maxClosed), wp.ProbeHash(door))
	if err := g.Host.Files.WriteFile(ctx, site, wp.MaintenanceFile, marker, 0o644); err != nil {
		return fmt.Errorf("writing maintenance marker: %w", err)
	}
	g.door, g.changed = door, time.Now()
	return nil
}

// enter has a door for a probe where the site is closed by this op. After a crash the secret
// of the earlier attempt is gone, and the door gets a new one.
func (g *safeguard) enter(ctx context.Context, site wp.Site) error {
	if g.door != "" {
		return nil
	}
	mark, err := g.Host.Files.Maintenance(ctx, site, time.Now())
	if err != nil {
		return err
	}
	if mark.Kind != wp.MarkerOurs || mark.Op != g.Op.ID {
		return nil // it is open
	}
	return g.lock(ctx, site)
}

// open makes the marker what it was before, unless somebody else has changed it since.
func (g *safeguard) open(ctx context.Context) error {
	if !g.on {
		return nil
	}
	site, err := g.existing()
	if err != nil {
		return err
	}
	return g.restoreMarker(ctx, site)
}

// restoreMarker takes this op's own marker away again.
func (r *Run) restoreMarker(ctx context.Context, site wp.Site) error {
	before := r.markerBefore()
	if before.Kind == "" {
		return nil // nothing was changed yet
	}
	mark, err := r.Host.Files.Maintenance(ctx, site, time.Now())
	if err != nil {
		return err
	}
	if mark.Kind != wp.MarkerOurs || mark.Op != r.Op.ID {
		return nil
	}
	if before.Kind == wp.MarkerNone {
		return r.Host.Files.RemoveTree(ctx, site, wp.MaintenanceFile)
	}
	return r.Host.Files.WriteFile(ctx, site, wp.MaintenanceFile, before.Content, 0o644)
}
