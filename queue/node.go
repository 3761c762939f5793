package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"
)

var beatScript = lua("beat")

// beatEvery is the time between two heartbeats.
const beatEvery = 5 * time.Second

var nodeID = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

// ValidNodeID reports whether id can name a node: it becomes part of asynq queue
// names and of every id of the node's ledger, so it can never be changed.
func ValidNodeID(id string) bool { return nodeID.MatchString(id) }

// NodeConfig describes a node to the fleet.
type NodeConfig struct {
	ID        string   `json:"-"` // see ValidNodeID
	Version   string   `json:"version"`
	Recipient string   `json:"recipient"` // age public key that secrets are sealed to
	PHP       string   `json:"php"`
	WPCLI     string   `json:"wp_cli"` // empty = not available
	WordPress []string `json:"wordpress"`
	FastSlots int      `json:"fast_slots"` // ops at a time, lanes hi and std
	BulkSlots int      `json:"bulk_slots"` // ops at a time, lane bulk
	// Provisions: the node makes accounts and domains for installs that ask for it.
	Provisions bool `json:"provisions,omitempty"`
	// Exports is the address where the node gives out backups; empty: it does not.
	Exports string `json:"exports,omitempty"`
}

// Node is the worker's side of the queue: it says that it is alive, publishes
// what is on its disks, and serves its lanes. One process per node has one.
type Node struct {
	*Store
	publisher
	config NodeConfig

	running  atomic.Int64 // ops being run right now
	draining atomic.Bool
	turned   atomic.Pointer[time.Time] // when Run last came round
	scanned  atomic.Pointer[time.Time] // when the last whole scan began; nil = never
	now      func() time.Time          // of this machine; another one in tests

	counts statusCounts

	domains inventory
	sites   inventory
	rescan  chan struct{}
}

// NewNode makes the node's side of a store.
func NewNode(s *Store, config NodeConfig) *Node {
	return &Node{
		Store: s, publisher: newPublisher(s), config: config, now: time.Now,
		domains: inventory{index: s.names.nodeDomains(config.ID)},
		sites:   inventory{index: s.names.nodeSites(config.ID)},
		rescan:  make(chan struct{}, 1),
	}
}

// ID is the node's name.
func (n *Node) ID() string { return n.config.ID }

// Rescan tells when somebody asked for a scan of the disks now (see
// Client.RequestScan), or when Redis has lost what was published. Requests that
// come during a scan are one more scan.
func (n *Node) Rescan() <-chan struct{} { return n.rescan }

func (n *Node) ringRescan() {
	select {
	case n.rescan <- struct{}{}:
	default: // one is waiting already
	}
}

// Draining reports whether an operator asked the node to start nothing new. Its
// lanes are paused in Redis at the same time; this is for what else may start.
func (n *Node) Draining() bool { return n.draining.Load() }

// Running is how many ops the node runs right now.
func (n *Node) Running() int64 { return n.running.Load() }

// aliveFor is several rounds of Run, each of which takes two beatEvery at most.
const aliveFor = 6 * beatEvery

// Alive reports whether Run comes round, whether or not Redis takes what it says. A
// process where it does not hangs as a whole.
func (n *Node) Alive() bool {
	turned := n.turned.Load()
	return turned == nil || time.Since(*turned) < aliveFor
}

// Run keeps the node in the registry until ctx ends. A heartbeat that fails is
// logged, counted and tried again: without Redis there is nothing to be lost to.
func (n *Node) Run(ctx context.Context) error {
	registered := false
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		n.turned.Store(&now)
		if err := n.beat(ctx, &registered); err != nil && ctx.Err() == nil {
			n.survived("heartbeat", "heartbeat failed", err, "node", n.config.ID)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Register makes the node known at once, so that a worker that cannot reach its
// registry fails at its start and not later.
func (n *Node) Register(ctx context.Context) error {
	registered := false
	return n.beat(ctx, &registered)
}

func (n *Node) beat(ctx context.Context, registered *bool) error {
	ctx, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	info, err := json.Marshal(n.config)
	if err != nil {
		return fmt.Errorf("encoding node: %w", err)
	}
	sinceScan := int64(-1)
	if at := n.scanned.Load(); at != nil {
		sinceScan = max(0, time.Since(*at).Milliseconds())
	}
	answer, err := beatScript.Run(ctx, n.rdb, []string{n.names.node(n.config.ID)},
		info, n.running.Load(), sinceScan).Int64Slice()
	if err != nil {
		return fmt.Errorf("writing heartbeat: %w", err)
	}
	if len(answer) != 3 {
		return fmt.Errorf("writing heartbeat: %d values in answer", len(answer))
	}
	n.draining.Store(answer[1] == 1)
	n.metrics.Clock(n.now().Sub(time.UnixMilli(answer[2])))
	if answer[0] == 1 { // what we published before is gone as well, if there was anything
		*registered = false
		n.domains.forget()
		n.sites.forget()
		n.counts.forget()
		n.ringRescan()
	}
	if *registered {
		return nil
	}
	if err := n.rdb.SAdd(ctx, n.names.nodes(), n.config.ID).Err(); err != nil {
		return fmt.Errorf("registering node: %w", err)
	}
	*registered = true
	return nil
}
