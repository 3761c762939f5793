package queue

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/wispanel/wptk/tasks"
)

const targetChunk = 1000

// VerifyRollout tells whether a rollout, read by Get, is one that a trusted API accepted as it
// stands in the ledger, its installs included.
func (c *Client) VerifyRollout(ctx context.Context, op tasks.Op) error {
	_, _, err := c.readRollout(ctx, op)
	return err
}

// readRollout reads what never changes of a rollout, and believes it only as it was signed.
func (c *Client) readRollout(ctx context.Context, op tasks.Op) (rolloutFields, []tasks.SiteRef, error) {
	var fields rolloutFields
	plan, err := c.rdb.HGet(ctx, c.names.op(op.ID), "plan").Result()
	if err != nil {
		return fields, nil, fmt.Errorf("reading plan: %w", err)
	}
	if err := json.Unmarshal([]byte(plan), &fields); err != nil {
		return fields, nil, fmt.Errorf("decoding plan: %w", err)
	}
	if fields.Total < 1 || fields.Total > MaxChildren {
		return fields, nil, fmt.Errorf("decoding plan: it is for %d sites", fields.Total)
	}
	sites := make([]tasks.SiteRef, 0, fields.Total)
	for from := 0; from < fields.Total; from += targetChunk {
		some, err := c.targets(ctx, op.ID, from, from+targetChunk-1)
		if err != nil {
			return fields, nil, err
		}
		sites = append(sites, some...)
	}
	if len(sites) != fields.Total {
		return fields, nil, fmt.Errorf("reading sites of rollout: %d of %d are there", len(sites), fields.Total)
	}
	_, err = c.verify(signedRollout, op.Signature, rolloutParts(op, plan, sites)...)
	return fields, sites, c.disbelieved(signedRollout, err)
}

func (c *Client) targets(ctx context.Context, id string, from, to int) ([]tasks.SiteRef, error) {
	texts, err := c.rdb.LRange(ctx, c.names.targets(id), int64(from), int64(to)).Result()
	if err != nil {
		return nil, fmt.Errorf("reading sites of rollout: %w", err)
	}
	sites := make([]tasks.SiteRef, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal([]byte(text), &sites[i]); err != nil {
			return nil, fmt.Errorf("decoding site of rollout: %w", err)
		}
	}
	return sites, nil
}

// rolloutParts is what is signed of a rollout: the op, how it goes on, and its installs.
func rolloutParts(op tasks.Op, plan string, sites []tasks.SiteRef) []string {
	all := sha256.New()
	for _, site := range sites {
		sum := siteSum(site)
		all.Write(sum[:])
	}
	return append(opParts(op), plan, string(all.Sum(nil)))
}

func siteSum(s tasks.SiteRef) [sha256.Size]byte {
	return sha256.Sum256(canonical("site", 0, []string{s.ID, s.Node, s.Account, s.Domain, s.Path}))
}
