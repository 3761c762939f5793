package queue

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wispanel/wptk/tasks"
)

// Login is a user of Redis with no more rights than its process needs, as rules of ACL SETUSER.
type Login struct {
	Name     string
	Keys     []string // patterns that may be read and written
	Writes   []string // patterns that are only written; Redis before 7.0 cannot tell that from Keys
	Channels []string // Redis before 6.2 has none
	Commands []string
}

// A process reads, writes, and tells others. What looks at all keys (SCAN, RANDOMKEY), empties
// or administers the server (@dangerous, @admin) is nobody's; scripts see no more than their
// user. INFO tells whether the server evicts or forgets, CLUSTER SLOTS where keys are.
var toolkitCommands = []string{
	"-@all", "+@read", "+@write", "+@pubsub", "+@connection", "+@transaction", "-@dangerous", "-@admin", "-@scripting",
	"-scan", "-randomkey", "-dbsize", "-pubsub", "-wait", "+eval", "+evalsha", "+script|load", "+script|exists",
	"+info", "+cluster|slots", "+command", "+time",
}

// NodeLogin is what the worker of a node needs: its own part of the ledger, its own lanes and
// records, and what all nodes share. A part is one of 256: nodes that happen to have the same
// (tasks.NodeShard) reach each other's.
func NodeLogin(prefix, node string) (Login, error) {
	if !ValidNodeID(node) {
		return Login{}, fmt.Errorf("making login: %q is no id of a node", node)
	}
	n := names{prefix: orDefault(prefix)}
	shard := tasks.NodeShard(node)
	tag := "{" + shard + "}"
	l := Login{Name: "node-" + node, Commands: toolkitCommands}
	for _, family := range []string{"op", "site", "det", "last", "fifo", "bk", "errand"} {
		l.Keys = append(l.Keys, n.shardPrefix(family+":", shard)+"*")
	}
	for _, family := range []string{"outbox", "open", "feed", "ended"} {
		l.Keys = append(l.Keys, n.prefix+family+":"+tag)
	}
	l.Keys = append(l.Keys,
		n.node(node), n.nodeDomains(node), n.nodeSites(node), n.backupsListed(node), n.tickets(node)+"*",
		n.siteBackups("wp_"+shard+"*"), n.nodeBackups(node),
		"asynq:servers:*", "asynq:workers:*") // keys of a script need all rights
	for _, queue := range lanesOf(node) {
		l.Keys = append(l.Keys, lanePrefix(queue)+"*")
	}
	l.Writes = []string{
		n.nodes(), n.errands(), n.domain("*"),
		n.allOps(), n.accountOps("*"), n.opAccounts(), n.allSites(), n.accountSites("*"), n.allBackups(), n.accountBackups("*"),
		laneNames, "asynq:servers", "asynq:workers",
	}
	l.Channels = []string{n.changes(), n.wake(node), "asynq:cancel"}
	return l, nil
}

// APILogin is what an API, or the operator's command line, needs: all of the toolkit's keys, and
// to wait for a replica before it calls something accepted.
func APILogin(prefix string) Login {
	p := orDefault(prefix)
	return Login{
		Name: "api", Keys: []string{p + "*", "asynq:*"}, Channels: []string{p + "*", "asynq:*"},
		Commands: append(slices.Clone(toolkitCommands), "+wait"),
	}
}

// MonitorLogin looks whether the server is well: for health checks and exporters.
func MonitorLogin() Login {
	return Login{Name: "monitor", Commands: []string{"-@all", "+ping", "+info"}}
}

func orDefault(prefix string) string {
	if prefix == "" {
		return DefaultPrefix
	}
	return prefix
}

// Redis versions that know more than the one before.
const (
	ACL60 = "6.0"
	ACL62 = "6.2" // channels
	ACL70 = "7.0" // keys that are only written
)

// Rules is the login for a version of Redis as ACL SETUSER takes it, without "ACL SETUSER" and
// without a password: "<name> reset on …". A line of an aclfile has "user" in front.
func (l Login) Rules(version string) string {
	words := []string{l.Name, "reset", "on"}
	for _, k := range l.Keys {
		words = append(words, "~"+k)
	}
	for _, k := range l.Writes {
		if version == ACL70 {
			k = "%W~" + k
		} else {
			k = "~" + k
		}
		words = append(words, k)
	}
	if version != ACL60 {
		for _, c := range l.Channels {
			words = append(words, "&"+c)
		}
	}
	return strings.Join(append(words, l.Commands...), " ")
}
