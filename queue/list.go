package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

const (
	listDefault = 100
	listMax     = 1000
	// listScan bounds the index entries that one List looks at, so that a filter
	// which matches nothing costs no more than one that matches all.
	listScan  = 2000
	listBatch = 200
)

// OpFilter says which ops to list. Zero fields do not filter.
type OpFilter struct {
	Account string
	States  []tasks.State
	Kinds   []string
	Site    string // install id
	Node    string
	// Rollouts lists only those, not what was asked of one install.
	Rollouts bool
	Limit    int    // 1-1000, 100 when 0
	Cursor   string // Page.Next of the page before
}

func (f OpFilter) matches(op tasks.Op) bool {
	return (f.Account == "" || f.Account == op.Site.Account) &&
		(f.Site == "" || f.Site == op.Site.ID) &&
		(f.Node == "" || f.Node == op.Site.Node) &&
		(!f.Rollouts || op.Rollout()) &&
		(len(f.States) == 0 || slices.Contains(f.States, op.State)) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, op.Kind))
}

// List lists ops, newest first and without payloads. A page may be short, even
// empty, and still have a Next: a call looks at a bounded part of the index.
// Error: ErrBadCursor.
func (c *Client) List(ctx context.Context, f OpFilter) (Page[tasks.Op], error) {
	if f.Limit <= 0 {
		f.Limit = listDefault
	}
	f.Limit = min(f.Limit, listMax)
	index := c.names.allOps()
	if f.Account != "" {
		index = c.names.accountOps(f.Account)
	}
	if _, ok := tasks.Shard(f.Cursor); f.Cursor != "" && !ok {
		return Page[tasks.Op]{}, ErrBadCursor
	}
	page := Page[tasks.Op]{Next: f.Cursor}
	for looked := 0; looked < listScan; looked += listBatch {
		more, err := c.listBatch(ctx, index, f, &page)
		if err != nil || !more {
			return page, err
		}
		if len(page.Items) == f.Limit {
			break
		}
	}
	return page, nil
}

// listBatch adds what matches of one stretch of the index. It is false at the
// index's end, where Next becomes "".
func (c *Client) listBatch(ctx context.Context, index string, f OpFilter, page *Page[tasks.Op]) (bool, error) {
	from := "+"
	if page.Next != "" {
		from = "(" + page.Next
	}
	ids, err := c.rdb.ZRevRangeByLex(ctx, index, &redis.ZRangeBy{Max: from, Min: "-", Count: listBatch}).Result()
	if err != nil {
		return false, fmt.Errorf("reading index of ops: %w", err)
	}
	answers, err := c.readEach(ctx, ids)
	if err != nil {
		return false, err
	}
	for i, id := range ids {
		op, err := opOf(answers[i])
		if err != nil && !errors.Is(err, ErrNotFound) { // expired: the reconciler trims the index
			return false, err
		}
		page.Next = id
		if err == nil && f.matches(op) {
			page.Items = append(page.Items, op)
		}
		if len(page.Items) == f.Limit {
			return true, nil
		}
	}
	if len(ids) < listBatch {
		page.Next = ""
		return false, nil
	}
	return true, nil
}
