package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"github.com/wispanel/wptk/tasks"
)

// reveal is the op's result, with the secret that was generated for it when this
// is the first time that its requester reads the success.
func (s *server) reveal(ctx context.Context, op tasks.Op) object {
	result := object(op.Result)
	if op.State != tasks.Succeeded && op.State != tasks.Unverified || s.shown.has(op.ID) {
		return result
	}
	x := exchangeOf(ctx)
	if x.key.Session != "" || x.key.Owner != op.Site.Account && x.key.ID != op.KeyID {
		return result // an admin who looks in must not use up what the customer, or a program, is to see
	}
	sealed, err := s.Ledger.Reveal(ctx, op.ID)
	if err != nil {
		s.Metrics.RedisError("reveal")
		x.log.Warn("reading a one-time secret failed", "op", op.ID, "err", err)
		return result
	}
	s.shown.add(op.ID)
	if sealed == "" {
		return result
	}
	secret, err := s.Secrets.Open(sealed)
	if err != nil {
		// Sealed by a replica with another --secrets-key-file: nobody can read it now.
		x.log.Error("opening a one-time secret failed; do all replicas share --secrets-key-file?", "op", op.ID, "err", err)
		return result
	}
	x.secret, x.target = true, op.ID
	return withSecret(result, op.Kind, secret)
}

// withSecret shows a generated secret where its kind says: as a field of the
// result, or inside of one that has a mark for it.
func withSecret(result object, kind, secret string) object {
	spec, ok := tasks.Lookup(kind)
	if !ok {
		return result
	}
	g, ok := spec.New().(tasks.Generator)
	if !ok {
		return result
	}
	_, field := g.Generates()
	fields := map[string]json.RawMessage{}
	var text string
	if json.Unmarshal(result, &fields) != nil || json.Unmarshal(fields[field], &text) != nil {
		return result.with(field, secret) // a field of its own
	}
	fields[field] = appendText(nil, strings.Replace(text, tasks.SecretMark, secret, 1))
	whole, err := json.Marshal(fields)
	if err != nil {
		return result
	}
	return whole
}

// memo remembers a bounded number of ids.
type memo struct {
	mu   sync.RWMutex
	ids  map[string]struct{}
	most int
}

func newMemo() *memo { return &memo{ids: map[string]struct{}{}, most: 8192} }

func (m *memo) has(id string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, ok := m.ids[id]
	return ok
}

func (m *memo) add(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.ids) >= m.most {
		clear(m.ids) // forgetting costs one more round trip per id
	}
	m.ids[id] = struct{}{}
}
