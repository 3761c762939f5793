package main

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wispanel/wptk/queue"
)

// auditCmd is about the audit trail.
type auditCmd struct {
	Tail auditTailCmd `cmd:"" help:"Print the newest entries, and with --follow those that come."`
}

type auditTailCmd struct {
	Follow  bool   `short:"f" help:"Go on with what comes." env:"-"`
	Lines   int    `short:"n" help:"How many entries, at most 1000." default:"20" env:"-"`
	Prefix  string `name:"key" help:"Only of keys that begin so (at most 12 characters)." env:"-" placeholder:"PREFIX"`
	Account string `help:"Only of this account's keys; operator is the command line." env:"-"`
	Outcome string `help:"Only accepted, refused or failed." enum:",accepted,refused,failed" default:"" env:"-"`
	Action  string `help:"Only where this is part of method and route, like DELETE or /api-keys." env:"-"`
}

type auditList struct {
	Entries []queue.AuditEntry `json:"entries"`
	Newest  string             `json:"newest"`
}

// Run prints the entries, oldest first.
func (cmd *auditTailCmd) Run(ctx context.Context, a *app) error {
	if cmd.Lines < 1 || cmd.Lines > largestPage {
		return usage("--lines: 1 to %d", largestPage)
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	var list auditList
	got, err := c.get(ctx, "/wordpress/audit", cmd.query("limit", strconv.Itoa(cmd.Lines)), &list)
	if err != nil {
		return err
	}
	slices.Reverse(list.Entries)
	if err := a.auditEntries(list.Entries); err != nil {
		return err
	}
	for newest := list.Newest; cmd.Follow; newest = list.Newest {
		if err := c.pause(ctx, max(time.Second, pace(got.header, a.now()))); err != nil {
			return err
		}
		list = auditList{}
		if got, err = c.get(ctx, "/wordpress/audit", cmd.query("after", newest, "limit", strconv.Itoa(largestPage)), &list); err != nil {
			return err
		}
		if err := a.auditEntries(list.Entries); err != nil {
			return err
		}
	}
	return nil
}

func (cmd *auditTailCmd) query(more ...string) url.Values {
	return filter(append(more, "key", cmd.Prefix, "account", cmd.Account, "outcome", cmd.Outcome, "action", cmd.Action)...)
}

// auditEntries prints entries, one a line.
func (a *app) auditEntries(list []queue.AuditEntry) error {
	for _, e := range list {
		if a.json {
			if err := a.object(e); err != nil {
				return err
			}
			continue
		}
		who := orDash(e.Account)
		if e.Key != "" {
			who += " " + clean(e.Key) + "…"
		}
		if e.Session != "" {
			who += " console " + clean(e.Session)
		}
		words := []string{e.At.Local().Format(time.DateTime), clean(e.Outcome), who, orDash(e.Addr), clean(e.Action)}
		if e.Target != "" {
			words = append(words, clean(e.Target))
		}
		if e.Status >= 400 {
			words = append(words, strconv.Itoa(e.Status))
		}
		say(a.out, "%s", strings.Join(words, "  "))
	}
	return nil
}
