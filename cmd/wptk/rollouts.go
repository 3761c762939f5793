package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

type rolloutsCmd struct {
	List     rolloutsListCmd     `cmd:"" help:"Newest first."`
	Children rolloutsChildrenCmd `cmd:"" help:"The installs of a rollout and how each of them went."`
	Pause    rolloutsPauseCmd    `cmd:"" help:"Let no more installs begin; those that have are finished."`
	Resume   rolloutsResumeCmd   `cmd:"" help:"Let a paused rollout go on."`
}

// rolloutCounts is the result of an operation on many installs.
type rolloutCounts struct {
	Total      int  `json:"total"`
	Queued     int  `json:"queued"`
	Running    int  `json:"running"`
	Succeeded  int  `json:"succeeded"`
	Failed     int  `json:"failed"`
	RolledBack int  `json:"rolled_back"`
	Skipped    int  `json:"skipped"`
	Cancelled  int  `json:"cancelled"`
	Wave       int  `json:"wave"`
	Waves      int  `json:"waves"`
	Paused     bool `json:"paused"`
}

type rolloutsListCmd struct {
	State []string `help:"Only these states." env:"-"`
	paging
}

// Run prints the list.
func (cmd *rolloutsListCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var rows [][]string
	err = cmd.each(filter("many", "true", "state", strings.Join(cmd.State, ",")), func(q url.Values) (int, string, error) {
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
			row, err := a.rolloutRow(op)
			if err != nil {
				return 0, "", err
			}
			rows = append(rows, row)
		}
		return len(page.Operations), page.Next, nil
	})
	if err != nil || a.json {
		return err
	}
	return a.table("OPERATION TYPE STATUS DONE SITES FAILED SKIPPED WAVE ASKED", rows)
}

func (a *app) rolloutRow(op operation) ([]string, error) {
	var n rolloutCounts
	if err := json.Unmarshal(op.Result, &n); err != nil {
		return nil, &exitError{exitRefused, fmt.Errorf("reading the counts of %s: %w", op.OperationID, err)}
	}
	status := a.status(string(op.Status))
	if n.Paused && !op.Done {
		status += " (paused)"
	}
	return []string{clean(op.OperationID), clean(op.Type), status, fmt.Sprintf("%d%%", op.Progress), fmt.Sprint(n.Total),
		fmt.Sprint(n.Failed + n.RolledBack), fmt.Sprint(n.Skipped + n.Cancelled), fmt.Sprintf("%d/%d", n.Wave, n.Waves), ago(a.now(), op.CreatedAt)}, nil
}

type rolloutsChildrenCmd struct {
	opID
	State []string `help:"Only these states." env:"-"`
	paging
}

// Run prints the installs of a rollout.
func (cmd *rolloutsChildrenCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var rows [][]string
	err = cmd.each(filter("state", strings.Join(cmd.State, ",")), func(q url.Values) (int, string, error) {
		var page struct {
			Children []struct {
				operation
				Reason string `json:"reason"`
			} `json:"children"`
			Next string `json:"next_cursor"`
		}
		got, err := c.get(ctx, "/wordpress/operations/"+url.PathEscape(cmd.ID)+"/children", q, &page)
		if err != nil {
			return 0, "", err
		}
		if a.json {
			return len(page.Children), page.Next, a.line(got.raw)
		}
		for _, child := range page.Children {
			why := child.Reason
			if child.Error != nil {
				why = child.Error.Message
			}
			rows = append(rows, []string{clean(child.ID), orDash(child.Domain + "/" + child.Path), orDash(child.Node), a.status(string(child.Status)),
				orDash(child.OperationID), orDash(why)})
		}
		return len(page.Children), page.Next, nil
	})
	if err != nil || a.json {
		return err
	}
	return a.table("INSTALL SITE NODE STATUS OPERATION WHY", rows)
}

type rolloutsPauseCmd struct{ opID }

// Run pauses a rollout.
func (cmd *rolloutsPauseCmd) Run(ctx context.Context, a *app) error {
	return a.rolloutChange(ctx, cmd.ID, "pause", "%s is paused; what has begun is finished.")
}

type rolloutsResumeCmd struct{ opID }

// Run resumes a rollout.
func (cmd *rolloutsResumeCmd) Run(ctx context.Context, a *app) error {
	return a.rolloutChange(ctx, cmd.ID, "resume", "%s goes on.")
}

func (a *app) rolloutChange(ctx context.Context, id, what, sentence string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var op operation
	got, err := c.post(ctx, "/wordpress/operations/"+url.PathEscape(id)+"/"+what, nil, &op)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	say(a.out, sentence, clean(op.OperationID))
	return nil
}
