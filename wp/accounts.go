package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// Accounts makes hosting accounts with the directory of a domain, where the node may do that,
// and takes back what it has made. Everything above the domain's directory stays root's, so
// that root never follows a path of the tenant's:
//
//	/home/alice                      root  0711
//	/home/alice/domains              root  0711
//	/home/alice/domains/example.com  alice 0711
type Accounts struct {
	layout  Layout
	offered bool
	mu      sync.Mutex // one look and what follows from it at a time
}

// NewAccounts is for a node that makes accounts (offered), or only takes back what it has made
// while it did. New accounts go below the first pattern of the layout.
func NewAccounts(layout Layout, offered bool) *Accounts {
	return &Accounts{layout: layout, offered: offered}
}

// Errors of Accounts, for errors.Is.
var (
	// ErrNotOffered: the node makes no accounts.
	ErrNotOffered = errors.New("this node makes no accounts")
	// ErrNeedsRoot: the worker is not root.
	ErrNeedsRoot = errors.New("only root makes accounts")
	// ErrAccountTaken: the name is another's, or the account's directories are not root's.
	ErrAccountTaken = errors.New("account is taken")
	// ErrDomainTaken: another account of the node has the domain.
	ErrDomainTaken = errors.New("domain is another account's")
	// ErrAccountInUse: the domain's directory is not empty, so it was left there.
	ErrAccountInUse = errors.New("domain directory is not empty")
)

// Provisioned is what an op makes of an account: remembered before it is made.
type Provisioned struct {
	User bool `json:"user"` // the Unix user and its group
	Dirs int  `json:"dirs"` // so many directories, counted from the domain's upwards
}

// NewAccount is an order to Accounts.
type NewAccount struct {
	Account, Domain string
	Op              string // whose mark the user gets
	// Made is what Remember was told in an earlier attempt; nil in the first.
	Made     *Provisioned
	Remember func(Provisioned) error
}

func (n NewAccount) mark() string { return "wptk " + n.Op }

// Make makes the account and its domain's directory as far as they are missing.
func (a *Accounts) Make(ctx context.Context, n NewAccount) error {
	if !a.offered {
		return ErrNotOffered
	}
	if err := a.possible(n); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n.Made == nil {
		plan, err := a.plan(n)
		if err != nil {
			return err
		}
		if err := n.Remember(plan); err != nil {
			return err
		}
		n.Made = &plan
	}
	if err := a.makeUser(ctx, n); err != nil {
		return err
	}
	who, err := a.layout.identity(n.Account)
	if err != nil {
		return err
	}
	return a.makeDirs(n, who)
}

func (a *Accounts) possible(n NewAccount) error {
	if a.layout.invoker || os.Geteuid() != 0 {
		return ErrNeedsRoot
	}
	if reason := ValidNewAccount(n.Account); reason != "" {
		return fmt.Errorf("account %s", reason)
	}
	if reason := ValidDomain(n.Domain); reason != "" {
		return fmt.Errorf("domain %s", reason)
	}
	return nil
}

// names are the directories of a domain, below the layout's base.
func (a *Accounts) names(n NewAccount) []string {
	return slices.Concat([]string{n.Account}, a.layout.roots[0].middle, []string{n.Domain})
}

// plan looks what is there, and refuses what is another's.
func (a *Accounts) plan(n NewAccount) (Provisioned, error) {
	census, err := a.layout.Census()
	if err != nil {
		return Provisioned{}, err
	}
	for _, d := range census.Domains {
		if d.Domain == n.Domain && d.Account != n.Account {
			return Provisioned{}, fmt.Errorf("%w: %s", ErrDomainTaken, n.Domain)
		}
	}
	var plan Provisioned
	if plan.User, err = a.missing(n); err != nil {
		return plan, err
	}
	plan.Dirs, err = a.missingDirs(n)
	switch {
	case err != nil:
		return plan, err
	case plan.User && plan.Dirs < len(a.names(n)):
		return plan, fmt.Errorf("%w: %s is there, and its user is not", ErrAccountTaken, filepath.Join(a.layout.roots[0].base, n.Account))
	case plan.Dirs == 0: // Find says whether it is the account's
		_, err = a.layout.Find(n.Account, n.Domain, "")
	}
	return plan, err
}

// missing reports that nothing of the host has the account's name. A user that has it must be
// a hosting account whose home is here.
func (a *Accounts) missing(n NewAccount) (bool, error) {
	u, err := user.Lookup(n.Account)
	var noUser user.UnknownUserError
	var noGroup user.UnknownGroupError
	switch {
	case errors.As(err, &noUser):
		if _, err := user.LookupGroup(n.Account); err == nil {
			return false, fmt.Errorf("%w: there is a group of that name", ErrAccountTaken)
		} else if !errors.As(err, &noGroup) {
			return false, fmt.Errorf("looking up group: %w", err)
		}
		return true, nil
	case err != nil:
		return false, fmt.Errorf("looking up user: %w", err)
	}
	if _, err := a.layout.identity(n.Account); err != nil {
		return false, fmt.Errorf("%w: %w", ErrAccountTaken, err)
	}
	if u.HomeDir != a.home(n) {
		return false, fmt.Errorf("%w: its home is elsewhere", ErrAccountTaken)
	}
	return false, nil
}

func (a *Accounts) home(n NewAccount) string { return filepath.Join(a.layout.roots[0].base, n.Account) }

// missingDirs counts the directories that a domain has not. All above it must be root's.
func (a *Accounts) missingDirs(n NewAccount) (int, error) {
	dir, err := openBase(a.layout.roots[0].base)
	if err != nil {
		return 0, err
	}
	defer func() { dir.Close() }()
	names := a.names(n)
	for i, name := range names[:len(names)-1] {
		next, err := openRoots(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			return len(names) - i, nil
		}
		if err != nil {
			return 0, err
		}
		dir.Close()
		dir = next
	}
	if !has(dir, n.Domain) {
		return 1, nil
	}
	return 0, nil
}

// openRoots opens a directory inside another one that nobody but root can change.
func openRoots(dir *os.File, name string) (*os.File, error) {
	next, err := openBelow(dir, name)
	if errors.Is(err, errNotDirectory) || errors.Is(err, ErrForeign) {
		return nil, fmt.Errorf("%w: %w", ErrAccountTaken, err)
	}
	if err != nil {
		return nil, err
	}
	st, err := stat(next)
	if err == nil && (st.Uid != 0 || st.Mode&0o022 != 0) {
		err = fmt.Errorf("%w: %s belongs to uid %d, mode %#o, and must be root's alone", ErrAccountTaken, name, st.Uid, st.Mode&0o7777)
	}
	if err != nil {
		next.Close()
		return nil, err
	}
	return next, nil
}

// makeDirs makes those of the plan. One of them that is there already comes from an attempt
// that was cut short: nobody else can have made it in a directory of root's.
func (a *Accounts) makeDirs(n NewAccount, who proc.Identity) error {
	dir, err := openBase(a.layout.roots[0].base)
	if err != nil {
		return err
	}
	defer func() { dir.Close() }()
	names := a.names(n)
	for i, name := range names {
		if i == len(names)-1 && n.Made.Dirs == 0 {
			return nil // the tenant's, who may have set its mode
		}
		if i >= len(names)-n.Made.Dirs {
			if err := unix.Mkdirat(int(dir.Fd()), name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("making %s: %w", name, err)
			}
		}
		if i == len(names)-1 {
			return a.giveDomain(dir, name, who)
		}
		next, err := openRoots(dir, name)
		if err == nil && i >= len(names)-n.Made.Dirs {
			err = next.Chmod(0o711)
		}
		if err != nil {
			return fmt.Errorf("making %s: %w", name, err)
		}
		dir.Close()
		dir = next
	}
	return nil
}

func (a *Accounts) giveDomain(parent *os.File, name string, who proc.Identity) error {
	dir, err := openBelow(parent, name)
	if err != nil {
		return fmt.Errorf("giving %s to its account: %w", name, err)
	}
	defer dir.Close()
	st, err := stat(dir)
	if err != nil {
		return err
	}
	if st.Uid != 0 && st.Uid != who.UID {
		return fmt.Errorf("%w: %s belongs to uid %d", ErrForeign, name, st.Uid)
	}
	if err := errors.Join(dir.Chmod(0o711), dir.Chown(int(who.UID), int(who.GID))); err != nil {
		return fmt.Errorf("giving %s to its account: %w", name, err)
	}
	return nil
}

// Retract takes back exactly what an op has made: empty directories, and the user if it bears
// the op's mark and nothing of it is left. Another domain of the account keeps it.
func (a *Accounts) Retract(ctx context.Context, n NewAccount) error {
	if n.Made == nil || n.Made.Dirs == 0 && !n.Made.User {
		return nil
	}
	if err := a.possible(n); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	kept, err := a.removeDirs(n)
	if err != nil || kept || !n.Made.User {
		return err
	}
	return a.removeUser(ctx, n)
}

func (a *Accounts) removeDirs(n NewAccount) (kept bool, err error) {
	names := a.names(n)
	for i := len(names) - 1; i >= len(names)-n.Made.Dirs; i-- {
		switch err := a.removeDir(names[:i], names[i]); {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, unix.ENOTEMPTY) && i == len(names)-1:
			return true, fmt.Errorf("%w: %s", ErrAccountInUse, n.Domain)
		case errors.Is(err, unix.ENOTEMPTY):
			return true, nil
		case err != nil:
			return true, fmt.Errorf("removing %s: %w", names[i], err)
		}
	}
	return false, nil
}

// removeDir removes an empty directory at the end of directories of root's.
func (a *Accounts) removeDir(above []string, name string) error {
	dir, err := openBase(a.layout.roots[0].base)
	if err != nil {
		return err
	}
	defer func() { dir.Close() }()
	for _, name := range above {
		next, err := openRoots(dir, name)
		if err != nil {
			return err
		}
		dir.Close()
		dir = next
	}
	return unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
}
