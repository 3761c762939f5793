package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// client speaks the API's HTTP.
type client struct {
	base *url.URL
	key  string
	http *http.Client
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
	// A long poll is answered after at most pollFor; the rest is for the network.
	pollFor       = 30 * time.Second
	answerTimeout = pollFor + 45*time.Second
)

func newClient(api, key string) (*client, error) {
	base, err := url.Parse(strings.TrimRight(api, "/"))
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, usage("--api: %q is not an http(s) address", api)
	}
	return &client{
		base: base, key: key, patience: 2 * time.Second, pause: pause,
		notice: func(string, ...any) {},
		http: &http.Client{
			Timeout: answerTimeout,
			// The API redirects nowhere; following one could hand the key to somebody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
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

const apiRoot = "/api/v1"

func (c *client) get(ctx context.Context, path string, query url.Values, into any) (answer, error) {
	return c.do(ctx, request{method: http.MethodGet, path: path, query: query}, into)
}

func (c *client) post(ctx context.Context, path string, body, into any) (answer, error) {
	return c.do(ctx, request{method: http.MethodPost, path: path, body: body}, into)
}

// do makes a call and decodes the answer. Calls are made again when the API asks for
// it (429, 503) and when the connection breaks; one Idempotency-Key for all tries of
// a change makes that safe. Errors are *apiError, or say why there was no answer.
func (c *client) do(ctx context.Context, r request, into any) (answer, error) {
	var body []byte
	var err error
	if r.body != nil {
		if body, err = json.Marshal(r.body); err != nil {
			return answer{}, fmt.Errorf("encoding request: %w", err)
		}
	}
	idempotency := ""
	if r.method != http.MethodGet {
		idempotency = uuid.NewString()
	}
	began, asked := time.Now(), time.Duration(0)
	for try := 0; ; try++ {
		got, err := c.once(ctx, r, body, idempotency)
		if err == nil {
			return got, decode(got.raw, into)
		}
		var refused *apiError
		wait := min(100*time.Millisecond<<min(try, 5), 2*time.Second)
		switch {
		case ctx.Err() != nil:
			return answer{}, ctx.Err()
		case !errors.As(err, &refused):
			if time.Since(began)-asked+wait > c.patience {
				return answer{}, &exitError{exitRefused, fmt.Errorf("reaching the API at %s: %w", c.base, err)}
			}
		case refused.retryAfter == 0 || asked+refused.retryAfter > maxRetryAfter:
			return answer{}, err
		default:
			wait = refused.retryAfter
			asked += wait
			c.notice("%s; the API asks to wait %s", clean(refused.Message), short(wait))
		}
		if err := c.pause(ctx, wait); err != nil {
			return answer{}, err
		}
	}
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

func (c *client) once(ctx context.Context, r request, body []byte, idempotency string) (answer, error) {
	u, err := url.Parse(c.base.String() + apiRoot + r.path) // keeps what is escaped in it
	if err != nil {
		return answer{}, fmt.Errorf("making request: %w", err)
	}
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("making request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if idempotency != "" {
		req.Header.Set("Idempotency-Key", idempotency)
	}
	res, err := c.http.Do(req)
	if err != nil {
		var broken *url.Error
		if errors.As(err, &broken) {
			err = broken.Err // the address is named by whoever reports it
		}
		return answer{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return answer{}, err
	}
	if res.StatusCode >= 300 {
		return answer{}, refusal(res, raw)
	}
	return answer{raw: raw, header: res.Header}, nil
}

// pace is how long to leave the API in peace so that its rate limit lasts.
func pace(h http.Header, now time.Time) time.Duration {
	const least, most = 200 * time.Millisecond, 5 * time.Second
	left, errLeft := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	reset, errReset := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
	if errLeft != nil || errReset != nil {
		return time.Second
	}
	rest := time.Unix(reset, 0).Sub(now)
	return min(max(rest/time.Duration(max(left, 1)), least), most)
}
