// Package egress decides where the programs may connect to on somebody else's
// word: the address of a webhook, the address of a package. It imports nothing of
// ours, so every layer may use it.
//
// The decision is made about the address that is being connected to, after the name
// has been resolved and for each connection anew (net.Dialer.Control). A name that
// is harmless when it is looked at and leads inside when it is used gets nowhere:
// there is no second look between the two.
package egress

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// ErrRefused says that a connection was not made, because its address is not one
// that strangers may send us to.
var ErrRefused = errors.New("address is not public")

// Policy says which addresses may be connected to. The zero value is every public
// address on every port.
type Policy struct {
	// Allow are networks that may be reached although they are not public, on any
	// port: receivers in the operator's own network, and tests.
	Allow []netip.Prefix
	// Port limits the ports of public addresses; nil is all of them.
	Port func(uint16) bool
}

// Control is a net.Dialer.Control. Its error is ErrRefused.
func (p Policy) Control(network, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") || !p.Permits(target) {
		return fmt.Errorf("connecting to %s: %w", address, ErrRefused)
	}
	return nil
}

// Permits reports whether the policy lets a connection be made.
func (p Policy) Permits(target netip.AddrPort) bool {
	if p.allowed(target.Addr()) {
		return true
	}
	return Public(target.Addr()) && target.Port() != 0 && (p.Port == nil || p.Port(target.Port()))
}

func (p Policy) allowed(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, network := range p.Allow {
		if addr.IsValid() && network.Contains(addr) {
			return true
		}
	}
	return false
}

// AllowedOnly is the policy that permits the Allow list and nothing else, for what
// must not cross the public network: plain HTTP.
func (p Policy) AllowedOnly() Policy {
	p.Port = func(uint16) bool { return false }
	return p
}

// Transport makes connections that the policy permits. The environment's proxies
// are not asked: a proxy would resolve the name for itself.
func (p Policy) Transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: p.Control}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
}

// HTTPS is a Policy.Port: the port of HTTPS alone.
func HTTPS(port uint16) bool { return port == 443 }

// notPublic are the ranges of the IANA special-purpose registries (RFC 6890 and its
// updates), which no stranger has business naming: private and shared (carrier)
// networks, loopback, link-local with the cloud's metadata service, multicast,
// documentation, reserved. The ways to write IPv4 in IPv6 (mapped, NAT64, 6to4,
// Teredo) are among them, as they lead anywhere.
var notPublic = func() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range strings.Fields(`0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12
		192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3
		::/8 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/9 ff00::/8`) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// Public reports whether an address is one of the public network.
func Public(addr netip.Addr) bool {
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
