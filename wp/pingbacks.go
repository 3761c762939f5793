package wp

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"time"
)

// Pings is what of a site is open for pingbacks and trackbacks.
type Pings struct {
	Posts  string `json:"posts"`  // runs of IDs: "3-7,9"
	Status string `json:"status"` // of new posts: "open" or "closed"
	Flag   string `json:"flag"`   // "1": others are told of links
}

// Closed reports whether nothing is open.
func (p Pings) Closed() bool { return p.Posts == "" && p.Status != "open" }

// Pings reads what is open.
func (c *CLI) Pings(ctx context.Context, site Site) (Pings, error) {
	return c.pings(ctx, site, pingRequest{Do: "look"})
}

// ClosePings closes the site, the posts that are there included.
func (c *CLI) ClosePings(ctx context.Context, site Site) error {
	now, err := c.pings(ctx, site, pingRequest{Do: "close"})
	if err == nil && !now.Closed() {
		err = fmt.Errorf("closing pingbacks: %w", ErrNotApplied)
	}
	return err
}

// RestorePings opens what was open.
func (c *CLI) RestorePings(ctx context.Context, site Site, was Pings) error {
	_, err := c.pings(ctx, site, pingRequest{Do: "restore", Pings: was})
	return err
}

type pingRequest struct {
	Do string `json:"do"`
	Pings
}

var runsOfIDs = regexp.MustCompile(`^(?:\d{1,18}(?:-\d{1,18})?(?:,\d{1,18}(?:-\d{1,18})?)*)?$`)

func (c *CLI) pings(ctx context.Context, site Site, req pingRequest) (Pings, error) {
	cmd, err := pingbacks(req)
	if err != nil {
		return Pings{}, err
	}
	out, err := c.must(ctx, site, cmd)
	if err != nil {
		return Pings{}, err
	}
	var p Pings
	if err := parseJSON(out, &p); err != nil {
		return Pings{}, fmt.Errorf("reading pingbacks: %w", err)
	}
	if !runsOfIDs.MatchString(p.Posts) {
		return Pings{}, fmt.Errorf("reading pingbacks: %w", ErrOutput)
	}
	p.Status, p.Flag = cleanLine(p.Status, 20), cleanLine(p.Flag, 20)
	return p, nil
}

func pingbacks(req pingRequest) (Command, error) {
	in, err := json.Marshal(req)
	if err != nil {
		return Command{}, fmt.Errorf("encoding request: %w", err)
	}
	return command("wptk", "pingbacks").loading("pingbacks.php").input(string(in)).withoutPlugins().forParser().within(2 * time.Minute), nil
}
