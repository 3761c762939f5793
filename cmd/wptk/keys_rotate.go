package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wispanel/wptk/queue"
)

// operatorKeeps is how long entries of the command line are kept in the audit trail; an API
// that is set to less forgets them earlier.
const operatorKeeps = 90 * 24 * time.Hour

// note has the audit trail tell what the operator did without an API.
func (cmd *keysCmd) note(ctx context.Context, a *app, ledger *queue.Client, action, target string) {
	e := queue.AuditEntry{Account: "operator", Action: action, Target: target, Outcome: queue.AuditAccepted}
	if err := ledger.Audit(ctx, e, operatorKeeps); err != nil {
		a.log.Warn("noting in the audit trail", "err", err)
	}
}

type keysRotateCmd struct {
	ID      string        `arg:"" help:"The key's id (16 hex), not the key."`
	Owner   string        `help:"Refuse unless the key is this account's." env:"-" placeholder:"ACCOUNT"`
	Overlap time.Duration `help:"How long the old key goes on, at most 168h; 0s takes it away at once." default:"24h" env:"-"`
	Quiet   bool          `short:"q" help:"Print the new key and nothing else." env:"-"`
}

// Run replaces the key.
func (cmd *keysRotateCmd) Run(ctx context.Context, a *app, all *keysCmd) error {
	if cmd.Overlap < 0 || cmd.Overlap > queue.MaxOverlap {
		return usage("--overlap: 0s to %.0fh", queue.MaxOverlap.Hours())
	}
	ledger, closing, err := all.ledger(ctx, a)
	if err != nil {
		return err
	}
	defer closing()
	old, err := ledger.FindKey(ctx, cmd.Owner, cmd.ID)
	if errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("there is no key %s", clean(cmd.ID))
	}
	if err != nil {
		return err
	}
	key, secret, until, err := ledger.RotateKey(ctx, old, cmd.Overlap)
	if err != nil {
		return keyProblem(err)
	}
	all.note(ctx, a, ledger, "keys rotate", old.Owner+" "+old.ID+" "+key.ID)
	switch {
	case cmd.Quiet:
		say(a.out, "%s", secret)
	case a.json:
		return a.object(struct {
			Key      string    `json:"key"`
			APIKey   queue.Key `json:"api_key"`
			Replaced string    `json:"replaced"`
			OldUntil time.Time `json:"old_valid_until"`
		}{secret, key, old.ID, until})
	default:
		say(a.out, "%s", secret)
		say(a.err, "Key %s takes the place of %s, which goes on until %s.", key.ID, old.ID, until.Format(time.RFC3339))
	}
	return nil
}
