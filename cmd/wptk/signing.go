package main

import (
	"context"
	"fmt"

	"github.com/wispanel/wptk/cmd/internal/signing"
)

// signingCmd makes the keys of APIs, and moves records from one to the next.
type signingCmd struct {
	New   signingNewCmd   `cmd:"" help:"Make a key, and beside it its public half (.pub) for --signing-keys of nodes and APIs."`
	Show  signingShowCmd  `cmd:"" help:"The id of a key, and its public half."`
	Renew signingRenewCmd `cmd:"" help:"Sign the API keys and schedules in Redis anew, before an older key is taken away."`
}

type signingNewCmd struct {
	File string `arg:"" help:"The private key; must not exist yet."`
}

// Run makes a key.
func (cmd *signingNewCmd) Run(a *app) error {
	key, err := signing.New(cmd.File)
	if err != nil {
		return err
	}
	if a.json {
		return a.object(map[string]string{"id": key.Public().ID(), "file": cmd.File, "public": cmd.File + ".pub"})
	}
	say(a.out, "%s", key.Public().ID())
	say(a.err, "Give %s to the API (--signing-key-file), and %s.pub to every node and API first (--signing-keys).", cmd.File, cmd.File)
	return nil
}

type signingShowCmd struct {
	File string `arg:"" help:"A private or a public key."`
}

// Run prints the public half.
func (cmd *signingShowCmd) Run(a *app) error {
	public, err := signing.LoadPublic(cmd.File)
	if err != nil {
		key, errPrivate := signing.Load(cmd.File)
		if errPrivate != nil {
			return errPrivate
		}
		public = key.Public()
	}
	text, err := public.PEM()
	if err != nil {
		return err
	}
	if a.json {
		return a.object(map[string]string{"id": public.ID(), "public": string(text)})
	}
	say(a.out, "%s\n%s", public.ID(), text)
	return nil
}

type signingRenewCmd struct{ operator }

// Run signs what Redis keeps for longer than a key lives.
func (cmd *signingRenewCmd) Run(ctx context.Context, a *app) error {
	if cmd.SigningKeyFile == "" {
		return usage("--signing-key-file: needed")
	}
	ledger, closing, err := cmd.ledger(ctx, a)
	if err != nil {
		return err
	}
	defer closing()
	all, err := ledger.Renew(ctx)
	refused := 0
	for _, r := range all {
		state := "signed"
		if r.Err != nil {
			state = "REFUSED: " + r.Err.Error()
			refused++
		}
		if a.json {
			err := a.object(map[string]any{"record": r.Record, "id": r.ID, "owner": r.Owner, "name": r.Name, "signed": r.Err == nil})
			if err != nil {
				return err
			}
			continue
		}
		say(a.out, "%s %s of %s (%s): %s", r.Record, clean(r.ID), clean(r.Owner), clean(r.Name), state)
	}
	if err == nil && refused > 0 {
		err = fmt.Errorf("%d records are not believed and stay as they are: those without a signature are taken with --no-require-signed", refused)
	}
	return err
}
