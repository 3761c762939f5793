package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp"
)

// SecurityResult is what became of the measures.
type SecurityResult struct {
	Enabled bool `json:"enabled"`
	// Already: everything was as asked for, so nothing was changed.
	Already  bool              `json:"already"`
	Server   string            `json:"server,omitempty"` // whom rules were written for: apache, nginx, unknown
	Measures []SecurityOutcome `json:"measures"`
	Log      string            `json:"log,omitempty"`   // of debugging: absolute path on the node
	Until    *time.Time        `json:"until,omitempty"` // when debugging ends by itself
}

// SecurityOutcome is one measure of a SecurityResult.
type SecurityOutcome struct {
	ID        string `json:"id"`
	Status    string `json:"status"` // applied, not_applied, unavailable
	Available bool   `json:"available"`
	// Confirmed: the web server was asked, and refuses what it should. Null when it
	// could not be asked.
	Confirmed *bool  `json:"confirmed"`
	Reason    string `json:"reason,omitempty"`
}

// record is where the node begins to remember.
func (h *hardener) record(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	doc, err := h.memory()
	if err != nil {
		return err
	}
	result := SecurityResult{Enabled: h.enabled, Already: h.Get(keyEffect) == ""}
	after, err := h.after(doc, site)
	if err != nil {
		return err
	}
	if log := doc.Measures[wp.MeasureDebug].Log; log != "" && log != after.Measures[wp.MeasureDebug].Log {
		if err := h.Host.Files.DropLog(ctx, site, log); err != nil {
			return err
		}
	}
	if err := errors.Join(h.recordModes(), h.Host.Measures.Save(h.Op.Site.ID, after)); err != nil {
		return err
	}
	h.describe(ctx, site, after, &result)
	return h.SetResult(result)
}

// after is the node's memory once the op is done.
func (h *hardener) after(doc wp.Hardening, site wp.Site) (wp.Hardening, error) {
	after := doc
	after.Measures = map[string]wp.Applied{}
	for id, a := range doc.Measures {
		after.Measures[id] = a
	}
	after.Made = doc.Made || h.Get(keyMade) != ""
	for _, id := range h.ids {
		if !h.enabled {
			delete(after.Measures, id)
			continue
		}
		a, err := h.applied(id, doc.Measures[id], site)
		if err != nil {
			return doc, err
		}
		after.Measures[id] = a
	}
	if wp.ApacheBlock(after.ForServer(false)) == "" {
		after.Made = false // the file is gone again, or the tenant's
	}
	return after, nil
}

func (h *hardener) applied(id string, before wp.Applied, site wp.Site) (wp.Applied, error) {
	m, _ := wp.FindMeasure(id)
	a := wp.Applied{Op: h.Op.ID, At: time.Now().UTC(), Config: before.Config, Want: before.Want}
	if m.Rules() {
		a.Server, _ = h.Host.Web.Resolve(h.server)
	}
	if len(m.Off) > 0 {
		edits, err := h.edits(m, site)
		if err != nil {
			return a, err
		}
		a.Want = wp.Wanted(edits)
		if text := h.Get(keyChanges); text != "" {
			var changes configChanges
			if err := json.Unmarshal([]byte(text), &changes); err != nil {
				return a, fmt.Errorf("reading changes: %w", err)
			}
			a.Config = changes[id]
		}
	}
	switch id {
	case wp.MeasureDebug:
		a.Log = h.Get(keyLog)
		if h.debug.Hours > 0 {
			until, err := h.Recall(keyEnds, func() (string, error) {
				return time.Now().Add(time.Duration(h.debug.Hours) * time.Hour).UTC().Format(time.RFC3339), nil
			})
			if err == nil {
				a.Until, err = time.Parse(time.RFC3339, until)
			}
			if err != nil {
				return a, fmt.Errorf("choosing the end of debugging: %w", err)
			}
		}
	case wp.MeasureXMLRPCLimit:
		made, err := h.madeMuDir(before)
		if err != nil {
			return a, err
		}
		a.MadeDir = made
	case wp.MeasurePingbacks:
		a.Pings = before.Pings
		if text := h.Get(keyPings); a.Pings == nil && text != "" {
			a.Pings = new(wp.Pings)
			if err := json.Unmarshal([]byte(text), a.Pings); err != nil {
				return a, fmt.Errorf("reading pingbacks: %w", err)
			}
		}
	}
	return a, nil
}

// describe tells of each measure what the requester has to know.
func (h *hardener) describe(ctx context.Context, site wp.Site, after wp.Hardening, result *SecurityResult) {
	for _, id := range h.ids {
		m, _ := wp.FindMeasure(id)
		o := SecurityOutcome{ID: id, Status: wp.MeasureNotApplied, Available: true}
		if h.enabled {
			o.Status = wp.MeasureApplied
		}
		if m.Rules() {
			server, why := h.Host.Web.Resolve(h.server)
			result.Server, o.Available, o.Reason = server, why == "", why
			if holds, known := h.Host.Web.Holds(ctx, site, id); known && h.enabled {
				o.Confirmed = &holds
			}
		}
		if id == wp.MeasureXMLRPCLimit && h.enabled && after.Has(wp.MeasureXMLRPC) {
			o.Reason = wp.XMLRPCClosed
		}
		if !h.enabled && len(m.Off) > 0 && h.still(ctx, site, m) {
			o.Status, o.Reason = wp.MeasureApplied, "It was so before it was first applied, and is so again. Ask once more to turn it off all the same."
		}
		result.Measures = append(result.Measures, o)
	}
	debug := after.Measures[wp.MeasureDebug]
	if h.debug != nil {
		result.Log = debug.Log
		if !debug.Until.IsZero() {
			result.Until = &debug.Until
		}
	}
}

// still reports whether a measure is on though it was taken back.
func (h *hardener) still(ctx context.Context, site wp.Site, m wp.Measure) bool {
	_, config, err := h.Host.LoadConfig(ctx, site)
	if err != nil {
		return false
	}
	off, err := offEdits(config.Data, m)
	return err == nil && len(off) > 0
}
