package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	toolkit "github.com/wispanel/wptk/client"
)

// client is the Go client with the manners of a command line: it says why it takes
// longer, and how the program ends when the API says no.
type client struct {
	base *url.URL
	key  string
	// patience is how long an API that cannot be reached is asked again.
	patience time.Duration
	// notice tells people why it takes longer.
	notice func(format string, args ...any)
	pause  func(context.Context, time.Duration) error
}

const (
	maxAnswer = 64 << 20 // bytes of an answer
	// maxRetryAfter is how long an API that asks for it is waited for, in all.
	maxRetryAfter = 90 * time.Second
	// pollFor is how long a long poll is held back.
	pollFor = 30 * time.Second
	apiRoot = "/api/v1"
	askOnce = -1 // patience of one who asks once
)

func newClient(api, key string) (*client, error) {
	if _, err := toolkit.New(api, key, toolkit.Options{}); err != nil {
		return nil, usage("--api: %q is not an http(s) address", api)
	}
	base, err := url.Parse(api)
	if err != nil {
		return nil, usage("--api: %q is not an http(s) address", api)
	}
	return &client{base: base, key: key, patience: 2 * time.Second, pause: pause, notice: func(string, ...any) {}}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// request is one call of the API; path begins with /, is below /api/v1 and escaped.
type request struct {
	method, path string
	query        url.Values
	body         any
}

// answer is what came back with a status below 300.
type answer struct {
	raw    []byte
	header http.Header
}

func (c *client) get(ctx context.Context, path string, query url.Values, into any) (answer, error) {
	return c.do(ctx, request{method: http.MethodGet, path: path, query: query}, into)
}

func (c *client) post(ctx context.Context, path string, body, into any) (answer, error) {
	return c.do(ctx, request{method: http.MethodPost, path: path, body: body}, into)
}

// toolkit is the Go client with this one's manners.
func (c *client) toolkit(patience, retryAfter time.Duration) (*toolkit.Client, error) {
	return toolkit.New(c.base.String(), c.key, toolkit.Options{
		Patience: patience, MaxRetryAfter: retryAfter, Pause: c.pause,
		OnRetry: func(reason error, after time.Duration) {
			var refused *toolkit.Error
			if errors.As(reason, &refused) {
				c.notice("%s; the API asks to wait %s", clean(refused.Message), short(after))
			}
		},
	})
}

// do makes a call and decodes the answer, and asks again as the Go client does. Errors are
// *apiError, or say why there was no answer.
func (c *client) do(ctx context.Context, r request, into any) (answer, error) {
	t, err := c.toolkit(c.patience, maxRetryAfter)
	if err != nil {
		return answer{}, err
	}
	got, err := t.Do(ctx, toolkit.Request{Method: r.method, Path: r.path, Query: r.query, Body: r.body}, into)
	return answer{got.Raw, got.Header}, inWords(ctx, err)
}

// once makes one request and asks no more. body is JSON, or nil.
func (c *client) once(ctx context.Context, r request, body []byte, idempotency string) (answer, error) {
	t, err := c.toolkit(askOnce, askOnce)
	if err != nil {
		return answer{}, err
	}
	ask := toolkit.Request{Method: r.method, Path: r.path, Query: r.query}
	if body != nil {
		ask.Body = json.RawMessage(body)
	}
	if idempotency != "" {
		ctx = toolkit.WithIdempotencyKey(ctx, idempotency)
	}
	got, err := t.Do(ctx, ask, nil)
	return answer{got.Raw, got.Header}, inWords(ctx, err)
}

// download streams a backup. One that was cut short is an error.
func (c *client) download(ctx context.Context, id string, to io.Writer) (int64, error) {
	t, err := c.toolkit(c.patience, maxRetryAfter)
	if err != nil {
		return 0, err
	}
	body, err := t.DownloadBackup(ctx, id)
	if err != nil {
		return 0, inWords(ctx, err)
	}
	defer body.Close()
	n, err := io.Copy(to, body)
	if err != nil {
		return n, fmt.Errorf("reading the backup: %w", err)
	}
	return n, nil
}

// inWords gives an error the exit status that goes with it.
func inWords(ctx context.Context, err error) error {
	var refused *toolkit.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refused):
		return &apiError{*refused}
	}
	return &exitError{exitRefused, err}
}

func decode(raw []byte, into any) error {
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return &exitError{exitRefused, fmt.Errorf("reading the API's answer: %w", err)}
	}
	return nil
}

// pace is how long to leave the API in peace so that its rate limit lasts.
func pace(h http.Header, now time.Time) time.Duration { return toolkit.Pace(h, now) }
