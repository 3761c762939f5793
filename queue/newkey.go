package queue

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wispanel/wptk/tasks"
)

// NewKey asks for an API key.
type NewKey struct {
	Name        string    // for people, 1-64 characters
	Owner       string    // an account
	Role        string    // default RoleUser
	Permissions []string  // default PermAll
	IPWhitelist []string  // CIDRs or addresses
	ExpiresAt   time.Time // zero = never
	RateLimit   int       // requests a minute; 0 = the API's default
}

const (
	maxKeyName   = 64
	maxWhitelist = 64
	maxRateLimit = 100_000
)

var allPermissions = []string{PermRead, PermWordPress, PermWebhooks, PermAll}

var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

// key checks a request for a key and turns it into one, without id and secret.
func (n NewKey) key(now time.Time) (Key, error) {
	var p problems
	k := Key{
		Name: strings.TrimSpace(n.Name), Owner: n.Owner, Role: cmp.Or(n.Role, RoleUser),
		Permissions: n.permissions(&p), IPWhitelist: n.whitelist(&p),
		ExpiresAt: n.ExpiresAt, Enabled: true, RateLimit: n.RateLimit, CreatedAt: now.UTC(),
	}
	if !presentable(k.Name) {
		p.add("name", "must be 1 to %d characters on one line", maxKeyName)
	}
	if !accountName.MatchString(k.Owner) {
		p.add("owner", "must be an account name: %s", accountName)
	}
	if k.Role != RoleUser && k.Role != RoleAdmin {
		p.add("role", "must be %q or %q", RoleUser, RoleAdmin)
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		p.add("expires_at", "must be in the future")
	}
	if k.RateLimit < 0 || k.RateLimit > maxRateLimit {
		p.add("rate_limit", "must be 0 (the default) to %d requests a minute", maxRateLimit)
	}
	if p != nil {
		return Key{}, &tasks.InvalidError{Problems: p}
	}
	return k, nil
}

type problems []tasks.Problem

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, tasks.Problem{Field: field, Reason: fmt.Sprintf(format, args...)})
}

func (n NewKey) permissions(p *problems) []string {
	if len(n.Permissions) == 0 {
		return []string{PermAll}
	}
	for _, name := range n.Permissions {
		if !slices.Contains(allPermissions, name) {
			p.add("permissions", "has no %q; choose from %s", name, strings.Join(allPermissions, ", "))
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(n.Permissions)))
}

func (n NewKey) whitelist(p *problems) []netip.Prefix {
	list := []netip.Prefix{}
	if len(n.IPWhitelist) > maxWhitelist {
		p.add("ip_whitelist", "may have at most %d entries", maxWhitelist)
		return list
	}
	for _, entry := range n.IPWhitelist {
		prefix, err := parseCIDR(entry)
		if err != nil {
			p.add("ip_whitelist", "%q is not an address or CIDR", entry)
			continue
		}
		list = append(list, prefix)
	}
	return list
}

func presentable(name string) bool {
	return name != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxKeyName &&
		!strings.ContainsFunc(name, unicode.IsControl)
}

// parseCIDR reads "10.0.0.0/8" or a plain address, and gives IPv4 in its IPv4
// form, because that is how addresses are compared later.
func parseCIDR(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q has a zone", s)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q mixes IPv4 and IPv6", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
