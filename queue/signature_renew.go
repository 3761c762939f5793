package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Renewed is what Renew did to a record.
type Renewed struct {
	Record string // "key" or "schedule"
	ID     string
	Owner  string // account
	Name   string
	Err    error // nil: it has a new signature; else it was not believed and is as it was
}

// Renew signs the records that outlive a signing key anew: API keys and schedules. Only those
// that the store believes, so no record becomes trusted by it that was not. It ends at the
// first record that cannot be read or written, and may be repeated.
func (c *Client) Renew(ctx context.Context) ([]Renewed, error) {
	if c.signer == nil {
		return nil, errors.New("renewing signatures: there is no key to sign with")
	}
	keys, err := c.renewKeys(ctx)
	if err != nil {
		return keys, fmt.Errorf("renewing signatures of api keys: %w", err)
	}
	schedules, err := c.renewSchedules(ctx)
	if err != nil {
		err = fmt.Errorf("renewing signatures of schedules: %w", err)
	}
	return append(keys, schedules...), err
}

func (c *Client) renewKeys(ctx context.Context) (all []Renewed, err error) {
	index, err := c.keyIndex(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(index)) {
		sum := index[id]
		fields, err := c.rdb.HGetAll(ctx, c.names.key(sum)).Result()
		if err != nil {
			return all, err
		}
		k, err := decodeKey(fields, sum)
		if errors.Is(err, ErrNotFound) {
			continue // revoked just now
		}
		if err != nil {
			return all, err
		}
		r := Renewed{Record: signedKey, ID: id, Owner: k.Owner, Name: k.Name}
		if _, r.Err = c.verify(signedKey, fields["sig"], sum, fields["rec"]); r.Err == nil {
			err = c.resign(ctx, c.names.key(sum), "sum", c.sign(signedKey, sum, fields["rec"]))
		}
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (c *Client) renewSchedules(ctx context.Context) (all []Renewed, err error) {
	schedules, err := c.Schedules(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, s := range schedules {
		r := Renewed{Record: signedSchedule, ID: s.ID, Owner: s.Account, Name: s.Kind}
		if r.Err = c.VerifySchedule(s); r.Err == nil {
			err = c.resign(ctx, c.names.schedule(s.ID), "def", c.sign(signedSchedule, s.ID, s.record))
		}
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// resign writes a signature to a record that still has a field: one that is deleted meanwhile
// does not come back.
func (c *Client) resign(ctx context.Context, key, field, signature string) error {
	return resignScript.Run(ctx, c.rdb, []string{key}, field, signature).Err()
}

var resignScript = lua("resign")
