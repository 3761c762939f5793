package main

import (
	"context"
	"time"
)

type consoleCmd struct{}

// Run asks for a code and prints the link. It opens no browser by itself: the link would be
// an argument of that, which every user of the machine can read.
func (*consoleCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var made struct {
		Code      string    `json:"code"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if _, err := c.post(ctx, "/console/links", nil, &made); err != nil {
		return err
	}
	// Behind the # it is in no request, no log of a proxy, and no Referer.
	link := c.base.JoinPath("console").String() + "#" + made.Code
	if a.json {
		return a.object(map[string]any{"url": link, "expires_at": made.ExpiresAt})
	}
	say(a.out, "%s", link)
	say(a.err, "It opens the operations console once, until %s.", made.ExpiresAt.Local().Format(time.TimeOnly))
	return nil
}
