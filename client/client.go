// Package client speaks the HTTP API of WisPanel WordPress Toolkit.
//
// A change is accepted at once and done later: calls like [Client.Install] answer an
// [Accepted], and [Client.Wait] follows its operation to the end. Errors satisfy
// errors.Is with this package's, such as [ErrConflict].
//
// Calls are made again when the connection breaks and when the API asks to wait. Every
// change carries an Idempotency-Key that stays the same meanwhile, so it is made once.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

//go:generate go run ./generate

// Client calls one API with one key. It may be used by many goroutines.
type Client struct {
	base *url.URL
	key  string
	opts Options
}

// Options changes how calls are made; the zero value is good.
type Options struct {
	// HTTP makes the requests. When nil, one that follows no redirect: the API
	// redirects nowhere, and following one could hand the key to somebody else.
	HTTP *http.Client
	// Patience is how long an API that cannot be reached is asked again; 10 s when 0, and
	// not at all when negative.
	Patience time.Duration
	// MaxRetryAfter is how long an API that asks for it is waited for, in all, in one
	// call; 90 s when 0, and not at all when negative.
	MaxRetryAfter time.Duration
	// OnRetry is told why a call is made again, and after how long.
	OnRetry func(reason error, after time.Duration)
	// Pause waits between tries; tests replace it.
	Pause func(context.Context, time.Duration) error
	// PollOnly makes Wait ask again and again instead of reading a stream of events.
	PollOnly bool
}

const (
	maxAnswer = 64 << 20 // bytes of an answer
	// A long poll is answered after at most pollFor; the rest is for the network.
	pollFor       = 30 * time.Second
	answerTimeout = pollFor + 45*time.Second
	apiRoot       = "/api/v1"
)

// New makes a client of the API at base, such as https://panel.example.com:2083, with
// an API key (wsp_…).
func New(base, key string, opts Options) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("reading the API's address: %q is not an http(s) address", base)
	}
	if opts.HTTP == nil {
		opts.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if opts.Patience == 0 {
		opts.Patience = 10 * time.Second
	}
	if opts.MaxRetryAfter == 0 {
		opts.MaxRetryAfter = 90 * time.Second
	}
	if opts.OnRetry == nil {
		opts.OnRetry = func(error, time.Duration) {}
	}
	if opts.Pause == nil {
		opts.Pause = pause
	}
	return &Client{base: u, key: key, opts: opts}, nil
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

type idempotencyKey struct{}

// WithIdempotencyKey gives the changes that are made with ctx a key of the caller's own,
// such as its order's number: then even a caller that has died in between may ask again.
// The API remembers a key for 24 hours.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// Request is one call: for what the API can do and this package has no method for.
type Request struct {
	Method string
	Path   string // begins with /, is below /api/v1 and escaped
	Query  url.Values
	Body   any // sent as JSON; none when nil
}

// Answer is what came back with a status below 300.
type Answer struct {
	Raw    []byte
	Header http.Header
}

// Do makes a call and decodes the answer into what into points at, unless that is nil.
// Errors are *[Error], or say why there was no answer.
func (c *Client) Do(ctx context.Context, r Request, into any) (Answer, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return Answer{}, fmt.Errorf("encoding request: %w", err)
		}
	}
	key, _ := ctx.Value(idempotencyKey{}).(string)
	if key == "" && r.Method != http.MethodGet {
		key = uuid.NewString()
	}
	var got Answer
	err := c.retrying(ctx, func() (err error) {
		got, err = c.once(ctx, r, body, key)
		return err
	})
	if err != nil || into == nil {
		return got, err
	}
	if err := json.Unmarshal(got.Raw, into); err != nil {
		return got, fmt.Errorf("reading the API's answer: %w", err)
	}
	return got, nil
}

// retrying calls try until it succeeds, fails for good, or patience is at its end.
func (c *Client) retrying(ctx context.Context, try func() error) error {
	began, asked := time.Now(), time.Duration(0)
	for n := 0; ; n++ {
		err := try()
		if err == nil {
			return nil
		}
		var refused *Error
		wait := min(100*time.Millisecond<<min(n, 5), 2*time.Second)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &refused):
			if time.Since(began)-asked+wait > c.opts.Patience {
				return fmt.Errorf("reaching the API at %s: %w", c.base, err)
			}
		case refused.RetryAfter == 0 || asked+refused.RetryAfter > c.opts.MaxRetryAfter:
			return err
		default:
			wait = refused.RetryAfter
			asked += wait
		}
		c.opts.OnRetry(err, wait)
		if err := c.opts.Pause(ctx, wait); err != nil {
			return err
		}
	}
}

// once makes one request and reads the whole answer.
func (c *Client) once(ctx context.Context, r Request, body []byte, key string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	header := http.Header{}
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	if key != "" && r.Method != http.MethodGet {
		header.Set("Idempotency-Key", key)
	}
	res, err := c.open(ctx, r, header, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return Answer{Raw: raw, Header: res.Header}, err
}

// open makes one request; the caller reads the body and closes it.
func (c *Client) open(ctx context.Context, r Request, header http.Header, body io.Reader) (*http.Response, error) {
	u, err := url.Parse(c.base.String() + apiRoot + r.Path) // keeps what is escaped in it
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	u.RawQuery = r.Query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	req.Header = header
	req.Header.Set("User-Agent", "wptk-go")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	res, err := c.opts.HTTP.Do(req)
	if err != nil {
		var broken *url.Error
		if errors.As(err, &broken) {
			err = broken.Err // the address is named by whoever reports it
		}
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	return nil, refusal(res, raw)
}

// DownloadBackup opens a backup as one tar, to be read to its end and closed. A stream
// that breaks off ends with an error, not early.
func (c *Client) DownloadBackup(ctx context.Context, id string) (io.ReadCloser, error) {
	var res *http.Response
	err := c.retrying(ctx, func() (err error) {
		r := Request{Method: http.MethodGet, Path: "/wordpress/backups/" + url.PathEscape(id) + "/download"}
		res, err = c.open(ctx, r, http.Header{}, http.NoBody) //nolint:bodyclose // the caller closes it
		return err
	})
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}
