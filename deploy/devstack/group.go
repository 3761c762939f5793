package devstack

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Group is several Redis servers that act as one.
type Group struct {
	// URL is what the toolkit's --redis-url takes: redis+sentinel:// or redis+cluster://.
	URL       string
	Password  string    // of every Redis; sentinels have none
	Servers   []*Server // Redis servers; with Sentinel the first is the master at first
	Sentinels []*Server
}

// Stop ends all servers of the group.
func (g *Group) Stop() error {
	var errs []error
	for _, s := range append(g.Sentinels, g.Servers...) {
		errs = append(errs, s.Stop())
	}
	return errors.Join(errs...)
}

const masterName = "wptk"

// RedisSentinel starts a master, two replicas and three sentinels, and returns when all
// know each other: from then on, killing the master leads to a fail-over within seconds.
func RedisSentinel(ctx context.Context) (_ *Group, err error) {
	g := &Group{Password: password()}
	defer func() { err = g.abandon(err) }()
	for range 3 {
		var o RedisOptions
		if len(g.Servers) > 0 {
			o.Extra = []string{"replicaof 127.0.0.1 " + strconv.Itoa(g.Servers[0].Port), "repl-diskless-sync-delay 0"}
		}
		s, err := startRedis(ctx, "redis", o, g.Password)
		if err != nil {
			return g, err
		}
		g.Servers = append(g.Servers, s)
	}
	master := g.Servers[0]
	// A sentinel learns of replicas from the master, and asks it again only every 10 s.
	err = await(ctx, func() (bool, error) {
		text, err := command(ctx, master, "INFO", "replication")
		return strings.Count(text, "state=online") == 2, err // connected are also those that still load
	})
	if err != nil {
		return g, fmt.Errorf("waiting for replicas: %w", err)
	}
	for range 3 {
		s, err := startRedis(ctx, "sentinel", RedisOptions{Extra: sentinelConf(master)}, "")
		if err != nil {
			return g, err
		}
		g.Sentinels = append(g.Sentinels, s)
	}
	for _, s := range g.Sentinels {
		err := await(ctx, func() (bool, error) {
			text, err := command(ctx, s, "INFO", "sentinel")
			return strings.Contains(text, "slaves=2,sentinels=3"), err
		})
		if err != nil {
			return g, fmt.Errorf("waiting for sentinels: %w", err)
		}
	}
	g.URL = g.url("redis+sentinel", g.Sentinels, "/"+masterName+"?db=0")
	return g, nil
}

func sentinelConf(master *Server) []string {
	of := "sentinel %s " + masterName + " %s"
	return []string{
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", masterName, master.Port),
		fmt.Sprintf(of, "auth-pass", master.Password),
		fmt.Sprintf(of, "down-after-milliseconds", "1000"),
		fmt.Sprintf(of, "failover-timeout", "5000"),
		fmt.Sprintf(of, "parallel-syncs", "2"),
	}
}

// slots is the number of hash slots of a Redis Cluster.
const slots = 16384

// RedisCluster starts three masters that share the slots, and returns when all of them say
// that the cluster is complete.
func RedisCluster(ctx context.Context) (_ *Group, err error) {
	g := &Group{Password: password()}
	defer func() { err = g.abandon(err) }()
	for range 3 {
		s, err := startRedis(ctx, "redis", RedisOptions{Extra: []string{
			"databases 1", "cluster-enabled yes", "cluster-node-timeout 2000", "cluster-config-file nodes.conf",
		}}, g.Password)
		if err != nil {
			return g, err
		}
		g.Servers = append(g.Servers, s)
	}
	for i, s := range g.Servers {
		add := []string{"CLUSTER", "ADDSLOTS"} // ADDSLOTSRANGE needs Redis 7
		for slot := i * slots / 3; slot < (i+1)*slots/3; slot++ {
			add = append(add, strconv.Itoa(slot))
		}
		for _, args := range [][]string{
			{"CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i + 1)}, // else they first argue about it
			add,
			{"CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(g.Servers[0].Port)},
		} {
			if _, err := command(ctx, s, args...); err != nil {
				return g, fmt.Errorf("joining the cluster: %w", err)
			}
		}
	}
	for _, s := range g.Servers {
		err := await(ctx, func() (bool, error) {
			text, err := command(ctx, s, "CLUSTER", "INFO")
			return strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:3"), err
		})
		if err != nil {
			return g, fmt.Errorf("waiting for the cluster: %w", err)
		}
	}
	g.URL = g.url("redis+cluster", g.Servers, "")
	return g, nil
}

func (g *Group) url(scheme string, servers []*Server, rest string) string {
	addrs := make([]string, len(servers))
	for i, s := range servers {
		addrs[i] = s.Addr
	}
	return scheme + "://:" + g.Password + "@" + strings.Join(addrs, ",") + rest
}

// abandon stops what was started before err.
func (g *Group) abandon(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, g.Stop())
}

// await asks until the answer is yes. Redis announces none of what is waited for here.
func await(ctx context.Context, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := ask()
		if yes {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}
