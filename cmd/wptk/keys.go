package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/cmd/internal/signing"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// keysCmd works on Redis itself: the first key cannot be made with a key.
type keysCmd struct {
	operator
	Create keysCreateCmd `cmd:"" help:"Make a key and print it, once."`
	List   keysListCmd   `cmd:"" help:"All keys, without their secrets."`
	Rotate keysRotateCmd `cmd:"" help:"Replace a key by a new one with the same rights; the old one goes on for a while."`
	Revoke keysRevokeCmd `cmd:"" help:"Take a key away."`
}

// operator is whoever works on Redis directly, and signs what is made there as an API would.
type operator struct {
	boot.Redis
	signing.Signer
}

// ledger opens Redis; the caller closes the store.
func (cmd *operator) ledger(ctx context.Context, a *app) (*queue.Client, func(), error) {
	password, err := cmd.Password()
	options := queue.Options{URL: cmd.RedisURL, Username: cmd.RedisUsername, Password: password}
	if err == nil && cmd.SigningKeyFile != "" {
		err = cmd.Identify(&options, a.log)
	}
	if err != nil {
		return nil, nil, &exitError{exitUsage, err}
	}
	store, err := queue.Open(ctx, options, a.log)
	if err != nil {
		return nil, nil, &exitError{exitRefused, fmt.Errorf("opening Redis (--redis-url): %w", err)}
	}
	return queue.NewClient(store), func() {
		if err := store.Close(); err != nil {
			a.log.Warn("closing Redis", "err", err)
		}
	}, nil
}

type keysCreateCmd struct {
	Name       string   `arg:"" help:"What the key is for."`
	Owner      string   `help:"Account that the key acts for." required:"" env:"-" placeholder:"ACCOUNT"`
	Role       string   `help:"admin sees and touches all accounts." enum:"user,admin" default:"user" env:"-"`
	Permission []string `help:"read, wordpress, webhooks or all; may be repeated." default:"all" env:"-"`
	IP         []string `name:"ip" help:"Address or network it may be used from; may be repeated." env:"-" placeholder:"CIDR"`
	Expires    string   `help:"After this time (90d, 12h), or at this day (2027-01-31)." env:"-"`
	RateLimit  int      `help:"Requests a minute; 0 is the API's default." env:"-"`
	Quiet      bool     `short:"q" help:"Print the key and nothing else." env:"-"`
}

// Run makes the key.
func (cmd *keysCreateCmd) Run(ctx context.Context, a *app, all *keysCmd) error {
	expires, err := expiry(cmd.Expires, a.now())
	if err != nil {
		return err
	}
	ledger, closing, err := all.ledger(ctx, a)
	if err != nil {
		return err
	}
	defer closing()
	key, secret, err := ledger.CreateKey(ctx, queue.NewKey{Name: cmd.Name, Owner: cmd.Owner, Role: cmd.Role,
		Permissions: cmd.Permission, IPWhitelist: cmd.IP, ExpiresAt: expires, RateLimit: cmd.RateLimit})
	if err != nil {
		return keyProblem(err)
	}
	all.note(ctx, a, ledger, "keys create", key.Owner+" "+key.ID)
	switch {
	case cmd.Quiet:
		say(a.out, "%s", secret)
	case a.json:
		return a.object(struct {
			Key    string    `json:"key"`
			APIKey queue.Key `json:"api_key"`
		}{secret, key})
	default:
		say(a.out, "%s", secret)
		say(a.err, "Key %s of %s (%s, %s). It is shown this once: keep it, for instance in the file for --key-file.",
			key.ID, clean(key.Owner), key.Role, strings.Join(key.Permissions, ", "))
	}
	return nil
}

// keyProblem makes a refused request a matter of usage.
func keyProblem(err error) error {
	var invalid *tasks.InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	var all []error
	for _, p := range invalid.Problems {
		all = append(all, fmt.Errorf("%s %s", p.Field, p.Reason))
	}
	return &exitError{exitUsage, errors.Join(all...)}
}

// expiry reads 90d, 12h or a day; days are UTC and end with the day.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.Add(24 * time.Hour), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); n == 1 && err == nil && text == fmt.Sprintf("%dd", days) && days > 0 && days < 100_000 {
		return now.AddDate(0, 0, days), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, usage("--expires: %q is neither a time span (90d, 12h) nor a day (2027-01-31)", text)
}

type keysListCmd struct {
	Owner string `help:"Only of this account." env:"-" placeholder:"ACCOUNT"`
}

// Run prints the keys.
func (cmd *keysListCmd) Run(ctx context.Context, a *app, all *keysCmd) error {
	ledger, closing, err := all.ledger(ctx, a)
	if err != nil {
		return err
	}
	defer closing()
	keys, err := ledger.ListKeys(ctx, cmd.Owner)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, k := range keys {
		if a.json {
			if err := a.object(k); err != nil {
				return err
			}
			continue
		}
		expires := "never"
		if !k.ExpiresAt.IsZero() {
			expires = ago(a.now(), k.ExpiresAt)
		}
		rows = append(rows, []string{k.ID, k.Prefix + "…", clean(k.Owner), k.Role, strings.Join(k.Permissions, ","),
			networks(k.IPWhitelist), ago(a.now(), k.LastUsed), expires, clean(k.Name)})
	}
	if a.json {
		return nil
	}
	return a.table("ID KEY OWNER ROLE PERMISSIONS FROM USED EXPIRES NAME", rows)
}

func networks(list []netip.Prefix) string {
	if len(list) == 0 {
		return "any"
	}
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}

type keysRevokeCmd struct {
	ID    string `arg:"" help:"The key's id (16 hex), not the key."`
	Owner string `help:"Refuse unless the key is this account's." env:"-" placeholder:"ACCOUNT"`
}

// Run takes the key away.
func (cmd *keysRevokeCmd) Run(ctx context.Context, a *app, all *keysCmd) error {
	ledger, closing, err := all.ledger(ctx, a)
	if err != nil {
		return err
	}
	defer closing()
	err = ledger.RevokeKey(ctx, cmd.Owner, cmd.ID)
	if err == nil {
		all.note(ctx, a, ledger, "keys revoke", clean(cmd.ID))
	}
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return fmt.Errorf("there is no key %s", clean(cmd.ID))
	case err != nil:
		return err
	case a.json:
		return a.object(map[string]any{"id": cmd.ID, "revoked": true})
	}
	say(a.out, "Key %s is revoked; every API process knows within 5 seconds.", clean(cmd.ID))
	return nil
}
