package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// NodeInUseError answers the removal of a node that somebody may still need.
type NodeInUseError struct {
	State NodeState
	Sites int // installs that are listed on it
	Open  int // ops that have not ended
}

func (e *NodeInUseError) Error() string {
	var why []string
	if e.State != NodeLost {
		why = append(why, "it is "+string(e.State))
	}
	if e.Sites > 0 {
		why = append(why, fmt.Sprintf("it has %d installs", e.Sites))
	}
	if e.Open > 0 {
		why = append(why, fmt.Sprintf("%d operations wait for it", e.Open))
	}
	return "node is in use: " + strings.Join(why, ", ")
}

// Removal is what went with a node.
type Removal struct {
	Sites   int
	Domains int
	Ops     int // that were open, and are cancelled now
}

// removed is how ops of a removed node end. What one of them had begun nobody takes back.
var removed = tasks.Failure{Code: tasks.CodeCancelled, Message: "Its node was taken out of the fleet.",
	Hint: "What it had begun is left on that node as it was."}

// RemoveNode takes a node out of the registry with its lanes, its domains, its installs and the
// list of its backups; nothing on its disks or in its store changes. Ops of it that are open end as cancelled. It may be
// repeated after a failure, since the node's record goes last. A worker that still runs
// registers again with its next heartbeat. Errors: ErrNotFound; *NodeInUseError, unless
// forced, when the node is not lost or has installs or open ops.
func (c *Client) RemoveNode(ctx context.Context, id string, force bool) (Removal, error) {
	node, err := c.Node(ctx, id)
	if err != nil {
		return Removal{}, err
	}
	open, err := c.openOf(ctx, id)
	if err != nil {
		return Removal{}, err
	}
	if !force && (node.State != NodeLost || node.Sites > 0 || len(open) > 0) {
		return Removal{}, &NodeInUseError{node.State, node.Sites, len(open)}
	}
	// Nothing that was queued meanwhile starts.
	if err := c.SetDrain(ctx, id, true); err != nil {
		return Removal{}, err
	}
	gone := Removal{Sites: node.Sites, Ops: len(open)}
	for _, op := range open {
		if err := c.endWithoutNode(ctx, op); err != nil {
			return Removal{}, err
		}
	}
	if gone.Domains, err = c.emptyInventory(ctx, id); err != nil {
		return Removal{}, err
	}
	if err := c.unlistBackups(ctx, id); err != nil {
		return Removal{}, err
	}
	for _, queue := range lanesOf(id) {
		if err := c.removeLane(ctx, queue); err != nil {
			return Removal{}, err
		}
	}
	_, err = c.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Del(ctx, c.names.node(id))
		pipe.SRem(ctx, c.names.nodes(), id)
		return nil
	})
	if err != nil {
		return Removal{}, fmt.Errorf("removing node from the registry: %w", err)
	}
	return gone, nil
}

// openOf lists the ops of a node that have not ended; all are of its shard.
func (c *Client) openOf(ctx context.Context, node string) ([]tasks.Op, error) {
	ids, err := c.rdb.SMembers(ctx, c.names.open(tasks.NodeShard(node))).Result()
	if err != nil {
		return nil, fmt.Errorf("listing open ops: %w", err)
	}
	answers, err := c.readEach(ctx, ids)
	if err != nil {
		return nil, err
	}
	var open []tasks.Op
	for _, answer := range answers {
		op, err := opOf(answer)
		if errors.Is(err, ErrNotFound) {
			continue // its entry is the reconciler's to clear
		}
		if err != nil {
			return nil, err
		}
		if op.Site.Node == node && !op.State.Final() {
			open = append(open, op)
		}
	}
	return open, nil
}

func (c *Client) endWithoutNode(ctx context.Context, op tasks.Op) error {
	failure := removed
	err := c.finish(ctx, op, op.Attempt, tasks.Outcome{State: tasks.Cancelled, Error: &failure})
	if err != nil {
		return fmt.Errorf("ending op %s: %w", op.ID, err)
	}
	c.withdraw(op)
	return nil
}

// emptyInventory does what a scan of empty disks would, and answers how many domains there
// were.
func (c *Client) emptyInventory(ctx context.Context, id string) (int, error) {
	domains, err := c.rdb.HLen(ctx, c.names.nodeDomains(id)).Result()
	if err != nil {
		return 0, fmt.Errorf("counting domains: %w", err)
	}
	empty := NewNode(c.Store, NodeConfig{ID: id})
	if err := empty.PublishDomains(ctx, nil); err != nil {
		return 0, err
	}
	if err := empty.PublishSites(ctx, time.Now(), nil); err != nil {
		return 0, err
	}
	return int(domains), nil
}

// unlistBackups forgets a node's backups. Nobody else can fetch them, and a worker that comes
// back lists what its store holds, since the mark that it has done so goes first.
func (c *Client) unlistBackups(ctx context.Context, id string) error {
	if err := c.rdb.Del(ctx, c.names.backupsListed(id)).Err(); err != nil {
		return fmt.Errorf("forgetting that the backups are listed: %w", err)
	}
	for f := (BackupFilter{Node: id, Limit: listMax}); ; {
		page, err := c.Backups(ctx, f)
		if err != nil {
			return err
		}
		for _, b := range page.Items {
			if err := c.RemoveBackup(ctx, b); err != nil {
				return err
			}
		}
		if page.Next == "" {
			break
		}
		f.Cursor = page.Next
	}
	// Entries whose record is gone or damaged are left in it.
	if err := c.rdb.Del(ctx, c.names.nodeBackups(id)).Err(); err != nil {
		return fmt.Errorf("removing the list of backups: %w", err)
	}
	return nil
}

// removeLane removes what asynq keeps of a queue. Its own DeleteQueue refuses while tasks
// are active, as those of a dead node stay, and leaves the mark of a paused one.
func (c *Client) removeLane(ctx context.Context, queue string) error {
	var ids []string
	for _, list := range []string{lanePending(queue), laneActive(queue)} {
		some, err := c.rdb.LRange(ctx, list, 0, -1).Result()
		if err != nil {
			return fmt.Errorf("listing tasks of lane %s: %w", queue, err)
		}
		ids = append(ids, some...)
	}
	sets := []string{laneLease(queue), laneRetry(queue), laneScheduled(queue), laneArchived(queue)}
	for _, set := range sets {
		some, err := c.rdb.ZRange(ctx, set, 0, -1).Result()
		if err != nil {
			return fmt.Errorf("listing tasks of lane %s: %w", queue, err)
		}
		ids = append(ids, some...)
	}
	keys := append(sets, lanePending(queue), laneActive(queue), lanePaused(queue),
		lanePrefix(queue)+"processed", lanePrefix(queue)+"failed") // counts of all days; those of one day expire
	for _, id := range ids {
		keys = append(keys, laneTask(queue, id))
	}
	if err := c.rdb.Del(ctx, keys...).Err(); err != nil { // one slot: they share the queue's hash tag
		return fmt.Errorf("removing lane %s: %w", queue, err)
	}
	if err := c.rdb.SRem(ctx, laneNames, queue).Err(); err != nil {
		return fmt.Errorf("removing lane %s from asynq's list: %w", queue, err)
	}
	return nil
}
