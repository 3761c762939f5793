package tasks

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// What a tenant may have put where the site should go.
func TestTargetThatIsNotFreeIsRefused(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	victim := t.TempDir()
	for i, c := range []struct {
		name string
		code string
		make func(docroot string) error
	}{
		{"file in it", CodeTargetNotEmpty, func(d string) error { return write(d, "index.html") }},
		{"hidden file", CodeTargetNotEmpty, func(d string) error { return write(d, ".htaccess") }},
		{"wordpress", CodeWordPressExists, func(d string) error { return write(d, "wp-includes/version.php") }},
		{"config alone", CodeWordPressExists, func(d string) error { return write(d, "wp-config.php") }},
		{"link outside", CodeTargetNotEmpty, func(d string) error { return os.Symlink(victim, d) }},
		{"link to nowhere", CodeTargetNotEmpty, func(d string) error { return os.Symlink("/nonexistent/x", d) }},
		{"a file", CodeTargetNotEmpty, func(d string) error { return os.WriteFile(d, nil, 0o644) }},
		{"hostile name", CodeTargetNotEmpty, func(d string) error { return write(d, "a\nb\x1b[31m") }},
		{"link in the path", CodeTargetNotEmpty, func(d string) error { return os.Symlink("/etc", d) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := n.order(t, "mallory", fmt.Sprintf("target%d.test", i), "public_html", Install{})
			must(t, c.make(o.docroot()))
			giveTo(t, "mallory", o.home())
			before := entries(t, o.home())
			out := o.mustEnd(Failed)
			if out.Error.Code != c.code || out.Error.Hint == "" {
				t.Errorf("%+v", out.Error)
			}
			o.mustBeGone(before)
			if got := entries(t, victim); len(got) != 0 {
				t.Errorf("the link was followed: %q", got)
			}
		})
	}
}

// What a tenant may have put where the op builds: the name can be guessed once
// the op's id is known.
func TestStageThatATenantPreparedIsNotFollowed(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	victim := wptest.Dir(t)
	must(t, os.WriteFile(filepath.Join(victim, "precious"), []byte("x"), 0o666))
	o := n.order(t, "trudy", "stage.test", "public_html", Install{})
	must(t, os.Symlink(victim, filepath.Join(o.home(), wp.StageName(o.op.ID))))
	giveTo(t, "trudy", o.home())
	out, err := o.attempt()
	must(t, err)
	if out.State == Succeeded {
		o.mustBeWhole(out) // the link was only in the way
	} else {
		o.mustBeGone(nil)
	}
	if got := entries(t, victim); len(got) != 1 || got[0] != "precious" {
		t.Errorf("the link was followed: %q", got)
	}
}

func TestDomainOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	o := n.order(t, "peggy", "foreign.test", "public_html", Install{})
	must(t, os.Remove(o.home()))
	if os.Geteuid() == 0 {
		must(t, os.Mkdir(o.home(), 0o755)) // root's
	} else {
		must(t, os.Symlink(t.TempDir(), o.home()))
	}
	if out := o.mustEnd(Failed); out.Error.Code != CodeUnknownDomain {
		t.Errorf("%+v", out.Error)
	}
}

// The domain's directory vanishes in the middle of the op: what was made
// elsewhere is taken back all the same.
func TestDatabaseIsDroppedThoughTheDomainIsGone(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	o := n.order(t, "victor", "gone.test", "public_html", Install{})
	dead := false
	o.fail = func(e Entry) error {
		dead = dead || e.Mark == MarkBegin && e.Step == "config"
		if dead {
			return errDead
		}
		return nil
	}
	if _, err := o.attempt(); err == nil {
		t.Fatal("it did not die")
	}
	if got := n.databases(t, "victor"); len(got) != 2 {
		t.Fatalf("databases and users: %q", got)
	}
	o.fail = nil
	must(t, os.RemoveAll(o.home()))
	if out := o.mustEnd(Failed); out.Error.Code != CodeUnknownDomain {
		t.Errorf("%+v", out.Error)
	}
	if got := n.databases(t, "victor"); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

// Somebody fills the docroot between the check and the publication.
func TestDocrootThatFillsUpMeanwhileIsNotOverwritten(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "walter", "race.test", "public_html", Install{})
	o.cfg.Report = func(e Event) {
		if e.Step == "install" && len(entries(t, o.home())) == 1 {
			must(t, write(o.docroot(), "index.html"))
			giveTo(t, "walter", o.docroot())
		}
	}
	if out := o.mustEnd(Failed); out.Error.Code != CodeTargetNotEmpty {
		t.Errorf("%+v", out.Error)
	}
	o.mustBeGone([]string{"public_html"})
	if got := entries(t, o.docroot()); len(got) != 1 || got[0] != "index.html" {
		t.Errorf("the docroot has %q", got)
	}
}

func TestDirectoryThatTheTenantMayNotEnterIsNamed(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	o := n.order(t, "oscar", "closed.test", "public_html", Install{})
	must(t, os.Mkdir(o.docroot(), 0o755))
	giveTo(t, "oscar", o.home())
	must(t, os.Chmod(o.docroot(), 0))
	if out := o.mustEnd(Failed); out.Error.Code != CodePermission {
		t.Errorf("%+v", out.Error)
	}
	o.mustBeGone([]string{"public_html"})
}

// The account's disk fills up while the core is copied.
func TestFullDiskFailsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	n := newNode(t)
	o := n.order(t, "sybil", "full.test", "public_html", Install{Version: "6.2"})
	must(t, syscall.Mount("tmpfs", o.home(), "tmpfs", 0, "size=12m"))
	t.Cleanup(func() { must(t, syscall.Unmount(o.home(), syscall.MNT_DETACH)) })
	giveTo(t, "sybil", o.home())
	if out := o.mustEnd(Failed); out.Error.Code != CodeDiskFull {
		t.Errorf("%+v", out.Error)
	}
	o.mustBeGone(nil)
}

// write makes a file with its parents below a docroot.
func write(docroot, name string) error {
	file := filepath.Join(docroot, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte("x"), 0o644)
}

// giveTo gives a tree to an account, links themselves and not what they name.
func giveTo(t *testing.T, account, dir string) {
	t.Helper()
	who, err := wptest.Tenant(account)
	must(t, err)
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(who.UID), int(who.GID))
	}))
}
