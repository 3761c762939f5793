package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// listFigures are milliseconds of GET /installations, and what it takes to read all.
type listFigures struct {
	First   spreadFigures `json:"first"`
	Small   spreadFigures `json:"first_of_100"`
	Ratio   float64       `json:"ratio"` // of the two, asked in turn
	Last    spreadFigures `json:"last"`
	Domain  spreadFigures `json:"by_domain"`
	Nothing spreadFigures `json:"fits_nothing"` // one page of a filter that fits none
	All     float64       `json:"all_seconds"`
}

const (
	listRounds = 100
	listWarmUp = 10
	listRest   = 5 * time.Millisecond
)

// lists measures lists over all installs, beside those over a few.
func (s *simulation) lists(ctx context.Context) error {
	all, last, err := s.walk(ctx)
	if err != nil {
		return err
	}
	s.figures.List.All = figure(all.Seconds())
	path := apiRoot + "/wordpress/installations?limit=100"
	base := "http://" + s.large.api.addr
	f := &s.figures.List
	few := simCall{s.small, "http://" + s.small.api.addr + path, &f.Small}
	if err := inTurn(ctx, few, simCall{s.large, base + path, &f.First}); err != nil {
		return err
	}
	f.Ratio = figure(f.First.Median / f.Small.Median)
	for _, c := range []simCall{
		{s.large, strings.Replace(last, "limit=1000", "limit=100", 1), &f.Last},
		{s.large, base + path + "&domain=" + simSite("", s.Installs/2).Domain, &f.Domain},
		{s.large, base + path + "&version=1.0", &f.Nothing},
	} {
		if err := inTurn(ctx, c); err != nil {
			return err
		}
	}
	s.tell("list of 100: %.1f ms of %d, %.1f ms of %d", s.figures.List.First.Median, s.Installs, s.figures.List.Small.Median, smallFleet)
	return nil
}

// simCall is a GET whose times are wanted.
type simCall struct {
	side *simSide
	url  string
	into *spreadFigures
}

// inTurn makes calls again and again, first one and then the other first, each after the same
// rest: a process that has just slept gets the processor sooner than one that has not.
func inTurn(ctx context.Context, calls ...simCall) error {
	took := make([][]float64, len(calls))
	for round := range listRounds + listWarmUp {
		for i := range calls {
			at := (i + round) % len(calls)
			if err := pause(ctx, listRest); err != nil {
				return err
			}
			_, _, d, err := calls[at].side.fetch(ctx, calls[at].url)
			if err != nil {
				return err
			}
			if round >= listWarmUp {
				took[at] = append(took[at], milliseconds(d))
			}
		}
	}
	for i, c := range calls {
		*c.into = spreadOf(took[i], 0)
	}
	return nil
}

// walk reads all pages, holds them to what was published, and answers the address of the last
// page of 100.
func (s *simulation) walk(ctx context.Context) (took time.Duration, last string, err error) {
	seen := make(map[string]bool, s.Installs)
	before := ""
	next := "http://" + s.large.api.addr + apiRoot + "/wordpress/installations?limit=1000"
	last = next
	for next != "" {
		body, more, d, err := s.large.fetch(ctx, next)
		if err != nil {
			return 0, "", err
		}
		took += d
		var page []installation
		if err := json.Unmarshal(body, &page); err != nil {
			return 0, "", fmt.Errorf("reading page: %w", err)
		}
		for _, site := range page {
			if site.Domain < before {
				s.broken("%s is listed behind %s", clean(site.Domain), clean(before))
			}
			before, seen[site.ID] = site.Domain, true
		}
		last, next = next, more
	}
	if len(seen) != s.Installs {
		s.broken("%d of %d installs are listed", len(seen), s.Installs)
	}
	return took, last, nil
}
