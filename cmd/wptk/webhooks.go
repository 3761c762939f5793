package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type webhooksCmd struct {
	List       webhooksListCmd       `cmd:"" help:"All webhooks and how they are."`
	Create     webhooksCreateCmd     `cmd:"" help:"Have the ends of operations sent to an address; prints the secret, once."`
	Delete     webhooksDeleteCmd     `cmd:"" help:"Take a webhook away."`
	Test       webhooksTestCmd       `cmd:"" help:"Send a test event."`
	Deliveries webhooksDeliveriesCmd `cmd:"" help:"What waits for a webhook, and what has ended."`
}

// webhook is what the API says about a webhook.
type webhook struct {
	ID       string    `json:"id"`
	Account  string    `json:"account"`
	URL      string    `json:"url"`
	Events   []string  `json:"events"`
	Enabled  bool      `json:"enabled"`
	All      bool      `json:"all_accounts"`
	Disabled string    `json:"disabled_reason"`
	Failing  time.Time `json:"failing_since"`
}

type webhooksListCmd struct{}

// Run prints the list.
func (*webhooksListCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var list struct {
		Webhooks []webhook `json:"webhooks"`
	}
	got, err := c.get(ctx, "/webhooks", nil, &list)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	var rows [][]string
	for _, w := range list.Webhooks {
		state := "ok"
		switch {
		case !w.Enabled:
			state = "off"
		case !w.Failing.IsZero():
			state = "failing"
		}
		account := w.Account
		if w.All {
			account = "(all)"
		}
		rows = append(rows, []string{w.ID, a.status(state), orDash(account), clean(strings.Join(w.Events, ",")), clean(w.URL), orDash(w.Disabled)})
	}
	return a.table("ID STATUS ACCOUNT EVENTS URL REASON", rows)
}

type webhooksCreateCmd struct {
	URL     string   `arg:"" name:"url" help:"Where to send events: https."`
	Event   []string `help:"wordpress.install.succeeded, wordpress.plugin.* or *; may be repeated." default:"*" env:"-"`
	Account string   `help:"Whose operations; the key's own account by default." env:"-"`
	All     bool     `help:"The operations of every account (admin key)." env:"-"`
}

// Run makes the webhook.
func (cmd *webhooksCreateCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	body := map[string]any{"url": cmd.URL, "events": cmd.Event}
	if cmd.Account != "" {
		body["account"] = cmd.Account
	}
	if cmd.All {
		body["all_accounts"] = true
	}
	var made struct {
		Secret  string  `json:"secret"`
		Webhook webhook `json:"webhook"`
	}
	got, err := c.post(ctx, "/webhooks", body, &made)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	say(a.out, "%s", clean(made.Secret))
	say(a.err, "Webhook %s. The secret that signs its deliveries is shown this once.", clean(made.Webhook.ID))
	return nil
}

type webhookID struct {
	ID string `arg:"" help:"Webhook."`
}

func (w webhookID) path(more string) string { return "/webhooks/" + url.PathEscape(w.ID) + more }

type webhooksDeleteCmd struct{ webhookID }

// Run takes the webhook away.
func (cmd *webhooksDeleteCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	got, err := c.do(ctx, request{method: http.MethodDelete, path: cmd.path("")}, nil)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	say(a.out, "%s is gone, with its deliveries.", clean(cmd.ID))
	return nil
}

type webhooksTestCmd struct{ webhookID }

// Run sends a test event.
func (cmd *webhooksTestCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	got, err := c.post(ctx, cmd.path("/test"), nil, nil)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	say(a.out, "On its way; wptk webhooks deliveries %s says how it went.", clean(cmd.ID))
	return nil
}

type webhooksDeliveriesCmd struct{ webhookID }

// Run prints the deliveries.
func (cmd *webhooksDeliveriesCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var list struct {
		Deliveries []struct {
			ID       string    `json:"id"`
			Event    string    `json:"event"`
			Status   string    `json:"status"`
			Attempts int       `json:"attempts"`
			Answer   int       `json:"response_status"`
			Error    string    `json:"error"`
			Created  time.Time `json:"created_at"`
		} `json:"deliveries"`
	}
	got, err := c.get(ctx, cmd.path("/deliveries"), nil, &list)
	if err != nil {
		return err
	}
	if a.json {
		return a.line(got.raw)
	}
	var rows [][]string
	for _, d := range list.Deliveries {
		rows = append(rows, []string{clean(d.ID), a.status(d.Status), clean(d.Event), fmt.Sprint(d.Attempts), fmt.Sprint(d.Answer), ago(a.now(), d.Created), orDash(d.Error)})
	}
	return a.table("ID STATUS EVENT ATTEMPTS ANSWER CREATED ERROR", rows)
}
