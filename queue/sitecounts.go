package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// statusCounts counts a node's installs by status, so that nobody has to walk them all to
// know. Before the first scan nothing is known, and nothing published.
type statusCounts struct {
	mu        sync.Mutex
	status    map[string]SiteStatus // by install
	published string
}

func (c *statusCounts) replace(sites []Site) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = make(map[string]SiteStatus, len(sites))
	for _, site := range sites {
		c.status[site.ID] = site.Status
	}
}

// put notes one install; without a status it is gone.
func (c *statusCounts) put(id string, status SiteStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.status == nil:
	case status == "":
		delete(c.status, id)
	default:
		c.status[id] = status
	}
}

// forget makes the next publication write whatever Redis may have lost.
func (c *statusCounts) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.published = ""
}

// publishCounts writes the counts when they have changed. The lock is held meanwhile, so
// that an older count never comes last.
func (n *Node) publishCounts(ctx context.Context) error {
	c := &n.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == nil {
		return nil
	}
	counts := map[SiteStatus]int{}
	for _, status := range c.status {
		counts[status]++
	}
	text, err := json.Marshal(counts)
	if err != nil {
		return fmt.Errorf("encoding counts: %w", err)
	}
	if c.published == string(text) {
		return nil
	}
	if err := n.rdb.HSet(ctx, n.names.node(n.config.ID), "statuses", text).Err(); err != nil {
		return fmt.Errorf("publishing counts of node: %w", err)
	}
	c.published = string(text)
	return nil
}
