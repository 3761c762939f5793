package main

import (
	"context"

	"github.com/wispanel/wptk/tasks"
)

// layerState is one layer of caching.
type layerState struct {
	Type      string `json:"type" enum:"object,page,opcache"`
	Enabled   bool   `json:"enabled" doc:"Of opcache it is false also when nobody could ask; reason says so then."`
	Available bool   `json:"available" doc:"It can be switched on and off by POST /wordpress/cache/enable and disable."`
	Provider  string `json:"provider" doc:"Who does it, where that is known."`
	Version   string `json:"version" doc:"Of the provider."`
	Reason    string `json:"reason" doc:"Why it is not available, or what is odd about it."`

	Opcache *tasks.OpcacheState `json:"opcache,omitempty" doc:"Of opcache: what the web server's PHP tells."`
}

type cacheAnswer struct {
	ReadHeaders
	Body struct {
		Success bool         `json:"success"`
		Layers  []layerState `json:"layers"`
	}
}

func (s *server) getCache(ctx context.Context, in *readInput) (*cacheAnswer, error) {
	r, err := s.read(ctx, *in)
	if err != nil {
		return nil, err
	}
	if r.facts == nil || r.facts.Cache == nil {
		return nil, r.unknown("caches")
	}
	out := &cacheAnswer{ReadHeaders: r.headers()}
	out.Body.Success = true
	c := r.facts.Cache
	out.Body.Layers = []layerState{objectLayer(c), pageLayer(c), opcacheLayer(c)}
	return out, nil
}

func objectLayer(c *tasks.CacheFacts) layerState {
	l := layerState{Type: tasks.CacheObject, Enabled: c.Object.Enabled, Available: c.Offered}
	if !c.Offered {
		l.Reason = "the node has no object cache to offer"
	}
	l.provide(c.Object.DropIn)
	if d := c.Object.DropIn; d != nil && d.Name != tasks.ObjectCacheName {
		l.Available, l.Reason = false, "somebody else's drop-in is in place; it is never overwritten"
	}
	return l
}

func pageLayer(c *tasks.CacheFacts) layerState {
	l := layerState{Type: tasks.CachePage, Enabled: c.Page.Enabled, Available: true}
	l.provide(c.Page.DropIn)
	if d := c.Page.DropIn; d != nil && d.Name != tasks.PageCacheName {
		l.Available, l.Reason = false, "somebody else's drop-in is in place; it is never overwritten, and its pages can be flushed and purged"
	}
	return l
}

func opcacheLayer(c *tasks.CacheFacts) layerState {
	web := c.Opcode.Web
	l := layerState{Type: tasks.CacheOpcache, Enabled: web.Enabled, Reason: "it is switched on and off in the configuration of the web server's PHP"}
	if web.Reason != "" {
		l.Reason = web.Reason
	}
	if web.Known {
		l.Opcache = &web
	}
	if web.Enabled || !web.Known && c.Opcode.Extension {
		l.Provider = "Zend OPcache"
	}
	return l
}

func (l *layerState) provide(d *tasks.DropIn) {
	if d == nil {
		return
	}
	if l.Provider, l.Version = d.Name, d.Version; l.Provider == "" {
		l.Provider = "unknown"
	}
}
