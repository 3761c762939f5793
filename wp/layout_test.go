package wp

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp/proc"
	"github.com/wispanel/wptk/wp/wptest"
)

func testLayout(t *testing.T) (Layout, string) {
	t.Helper()
	home := wptest.Dir(t)
	l, err := ParseLayout(home + "/*/domains/*")
	if err != nil {
		t.Fatal(err)
	}
	return l.WithUsers(wptest.Tenant), home
}

func TestParseLayoutRefusesWhatItWouldMisread(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		"", "home/*/domains/*", "/home/*", "/home", "/home/*/domains", "/home/*/*/domains/*", "/home/*/domains/*/x",
		"/home/a*/domains/*", "/home/*x/domains/*", "/home/../*/*", "/home//*/*", "/home/*/domains*",
	} {
		if l, err := ParseLayout(pattern); err == nil {
			t.Errorf("%q is read as %+v", pattern, l.roots)
		}
	}
	l, err := ParseLayout("/home/*/domains/*", "/srv/www/*/*", "/*/*")
	if err != nil || len(l.roots) != 3 || l.roots[1].base != "/srv/www" || len(l.roots[1].middle) != 0 || l.roots[2].base != "/" {
		t.Errorf("%+v %v", l.roots, err)
	}
}

func TestFindKnowsThePlaceOfAnInstall(t *testing.T) {
	t.Parallel()
	l, home := testLayout(t)
	wptest.Domain(t, home, "alice", "blog.test")
	for path, want := range map[string]struct{ below, url string }{
		"":                 {"", "https://blog.test"},
		"public_html":      {"/public_html", "https://blog.test"},
		"public_html/a/b":  {"/public_html/a/b", "https://blog.test/a/b"},
		"public_html2":     {"/public_html2", "https://blog.test/public_html2"},
		"shop/public_html": {"/shop/public_html", "https://blog.test/shop/public_html"},
	} {
		s, err := l.Find("alice", "blog.test", path)
		if err != nil || s.Docroot != home+"/alice/domains/blog.test"+want.below || s.URL != want.url || s.check() != nil {
			t.Errorf("%q: %+v %v", path, s, err)
		}
		who, _ := wptest.Tenant("alice")
		if who.Tree = home + "/alice"; os.Geteuid() == 0 && s.User != who {
			t.Errorf("%q: user %+v", path, s.User)
		}
	}
	for _, path := range []string{"../bob", "/etc", "a/../../b", ".git", "-x", "a\x00"} {
		if s, err := l.Find("alice", "blog.test", path); err == nil {
			t.Errorf("%q is found: %+v", path, s)
		}
	}
	for name, find := range map[string][2]string{"domain": {"alice", "none.test"}, "account": {"nobody", "blog.test"}} {
		if _, err := l.Find(find[0], find[1], ""); !errors.Is(err, ErrNoDomain) {
			t.Errorf("missing %s: %v", name, err)
		}
	}
}

func TestFindUsesTheSecondRoot(t *testing.T) {
	t.Parallel()
	_, first := testLayout(t)
	_, second := testLayout(t)
	l, err := ParseLayout(first+"/*/domains/*", second+"/*/domains/*")
	if err != nil {
		t.Fatal(err)
	}
	dir := wptest.Domain(t, second, "alice", "blog.test")
	if s, err := l.WithUsers(wptest.Tenant).Find("alice", "blog.test", ""); err != nil || s.Home != dir {
		t.Errorf("%+v %v", s, err)
	}
}

// A tenant may replace any directory of its own by a link to somebody else's.
func TestFindFollowsNoLinks(t *testing.T) {
	t.Parallel()
	l, home := testLayout(t)
	victim := wptest.Domain(t, home, "bob", "shop.test")
	own := filepath.Dir(wptest.Domain(t, home, "alice", "blog.test"))
	link := func(to, at string) {
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
	}
	link(victim, own+"/shop.test")
	link("blog.test", own+"/alias.test")
	link("/etc", own+"/etc.test")
	link(filepath.Join(home, "bob"), home+"/carol")
	if err := os.Mkdir(home+"/dave", 0o755); err != nil {
		t.Fatal(err)
	}
	link(filepath.Dir(victim), home+"/dave/domains")
	for _, find := range [][2]string{
		{"alice", "shop.test"}, {"alice", "alias.test"}, {"alice", "etc.test"}, {"carol", "shop.test"}, {"dave", "shop.test"},
	} {
		if s, err := l.Find(find[0], find[1], "public_html"); !errors.Is(err, ErrForeign) {
			t.Errorf("%v: %+v %v", find, s, err)
		}
	}
}

func TestFindAsksWhoOwnsTheDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // nothing can be given to somebody else; TestFindFollowsNoLinks covers the rest
	}
	l, home := testLayout(t)
	dir := wptest.Domain(t, home, "alice", "blog.test")
	for _, uid := range []int{0, 33, wptest.TenantUID} {
		if err := os.Lchown(dir, uid, uid); err != nil {
			t.Fatal(err)
		}
		if s, err := l.Find("alice", "blog.test", ""); !errors.Is(err, ErrForeign) {
			t.Errorf("directory of uid %d: %+v %v", uid, s, err)
		}
	}
	system := l.WithUsers(func(string) (proc.Identity, error) { return proc.Identity{UID: 33, GID: 33}, nil })
	if _, err := system.Find("alice", "blog.test", ""); !errors.Is(err, ErrNoAccount) {
		t.Errorf("service account: %v", err)
	}
	unknown := l.WithUsers(lookupUser)
	if _, err := unknown.Find("alice", "blog.test", ""); !errors.Is(err, ErrNoAccount) {
		t.Errorf("account that is no user: %v", err)
	}
}

func TestFindRefusesARootThatOthersCanSwap(t *testing.T) {
	t.Parallel()
	l, home := testLayout(t)
	wptest.Domain(t, home, "alice", "blog.test")
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Find("alice", "blog.test", ""); err == nil || !strings.Contains(err.Error(), "writable") {
		t.Errorf("error %v", err)
	}
}

func TestCensusListsDomainsAndSaysWhatItSkips(t *testing.T) {
	t.Parallel()
	l, home := testLayout(t)
	own := filepath.Dir(wptest.Domain(t, home, "alice", "blog.test"))
	wptest.Domain(t, home, "alice", "shop.test")
	wptest.Domain(t, home, "bob", "b.test")
	for _, junk := range []string{home + "/lost+found", home + "/empty", own + "/.cache", own + "/UPPER.test"} {
		if err := os.Mkdir(junk, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(home+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", own+"/etc.test"); err != nil {
		t.Fatal(err)
	}
	c, err := l.Census()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range c.Domains {
		got = append(got, d.Account+" "+d.Domain)
	}
	slices.Sort(got)
	if want := []string{"alice blog.test", "alice shop.test", "bob b.test"}; !slices.Equal(got, want) {
		t.Errorf("domains %q", got)
	}
	if len(c.Skipped) != 1 || !errors.Is(c.Skipped[0], ErrForeign) {
		t.Errorf("skipped %v", c.Skipped)
	}
}

func TestCensusOfAMissingRootIsAnError(t *testing.T) {
	t.Parallel()
	l, err := ParseLayout(wptest.Dir(t) + "/not-mounted/*/domains/*")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := l.Census(); err == nil {
		t.Errorf("census %+v", c)
	}
}

func TestSiteAddressesAndStages(t *testing.T) {
	t.Parallel()
	l, home := testLayout(t)
	wptest.Domain(t, home, "alice", "blog.test")
	s, err := l.Find("alice", "blog.test", "public_html/shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"ftp://a.test", "blog.test", "https://", "https://u:p@a.test", "https://a.test/?q", "https://a.test/#f", "https://a test"} {
		if got, err := s.WithURL(address); err == nil {
			t.Errorf("%q became %q", address, got.URL)
		}
	}
	if got, err := s.WithURL("http://127.0.0.1:8080/x/"); err != nil || got.URL != "http://127.0.0.1:8080/x" || got.base() != "/x/" {
		t.Errorf("%q %v", got.URL, err)
	}
	for _, stage := range []string{"", ".", "..", "a/b", "/etc", "../b", "a\nb"} {
		if got, err := s.Staged(stage); err == nil {
			t.Errorf("stage %q became %q", stage, got.Docroot)
		}
	}
	host := Host{Layout: l, SiteURL: "http://{domain}:8080"}
	if got, err := host.Find("alice", "blog.test", "public_html/shop"); err != nil || got.URL != "http://blog.test:8080/shop" {
		t.Errorf("%q %v", got.URL, err)
	}
}

func TestSiteMadeByHandIsRefused(t *testing.T) {
	t.Parallel()
	l, home := testLayout(t)
	wptest.Domain(t, home, "alice", "blog.test")
	found, err := l.Find("alice", "blog.test", "")
	if err != nil {
		t.Fatal(err)
	}
	moved := found
	moved.Docroot = "/etc"
	for name, s := range map[string]Site{
		"literal": {Account: "a", Domain: "b.test", Home: "/home", Docroot: "/home", User: found.User}, "moved": moved,
	} {
		if _, err := new(CLI).Run(t.Context(), s, coreVersion()); !errors.Is(err, ErrUncheckedSite) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAccountIsTheSameUserBelowAllRoots(t *testing.T) {
	t.Parallel()
	l, home := testLayout(t)
	second := home + "-2"
	both, err := ParseLayout(home+"/*/domains/*", second+"/*/domains/*")
	if err != nil {
		t.Fatal(err)
	}
	both = both.WithUsers(l.users)
	if err := os.Mkdir(second, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(second) })
	wptest.Domain(t, home, "alice", "blog.test")
	wptest.Domain(t, second, "alice", "shop.test")
	blog, err := both.Find("alice", "blog.test", "")
	if err != nil {
		t.Fatal(err)
	}
	shop, err := both.Find("alice", "shop.test", "")
	if err != nil || blog.User != shop.User || blog.User.Tree != home+"/alice:"+second+"/alice" {
		t.Errorf("%+v and %+v, %v", blog.User, shop.User, err)
	}
}
