package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

// hardener applies measures or takes them back. What the node remembers of the install
// is written at the very end; until then all that an undo needs is in the journal, or
// for long lists in a file of the op.
type hardener struct {
	*Run
	enabled bool
	ids     []string
	server  string // as asked for
	debug   *SecurityToggleDebug
}

// What the hardener remembers between attempts.
const (
	keyAddress = "address" // that the site has given itself
	keyVital   = "vital"   // how its vital URLs answered before
	keyChanges = "changes" // to wp-config.php, by measure
	keyLog     = "log"     // of debugging
	keyMade    = "made"    // there was no .htaccess
	keyPings   = "pings"   // what was open before
	keyRotated = "rotated"
	keyEffect  = "effect" // something was really changed
	keyEnds    = "ends"
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

func (h *hardener) steps() []Step {
	steps := []Step{{Name: "look", Message: "Looking at the site", Do: h.look}}
	if h.any(func(m wp.Measure) bool { return len(m.Off) > 0 || m.ID == wp.MeasureSecurityKeys }) {
		steps = append(steps, Step{Name: "config", Message: "Changing wp-config.php", Weight: 3, Do: h.changeConfig, Verify: h.verifyConfig, Undo: h.undoConfig})
	}
	if h.any(wp.Measure.Rules) {
		steps = append(steps, Step{Name: "rules", Message: "Writing rules for the web server", Weight: 3, Do: h.writeRules, Verify: h.verifyRules, Undo: h.undoRules})
	}
	if h.any(func(m wp.Measure) bool { return m.ID == wp.MeasurePermissions }) {
		steps = append(steps, Step{Name: "modes", Message: "Changing modes of files", Weight: 3, Do: h.setModes, Verify: h.verifyModes, Undo: h.undoModes})
	}
	if h.any(func(m wp.Measure) bool { return m.ID == wp.MeasurePingbacks }) {
		steps = append(steps, Step{Name: "pingbacks", Message: "Changing who may ping", Weight: 3, Do: h.setPings, Undo: h.undoPings})
	}
	return append(steps, Step{Name: "record", Message: "Finishing", Commit: true, Do: h.record})
}

func (h *hardener) any(is func(wp.Measure) bool) bool {
	for _, id := range h.ids {
		if m, ok := wp.FindMeasure(id); ok && is(m) {
			return true
		}
	}
	return false
}

// site is the install under the address that it has given itself.
func (h *hardener) site() (wp.Site, error) {
	site, err := h.existing()
	if err != nil {
		return wp.Site{}, err
	}
	site.ID = h.Op.Site.ID
	if address := h.Get(keyAddress); address != "" {
		return site.WithURL(address)
	}
	return site, nil
}

// look refuses what cannot be done before anything is.
func (h *hardener) look(ctx context.Context) error {
	site, err := h.installed(ctx)
	if err != nil {
		return err
	}
	if site, err = h.Host.Addressed(ctx, site); err != nil {
		return lookError(err)
	}
	if err := h.Set(keyAddress, site.URL); err != nil {
		return err
	}
	if server, why := h.Host.Web.Resolve(h.server); server == wp.Nginx && why != "" && h.enabled && h.any(wp.Measure.Rules) {
		return Permanent(nil, Failure{Code: CodeUnavailable, Message: "Rules for nginx cannot be written: " + why + ".",
			Hint: "Have the operator set it up, or ask for server apache if that is what serves the site."})
	}
	if h.any(func(m wp.Measure) bool { return m.ID == wp.MeasurePingbacks }) {
		if err := h.lookForNetwork(ctx, site); err != nil {
			return err
		}
	}
	if vital := h.Host.Web.Vital(ctx, site); vital != nil && h.any(wp.Measure.Rules) {
		encoded, err := json.Marshal(vital)
		if err != nil {
			return fmt.Errorf("encoding answers of the site: %w", err)
		}
		return h.Set(keyVital, string(encoded))
	}
	return nil
}

func (h *hardener) lookForNetwork(ctx context.Context, site wp.Site) error {
	_, config, err := h.Host.LoadConfig(ctx, site)
	if err != nil {
		return hardeningError(err)
	}
	if parsed, err := wp.ParseConfig(config.Data); err == nil && parsed.Multisite {
		return Permanent(nil, Failure{Code: CodeUnavailable, Message: "On a network every site decides on its pingbacks.",
			Hint: "Close XML-RPC for the whole network instead, with block-xmlrpc."})
	}
	return nil
}

// memory is what the node remembers of the install.
func (h *hardener) memory() (wp.Hardening, error) {
	doc, err := h.Host.Measures.Load(h.Op.Site.ID)
	if err != nil {
		return doc, err
	}
	doc.Account, doc.Domain, doc.Path = h.Op.Site.Account, h.Op.Site.Domain, h.Op.Site.Path
	return doc, nil
}

// changed notes, before the fact, that the op has an effect.
func (h *hardener) changed() error {
	if h.Get(keyEffect) != "" {
		return nil
	}
	return h.Set(keyEffect, "1")
}

// edits are what a measure sets in wp-config.php.
func (h *hardener) edits(m wp.Measure, site wp.Site) ([]wp.ConfigEdit, error) {
	if m.ID != wp.MeasureDebug {
		return m.On, nil
	}
	log := wp.PHPBool(false)
	if h.debug.Log == nil || *h.debug.Log {
		file, err := h.Recall(keyLog, func() (string, error) {
			doc, err := h.memory()
			if log := doc.Measures[wp.MeasureDebug].Log; log != "" || err != nil {
				return log, err
			}
			return debugLog(site), nil
		})
		if err != nil {
			return nil, err
		}
		if log, err = wp.PHPText(file); err != nil {
			return nil, fmt.Errorf("naming log: %w", err)
		}
	}
	return []wp.ConfigEdit{{Name: "WP_DEBUG", Value: wp.PHPBool(true)}, {Name: "WP_DEBUG_LOG", Value: log}, {Name: "WP_DEBUG_DISPLAY", Value: wp.PHPBool(h.debug.Display)}}, nil
}

// debugLog is outside of the docroot, unless that is the domain's directory itself:
// then the name cannot be guessed and nobody but the account may read the file.
func debugLog(site wp.Site) string {
	return filepath.Join(site.Home, "logs", "wp-debug-"+strings.ToLower(wp.NewPassword(20))+".log")
}

// changeConfig makes all edits in one rename.
func (h *hardener) changeConfig(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	doc, err := h.memory()
	if err != nil {
		return err
	}
	if h.ids[0] == wp.MeasureSecurityKeys {
		return h.rotate(ctx, site)
	}
	if h.enabled && h.debug != nil && (h.debug.Log == nil || *h.debug.Log) {
		if _, err := h.edits(wp.Measure{ID: wp.MeasureDebug}, site); err != nil { // chooses the name
			return err
		}
		if err := h.Host.Files.MakeLog(ctx, site, h.Get(keyLog)); err != nil {
			return err
		}
	}
	err = h.Host.ChangeConfig(ctx, site, func(src []byte) ([]byte, error) {
		next, changes, err := h.newConfig(src, doc, site)
		if err != nil || bytes.Equal(next, src) {
			return next, err
		}
		if h.Get(keyChanges) == "" {
			encoded, err := json.Marshal(changes)
			if err != nil {
				return nil, fmt.Errorf("encoding changes: %w", err)
			}
			if err := h.Set(keyChanges, string(encoded)); err != nil {
				return nil, err
			}
		}
		return next, h.changed()
	})
	return hardeningError(err)
}

type configChanges map[string][]wp.ConfigChange

// newConfig is the file as it shall be. It begins at what was there before the
// measures, so that a second application leads back to the same.
func (h *hardener) newConfig(src []byte, doc wp.Hardening, site wp.Site) ([]byte, configChanges, error) {
	changes := configChanges{}
	for _, id := range h.ids {
		m, _ := wp.FindMeasure(id)
		if len(m.Off) == 0 {
			continue
		}
		before := doc.Measures[id].Config
		base, err := wp.RevertConfig(src, before)
		if err != nil {
			return nil, nil, err
		}
		var edits []wp.ConfigEdit
		switch {
		case h.enabled:
			edits, err = h.edits(m, site)
		case len(before) == 0:
			edits, err = offEdits(base, m)
		}
		if err != nil {
			return nil, nil, err
		}
		if src, changes[id], err = wp.EditConfig(base, edits...); err != nil {
			return nil, nil, err
		}
	}
	return src, changes, nil
}

// offEdits turn off by name what somebody else has turned on.
func offEdits(src []byte, m wp.Measure) ([]wp.ConfigEdit, error) {
	var edits []wp.ConfigEdit
	for _, e := range m.Off {
		got, err := wp.ConfigConsts(src, e.Name)
		if err != nil {
			return nil, err
		}
		if c := got[e.Name]; c.Defined && c.True() != (e.Value == wp.PHPBool(true)) {
			edits = append(edits, e)
		}
	}
	return edits, nil
}

// rotate needs no undo: old keys are good for nothing but sessions that have ended.
func (h *hardener) rotate(ctx context.Context, site wp.Site) error {
	if h.Get(keyRotated) != "" {
		return nil
	}
	if err := h.changed(); err != nil {
		return err
	}
	if err := h.Host.ChangeConfig(ctx, site, wp.FreshKeys); err != nil {
		return hardeningError(err)
	}
	return h.Set(keyRotated, "1")
}

// verifyConfig asks PHP what the constants are now.
func (h *hardener) verifyConfig(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	_, config, err := h.Host.LoadConfig(ctx, site)
	if err != nil {
		return hardeningError(err)
	}
	var names []string
	for _, id := range h.ids {
		m, _ := wp.FindMeasure(id)
		edits := m.Off
		if h.enabled && len(m.Off) > 0 {
			if edits, err = h.edits(m, site); err != nil {
				return err
			}
		}
		for _, e := range edits {
			names = append(names, e.Name)
		}
	}
	if len(names) == 0 { // the keys, of which no value leaves the file
		return nil
	}
	want, err := wp.ConfigConsts(config.Data, names...)
	if err != nil {
		return hardeningError(err)
	}
	got, err := h.Host.CLI.Constants(ctx, site, names...)
	if err != nil {
		return Unconfirmed(err, Failure{Code: CodeUnconfirmed, Message: "wp-config.php was changed, but PHP could not be asked what it makes of it.",
			Hint: "Open the site. What WP-CLI said is in the operation's log."})
	}
	for _, name := range names {
		text, defined := got[name]
		if defined != want[name].Defined || text != want[name].Text {
			return Permanent(fmt.Errorf("%s is %q, defined %t", name, text, defined), Failure{Code: CodeVerifyFailed,
				Message: "PHP sees another value of " + name + " than wp-config.php was given.", Hint: "Something that is loaded in front of wp-config.php defines it. The file is as it was before."})
		}
	}
	return nil
}

func (h *hardener) undoConfig(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	doc, err := h.memory()
	if err != nil {
		return err
	}
	if log := h.Get(keyLog); log != "" && log != doc.Measures[wp.MeasureDebug].Log {
		if err := h.Host.Files.DropLog(ctx, site, log); err != nil {
			return err
		}
	}
	if h.Get(keyChanges) == "" {
		return nil
	}
	var changes configChanges
	if err := json.Unmarshal([]byte(h.Get(keyChanges)), &changes); err != nil {
		return fmt.Errorf("reading changes: %w", err)
	}
	err = h.Host.ChangeConfig(ctx, site, func(src []byte) ([]byte, error) {
		for id, made := range changes {
			var err error
			if src, err = wp.RevertConfig(src, made); err != nil {
				return nil, err
			}
			if src, _, err = wp.EditConfig(src, doc.Measures[id].Edits()...); err != nil {
				return nil, err
			}
		}
		return src, nil
	})
	return hardeningError(err)
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
