package queue

import (
	"fmt"

	"github.com/wispanel/wptk/tasks"
)

// DefaultPrefix starts every key of ours. asynq's own keys start with "asynq:"
// and cannot be moved.
const DefaultPrefix = "wptk:"

// names makes every key and channel. {…} is the hash tag: keys with the same
// tag share a Cluster slot and may be used by one script.
type names struct{ prefix string }

// Ledger: all of one shard share its tag.

func (n names) op(id string) string        { return n.shardPrefix("op:", shardOf(id)) + id }
func (n names) events(id string) string    { return n.op(id) + ":ev" }
func (n names) log(id string) string       { return n.op(id) + ":log" }
func (n names) site(id string) string      { return n.shardPrefix("site:", shardOf(id)) + id }
func (n names) details(id string) string   { return n.shardPrefix("det:", shardOf(id)) + id }
func (n names) last(site string) string    { return n.shardPrefix("last:", shardOf(site)) + site }
func (n names) fifo(site string) string    { return n.shardPrefix("fifo:", shardOf(site)) + site }
func (n names) outbox(shard string) string { return n.prefix + "outbox:{" + shard + "}" }
func (n names) open(shard string) string   { return n.prefix + "open:{" + shard + "}" }
func (n names) feed(shard string) string   { return n.prefix + "feed:{" + shard + "}" }
func (n names) ended(shard string) string  { return n.prefix + "ended:{" + shard + "}" }

func (n names) shardPrefix(family, shard string) string {
	return n.prefix + family + "{" + shard + "}:"
}

// Rollouts: their ids are all of one shard, as they belong to no node, so that one set can
// list the open ones.

func (n names) targets(id string) string { return n.op(id) + ":to" }
func (n names) states(id string) string  { return n.op(id) + ":st" }
func (n names) reasons(id string) string { return n.op(id) + ":why" }
func (n names) openRollouts() string     { return n.prefix + "rollouts:{" + tasks.NodeShard("") + "}" }

// Schedules: few, and all of one slot.

func (n names) schedule(id string) string { return n.prefix + "sched:{s}:" + id }
func (n names) schedules() string         { return n.prefix + "scheds:{s}" }
func (n names) due() string               { return n.prefix + "due:{s}" }
func (n names) accountSchedules(account string) string {
	return n.prefix + "acctscheds:{s}:" + account
}

// Indexes: op ids sort by time, because they are UUIDv7.

func (n names) allOps() string                   { return n.prefix + "ix:ops:{all}" }
func (n names) accountOps(account string) string { return n.prefix + "ix:ops:{a:" + account + "}" }
func (n names) opAccounts() string               { return n.prefix + "ix:ops:accounts" }
func (n names) allSites() string                 { return n.prefix + "ix:sites:{all}" }
func (n names) accountSites(account string) string {
	return n.prefix + "ix:sites:{a:" + account + "}"
}

// Registries.

func (n names) nodes() string                  { return n.prefix + "nodes" }
func (n names) node(node string) string        { return n.prefix + "node:" + node }
func (n names) nodeDomains(node string) string { return n.prefix + "nodedoms:" + node }
func (n names) nodeSites(node string) string   { return n.prefix + "nodesites:" + node }
func (n names) domain(domain string) string    { return n.prefix + "dom:{" + domain + "}" }

// Access.

func (n names) key(sha256hex string) string          { return n.prefix + "key:" + sha256hex }
func (n names) keyIndex() string                     { return n.prefix + "keys" }
func (n names) accountKeys(account string) string    { return n.prefix + "acctkeys:" + account }
func (n names) code(sum string) string               { return n.prefix + "code:" + sum }
func (n names) session(sum string) string            { return n.prefix + "sess:" + sum }
func (n names) limit(bucket string) string           { return n.prefix + "lim:" + bucket }
func (n names) idempotency(scope, sum string) string { return n.prefix + "idem:" + scope + ":" + sum }

// Who has asked for what: of those with a key, and of those without one that counts.

func (n names) audit(known bool) string {
	if known {
		return n.prefix + "audit:keys"
	}
	return n.prefix + "audit:unknown"
}

// Webhooks: everything of one shares its tag.

func (n names) hook(id string) string              { return n.prefix + "hook:{" + id + "}" }
func (n names) deliveries(hook string) string      { return n.hook(hook) + ":d:" } // prefix
func (n names) delivery(hook, id string) string    { return n.deliveries(hook) + id }
func (n names) waiting(hook string) string         { return n.hook(hook) + ":open" }
func (n names) dueAt(hook string) string           { return n.hook(hook) + ":due" }
func (n names) past(hook string) string            { return n.hook(hook) + ":log" }
func (n names) hooks() string                      { return n.prefix + "hooks" }
func (n names) allHooks() string                   { return n.prefix + "hooks:{all}" }
func (n names) accountHooks(account string) string { return n.prefix + "hooks:{a:" + account + "}" }

// Coordination and channels.

func (n names) leader() string          { return n.prefix + "lead" }
func (n names) conductor() string       { return n.prefix + "lead:rollouts" }
func (n names) changes() string         { return n.prefix + "ev" }
func (n names) wake(node string) string { return n.prefix + "wake." + node }

// shardOf answers the shard of an op or install id; "00" for anything else, so
// that a malformed id still names one (never existing) key instead of failing.
func shardOf(id string) string {
	if s, ok := tasks.Shard(id); ok {
		return s
	}
	return "00"
}

// shards lists all shards of the ledger.
func shards() []string {
	all := make([]string, 256)
	for i := range all {
		all[i] = fmt.Sprintf("%02x", i)
	}
	return all
}

// asynq's names, as v0.26.0 lays them out (internal/base/base.go). The upgrade
// guard test fails when they change.

var classes = []tasks.Class{tasks.Interactive, tasks.Standard, tasks.Bulk}

// lane is the asynq queue of one class on one node.
func lane(node string, class tasks.Class) string { return lanePrefixOf(node) + string(class) }

func lanePrefixOf(node string) string { return "n." + node + "." }

func lanePrefix(queue string) string    { return "asynq:{" + queue + "}:" }
func lanePending(queue string) string   { return lanePrefix(queue) + "pending" }
func laneActive(queue string) string    { return lanePrefix(queue) + "active" }
func lanePaused(queue string) string    { return lanePrefix(queue) + "paused" }
func laneLease(queue string) string     { return lanePrefix(queue) + "lease" }
func laneRetry(queue string) string     { return lanePrefix(queue) + "retry" }
func laneScheduled(queue string) string { return lanePrefix(queue) + "scheduled" }
func laneArchived(queue string) string  { return lanePrefix(queue) + "archived" }
func laneTasks(queue string) string     { return lanePrefix(queue) + "t:" }
func laneTask(queue, id string) string  { return laneTasks(queue) + id }

const hookQueue = "webhooks" // asynq queue of deliveries, served by the API processes

const laneNames = "asynq:queues" // set of every queue name that asynq's own tools list
