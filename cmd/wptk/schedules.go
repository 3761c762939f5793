package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

type schedulesCmd struct {
	List   schedulesListCmd   `cmd:"" help:"All schedules and when they are due."`
	Create schedulesCreateCmd `cmd:"" help:"Ask for something again and again."`
	Delete schedulesDeleteCmd `cmd:"" help:"Delete a schedule; what it has made goes on."`
}

// schedule is what the API says about one.
type schedule struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	Account string    `json:"account"`
	Cron    string    `json:"cron"`
	TZ      string    `json:"tz"`
	Enabled bool      `json:"enabled"`
	NextAt  time.Time `json:"next_at"`
	LastAt  time.Time `json:"last_at"`
	Last    string    `json:"last_result"`
	LastOp  string    `json:"last_operation_id"`
}

type schedulesListCmd struct{}

// Run prints the list.
func (*schedulesListCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var list struct {
		Schedules []schedule `json:"schedules"`
	}
	got, err := c.get(ctx, "/wordpress/schedules", nil, &list)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	var rows [][]string
	for _, s := range list.Schedules {
		next, last := "off", ""
		if !s.NextAt.IsZero() {
			next = s.NextAt.Local().Format(time.DateTime)
		}
		if !s.LastAt.IsZero() {
			last = s.Last + " " + ago(a.now(), s.LastAt)
		}
		rows = append(rows, []string{clean(s.ID), orDash(s.Name), clean(s.Kind), orDash(s.Account), clean(s.Cron), orDash(s.TZ), next, orDash(last), orDash(s.LastOp)})
	}
	return a.table("SCHEDULE NAME KIND ACCOUNT CRON ZONE NEXT LAST OPERATION", rows)
}

type schedulesCreateCmd struct {
	Kind    string   `arg:"" help:"backup, core.update, plugin.update, theme.update, checksums.verify or site.inspect."`
	Cron    string   `required:"" help:"Minute, hour, day, month, weekday; or @daily and the like." placeholder:"EXPR" env:"-"`
	TZ      string   `name:"tz" help:"Time zone; UTC when left out." placeholder:"ZONE" env:"-"`
	Name    string   `help:"A name for people." env:"-"`
	Site    []string `help:"Installs (wp_…)." env:"-"`
	Account string   `help:"All installs of an account." env:"-"`
	Body    string   `help:"Body of the kind's route, in JSON." placeholder:"JSON" env:"-"`
	Jitter  int      `help:"Spread the installs over that many seconds." env:"-"`
}

// Run makes a schedule.
func (cmd *schedulesCreateCmd) Run(ctx context.Context, a *app) error {
	body := map[string]any{"kind": cmd.Kind, "cron": cmd.Cron, "tz": cmd.TZ, "jitter_seconds": cmd.Jitter}
	if cmd.Name != "" {
		body["name"] = cmd.Name
	}
	switch {
	case len(cmd.Site) > 0 && cmd.Account == "":
		body["target"] = map[string]any{"ids": cmd.Site}
	case cmd.Account != "" && len(cmd.Site) == 0:
		body["target"] = map[string]any{"account": cmd.Account}
	default:
		return usage("give --site or --account")
	}
	if cmd.Body != "" {
		if !json.Valid([]byte(cmd.Body)) {
			return usage("--body: not JSON")
		}
		body["body"] = json.RawMessage(cmd.Body)
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	var made schedule
	got, err := c.post(ctx, "/wordpress/schedules", body, &made)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	say(a.out, "%s is due at %s.", clean(made.ID), made.NextAt.Local().Format(time.DateTime))
	return nil
}

type schedulesDeleteCmd struct {
	ID string `arg:"" help:"Schedule (sc_…)."`
}

// Run deletes a schedule.
func (cmd *schedulesDeleteCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	got, err := c.do(ctx, request{method: http.MethodDelete, path: "/wordpress/schedules/" + url.PathEscape(cmd.ID)}, nil)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	say(a.out, "%s is deleted.", clean(cmd.ID))
	return nil
}
