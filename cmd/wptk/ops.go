package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wispanel/wptk/tasks"
)

type opsCmd struct {
	List   opsListCmd   `cmd:"" help:"Newest first."`
	Show   opsShowCmd   `cmd:"" help:"One operation."`
	Watch  opsWatchCmd  `cmd:"" help:"Follow an operation until it is done; exit status 1 when it failed."`
	Cancel opsCancelCmd `cmd:"" help:"Cancel an operation; what it has made is undone."`
	Retry  opsRetryCmd  `cmd:"" help:"Run a failed or cancelled operation again."`
	Log    opsLogCmd    `cmd:"" help:"Output of an operation's commands."`
}

// opID is an operation's id, or an install's for its newest operation.
type opID struct {
	ID string `arg:"" help:"Operation (op_…), or install (wp_…) for its newest operation."`
}

type opsListCmd struct {
	State []string `help:"Only these states." env:"-"`
	Kind  []string `help:"Only these kinds." env:"-"`
	Site  string   `help:"Only of this install (wp_…)." env:"-"`
	Node  string   `help:"Only of this node." env:"-"`
	paging
}

// paging is what every list has.
type paging struct {
	Limit int  `help:"How many at most." default:"50" env:"-"`
	All   bool `help:"All of them." env:"-"`
}

const largestPage = 1000

// each asks for pages until there is enough; page returns how many it got and the
// cursor of the next one.
func (p paging) each(query url.Values, page func(url.Values) (int, string, error)) error {
	for left := p.Limit; left > 0 || p.All; {
		size := largestPage
		if !p.All {
			size = min(left, largestPage)
		}
		query.Set("limit", strconv.Itoa(size))
		n, cursor, err := page(query)
		if err != nil || cursor == "" {
			return err
		}
		left -= n
		query.Set("cursor", cursor)
	}
	return nil
}

// filter makes a query of names and values, leaving empty ones out.
func filter(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// Run prints the list.
func (cmd *opsListCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	query := filter("state", strings.Join(cmd.State, ","), "kind", strings.Join(cmd.Kind, ","), "site", cmd.Site, "node", cmd.Node)
	var rows [][]string
	err = cmd.each(query, func(q url.Values) (int, string, error) {
		var page struct {
			Operations []operation `json:"operations"`
			Next       string      `json:"next_cursor"`
		}
		got, err := c.get(ctx, "/wordpress/operations", q, &page)
		if err != nil {
			return 0, "", err
		}
		if a.json {
			return len(page.Operations), page.Next, a.line(got.raw)
		}
		for _, op := range page.Operations {
			rows = append(rows, []string{clean(op.OperationID), clean(op.Type), a.status(string(op.Status)),
				fmt.Sprintf("%d%%", op.Progress), clock(op.elapsed(a.now())), ago(a.now(), op.CreatedAt),
				orDash(op.Domain + "/" + op.Path), orDash(op.Node)})
		}
		return len(page.Operations), page.Next, nil
	})
	if err != nil || a.json {
		return err
	}
	return a.table("OPERATION TYPE STATUS DONE TIME ASKED SITE NODE", rows)
}

type opsShowCmd struct{ opID }

// Run prints one operation.
func (cmd *opsShowCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var op operation
	got, err := c.get(ctx, "/wordpress/operations/"+url.PathEscape(cmd.ID), nil, &op)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	return a.showOperation(op)
}

func (a *app) showOperation(op operation) error {
	status := a.status(string(op.Status))
	if op.Stalled {
		status += " (stalled)"
	}
	attempt := ""
	if op.Attempt > 1 {
		attempt = strconv.Itoa(op.Attempt)
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Local().Format(time.DateTime) + " (" + ago(a.now(), t) + ")"
	}
	err := a.facts("operation", clean(op.OperationID), "type", clean(op.Type), "install", clean(op.ID),
		"site", clean(op.Domain+"/"+op.Path), "node", clean(op.Node), "status", status,
		"progress", fmt.Sprintf("%d%%", op.Progress), "step", op.stage(), "attempt", attempt,
		"error", op.failure(), "asked", at(op.CreatedAt), "started", at(op.StartedAt), "finished", at(op.FinishedAt))
	if err != nil || !op.Done {
		return err
	}
	return a.showResult(op)
}

// showResult prints what an install has made, once it has.
func (a *app) showResult(op operation) error {
	if op.Type != "install" || op.Status != tasks.Succeeded && op.Status != tasks.Unverified {
		return nil
	}
	r, err := op.installed()
	if err != nil {
		return err
	}
	password := clean(r.AdminPassword)
	if password != "" {
		password += "   (shown this once)"
	}
	return a.facts("site", clean(r.SiteURL), "admin", clean(r.AdminURL), "user", clean(r.AdminUser), "password", password,
		"version", clean(r.Version), "database", clean(r.DBName))
}

type opsWatchCmd struct{ opID }

// Run follows the operation.
func (cmd *opsWatchCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	return a.watch(ctx, c, cmd.ID)
}

// watch follows an op to its end, shows the result, and answers with the op's own
// exit status. Ctrl-C ends the watching, not the op.
func (a *app) watch(ctx context.Context, c *client, id string) error {
	d := a.display()
	op, err := c.follow(ctx, id, d.show)
	d.close()
	if errors.Is(err, context.Canceled) {
		if op.OperationID != "" {
			id = op.OperationID
		}
		say(a.err, "The operation goes on. wptk ops watch %s continues to watch, wptk ops cancel %s cancels it.", clean(id), clean(id))
		return &exitError{exitInterrupted, nil}
	}
	if err != nil {
		return err
	}
	if !a.json {
		if err := a.showResult(op); err != nil {
			return err
		}
	}
	if op.Status != tasks.Succeeded {
		return &exitError{exitFailed, nil}
	}
	return nil
}

type opsCancelCmd struct{ opID }

// Run cancels the operation.
func (cmd *opsCancelCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var op operation
	got, err := c.post(ctx, "/wordpress/operations/"+url.PathEscape(cmd.ID)+"/cancel", nil, &op)
	if err != nil {
		return err
	}
	switch {
	case a.json:
		return a.line(got.raw)
	case op.Status == tasks.Cancelled:
		say(a.out, "%s is cancelled.", clean(op.OperationID))
	case op.Done:
		say(a.out, "%s had ended before: %s.", clean(op.OperationID), a.status(string(op.Status)))
	default:
		say(a.out, "%s is stopping and undoes what it made; wptk ops watch %s follows it.", clean(op.OperationID), clean(op.OperationID))
	}
	return nil
}

type opsRetryCmd struct {
	opID
	Watch bool `help:"Follow it until it is done." env:"-"`
}

// Run starts the same operation once more.
func (cmd *opsRetryCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var op accepted
	got, err := c.post(ctx, "/wordpress/operations/"+url.PathEscape(cmd.ID)+"/retry", nil, &op)
	if err != nil {
		return err
	}
	return a.accepted(ctx, c, op, got.raw, cmd.Watch)
}

// accepted tells about an op that the API took, and follows it if asked to.
func (a *app) accepted(ctx context.Context, c *client, op accepted, raw []byte, watch bool) error {
	if a.json {
		if err := a.line(raw); err != nil {
			return err
		}
	} else {
		say(a.out, "%s accepted for install %s", clean(op.OperationID), clean(op.ID))
	}
	if watch {
		return a.watch(ctx, c, op.OperationID)
	}
	if !a.json {
		say(a.out, "wptk ops watch %s follows it.", clean(op.OperationID))
	}
	return nil
}
