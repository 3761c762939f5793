package main

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

type opsLogCmd struct {
	opID
	Follow bool `short:"f" help:"Go on until the operation is done." env:"-"`
}

// logLine is one line of an operation's log.
type logLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Run prints the log.
func (cmd *opsLogCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	path, after := "/wordpress/operations/"+url.PathEscape(cmd.ID), ""
	for last := !cmd.Follow; ; {
		got, next, err := a.logFrom(ctx, c, path, after)
		if err != nil {
			return err
		}
		after = next
		if last {
			return nil
		}
		// Whether the op is done is asked before its last lines, so none is missed.
		var op operation
		if _, err := c.get(ctx, path, nil, &op); err != nil {
			return err
		}
		last = op.Done
		if err := c.pause(ctx, max(time.Second, pace(got.header, a.now()))); err != nil {
			return err
		}
	}
}

// logFrom prints all lines behind a cursor and answers the cursor of what comes later.
func (a *app) logFrom(ctx context.Context, c *client, path, after string) (answer, string, error) {
	for {
		var page struct {
			Lines []logLine `json:"lines"`
			Next  string    `json:"next_cursor"`
		}
		got, err := c.get(ctx, path+"/log", filter("after", after, "limit", strconv.Itoa(largestPage)), &page)
		if err != nil {
			return got, after, err
		}
		for _, l := range page.Lines {
			if err := a.logLine(l); err != nil {
				return got, after, err
			}
		}
		if page.Next != "" {
			after = page.Next
		}
		if len(page.Lines) < largestPage {
			return got, after, nil
		}
	}
}

func (a *app) logLine(l logLine) error {
	if a.json {
		return a.object(l)
	}
	say(a.out, "%s  %s", l.At.Local().Format(time.TimeOnly), clean(l.Text))
	return nil
}
