package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

// writeRules renders the rules of all measures of the install, those of this op
// included, and puts them where the web server reads them.
func (h *hardener) writeRules(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	doc, err := h.memory()
	if err != nil {
		return err
	}
	after, err := h.after(doc, site)
	if err != nil {
		return err
	}
	return h.putRules(ctx, site, after)
}

func (h *hardener) undoRules(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	doc, err := h.memory()
	if err != nil {
		return err
	}
	return h.putRules(ctx, site, doc)
}

func (h *hardener) putRules(ctx context.Context, site wp.Site, doc wp.Hardening) error {
	block := wp.ApacheBlock(doc.ForServer(false))
	err := h.Host.Files.Change(ctx, site, wp.HtaccessFile(site), wp.MaxHtaccess, 0o644, func(t wp.Text) ([]byte, error) {
		next, err := wp.SetBlock(string(t.Data), block)
		if err != nil {
			return nil, err
		}
		if next == string(t.Data) {
			return t.Data, nil
		}
		if err := h.noteRules(t); err != nil {
			return nil, err
		}
		if next == "" && h.madeHtaccess() {
			return nil, nil
		}
		return []byte(next), nil
	})
	if err != nil {
		return hardeningError(err)
	}
	if h.Host.Web.NginxDir == "" {
		return nil
	}
	rules, err := wp.NginxRules(site.Base(), doc.ForServer(true))
	if err != nil {
		return Permanent(err, Failure{Code: CodeUnavailable, Message: "The address of the site has characters that cannot stand in rules for nginx.", Hint: "Rules for Apache can be written all the same: ask for server apache."})
	}
	if had, err := h.Host.Web.NginxRulesOf(site, h.Op.Site.ID); err != nil {
		return err
	} else if had != rules {
		if err := h.changed(); err != nil {
			return err
		}
	} else if rules == "" {
		return nil
	}
	return hardeningError(h.Host.Web.ApplyNginx(ctx, site, h.Op.Site.ID, rules))
}

// noteRules remembers, before the first change, whether there was an .htaccess.
func (h *hardener) noteRules(t wp.Text) error {
	if !t.Exists {
		if err := h.Set(keyMade, "1"); err != nil {
			return err
		}
	}
	return h.changed()
}

func (h *hardener) madeHtaccess() bool {
	doc, err := h.memory()
	return h.Get(keyMade) != "" || err == nil && doc.Made
}

// settling is how long a server may take until its new rules hold.
const (
	settling   = 200 * time.Millisecond
	settleTurn = 15
)

// verifyRules asks the web server, where the node knows how. A vital URL that got worse,
// or a rule that does not hold, takes everything back.
func (h *hardener) verifyRules(ctx context.Context) error {
	if h.Host.Web.Probe == "" || h.Get(keyEffect) == "" {
		return nil
	}
	site, err := h.site()
	if err != nil {
		return err
	}
	var before map[string]int
	if text := h.Get(keyVital); text != "" {
		if err := json.Unmarshal([]byte(text), &before); err != nil {
			return fmt.Errorf("reading answers of the site: %w", err)
		}
	}
	var worse, loose []string
	for range settleTurn {
		worse, loose = wp.Worse(before, h.Host.Web.Vital(ctx, site)), h.loose(ctx, site)
		if len(worse)+len(loose) == 0 {
			return nil
		}
		if err := wait(ctx, settling); err != nil {
			return err
		}
	}
	if len(worse) > 0 {
		return Permanent(nil, Failure{Code: CodeVerifyFailed, Message: "With the rules the site does not answer as it did: " + strings.Join(worse, "; ") + ".",
			Hint: "The rules are taken back. Ask for one measure at a time to find the one that does it."})
	}
	return Permanent(nil, Failure{Code: CodeVerifyFailed, Message: "The web server does not follow these rules: " + strings.Join(loose, ", ") + ".",
		Hint: "They are taken back. Apache needs AllowOverride All for the site, nginx the include in its server block; the operator sets that up."})
}

// loose names measures that do not hold though the server is known.
func (h *hardener) loose(ctx context.Context, site wp.Site) []string {
	if server, why := h.Host.Web.Resolve(h.server); !h.enabled || why != "" || server == wp.UnknownServer {
		return nil
	}
	var loose []string
	for _, id := range h.ids {
		if holds, known := h.Host.Web.Holds(ctx, site, id); known && !holds {
			loose = append(loose, id)
		}
	}
	return loose
}
