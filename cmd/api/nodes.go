package main

import (
	"context"
	"sync"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// nodeCache keeps the registry of nodes for a few seconds: whether a node is
// lost takes two minutes to become true.
type nodeCache struct {
	ledger *queue.Client

	mu   sync.Mutex
	at   time.Time
	byID map[string]queue.NodeInfo
}

const nodesKnownFor = 5 * time.Second

// lost reports whether a node is known to be away. When the registry cannot be
// read the last knowledge counts: it only colours a flag.
func (c *nodeCache) lost(ctx context.Context, id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) > nodesKnownFor {
		c.at = time.Now()
		nodes, err := c.ledger.Nodes(ctx)
		if err != nil {
			exchangeOf(ctx).log.Warn("reading nodes failed", "err", err)
			return c.byID[id].State == queue.NodeLost
		}
		c.byID = make(map[string]queue.NodeInfo, len(nodes))
		for _, n := range nodes {
			c.byID[n.ID] = n
		}
	}
	return c.byID[id].State == queue.NodeLost
}

// nodeView is a node as it goes out.
type nodeView struct {
	ID        string          `json:"id"`
	State     queue.NodeState `json:"state" enum:"up,draining,lost"`
	Late      bool            `json:"late" doc:"Heartbeats are overdue."`
	Version   string          `json:"version"`
	PHP       string          `json:"php_version"`
	WPCLI     string          `json:"wp_cli"`
	WordPress []string        `json:"wordpress" doc:"Versions in the node's core store."`
	FastSlots int             `json:"fast_slots"`
	BulkSlots int             `json:"bulk_slots"`
	Running   int             `json:"running"`
	FastQueue int             `json:"fast_queued" doc:"Operations that wait for one of the fast slots. Those behind others of their install are not counted yet."`
	BulkQueue int             `json:"bulk_queued" doc:"Operations that wait for one of the bulk slots."`
	Sites     int             `json:"installations"`
	Provision bool            `json:"provisions" doc:"It makes accounts and domains for installs that ask for it."`
	Heartbeat stamp           `json:"heartbeat_at"`
	Scanned   stamp           `json:"scanned_at"`
}

func viewNode(n queue.NodeInfo, waiting map[tasks.Class]int) nodeView {
	return nodeView{
		ID: n.ID, State: n.State, Late: n.Late, Version: n.Version, PHP: n.PHP, WPCLI: n.WPCLI, WordPress: orEmpty(n.WordPress),
		FastSlots: n.FastSlots, BulkSlots: n.BulkSlots, Running: n.Running, Sites: n.Sites, Provision: n.Provisions,
		FastQueue: waiting[tasks.Interactive] + waiting[tasks.Standard], BulkQueue: waiting[tasks.Bulk],
		Heartbeat: stamp(n.Heartbeat), Scanned: stamp(n.Scanned),
	}
}

// orEmpty makes an absent list [] on the wire, not null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type nodeList struct {
	Body struct {
		Success bool       `json:"success"`
		Nodes   []nodeView `json:"nodes"`
	}
}

func (s *server) listNodes(ctx context.Context, _ *struct{}) (*nodeList, error) {
	nodes, err := s.Ledger.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := &nodeList{}
	out.Body.Success = true
	out.Body.Nodes, err = s.viewNodes(ctx, nodes...)
	return out, err
}

// viewNodes is nodes as they go out, with what waits for them.
func (s *server) viewNodes(ctx context.Context, nodes ...queue.NodeInfo) ([]nodeView, error) {
	ids := make([]string, len(nodes))
	for i, n := range nodes {
		ids[i] = n.ID
	}
	waiting, err := s.Ledger.Waiting(ctx, ids)
	if err != nil {
		return nil, err
	}
	views := make([]nodeView, len(nodes))
	for i, n := range nodes {
		views[i] = viewNode(n, waiting[n.ID])
	}
	return views, nil
}

type nodeInput struct {
	ID string `path:"id" maxLength:"63"`
}

type nodeAnswer struct {
	Body struct {
		Success bool     `json:"success"`
		Node    nodeView `json:"node"`
	}
}

func (s *server) drainNode(ctx context.Context, in *nodeInput) (*nodeAnswer, error) {
	return s.setDrain(ctx, in.ID, true)
}

func (s *server) undrainNode(ctx context.Context, in *nodeInput) (*nodeAnswer, error) {
	return s.setDrain(ctx, in.ID, false)
}

func (s *server) setDrain(ctx context.Context, id string, drain bool) (*nodeAnswer, error) {
	exchangeOf(ctx).target = id
	if err := s.Ledger.SetDrain(ctx, id, drain); err != nil {
		return nil, err
	}
	node, err := s.Ledger.Node(ctx, id)
	if err != nil {
		return nil, err
	}
	views, err := s.viewNodes(ctx, node)
	if err != nil {
		return nil, err
	}
	out := &nodeAnswer{}
	out.Body.Success, out.Body.Node = true, views[0]
	return out, nil
}

type nodeRemoveInput struct {
	ID    string `path:"id" maxLength:"63"`
	Force bool   `query:"force" doc:"Also when the node is not lost, or has installs or open operations."`
}

type nodeRemoved struct {
	Body struct {
		Success    bool   `json:"success"`
		ID         string `json:"id"`
		Sites      int    `json:"installations" doc:"Installs that are no longer listed. Nothing on the node's disks has changed."`
		Domains    int    `json:"domains" doc:"Domains that are no longer known."`
		Operations int    `json:"operations" doc:"Open operations, which are cancelled."`
	}
}

func (s *server) removeNode(ctx context.Context, in *nodeRemoveInput) (*nodeRemoved, error) {
	exchangeOf(ctx).target = in.ID
	gone, err := s.Ledger.RemoveNode(ctx, in.ID, in.Force)
	if err != nil {
		return nil, err
	}
	out := &nodeRemoved{}
	out.Body.Success, out.Body.ID = true, in.ID
	out.Body.Sites, out.Body.Domains, out.Body.Operations = gone.Sites, gone.Domains, gone.Ops
	return out, nil
}
