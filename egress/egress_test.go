package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestAddressesInsideAreNotPublic(t *testing.T) {
	t.Parallel()
	for _, inside := range strings.Fields(`127.0.0.1 127.255.255.254 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255
		169.254.169.254 0.0.0.0 0.1.2.3 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 192.0.0.8 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.9
		:: ::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1
		2002:7f00:1:: 2001::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 2001:db8::1 100::1`) {
		if Public(netip.MustParseAddr(inside)) {
			t.Errorf("%s counts as public", inside)
		}
	}
	for _, outside := range strings.Fields("1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.32.0.1 2606:4700:4700::1111 ::ffff:1.1.1.1 2a00:1450::1") {
		if !Public(netip.MustParseAddr(outside)) {
			t.Errorf("%s counts as inside", outside)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address at all counts as public")
	}
}

func TestPolicyLimitsPortsButNotOfAllowedNetworks(t *testing.T) {
	t.Parallel()
	p := Policy{Allow: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd00:1::/64")}, Port: HTTPS}
	for address, want := range map[string]bool{
		"1.1.1.1:443": true, "1.1.1.1:22": false, "1.1.1.1:0": false, "10.9.1.1:8080": true, "[::ffff:10.9.1.1]:8080": true, "10.8.1.1:443": false, "[fd00:1::5]:80": true,
		"[fd00:2::5]:443": false, "127.0.0.1:443": false,
	} {
		if err := p.Control("tcp4", address, nil); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		} else if err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v is not ErrRefused", address, err)
		}
		if only := p.AllowedOnly().Control("tcp", address, nil) == nil; only && address == "1.1.1.1:443" {
			t.Error("the allow list alone lets a public address through")
		}
	}
	for _, odd := range []struct{ network, address string }{{"udp", "1.1.1.1:443"}, {"unix", "/run/redis.sock"}, {"tcp", "localhost:443"}, {"tcp", ""}} {
		if err := p.Control(odd.network, odd.address, nil); err == nil {
			t.Errorf("%s %q is let through", odd.network, odd.address)
		}
	}
}

// A name server of an attacker answers with a public address first and with one
// inside when the connection is made. Only the address that is connected to counts.
func TestNameThatLeadsInsideIsNotFollowed(t *testing.T) {
	t.Parallel()
	reached := false
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer inside.Close()
	transport := Policy{}.Transport()
	defer transport.CloseIdleConnections()
	port := inside.Listener.Addr().(*net.TCPAddr).Port
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1"} {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+host+":"+netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)).String()[8:], nil)
		if err != nil {
			continue // not even an address
		}
		if res, err := transport.RoundTrip(req); err == nil {
			res.Body.Close()
			t.Errorf("%s was reached", host)
		}
	}
	if reached {
		t.Error("a request arrived inside")
	}
}

func FuzzControl(f *testing.F) {
	for _, s := range []string{"127.0.0.1:443", "[::ffff:7f00:1]:443", "1.1.1.1:443", "[fe80::1%lo]:443", "[64:ff9b::a9fe:a9fe]:443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if (Policy{}).Control("tcp", address, nil) != nil {
			return
		}
		addr := netip.MustParseAddrPort(address).Addr().Unmap()
		if addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() || addr.Zone() != "" {
			t.Errorf("%s is let through", address)
		}
	})
}
