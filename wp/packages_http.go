package wp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// errNotPublic: the name led to an address inside.
var errNotPublic = errors.New("address is not public")

// httpClient is the only way of this package to the network outside.
type httpClient struct {
	http   *http.Client
	scheme string // the one scheme that is followed
}

// publicClient reaches public addresses over HTTPS, port 443. The address is
// looked at after the name is resolved, at the moment of connecting, so a name
// that points inside, now or at the second look, gets nowhere.
func publicClient() *httpClient { return newClient("https", onlyPublic) }

// internalClient is for a mirror that the configuration calls internal.
func internalClient(scheme string) *httpClient { return newClient(scheme, nil) }

func newClient(scheme string, control func(network, address string, c syscall.RawConn) error) *httpClient {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: control}
	c := &httpClient{scheme: scheme}
	c.http = &http.Client{
		Timeout: 10 * time.Minute,
		Transport: &http.Transport{ // no Proxy: the environment decides nothing
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  30 * time.Second,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConnsPerHost:    fetchers,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > 3 || req.URL.Scheme != scheme || req.URL.User != nil {
				return fmt.Errorf("redirect to %s is not followed", req.URL.Redacted())
			}
			return nil
		},
	}
	return c
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

// onlyPublic is a net.Dialer.Control.
func onlyPublic(network, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") || target.Port() != 443 || !isPublic(target.Addr()) {
		return fmt.Errorf("connecting to %s: %w", address, errNotPublic)
	}
	return nil
}

// notPublic are the ranges of the IANA special-purpose registries (RFC 6890 and
// its updates) that no package comes from; the ways to write IPv4 in IPv6 are
// among them, as they lead anywhere.
var notPublic = func() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range strings.Fields(`0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12
		192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3
		::/8 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/9 ff00::/8`) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}
