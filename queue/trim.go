package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// trimBatch is how many index entries one pass looks at, per index.
const trimBatch = 1000

// trimmer takes expired ops out of the indexes, a stretch at a time, round and
// round. The hashes leave by their own expiry; an index cannot.
type trimmer struct {
	store    *Store
	from     string // where the next stretch of all ops begins; "" = at the oldest
	accounts uint64 // scan cursor
}

func (t *trimmer) pass(ctx context.Context) error {
	last, err := t.stretch(ctx, t.store.names.allOps(), t.from)
	t.from = last
	return errors.Join(err, t.someAccounts(ctx))
}

// someAccounts trims the old end of some accounts' indexes.
func (t *trimmer) someAccounts(ctx context.Context) error {
	n := t.store.names
	accounts, next, err := t.store.rdb.SScan(ctx, n.opAccounts(), t.accounts, "", 100).Result()
	if err != nil {
		return fmt.Errorf("listing accounts with ops: %w", err)
	}
	t.accounts = next
	var errs []error
	for _, a := range accounts {
		_, err := t.stretch(ctx, n.accountOps(a), "")
		errs = append(errs, err, t.leave(ctx, a))
	}
	return errors.Join(errs...)
}

// leave forgets an account without ops. Should it get one just now, the set has
// the account again after its next op.
func (t *trimmer) leave(ctx context.Context, account string) error {
	n := t.store.names
	left, err := t.store.rdb.ZCard(ctx, n.accountOps(account)).Result()
	if err == nil && left == 0 {
		err = t.store.rdb.SRem(ctx, n.opAccounts(), account).Err()
	}
	if err != nil {
		return fmt.Errorf("trimming accounts with ops: %w", err)
	}
	return nil
}

// stretch trims one stretch of an index and answers where the next begins, ""
// after the end.
func (t *trimmer) stretch(ctx context.Context, index, from string) (string, error) {
	least := "-"
	if from != "" {
		least = "(" + from
	}
	ids, err := t.store.rdb.ZRangeByLex(ctx, index, &redis.ZRangeBy{Min: least, Max: "+", Count: trimBatch}).Result()
	if err != nil {
		return from, fmt.Errorf("reading index of ops: %w", err)
	}
	if len(ids) == 0 {
		return "", nil
	}
	expired, err := t.expired(ctx, ids)
	if err != nil {
		return from, err
	}
	if len(expired) > 0 {
		if err := t.store.rdb.ZRem(ctx, index, expired...).Err(); err != nil {
			return from, fmt.Errorf("trimming index of ops: %w", err)
		}
	}
	if len(ids) < trimBatch {
		return "", nil
	}
	return ids[len(ids)-1], nil
}

func (t *trimmer) expired(ctx context.Context, ids []string) ([]any, error) {
	pipe := t.store.rdb.Pipeline()
	exists := make([]*redis.IntCmd, len(ids))
	for i, id := range ids {
		exists[i] = pipe.Exists(ctx, t.store.names.op(id))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("looking for expired ops: %w", err)
	}
	var gone []any
	for i, id := range ids {
		if exists[i].Val() == 0 {
			gone = append(gone, id)
		}
	}
	return gone, nil
}
