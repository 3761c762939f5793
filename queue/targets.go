package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// Targets names many installs: by their ids, or by what they have in common.
type Targets struct {
	IDs    []string     `json:"ids,omitempty"`
	Filter *FleetFilter `json:"filter,omitempty"`
}

// FleetFilter is what the installs of a selection have in common. All that is given must hold.
type FleetFilter struct {
	Account string `json:"account,omitempty" maxLength:"64"`
	Domain  string `json:"domain,omitempty" maxLength:"253" doc:"Exactly."`
	Version string `json:"version,omitempty" maxLength:"32" doc:"Of WordPress, exactly."`
	Node    string `json:"node,omitempty" maxLength:"63"`
	Query   string `json:"q,omitempty" maxLength:"100" doc:"Part of a domain or title."`
	Plugin  string `json:"plugin,omitempty" maxLength:"100" doc:"Slug of a plugin that the last inspection has found there."`
	All     bool   `json:"all,omitempty" doc:"Every install. Needed when nothing else is given."`
}

// Empty reports whether a filter says nothing, which is more likely a mistake than a wish.
func (f FleetFilter) Empty() bool { return f == FleetFilter{} }

// ErrTooLarge says that a selection has more than MaxChildren installs.
var ErrTooLarge = errors.New("selection is too large")

// UnknownSitesError names the ids of a selection that are no installs the account may know of.
type UnknownSitesError struct{ IDs []string }

func (e *UnknownSitesError) Error() string {
	return "no such sites: " + strings.Join(e.IDs, ", ")
}

// Select finds the installs of a selection that an account may touch ("" may all), each once:
// ids in their order, a filter's by domain. Errors: *UnknownSitesError, ErrTooLarge.
func (c *Client) Select(ctx context.Context, account string, sel Targets) ([]Site, error) {
	if sel.Filter != nil {
		return c.selectByFilter(ctx, account, *sel.Filter)
	}
	if len(sel.IDs) > MaxChildren {
		return nil, ErrTooLarge
	}
	seen, sites, unknown := map[string]bool{}, []Site{}, []string{}
	for chunk := range slices.Chunk(sel.IDs, targetChunk) {
		pipe, records := c.rdb.Pipeline(), make([]*redis.StringCmd, len(chunk))
		for i, id := range chunk {
			records[i] = pipe.HGet(ctx, c.names.site(id), "rec")
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("reading sites: %w", err)
		}
		for i, id := range chunk {
			site, err := decodeSite(records[i].Val())
			switch {
			case err != nil || account != "" && site.Account != account || !tasks.IsSiteID(id):
				unknown = append(unknown, id)
			case !seen[id]:
				seen[id] = true
				sites = append(sites, site)
			}
		}
	}
	if len(unknown) > 0 {
		return nil, &UnknownSitesError{IDs: unknown}
	}
	return sites, nil
}

func (c *Client) selectByFilter(ctx context.Context, account string, f FleetFilter) ([]Site, error) {
	if account != "" && f.Account != "" && f.Account != account {
		return nil, nil // as if there were none
	}
	filter := SiteFilter{Account: f.Account, Domain: f.Domain, Version: f.Version, Node: f.Node, Query: f.Query, Limit: listMax}
	if account != "" {
		filter.Account = account
	}
	var sites []Site
	for {
		page, err := c.Sites(ctx, filter)
		if err != nil {
			return nil, err
		}
		found := page.Items
		if f.Plugin != "" {
			if found, err = c.withPlugin(ctx, found, f.Plugin); err != nil {
				return nil, err
			}
		}
		if sites = append(sites, found...); len(sites) > MaxChildren {
			return nil, ErrTooLarge
		}
		if page.Next == "" {
			return sites, nil
		}
		filter.Cursor = page.Next
	}
}

// withPlugin keeps the installs whose last inspection has found a plugin.
func (c *Client) withPlugin(ctx context.Context, sites []Site, slug string) ([]Site, error) {
	pipe, facts := c.rdb.Pipeline(), make([]*redis.StringCmd, len(sites))
	for i, site := range sites {
		facts[i] = pipe.HGet(ctx, c.names.details(site.ID), "facts")
	}
	if len(sites) == 0 {
		return nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading details of sites: %w", err)
	}
	var with []Site
	for i, site := range sites {
		if facts[i].Val() == "" {
			continue // never inspected
		}
		text, err := unpack(facts[i].Val())
		if err != nil {
			c.survived("sites", "reading details of a site", err, "site", site.ID)
			continue
		}
		var details struct {
			Plugins *struct {
				List []struct {
					Slug string `json:"slug"`
				} `json:"list"`
			} `json:"plugins"`
		}
		if err := json.Unmarshal(text, &details); err != nil {
			c.survived("sites", "decoding details of a site", err, "site", site.ID)
			continue
		}
		if details.Plugins == nil {
			continue
		}
		for _, p := range details.Plugins.List {
			if p.Slug == slug {
				with = append(with, site)
				break
			}
		}
	}
	return with, nil
}

// Share is a number of installs, or a part of all: 5 or "10%".
type Share string

// UnmarshalJSON takes both forms.
func (s *Share) UnmarshalJSON(data []byte) error {
	text := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	*s = Share(text)
	return nil
}

// Of is how many installs of a total it is, rounded up; the error is for people.
func (s Share) Of(total int) (int, error) {
	number, percent := strings.CutSuffix(string(s), "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || percent && n > 100 || n > MaxChildren {
		return 0, errors.New(`must be a number of sites, or a part of them like "10%"`)
	}
	if percent {
		n = (total*n + 99) / 100
	}
	return n, nil
}

// WavesOf cuts a total into waves: first the canary, then one wave for each share, the rest
// last. A single percentage is repeated.
func WavesOf(total, canary int, shares []Share) ([]int, error) {
	var waves []int
	left := total
	take := func(n int) {
		if n = min(n, left); n > 0 {
			waves, left = append(waves, n), left-n
		}
	}
	take(canary)
	for _, share := range shares {
		n, err := share.Of(total)
		if err != nil {
			return nil, err
		}
		take(n)
		for len(shares) == 1 && strings.HasSuffix(string(share), "%") && left > 0 {
			take(n)
		}
	}
	take(left)
	return waves, nil
}
