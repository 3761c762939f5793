package wp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/wispanel/wptk/wp/wptest"
)

// provisioning is a node that makes accounts below a directory of the test's.
type provisioning struct {
	*Accounts
	t    *testing.T
	home string
}

func newProvisioning(t *testing.T) *provisioning {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make users")
	}
	home := wptest.Dir(t)
	layout, err := ParseLayout(home + "/*/domains/*")
	if err != nil {
		t.Fatal(err)
	}
	return &provisioning{Accounts: NewAccounts(layout, true), t: t, home: home}
}

// order names an account that no host has, and removes its user when the test ends.
func (p *provisioning) order(domain string) *NewAccount {
	p.t.Helper()
	b := make([]byte, 4)
	rand.Read(b) // never fails, see crypto/rand
	name := fmt.Sprintf("wptktest%x", b)
	n := &NewAccount{Account: name, Domain: domain, Op: fmt.Sprintf("op_%x", b)}
	n.Remember = func(made Provisioned) error { n.Made = &made; return nil }
	p.t.Cleanup(func() { removeTestUser(p.t, name) }) // whatever the test makes of n.Account
	return n
}

// removeTestUser removes a user with a name that only tests choose, and no other.
func removeTestUser(t *testing.T, name string) {
	t.Helper()
	if !regexp.MustCompile(`^wptktest[0-9a-f]{8}$`).MatchString(name) {
		t.Fatalf("removing user %q: not one of a test", name)
	}
	if _, err := user.Lookup(name); err != nil {
		return
	}
	if err := shadow(context.Background(), "userdel", "--", name); err != nil {
		t.Error(err)
	}
}

func (p *provisioning) dir(n *NewAccount) string {
	return filepath.Join(p.home, n.Account, "domains", n.Domain)
}

func (p *provisioning) mustMake(n *NewAccount) {
	p.t.Helper()
	if err := p.Make(p.t.Context(), *n); err != nil {
		p.t.Fatal(err)
	}
}

func (p *provisioning) mustRetract(n *NewAccount) {
	p.t.Helper()
	if err := p.Retract(p.t.Context(), *n); err != nil {
		p.t.Fatal(err)
	}
}

// mustBeBare finds neither user nor group nor directory.
func (p *provisioning) mustBeBare(n *NewAccount) {
	p.t.Helper()
	_, errUser := user.Lookup(n.Account)
	_, errGroup := user.LookupGroup(n.Account)
	_, errDir := os.Lstat(filepath.Join(p.home, n.Account))
	if errUser == nil || errGroup == nil || !errors.Is(errDir, fs.ErrNotExist) {
		p.t.Errorf("left of %s: user %v, group %v, directory %v", n.Account, errUser, errGroup, errDir)
	}
}

// is checks a directory's owner and mode.
func (p *provisioning) is(path string, uid uint32, mode fs.FileMode) {
	p.t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		p.t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || info.Mode() != fs.ModeDir|mode {
		p.t.Errorf("%s belongs to uid %d, mode %v", path, st.Uid, info.Mode())
	}
}

func TestNewAccountOwnsItsDomainAndNothingAbove(t *testing.T) {
	t.Parallel()
	p := newProvisioning(t)
	n := p.order("new.test")
	p.mustMake(n)
	if n.Made == nil || !n.Made.User || n.Made.Dirs != 3 {
		t.Errorf("remembered %+v", n.Made)
	}
	site, err := p.layout.Find(n.Account, n.Domain, "public_html")
	if err != nil {
		t.Fatal(err)
	}
	u, err := user.Lookup(n.Account)
	if err != nil || u.HomeDir != filepath.Join(p.home, n.Account) || site.User.GID == 0 || strconv.Itoa(int(site.User.UID)) != u.Uid {
		t.Errorf("%+v %v, site %+v", u, err, site.User)
	}
	if groups, err := u.GroupIds(); err != nil || len(groups) != 1 || groups[0] != u.Gid {
		t.Errorf("groups %v of %+v, %v", groups, u, err)
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(passwd)) {
		if strings.HasPrefix(line, n.Account+":") && !strings.HasSuffix(strings.TrimSpace(line), "nologin") {
			t.Errorf("it may log in: %s", line)
		}
	}
	p.is(filepath.Join(p.home, n.Account), 0, 0o711)
	p.is(filepath.Join(p.home, n.Account, "domains"), 0, 0o711)
	p.is(p.dir(n), site.User.UID, 0o711)
	p.mustMake(n) // as after a crash
	p.mustRetract(n)
	p.mustBeBare(n)
	p.mustRetract(n) // cut short and begun again
}

// A crash may come between any two of its effects; then it is made to its end, or taken back.
func TestAccountIsFinishedOrTakenBackFromAnywhere(t *testing.T) {
	t.Parallel()
	p := newProvisioning(t)
	for i, half := range []func(*NewAccount) error{
		func(*NewAccount) error { return nil },
		func(n *NewAccount) error { return p.makeUser(t.Context(), *n) },
		func(n *NewAccount) error {
			return errors.Join(p.makeUser(t.Context(), *n), os.Mkdir(filepath.Join(p.home, n.Account), 0o700))
		},
		func(n *NewAccount) error {
			return errors.Join(p.makeUser(t.Context(), *n), os.MkdirAll(p.dir(n), 0o700))
		},
	} {
		for _, finish := range []bool{true, false} {
			n := p.order("half.test")
			n.Made = &Provisioned{User: true, Dirs: 3}
			if err := half(n); err != nil {
				t.Fatal(i, err)
			}
			if finish {
				p.mustMake(n)
				if _, err := p.layout.Find(n.Account, n.Domain, ""); err != nil {
					t.Error(i, err)
				}
			}
			p.mustRetract(n)
			p.mustBeBare(n)
		}
	}
}

func TestSecondDomainOfAnAccountKeepsTheFirst(t *testing.T) {
	t.Parallel()
	p := newProvisioning(t)
	first := p.order("first.test")
	p.mustMake(first)
	second := &NewAccount{Account: first.Account, Domain: "second.test", Op: "op_2"}
	second.Remember = func(made Provisioned) error { second.Made = &made; return nil }
	p.mustMake(second)
	if second.Made.User || second.Made.Dirs != 1 {
		t.Errorf("remembered %+v", second.Made)
	}
	p.mustRetract(first) // the user stays: the second domain is its
	if _, err := p.layout.Find(second.Account, second.Domain, ""); err != nil {
		t.Error(err)
	}
	p.mustRetract(second)
	if _, err := user.Lookup(first.Account); err != nil {
		t.Error("another op's user was removed")
	}
}

func TestDomainDirectoryWithFilesIsLeftWithItsUser(t *testing.T) {
	t.Parallel()
	p := newProvisioning(t)
	n := p.order("full.test")
	p.mustMake(n)
	file := filepath.Join(p.dir(n), "precious.txt")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Retract(t.Context(), *n); !errors.Is(err, ErrAccountInUse) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if _, err := user.Lookup(n.Account); err != nil {
		t.Error(err)
	}
}

func TestUserThatSomebodyElseMadeIsNotRemoved(t *testing.T) {
	t.Parallel()
	p := newProvisioning(t)
	n := p.order("mine.test")
	if err := shadow(t.Context(), "useradd", "--no-create-home", "--home-dir", filepath.Join(p.home, n.Account), "--user-group", n.Account); err != nil {
		t.Fatal(err)
	}
	n.Made = &Provisioned{User: true, Dirs: 3} // the panel was faster
	if err := p.Make(t.Context(), *n); !errors.Is(err, ErrAccountTaken) {
		t.Errorf("%v", err)
	}
	p.mustRetract(n)
	if _, err := user.Lookup(n.Account); err != nil {
		t.Error(err)
	}
}

// Nothing is made, not even remembered, for names and places that are another's.
func TestAccountsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	p := newProvisioning(t)
	outside := wptest.Dir(t)
	mkdir := func(path string, uid int) error {
		return errors.Join(os.MkdirAll(path, 0o755), os.Chown(path, uid, uid))
	}
	taken := p.order("taken.test")
	p.mustMake(taken)
	for name, c := range map[string]struct {
		account, domain string
		plant           func(home string) error // may be nil
		want            error                   // nil: any
	}{
		"root":                           {account: "root"},
		"a service":                      {account: "www-data"},
		"a service to come":              {account: "docker"},
		"a way out":                      {account: "../x"},
		"a flag":                         {account: "-r"},
		"no name":                        {account: ""},
		"a user whose home is elsewhere": {},
		"a domain that is a path":        {domain: "../../etc"},
		"a domain of another":            {domain: "taken.test", want: ErrDomainTaken},
		"a link as home":                 {plant: func(home string) error { return os.Symlink(outside, home) }, want: ErrAccountTaken},
		"a file as home":                 {plant: func(home string) error { return os.WriteFile(home, nil, 0o644) }, want: ErrAccountTaken},
		"another's home":                 {plant: func(home string) error { return mkdir(home, 4711) }, want: ErrAccountTaken},
		"a home of root's":               {plant: func(home string) error { return mkdir(home, 0) }, want: ErrAccountTaken},
		"a link as domains": {plant: func(home string) error {
			return errors.Join(mkdir(home, 0), os.Symlink(outside, home+"/domains"))
		}, want: ErrAccountTaken},
	} {
		n := p.order("other.test")
		if strings.HasPrefix(name, "a user") {
			if err := shadow(t.Context(), "useradd", "--no-create-home", "--home-dir", "/nonexistent", "--user-group", n.Account); err != nil {
				t.Fatal(err)
			}
			c.want = ErrAccountTaken
		} else if c.account != "" || name == "no name" {
			n.Account = c.account
		}
		if c.domain != "" {
			n.Domain = c.domain
		}
		if c.plant != nil {
			if err := c.plant(filepath.Join(p.home, n.Account)); err != nil {
				t.Fatal(name, err)
			}
		}
		err := p.Make(t.Context(), *n)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || n.Made != nil {
			t.Errorf("%s: %v, remembered %+v", name, err, n.Made)
		}
		p.mustRetract(n)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
		t.Errorf("behind the link: %v %v", left, err)
	}
	p.mustRetract(taken)
}

// A tenant who owns a directory on the way could put a link there between two looks.
func TestDirectoriesOfTenantsAreNotAddedTo(t *testing.T) {
	t.Parallel()
	p := newProvisioning(t)
	n := p.order("one.test")
	p.mustMake(n)
	u, err := user.Lookup(n.Account)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	domains := filepath.Dir(p.dir(n))
	second := &NewAccount{Account: n.Account, Domain: "two.test", Op: "op_2", Remember: func(Provisioned) error {
		t.Error("it went on")
		return nil
	}}
	for _, spoil := range []func() error{
		func() error { return os.Chown(domains, uid, 0) },
		func() error { return errors.Join(os.Chown(domains, 0, 0), os.Chmod(domains, 0o775)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := p.Make(t.Context(), *second); !errors.Is(err, ErrAccountTaken) {
			t.Errorf("%v", err)
		}
	}
	if err := p.Retract(t.Context(), *n); !errors.Is(err, ErrAccountTaken) { // nor taken from
		t.Errorf("%v", err)
	}
}

func TestAccountsAreMadeWhereTheyAreOffered(t *testing.T) {
	t.Parallel()
	layout, err := ParseLayout(wptest.Dir(t) + "/*/domains/*")
	if err != nil {
		t.Fatal(err)
	}
	n := NewAccount{Account: "wptktest", Domain: "new.test", Op: "op_1"}
	if err := NewAccounts(layout, false).Make(t.Context(), n); !errors.Is(err, ErrNotOffered) {
		t.Errorf("%v", err)
	}
	layout.invoker = true
	if err := NewAccounts(layout, true).Make(t.Context(), n); !errors.Is(err, ErrNeedsRoot) {
		t.Errorf("%v", err)
	}
}
