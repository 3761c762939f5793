package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

type nodesCmd struct {
	List    nodesListCmd    `cmd:"" help:"All nodes and how they are."`
	Drain   nodesDrainCmd   `cmd:"" help:"Let a node finish what it runs and take nothing new."`
	Undrain nodesUndrainCmd `cmd:"" help:"Put a node back into service."`
	Remove  nodesRemoveCmd  `cmd:"" help:"Take a node out of the fleet that will not come back."`
}

// node is what the API says about a node.
type node struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	Late      bool      `json:"late"`
	Version   string    `json:"version"`
	PHP       string    `json:"php_version"`
	WPCLI     string    `json:"wp_cli"`
	FastSlots int       `json:"fast_slots"`
	BulkSlots int       `json:"bulk_slots"`
	Running   int       `json:"running"`
	Sites     int       `json:"installations"`
	Heartbeat time.Time `json:"heartbeat_at"`
	Scanned   time.Time `json:"scanned_at"`
}

func (c *client) nodes(ctx context.Context) ([]node, answer, error) {
	var list struct {
		Nodes []node `json:"nodes"`
	}
	got, err := c.get(ctx, "/nodes", nil, &list)
	return list.Nodes, got, err
}

type nodesListCmd struct{}

// Run prints the list.
func (*nodesListCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	nodes, got, err := c.nodes(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	var rows [][]string
	for _, n := range nodes {
		beat := ago(a.now(), n.Heartbeat)
		if n.Late {
			beat += " (late)"
		}
		rows = append(rows, []string{clean(n.ID), a.status(n.State), fmt.Sprintf("%d/%d", n.Running, n.FastSlots+n.BulkSlots),
			fmt.Sprint(n.Sites), orDash(n.PHP), orDash(n.WPCLI), orDash(n.Version), beat})
	}
	return a.table("NODE STATUS RUNNING SITES PHP WP-CLI VERSION HEARTBEAT", rows)
}

type nodeID struct {
	ID string `arg:"" help:"Node."`
}

type nodesDrainCmd struct{ nodeID }

// Run takes the node out of service.
func (cmd *nodesDrainCmd) Run(ctx context.Context, a *app) error {
	return a.nodeChange(ctx, cmd.ID, "drain", "%s starts nothing new; it runs %d now.")
}

type nodesUndrainCmd struct{ nodeID }

// Run puts the node back.
func (cmd *nodesUndrainCmd) Run(ctx context.Context, a *app) error {
	return a.nodeChange(ctx, cmd.ID, "undrain", "%s is in service again; it runs %d now.")
}

type nodesRemoveCmd struct {
	nodeID
	Force bool `help:"Also when it is not lost, or has installs or open operations: they are forgotten and cancelled." env:"-"`
}

// Run removes the node from the registry.
func (cmd *nodesRemoveCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var gone struct {
		ID                        string
		Installations, Operations int
	}
	ask := request{method: http.MethodDelete, path: "/nodes/" + url.PathEscape(cmd.ID)}
	if cmd.Force {
		ask.query = url.Values{"force": {"true"}}
	}
	got, err := c.do(ctx, ask, &gone)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	say(a.out, "%s is no longer of the fleet; %d installs are forgotten, %d operations cancelled.", clean(gone.ID), gone.Installations, gone.Operations)
	return nil
}

func (a *app) nodeChange(ctx context.Context, id, what, sentence string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var changed struct {
		Node node `json:"node"`
	}
	got, err := c.post(ctx, "/nodes/"+url.PathEscape(id)+"/"+what, nil, &changed)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	say(a.out, sentence, clean(changed.Node.ID), changed.Node.Running)
	return nil
}
