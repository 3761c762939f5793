package queue

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

const (
	// siteScan bounds the stretches of the index that one call looks at, so that
	// a filter which matches nothing costs no more than one that matches all.
	siteScan  = 20
	siteBatch = 100
)

// SiteFilter says which installs to list. Zero fields do not filter.
type SiteFilter struct {
	Account string
	Domain  string // exactly
	Version string // exactly
	Node    string
	Query   string // part of the domain or title, in any case
	Limit   int    // 1-1000, 100 when 0
	Cursor  string // Page.Next of the page before
}

func (f SiteFilter) matches(s Site) bool {
	return (f.Account == "" || f.Account == s.Account) &&
		(f.Domain == "" || f.Domain == s.Domain) &&
		(f.Version == "" || f.Version == s.Version) &&
		(f.Node == "" || f.Node == s.Node) &&
		(f.Query == "" || contains(s.Domain, f.Query) || contains(s.Title, f.Query))
}

func contains(text, lowerPart string) bool { return strings.Contains(strings.ToLower(text), lowerPart) }

// Sites lists installs by domain and path. A page may be short, even empty, and
// still have a Next: a call looks at a bounded part of the index, whatever the
// size of the fleet. Error: ErrBadCursor.
func (c *Client) Sites(ctx context.Context, f SiteFilter) (Page[Site], error) {
	if f.Limit <= 0 {
		f.Limit = listDefault
	}
	f.Limit = min(f.Limit, listMax)
	f.Domain, f.Query = strings.ToLower(f.Domain), strings.ToLower(f.Query)
	page := Page[Site]{Items: []Site{}}
	from, to, err := f.span()
	if err != nil {
		return page, err
	}
	for range siteScan {
		var more bool
		from, more, err = c.siteBatch(ctx, f, from, to, &page)
		if err != nil {
			return Page[Site]{}, err
		}
		if !more {
			return page, nil
		}
		if len(page.Items) == f.Limit {
			break
		}
	}
	page.Next = base64.RawURLEncoding.EncodeToString([]byte(from[1:]))
	return page, nil
}

// span is the part of the index that can hold matches, as ZRANGE BYLEX wants it.
func (f SiteFilter) span() (from, to string, err error) {
	from, to = "-", "+"
	if f.Domain != "" {
		from, to = "["+f.Domain+"\x00", "("+f.Domain+"\x01"
	}
	if f.Cursor != "" {
		member, err := base64.RawURLEncoding.DecodeString(f.Cursor)
		if err != nil || !tasks.IsSiteID(memberID(string(member))) {
			return "", "", ErrBadCursor
		}
		if f.Domain != "" && !strings.HasPrefix(string(member), f.Domain+"\x00") {
			return "", "", ErrBadCursor
		}
		from = "(" + string(member)
	}
	return from, to, nil
}

// siteBatch adds what matches of one stretch of the index, in two round trips.
// It answers where to go on, and false at the index's end.
func (c *Client) siteBatch(ctx context.Context, f SiteFilter, from, to string, page *Page[Site]) (string, bool, error) {
	index := c.names.allSites()
	if f.Account != "" {
		index = c.names.accountSites(f.Account)
	}
	// As many as could be taken at most, and one to tell whether there are more.
	count := max(siteBatch, f.Limit-len(page.Items)+1)
	members, err := c.rdb.ZRangeByLex(ctx, index, &redis.ZRangeBy{Min: from, Max: to, Count: int64(count)}).Result()
	if err != nil {
		return "", false, fmt.Errorf("reading index of sites: %w", err)
	}
	records, err := c.siteRecords(ctx, members)
	if err != nil {
		return "", false, err
	}
	for i, record := range records {
		from = "(" + members[i]
		text, err := record.Result()
		if errors.Is(err, redis.Nil) {
			continue // being written, or just removed
		}
		if err != nil {
			return "", false, fmt.Errorf("reading site: %w", err)
		}
		site, err := decodeSite(text)
		if err != nil { // one damaged record must not hide all the others
			c.survived("sites", "skipping site", err, "site", memberID(members[i]))
			continue
		}
		if !f.matches(site) {
			continue
		}
		page.Items = append(page.Items, site)
		if len(page.Items) == f.Limit {
			return from, i+1 < len(members) || len(members) == count, nil
		}
	}
	return from, len(members) == count, nil
}

func (c *Client) siteRecords(ctx context.Context, members []string) ([]*redis.StringCmd, error) {
	pipe, records := c.rdb.Pipeline(), make([]*redis.StringCmd, len(members))
	for i, member := range members {
		records[i] = pipe.HGet(ctx, c.names.site(memberID(member)), "rec")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading sites: %w", err)
	}
	return records, nil
}
