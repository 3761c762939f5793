package main

import (
	"net"
	"net/netip"

	"github.com/wispanel/wptk/cmd/internal/boot"
)

// access is how to reach the API. The key is read from a file or WPTK_KEY, never from
// an argument: those can be read by every user of the machine.
type access struct {
	API     string `name:"api" help:"Address of the API." default:"http://127.0.0.1:2083" placeholder:"URL"`
	KeyFile string `help:"File that holds the API key; otherwise WPTK_KEY is used." placeholder:"FILE"`
}

// client is the API's, with the caller's key.
func (a *app) client() (*client, error) {
	key, err := boot.ReadSecret("--key-file", a.KeyFile)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if key == "" {
		key = a.getenv("WPTK_KEY")
	}
	if key == "" {
		return nil, usage("no API key: name a file with --key-file, or set WPTK_KEY (wptk keys create makes one)")
	}
	c, err := newClient(a.API, key)
	if err != nil {
		return nil, err
	}
	c.pause = a.pause
	c.notice = func(format string, args ...any) { say(a.err, "wptk: "+format, args...) }
	if c.base.Scheme == "http" && !local(c.base.Hostname()) {
		c.notice("the key travels unencrypted to %s; use https", c.base.Host)
	}
	return c, nil
}

func local(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		ip := net.ParseIP(host)
		return ip != nil && ip.IsLoopback()
	}
	return addr.IsLoopback()
}
