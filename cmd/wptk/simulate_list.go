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
	Small   spreadFigures `json:"first_of_100"` // asked with a key whose account has so many
	Ratio   float64       `json:"ratio"`        // of the two, asked in turn
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

// lists measures lists over all installs, beside that of an account with a few: both meet the
// same API, and a Redis that does the same for the fleet meanwhile.
func (s *simulation) lists(ctx context.Context) error {
	all, last, err := s.walk(ctx)
	if err != nil {
		return err
	}
	s.figures.List.All = figure(all.Seconds())
	path := apiRoot + "/wordpress/installations?limit=100"
	base := "http://" + s.side.api.addr
	f := &s.figures.List
	few := simCall{s.side.fewKey, base + path, &f.Small}
	if err := s.inTurn(ctx, few, simCall{s.side.key, base + path, &f.First}); err != nil {
		return err
	}
	f.Ratio = figure(f.First.Median / f.Small.Median)
	for _, c := range []simCall{
		{s.side.key, strings.Replace(last, "limit=1000", "limit=100", 1), &f.Last},
		{s.side.key, base + path + "&domain=" + simSite("", s.Installs/2).Domain, &f.Domain},
		{s.side.key, base + path + "&version=1.0", &f.Nothing},
	} {
		if err := s.inTurn(ctx, c); err != nil {
			return err
		}
	}
	s.tell("list of 100: %.1f ms of %d, %.1f ms of %d", s.figures.List.First.Median, s.Installs, s.figures.List.Small.Median, smallFleet)
	return nil
}

// simCall is a GET whose times are wanted.
type simCall struct {
	key  string
	url  string
	into *spreadFigures
}

// inTurn makes calls again and again, first one and then the other first, each after the same
// rest: a process that has just slept gets the processor sooner than one that has not.
func (s *simulation) inTurn(ctx context.Context, calls ...simCall) error {
	took := make([][]float64, len(calls))
	for round := range listRounds + listWarmUp {
		for i := range calls {
			at := (i + round) % len(calls)
			if err := pause(ctx, listRest); err != nil {
				return err
			}
			_, _, d, err := s.side.fetch(ctx, calls[at].key, calls[at].url)
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
	next := "http://" + s.side.api.addr + apiRoot + "/wordpress/installations?limit=1000"
	last = next
	for next != "" {
		body, more, d, err := s.side.fetch(ctx, s.side.key, next)
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
