package queue

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// Waiting counts, for each of some nodes, the ops in its lanes that wait for a slot or to
// be tried again. What lets other accounts pass is counted as standard, or bulk. Nodes does not count them: it is asked far more often than people look.
func (c *Client) Waiting(ctx context.Context, nodes []string) (map[string]map[tasks.Class]int, error) {
	pipe, sizes := c.rdb.Pipeline(), map[string][]*redis.IntCmd{}
	for _, node := range nodes {
		for _, class := range laneClasses {
			q := lane(node, class)
			sizes[q] = []*redis.IntCmd{pipe.LLen(ctx, lanePending(q)), pipe.ZCard(ctx, laneScheduled(q)), pipe.ZCard(ctx, laneRetry(q))}
		}
	}
	if len(sizes) == 0 {
		return nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("counting what waits: %w", err)
	}
	waiting := make(map[string]map[tasks.Class]int, len(nodes))
	for _, node := range nodes {
		waiting[node] = map[tasks.Class]int{}
		for _, class := range laneClasses {
			as := class
			switch class {
			case lateFast:
				as = tasks.Standard
			case lateBulk:
				as = tasks.Bulk
			}
			for _, size := range sizes[lane(node, class)] {
				waiting[node][as] += int(size.Val())
			}
		}
	}
	return waiting, nil
}
