package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// NodeState is what the registry thinks of a node.
type NodeState string

// The states of a node. A lost node is shown as lost even while it drains.
const (
	NodeUp       NodeState = "up"
	NodeDraining NodeState = "draining" // finishes what runs, starts nothing
	NodeLost     NodeState = "lost"     // silent for more than two minutes
)

const (
	lateAfter = 30 * time.Second
	lostAfter = 2 * time.Minute
)

// NodeInfo is a node as the fleet sees it.
type NodeInfo struct {
	NodeConfig
	State     NodeState
	Late      bool      // heartbeats are overdue; the state is not lost yet
	Heartbeat time.Time // the last one, by Redis's clock
	Scanned   time.Time // when the last whole scan of its disks began; zero = none yet
	Running   int       // ops being run
	Sites     int       // installs in its inventory
	// Statuses counts them by status, as of the last scan.
	Statuses map[SiteStatus]int
}

// Nodes lists every node that ever registered, by name.
func (c *Client) Nodes(ctx context.Context) ([]NodeInfo, error) {
	ids, err := c.rdb.SMembers(ctx, c.names.nodes()).Result()
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	slices.Sort(ids)
	return c.Store.readNodes(ctx, ids)
}

// Node reads one node; ErrNotFound when it never registered.
func (c *Client) Node(ctx context.Context, id string) (NodeInfo, error) {
	nodes, err := c.Store.readNodes(ctx, []string{id})
	if err != nil {
		return NodeInfo{}, err
	}
	if len(nodes) == 0 {
		return NodeInfo{}, ErrNotFound
	}
	return nodes[0], nil
}

// readNodes reads nodes in one pipeline and leaves out those without a record.
func (s *Store) readNodes(ctx context.Context, ids []string) ([]NodeInfo, error) {
	pipe := s.rdb.Pipeline()
	clock := pipe.Time(ctx)
	records, sites := make([]*redis.MapStringStringCmd, len(ids)), make([]*redis.IntCmd, len(ids))
	for i, id := range ids {
		records[i] = pipe.HGetAll(ctx, s.names.node(id))
		sites[i] = pipe.HLen(ctx, s.names.nodeSites(id))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("reading nodes: %w", err)
	}
	nodes := make([]NodeInfo, 0, len(ids))
	for i, id := range ids {
		if len(records[i].Val()) == 0 {
			continue
		}
		info, err := decodeNode(id, records[i].Val(), clock.Val())
		if err != nil {
			return nil, err
		}
		info.Sites = int(sites[i].Val())
		nodes = append(nodes, info)
	}
	return nodes, nil
}

// nodeLife is what tells whether a node is there.
type nodeLife struct {
	State     NodeState
	Heartbeat time.Time
}

// readLives is readNodes for those who look at the whole fleet every few seconds: it reads no
// descriptions.
func (s *Store) readLives(ctx context.Context, ids []string) (map[string]nodeLife, error) {
	pipe := s.rdb.Pipeline()
	clock := pipe.Time(ctx)
	fields := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		fields[i] = pipe.HMGet(ctx, s.names.node(id), "beat", "drain")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("reading nodes: %w", err)
	}
	lives := make(map[string]nodeLife, len(ids))
	for i, id := range ids {
		beat, known := fields[i].Val()[0].(string)
		_, drain := fields[i].Val()[1].(string)
		if !known && !drain {
			continue // without a record
		}
		var life nodeLife
		if ms, err := strconv.ParseInt(beat, 10, 64); err == nil && ms > 0 {
			life.Heartbeat = time.UnixMilli(ms).UTC()
		}
		life.State, _ = nodeState(clock.Val().Sub(life.Heartbeat), drain)
		lives[id] = life
	}
	return lives, nil
}

func decodeNode(id string, fields map[string]string, now time.Time) (NodeInfo, error) {
	var info NodeInfo
	if text := fields["info"]; text != "" {
		if err := json.Unmarshal([]byte(text), &info.NodeConfig); err != nil {
			return NodeInfo{}, fmt.Errorf("decoding node %s: %w", id, err)
		}
	}
	info.ID = id
	if text := fields["statuses"]; text != "" {
		if err := json.Unmarshal([]byte(text), &info.Statuses); err != nil {
			return NodeInfo{}, fmt.Errorf("decoding counts of node %s: %w", id, err)
		}
	}
	number := func(field string) int64 { v, _ := strconv.ParseInt(fields[field], 10, 64); return v }
	info.Running = int(number("running"))
	if ms := number("beat"); ms > 0 {
		info.Heartbeat = time.UnixMilli(ms).UTC()
	}
	if ms := number("scan"); ms > 0 {
		info.Scanned = time.UnixMilli(ms).UTC()
	}
	_, drain := fields["drain"]
	info.State, info.Late = nodeState(now.Sub(info.Heartbeat), drain)
	return info, nil
}

func nodeState(silent time.Duration, drain bool) (state NodeState, late bool) {
	switch {
	case silent > lostAfter:
		return NodeLost, false
	case drain:
		return NodeDraining, silent > lateAfter
	}
	return NodeUp, silent > lateAfter
}

// SetDrain starts or ends the draining of a node: what runs there is finished,
// what is queued waits. It pauses the node's lanes in Redis, so it holds even
// for a worker that starts later. ErrNotFound for a node that never registered.
func (c *Client) SetDrain(ctx context.Context, node string, drain bool) error {
	known, err := c.rdb.SIsMember(ctx, c.names.nodes(), node).Result()
	if err != nil {
		return fmt.Errorf("finding node: %w", err)
	}
	if !known {
		return ErrNotFound
	}
	if err := c.markDrain(ctx, node, drain); err != nil {
		return fmt.Errorf("draining node: %w", err)
	}
	for _, class := range laneClasses {
		if err := c.pauseLane(ctx, lane(node, class), drain); err != nil {
			return fmt.Errorf("pausing lane: %w", err)
		}
	}
	// A worker that is rung looks at once at what has been waiting.
	if err := c.ring(ctx, node, ringAll); err != nil {
		return fmt.Errorf("ringing doorbell: %w", err)
	}
	return nil
}

func (c *Client) markDrain(ctx context.Context, node string, drain bool) error {
	if drain {
		return c.rdb.HSet(ctx, c.names.node(node), "drain", "1").Err()
	}
	return c.rdb.HDel(ctx, c.names.node(node), "drain").Err()
}

// pauseLane does what asynq's Inspector does, but may be repeated: the
// Inspector fails on a queue that is paused already.
func (c *Client) pauseLane(ctx context.Context, queue string, pause bool) error {
	if pause {
		return c.rdb.SetNX(ctx, lanePaused(queue), time.Now().Unix(), 0).Err()
	}
	return c.rdb.Del(ctx, lanePaused(queue)).Err()
}

// RequestScan asks a node, or every node when the name is empty, to look at its
// disks now. It is a wish: a node that is away scans when it returns anyway.
func (c *Client) RequestScan(ctx context.Context, node string) error {
	nodes := []string{node}
	if node == "" {
		var err error
		if nodes, err = c.rdb.SMembers(ctx, c.names.nodes()).Result(); err != nil {
			return fmt.Errorf("listing nodes: %w", err)
		}
	}
	pipe := c.rdb.Pipeline()
	for _, id := range nodes {
		pipe.Publish(ctx, c.names.wake(id), ringScan)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("ringing %s for a scan: %w", strings.Join(nodes, ", "), err)
	}
	return nil
}
