package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// maxChecksumPages bounds how far back the operations of an install are searched.
const maxChecksumPages = 20

type checksumsInput struct {
	ID string `query:"id" required:"true" maxLength:"64" doc:"The install." example:"wp_4e8a1b2c3d4e5f60"`
}

type checksumsAnswer struct {
	Body struct {
		Success     bool   `json:"success"`
		OperationID string `json:"operation_id" doc:"Of the comparison; empty when there was none yet."`
		// Result is null before the first comparison.
		Result *tasks.ChecksumsResult `json:"result" doc:"What the last comparison has found; null when there was none yet, or none that is still kept."`
	}
}

// lastChecksums answers what the newest comparison of an install has found. That lives in
// the comparison's own record, which is kept as long as any operation is.
func (s *server) lastChecksums(ctx context.Context, in *checksumsInput) (*checksumsAnswer, error) {
	site, err := s.Ledger.Site(ctx, in.ID)
	if err == nil && !sees(ctx, site.Account) {
		err = queue.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	out := &checksumsAnswer{}
	out.Body.Success = true
	filter := queue.OpFilter{
		Account: site.Account, Site: site.ID, Limit: 1,
		Kinds: []string{new(tasks.ChecksumsVerify).Kind()}, States: []tasks.State{tasks.Succeeded},
	}
	for range maxChecksumPages {
		page, err := s.Ledger.List(ctx, filter)
		if err != nil {
			return nil, err
		}
		if len(page.Items) > 0 {
			out.Body.OperationID, out.Body.Result = page.Items[0].ID, new(tasks.ChecksumsResult)
			if err := json.Unmarshal(page.Items[0].Result, out.Body.Result); err != nil {
				return nil, fmt.Errorf("decoding result of %s: %w", out.Body.OperationID, err)
			}
			return out, nil
		}
		if filter.Cursor = page.Next; filter.Cursor == "" {
			break
		}
	}
	return out, nil
}
