package wp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wispanel/wptk/wp/proc"
)

// Layout says where the domains of a node are. The directories in front of the first "*"
// belong to the host; from there on they belong to tenants, who may have put anything
// there, so they are only ever entered without following links (open.go).
type Layout struct {
	roots   []root
	users   func(account string) (proc.Identity, error)
	invoker bool
}

// root is one pattern, cut at its stars: /home/*/domains/* is base "/home", middle
// ["domains"].
type root struct {
	base   string
	middle []string
}

// DomainDir is a domain's directory that exists and belongs to its account.
type DomainDir struct {
	Account string
	Domain  string
	Dir     string // absolute
	User    proc.Identity

	// Suspended: the account's or the domain's directory has a file of the name
	// SuspendedMarker in it, or the domain's has lost every permission.
	Suspended bool
}

// SuspendedMarker is the file by which a panel marks an account or a domain as suspended.
const SuspendedMarker = ".suspended"

// Errors of Find, for errors.Is.
var (
	// ErrNoDomain: no root has a directory for this account and domain.
	ErrNoDomain = errors.New("domain has no directory on this node")
	// ErrForeign: there is one, but it is a link or belongs to somebody else.
	ErrForeign = errors.New("domain directory does not belong to the account")
	// ErrNoAccount: the account is no Unix user that may own sites.
	ErrNoAccount = errors.New("account is no hosting user on this node")
)

// minAccountUID keeps service accounts from being taken for tenants; proc refuses to run
// anything as one of them as well.
const minAccountUID = 1000

// ParseLayout reads patterns such as /home/*/domains/*: the first * is the account, the
// second one the domain. When the process is not root, everything has to belong to it.
func ParseLayout(patterns ...string) (Layout, error) {
	if len(patterns) == 0 {
		return Layout{}, errors.New("layout needs at least one pattern, such as /home/*/domains/*")
	}
	l := Layout{users: lookupUser, invoker: os.Geteuid() != 0}
	for _, pattern := range patterns {
		r, err := parseRoot(pattern)
		if err != nil {
			return Layout{}, fmt.Errorf("reading layout %q: %w", pattern, err)
		}
		l.roots = append(l.roots, r)
	}
	return l, nil
}

func parseRoot(pattern string) (root, error) {
	if !filepath.IsAbs(pattern) || filepath.Clean(pattern) != pattern {
		return root{}, errors.New("pattern must be an absolute, clean path")
	}
	base, rest, ok := strings.Cut(pattern, "/*")
	middle, last := strings.CutSuffix(rest, "/*")
	if !ok || !last || strings.Contains(base+middle, "*") || (middle != "" && middle[0] != '/') {
		return root{}, errors.New("pattern must have the form /…/*/…/*: account, then domain last")
	}
	r := root{base: base}
	if base == "" {
		r.base = "/"
	}
	if middle != "" {
		r.middle = strings.Split(middle[1:], "/")
	}
	return r, nil
}

// WithUsers returns the layout with another way to find an account's Unix user than the
// user database of the host. Demos and tests have tenants that nobody added there.
func (l Layout) WithUsers(lookup func(account string) (proc.Identity, error)) Layout {
	l.users = lookup
	return l
}

// Find returns the site of a path on a domain. Neither the path nor what is there is
// looked at: that is done as the tenant. The errors are ErrNoDomain, ErrForeign,
// ErrNoAccount, or say what is wrong with a name.
func (l Layout) Find(account, domain, path string) (Site, error) {
	if reason := ValidAccount(account); reason != "" {
		return Site{}, fmt.Errorf("account %s", reason)
	}
	if reason := ValidDomain(domain); reason != "" {
		return Site{}, fmt.Errorf("domain %s", reason)
	}
	for _, r := range l.roots {
		d, err := l.domain(r, account, domain)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDirectory) {
			continue
		}
		if err != nil {
			return Site{}, fmt.Errorf("finding %s of %s: %w", domain, account, err)
		}
		return newSite(d, path)
	}
	return Site{}, fmt.Errorf("%w: %s of %s", ErrNoDomain, domain, account)
}

func (l Layout) domain(r root, account, domain string) (DomainDir, error) {
	dir, err := openBase(r.base)
	if err != nil {
		return DomainDir{}, err
	}
	defer func() { dir.Close() }()
	names := append(append([]string{account}, r.middle...), domain)
	suspended := false
	for i, name := range names {
		next, err := openBelow(dir, name)
		if err != nil {
			return DomainDir{}, err
		}
		dir.Close()
		dir = next
		if i == 0 || i == len(names)-1 {
			suspended = suspended || has(dir, SuspendedMarker)
		}
	}
	who, err := l.identity(account)
	if err != nil {
		return DomainDir{}, err
	}
	who.Tree = l.trees(account)
	st, err := stat(dir)
	if err != nil {
		return DomainDir{}, err
	}
	if st.Uid != who.UID {
		return DomainDir{}, fmt.Errorf("%w: it belongs to uid %d, the account is uid %d", ErrForeign, st.Uid, who.UID)
	}
	return DomainDir{
		Account: account, Domain: domain, Dir: filepath.Join(append([]string{r.base}, names...)...), User: who,
		Suspended: suspended || st.Mode&0o777 == 0,
	}, nil
}

// trees are the account's directories below all roots: its installs are copied from one to
// another, by a process that reaches both.
func (l Layout) trees(account string) string {
	all := make([]string, len(l.roots))
	for i, r := range l.roots {
		all[i] = filepath.Join(r.base, account)
	}
	return strings.Join(all, string(filepath.ListSeparator))
}

// identity is whom the account's processes run as.
func (l Layout) identity(account string) (proc.Identity, error) {
	if l.invoker {
		return invoker()
	}
	who, err := l.users(account)
	if err != nil {
		return proc.Identity{}, fmt.Errorf("%w: %s: %w", ErrNoAccount, account, err)
	}
	if who.UID < minAccountUID || who.GID == 0 {
		return proc.Identity{}, fmt.Errorf("%w: %s has uid %d gid %d", ErrNoAccount, account, who.UID, who.GID)
	}
	return who, nil
}

func lookupUser(account string) (proc.Identity, error) {
	u, err := user.Lookup(account)
	if err != nil {
		return proc.Identity{}, fmt.Errorf("looking up user: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return proc.Identity{}, fmt.Errorf("reading uid: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return proc.Identity{}, fmt.Errorf("reading gid: %w", err)
	}
	return proc.Identity{UID: uint32(uid), GID: uint32(gid), Name: u.Username, Home: u.HomeDir}, nil
}

func invoker() (proc.Identity, error) {
	uid, gid := os.Geteuid(), os.Getegid()
	who := proc.Identity{UID: uint32(uid), GID: uint32(gid), Name: strconv.Itoa(uid)}
	u, err := user.LookupId(who.Name)
	if err != nil {
		return who, nil // a container user without an entry is fine, the numbers count
	}
	who.Name, who.Home = u.Username, u.HomeDir
	return who, nil
}
