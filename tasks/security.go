package tasks

import (
	"context"
	"encoding/json"
	"fmt"

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
	keyXMLRPC  = "xmlrpc"  // how it was limited before
	keyRotated = "rotated"
	keyEffect  = "effect" // something was really changed
	keyEnds    = "ends"
)

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
	if h.any(func(m wp.Measure) bool { return m.ID == wp.MeasureXMLRPCLimit }) {
		steps = append(steps, Step{Name: "xmlrpc", Message: "Changing what XML-RPC takes", Weight: 3, Do: h.limitXMLRPC, Undo: h.undoXMLRPC})
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
