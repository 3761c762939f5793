package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// Child is one install of a rollout.
type Child struct {
	Index  int
	Site   tasks.SiteRef
	State  tasks.State // as of an op, or Skipped
	Reason string      // why it was skipped or cancelled before it began
	OpID   string      // of its op, also before there is one
	Op     tasks.Op    // zero when there is none, not yet or not any more
}

// ChildFilter says which children to list.
type ChildFilter struct {
	States []tasks.State // none is all
	Limit  int           // 1-1000, 100 when 0
	Cursor string        // Page.Next of the page before
}

// Children lists the installs of a rollout in its order. Errors: ErrNotFound, ErrNoRollout,
// ErrBadCursor.
func (c *Client) Children(ctx context.Context, id string, f ChildFilter) (Page[Child], error) {
	op, err := c.read(ctx, id, readProgress)
	if err != nil {
		return Page[Child]{}, err
	}
	if !op.Rollout() {
		return Page[Child]{}, ErrNoRollout
	}
	from := 0
	if f.Cursor != "" {
		if from, err = strconv.Atoi(f.Cursor); err != nil || from < 0 || from > MaxChildren {
			return Page[Child]{}, ErrBadCursor
		}
	}
	if f.Limit <= 0 {
		f.Limit = listDefault
	}
	states, err := c.childStates(ctx, op.ID)
	if err != nil {
		return Page[Child]{}, err
	}
	page := Page[Child]{Items: []Child{}}
	for i := from; i < len(states); i++ {
		state := childStates[states[i]]
		if len(f.States) > 0 && !slices.Contains(f.States, state) {
			continue
		}
		if len(page.Items) == min(f.Limit, listMax) {
			page.Next = strconv.Itoa(i)
			break
		}
		page.Items = append(page.Items, Child{Index: i, State: state})
	}
	return page, c.describe(ctx, op.ID, page.Items)
}

// describe fills in what only some children of a page are read for.
func (c *Client) describe(ctx context.Context, rollout string, children []Child) error {
	if len(children) == 0 {
		return nil
	}
	pipe := c.rdb.Pipeline()
	sites, reasons := make([]*redis.StringCmd, len(children)), make([]*redis.StringCmd, len(children))
	for i, child := range children {
		sites[i] = pipe.LIndex(ctx, c.names.targets(rollout), int64(child.Index))
		reasons[i] = pipe.HGet(ctx, c.names.reasons(rollout), strconv.Itoa(child.Index))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("reading sites of rollout: %w", err)
	}
	ids, at := make([]string, len(children)), make(map[string]int, len(children))
	for i := range children {
		child := &children[i]
		if err := json.Unmarshal([]byte(sites[i].Val()), &child.Site); err != nil {
			return fmt.Errorf("decoding site of rollout: %w", err)
		}
		child.Reason, child.OpID = reasons[i].Val(), tasks.ChildOpID(rollout, child.Site)
		ids[i], at[child.OpID] = child.OpID, i
	}
	ops, err := c.readMany(ctx, ids)
	if err != nil {
		return err
	}
	for _, op := range ops {
		child := &children[at[op.ID]]
		child.Op, child.State = op, op.State // newer than what the leader has seen
	}
	return nil
}

func (c *Client) childStates(ctx context.Context, rollout string) ([]childState, error) {
	text, err := c.rdb.Get(ctx, c.names.states(rollout)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading states of rollout: %w", err)
	}
	return []childState(text), nil
}
