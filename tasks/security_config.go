package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/wp"
)

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
