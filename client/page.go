package client

import (
	"context"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Page is a part of a long list.
type Page[T any] struct {
	Items []T
	// Next is the cursor of the next page, empty after the last. A page may be short
	// and still have a next one.
	Next string
}

func page[T any](ctx context.Context, c *Client, r Request) (*Page[T], error) {
	var p Page[T]
	got, err := c.Do(ctx, r, &p.Items)
	if err != nil {
		return nil, err
	}
	p.Next = nextCursor(got.Header.Get("Link"))
	return &p, nil
}

func call[T any](ctx context.Context, c *Client, r Request) (*T, error) {
	var got T
	if _, err := c.Do(ctx, r, &got); err != nil {
		return nil, err
	}
	return &got, nil
}

var nextLink = regexp.MustCompile(`<([^<>]*)>\s*;\s*rel="?next"?`)

// nextCursor is the cursor of the next page in a Link header.
func nextCursor(link string) string {
	m := nextLink.FindStringSubmatch(link)
	if m == nil {
		return ""
	}
	u, err := url.Parse(m[1])
	if err != nil {
		return ""
	}
	return u.Query().Get("cursor")
}

func addText(v url.Values, name, value string) {
	if value != "" {
		v.Set(name, value)
	}
}

func addBool(v url.Values, name string, value bool) {
	if value {
		v.Set(name, "true")
	}
}

func addInt(v url.Values, name string, value int) {
	if value != 0 {
		v.Set(name, strconv.Itoa(value))
	}
}

func addList(v url.Values, name string, values []string) {
	if len(values) > 0 {
		v.Set(name, strings.Join(values, ","))
	}
}
