package wp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wispanel/wptk/egress"
)

// httpClient is the only way of this package to the network outside.
type httpClient struct {
	http   *http.Client
	scheme string // the one scheme that is followed
}

// publicClient reaches public addresses over HTTPS, port 443. The address is
// looked at after the name is resolved, at the moment of connecting, so a name
// that points inside, now or at the second look, gets nowhere.
func publicClient() *httpClient {
	return newClient("https", egress.Policy{Port: egress.HTTPS}.Transport())
}

// internalClient is for a mirror that the configuration calls internal.
func internalClient(scheme string) *httpClient {
	t := egress.Policy{}.Transport()
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext // the operator's word, not a stranger's
	return newClient(scheme, t)
}

func newClient(scheme string, transport *http.Transport) *httpClient {
	transport.MaxIdleConnsPerHost = fetchers
	return &httpClient{scheme: scheme, http: &http.Client{
		Timeout:   10 * time.Minute,
		Transport: transport,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > 3 || req.URL.Scheme != scheme || req.URL.User != nil {
				return fmt.Errorf("redirect to %s is not followed", req.URL.Redacted())
			}
			return nil
		},
	}}
}

// get opens a document; errors.Is fs.ErrNotExist for 404 and 410.
func (c *httpClient) get(ctx context.Context, address string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	if req.URL.Scheme != c.scheme {
		return nil, fmt.Errorf("getting %s: only %s is allowed", req.URL.Redacted(), c.scheme)
	}
	req.Header.Set("User-Agent", "WisPanel-WordPress-Toolkit/1")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err // *url.Error names method and address
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp.Body, nil
	case http.StatusNotFound, http.StatusGone:
		err = fmt.Errorf("getting %s: %w", address, fs.ErrNotExist)
	default:
		err = fmt.Errorf("getting %s: status %d", address, resp.StatusCode)
	}
	return nil, errors.Join(err, resp.Body.Close())
}

// getAll reads a small document.
func (c *httpClient) getAll(ctx context.Context, address string) ([]byte, error) {
	body, err := c.get(ctx, address)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxIndex+1))
	if err == nil && len(data) > maxIndex {
		err = errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("getting %s: %w", address, err)
	}
	return data, nil
}

func escapePath(rel string) string {
	parts := strings.Split(rel, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}
