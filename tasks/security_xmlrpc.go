package tasks

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/wispanel/wptk/wp"
)

// limitXMLRPC puts limits to the site's XML-RPC, or takes them away.
func (h *hardener) limitXMLRPC(ctx context.Context) error {
	site, err := h.site()
	if err != nil {
		return err
	}
	was, err := h.xmlrpc(ctx, site)
	if err != nil {
		return accessFailure(err)
	}
	if was.Limited == h.enabled && (was.There || !h.enabled) {
		return nil
	}
	if err := h.changed(); err != nil {
		return err
	}
	if h.enabled {
		return accessFailure(h.Host.CLI.LimitXMLRPC(ctx, site))
	}
	doc, err := h.memory()
	if err != nil {
		return err
	}
	return accessFailure(h.Host.CLI.FreeXMLRPC(ctx, site, doc.Measures[wp.MeasureXMLRPCLimit].MadeDir))
}

// xmlrpc is how it was before the op.
func (h *hardener) xmlrpc(ctx context.Context, site wp.Site) (was wp.XMLRPCLimit, err error) {
	text, err := h.Recall(keyXMLRPC, func() (string, error) {
		was, err := h.Host.CLI.XMLRPC(ctx, site)
		if err != nil {
			return "", err
		}
		encoded, err := json.Marshal(was)
		return string(encoded), err
	})
	if err != nil {
		return was, err
	}
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		return was, fmt.Errorf("reading limits of XML-RPC: %w", err)
	}
	return was, nil
}

func (h *hardener) undoXMLRPC(ctx context.Context) error {
	if h.Get(keyXMLRPC) == "" || h.Get(keyEffect) == "" {
		return nil
	}
	site, err := h.site()
	if err != nil {
		return err
	}
	was, err := h.xmlrpc(ctx, site)
	if err != nil {
		return err
	}
	if was.Limited {
		return h.Host.CLI.LimitXMLRPC(ctx, site)
	}
	return h.Host.CLI.FreeXMLRPC(ctx, site, !was.Dir)
}

// madeMuDir reports whether the install had no directory of must-use plugins before it was
// first limited.
func (h *hardener) madeMuDir(before wp.Applied) (bool, error) {
	text := h.Get(keyXMLRPC)
	if text == "" || before.Op != "" {
		return before.MadeDir, nil
	}
	var was wp.XMLRPCLimit
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		return false, fmt.Errorf("reading limits of XML-RPC: %w", err)
	}
	return !was.Dir, nil
}
