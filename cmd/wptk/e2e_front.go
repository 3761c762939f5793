package main

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// front is the one address of all sites, as on a real node: it hands every request to
// the PHP of the site that its Host names.
type front struct {
	net.Listener
	server *http.Server
	sites  map[string]*url.URL // by host, complete before serve
}

func newFront() (*front, error) {
	l, err := holdPort()
	if err != nil {
		return nil, err
	}
	return &front{Listener: l, sites: map[string]*url.URL{}}, nil
}

func (f *front) port() int { return f.Addr().(*net.TCPAddr).Port }

func (f *front) serve() {
	// PHP's own server answers one request per connection.
	transport := &http.Transport{DisableKeepAlives: true}
	failed := func(w http.ResponseWriter, r *http.Request, err error) {
		if r.Context().Err() == nil { // a visitor who goes away is no failure
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
	f.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, ok := f.sites[r.Host]
		if !ok {
			http.Error(w, "no such site", http.StatusNotFound)
			return
		}
		(&httputil.ReverseProxy{Transport: transport, ErrorHandler: failed, Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host
		}}).ServeHTTP(w, r)
	})}
	go f.server.Serve(f.Listener) //nolint:errcheck // it ends with close
}

func (f *front) close() error {
	if f.server == nil {
		return f.Listener.Close()
	}
	return f.server.Close()
}
