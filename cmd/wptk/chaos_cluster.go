package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
)

const (
	slotBatch = 10                    // keys that move at one time: a slot is half here and half there for a while
	slotRest  = 20 * time.Millisecond // between two batches
	moveRest  = 200 * time.Millisecond
)

// clusterMove moves the slots in which the queue's keys are from master to master of a Redis
// Cluster, again and again, as resharding does, while ops run.
func clusterMove(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	c, err := newReshard(ctx, a.group)
	if err != nil {
		return err
	}
	defer c.close()
	hot, err := c.slotsOf(ctx, a.hotTags())
	if err != nil {
		return err
	}
	n := a.setting.domains * a.setting.nodes
	ids, err := a.askAll(ctx, n/2)
	if err != nil {
		return err
	}
	if err := w.until(ctx, ids, 1, installing); err != nil {
		return err
	}
	asked := make(chan error, 1)
	go func() { // the rest comes while slots move
		_, err := a.askAll(ctx, n-n/2)
		asked <- err
	}()
	moved, keys := 0, 0
	for asking := true; asking || len(w.open()) > 0; {
		for _, slot := range hot {
			k, err := c.move(ctx, slot)
			if err != nil {
				return fmt.Errorf("moving slot %d: %w", slot, err)
			}
			a.fault("slot %d moved with %d keys", slot, k)
			moved, keys = moved+1, keys+k
		}
		select {
		case err := <-asked:
			if err != nil {
				return err
			}
			asking = false
		default:
		}
		if err := pause(ctx, moveRest); err != nil {
			return err
		}
	}
	a.marks["slots_moved"], a.marks["keys_moved"] = moved, keys
	a.marks["api_outage_s"] = figure(w.outage.Seconds())
	return nil
}

// hotTags are the hash tags of the nodes' ledgers and lanes.
func (a *arena) hotTags() (tags []string) {
	for _, n := range a.nodes {
		tags = append(tags, tasks.NodeShard(n.id), laneOf(n), "n."+n.id+".late")
	}
	return append(tags, "all")
}

// reshard moves slots as redis-cli does; see CLUSTER SETSLOT in Redis's documentation.
type reshard struct {
	masters []*redis.Client
	servers []*devstack.Server
	ids     []string
	owner   map[int]int // slot -> master, of those that were moved
}

func newReshard(ctx context.Context, g *devstack.Group) (*reshard, error) {
	c := &reshard{servers: g.Servers, owner: map[int]int{}}
	for _, s := range g.Servers {
		rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Password: s.Password})
		c.masters = append(c.masters, rdb)
		id, err := rdb.Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			c.close()
			return nil, fmt.Errorf("asking a master for its id: %w", err)
		}
		c.ids = append(c.ids, id)
	}
	return c, nil
}

func (c *reshard) close() {
	for _, rdb := range c.masters {
		rdb.Close() //nolint:errcheck // nothing is under way
	}
}

// slotsOf answers the slots of hash tags, and notes who has them.
func (c *reshard) slotsOf(ctx context.Context, tags []string) (slots []int, err error) {
	ranges, err := c.masters[0].ClusterSlots(ctx).Result() //nolint:staticcheck // CLUSTER SHARDS needs Redis 7
	if err != nil {
		return nil, fmt.Errorf("asking for slots: %w", err)
	}
	for _, tag := range tags {
		slot, err := c.masters[0].ClusterKeySlot(ctx, "{"+tag+"}").Result()
		if err != nil {
			return nil, fmt.Errorf("asking for the slot of a tag: %w", err)
		}
		for _, r := range ranges {
			if int(slot) < r.Start || int(slot) > r.End {
				continue
			}
			for i, id := range c.ids {
				if len(r.Nodes) > 0 && r.Nodes[0].ID == id {
					c.owner[int(slot)] = i
				}
			}
		}
		slots = append(slots, int(slot))
	}
	return slots, nil
}

// move moves a slot to the next master and answers how many keys went.
func (c *reshard) move(ctx context.Context, slot int) (keys int, err error) {
	from := c.owner[slot]
	to := (from + 1) % len(c.masters)
	err = errors.Join(
		c.masters[to].Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[from]).Err(),
		c.masters[from].Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[to]).Err())
	for err == nil {
		var some []string
		some, err = c.masters[from].ClusterGetKeysInSlot(ctx, slot, slotBatch).Result()
		if err != nil || len(some) == 0 {
			break
		}
		err = errors.Join(c.migrate(ctx, from, to, some), pause(ctx, slotRest))
		keys += len(some)
	}
	if err != nil {
		return keys, err
	}
	for i := range c.masters { // the new one first: it must know before the old one sends clients there
		at := (to + i) % len(c.masters)
		err = errors.Join(err, c.masters[at].Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to]).Err())
	}
	c.owner[slot] = to
	return keys, err
}

func (c *reshard) migrate(ctx context.Context, from, to int, keys []string) error {
	host, port, err := net.SplitHostPort(c.servers[to].Addr)
	if err != nil {
		return err
	}
	args := []any{"MIGRATE", host, port, "", 0, strconv.FormatInt((5 * time.Second).Milliseconds(), 10), "AUTH", c.servers[to].Password, "KEYS"}
	for _, key := range keys {
		args = append(args, key)
	}
	return c.masters[from].Do(ctx, args...).Err() // NOKEY, when they ended meanwhile, is an answer and no error
}
