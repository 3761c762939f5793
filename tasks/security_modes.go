package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/wispanel/wptk/wp"
)

// setModes narrows modes, or widens them to what they were. The list is in a file of
// the op before the first mode changes.
func (h *hardener) setModes(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	modes, known, err := h.Host.Measures.LoadModes(h.Op.ID)
	if err != nil {
		return err
	}
	if !known {
		if modes, err = h.modes(ctx, site); err != nil || len(modes) == 0 {
			return err
		}
		if err := h.Host.Measures.SaveModes(h.Op.ID, modes); err != nil {
			return err
		}
	}
	if err := h.changed(); err != nil {
		return err
	}
	return h.Host.Files.SetModes(ctx, site, modes)
}

// modes is what the op has to change.
func (h *hardener) modes(ctx context.Context, site wp.Site) ([]wp.PathMode, error) {
	if h.enabled {
		modes, err := h.Host.Files.WideModes(ctx, site)
		if err != nil {
			return nil, fmt.Errorf("looking at modes: %w", err)
		}
		return modes, nil
	}
	modes, _, err := h.Host.Measures.LoadModes(h.Op.Site.ID)
	return wp.Reversed(modes), err
}

func (h *hardener) verifyModes(ctx context.Context) error {
	site, err := h.site()
	if err != nil || !h.enabled {
		return err
	}
	wide, err := h.Host.Files.WideModes(ctx, site)
	if err != nil {
		return fmt.Errorf("looking at modes: %w", err)
	}
	if len(wide) > 0 {
		return Unconfirmed(nil, Failure{Code: CodeUnconfirmed, Message: fmt.Sprintf("%d files got too wide a mode again at once.", len(wide)),
			Hint: "Something on the site sets modes; a plugin or a running upload are the usual reasons."})
	}
	return nil
}

func (h *hardener) undoModes(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	modes, known, err := h.Host.Measures.LoadModes(h.Op.ID)
	if err != nil || !known {
		return err
	}
	if err := h.Host.Files.SetModes(ctx, site, wp.Reversed(modes)); err != nil {
		return err
	}
	return h.Host.Measures.SaveModes(h.Op.ID, nil)
}

// recordModes turns the op's list into the install's. Where a path is in both, the
// earliest mode counts.
func (h *hardener) recordModes() error {
	if !slices.Contains(h.ids, wp.MeasurePermissions) {
		return nil
	}
	store := h.Host.Measures
	if !h.enabled {
		if err := store.SaveModes(h.Op.Site.ID, nil); err != nil {
			return err
		}
		return store.SaveModes(h.Op.ID, nil)
	}
	fresh, known, err := store.LoadModes(h.Op.ID)
	if err != nil || !known {
		return err
	}
	all, _, err := store.LoadModes(h.Op.Site.ID)
	if err != nil {
		return err
	}
	at := map[string]int{}
	for i, m := range all {
		at[m.Path] = i
	}
	for _, m := range fresh {
		if i, again := at[m.Path]; again {
			all[i].Now = m.Now
		} else {
			all = append(all, m)
		}
	}
	if err := store.SaveModes(h.Op.Site.ID, all); err != nil {
		return err
	}
	return store.SaveModes(h.Op.ID, nil)
}

// setPings closes the site for pingbacks, or opens what was open.
func (h *hardener) setPings(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	was, err := h.pings(ctx, site)
	if err != nil {
		return err
	}
	if h.enabled && was.Closed() {
		return nil
	}
	doc, err := h.memory()
	if err != nil {
		return err
	}
	before := doc.Measures[wp.MeasurePingbacks].Pings
	if !h.enabled && before == nil {
		return nil
	}
	if err := h.changed(); err != nil {
		return err
	}
	if h.enabled {
		return h.Host.CLI.ClosePings(ctx, site)
	}
	return h.Host.CLI.RestorePings(ctx, site, *before)
}

// pings is what was open before the op.
func (h *hardener) pings(ctx context.Context, site wp.Site) (was wp.Pings, err error) {
	if text := h.Get(keyPings); text != "" {
		if err := json.Unmarshal([]byte(text), &was); err != nil {
			return was, fmt.Errorf("reading pingbacks: %w", err)
		}
		return was, nil
	}
	if was, err = h.Host.CLI.Pings(ctx, site); err != nil {
		return was, err
	}
	encoded, err := json.Marshal(was)
	if err != nil {
		return was, fmt.Errorf("encoding pingbacks: %w", err)
	}
	return was, h.Set(keyPings, string(encoded))
}

func (h *hardener) undoPings(ctx context.Context) error {
	if h.Get(keyPings) == "" || h.Get(keyEffect) == "" {
		return nil
	}
	site, err := h.site()
	if err != nil {
		return err
	}
	was, err := h.pings(ctx, site)
	if err != nil {
		return err
	}
	if !h.enabled {
		return h.Host.CLI.ClosePings(ctx, site)
	}
	return h.Host.CLI.RestorePings(ctx, site, was)
}
