package tasks

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// smallDisk puts a file system of some MiB over an empty directory. What is put into hog
// afterwards fills it.
func smallDisk(t *testing.T, dir string, mib int) *hog {
	t.Helper()
	info, err := os.Stat(dir)
	must(t, err)
	owner, _ := info.Sys().(*syscall.Stat_t)
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)))
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	must(t, os.Chmod(dir, info.Mode()))
	must(t, os.Chown(dir, int(owner.Uid), int(owner.Gid)))
	return &hog{t, filepath.Join(dir, "hog")}
}

// hog is a file that takes the room that is left.
type hog struct {
	t    *testing.T
	path string
}

func (h *hog) eat(spare int64) {
	var fs unix.Statfs_t
	must(h.t, unix.Statfs(filepath.Dir(h.path), &fs))
	f, err := os.OpenFile(h.path, os.O_CREATE|os.O_WRONLY, 0o600)
	must(h.t, err)
	must(h.t, unix.Fallocate(int(f.Fd()), 0, 0, int64(fs.Bavail)*fs.Bsize-spare))
	must(h.t, f.Close())
}

func (h *hog) leave() { must(h.t, os.Remove(h.path)) }

// twin is an install that is copied, pushed or stored, without a PHP that runs sites, and what
// it must look like afterwards.
type twin struct {
	doomed
	store  *wp.Restic
	source *order
	target *order // of the same account
}

// noise is what no store makes smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// copyable makes an install at domain that everything but PHP takes for a WordPress.
func (d doomed) copyable(account, domain, db string) *order {
	d.t.Helper()
	c := d.database(account, db)
	o := d.install(account, domain, "public_html", c)
	must(d.t, os.WriteFile(filepath.Join(o.docroot(), "wp-includes/version.php"), []byte("<?php\n$wp_version = '6.5';\n"), 0o644))
	must(d.t, os.WriteFile(filepath.Join(o.docroot(), "wp-content/uploads/big.bin"), noise(8<<20), 0o644))
	giveTo(d.t, account, o.home())
	src := original{order: o, db: c.db}
	src.exec(d.t, "DROP TABLE wp_options")
	src.exec(d.t, "CREATE TABLE wp_options (option_id INT AUTO_INCREMENT PRIMARY KEY, option_name VARCHAR(50), option_value TEXT)")
	src.exec(d.t, "INSERT INTO wp_options (option_name, option_value) VALUES ('siteurl', ?), ('home', ?), ('blogname', 'x')", "http://"+domain, "http://"+domain)
	return o
}

// timeOfDir is that of a directory, in which temporary files come and go.
var timeOfDir = regexp.MustCompile(`(?m)( d[rwxst-]{9}) \d{4}-.*$`)

// state is all that an op that fails must leave as it was, in lines.
func (w twin) state(t *testing.T) []string {
	t.Helper()
	text := ""
	for _, o := range []*order{w.source, w.target} {
		site, err := w.host.Find(o.op.Site.Account, o.op.Site.Domain, o.op.Site.Path)
		must(t, err)
		login, err := w.host.Login(t.Context(), site)
		must(t, err)
		text += login.Name + "\n" + stateOf(t, w.node, o.docroot(), login.Name) + tree(t, o.home())
	}
	names := w.databases(t, w.source.op.Site.Account)
	slices.Sort(names)
	return append(strings.Split(timeOfDir.ReplaceAllString(text, "$1"), "\n"), names...)
}

// Whatever fails in the middle: the op says so with a code and a hint, everything is as before,
// and what could not be taken back without the database server is dropped later.
func TestFullDisksAndDeadServersLeaveEverythingAsItWas(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	server := devstack.MariaDBT(t)
	d := newDoomed(t)
	d.connect(t, server)
	var err error
	d.cli.PHP = "php" // which checks what is written into wp-config.php
	d.host.CLI, err = wp.NewCLI(d.cli)
	must(t, err)
	const account = "fay"
	const stored = "stored"
	disks := map[string]*hog{}
	for _, domain := range []string{"live.test", "copy.test"} {
		disks[domain] = smallDisk(t, wptest.Domain(t, d.home, account, domain), 160)
	}
	backups := t.TempDir()
	disks[stored] = smallDisk(t, backups, 100)
	store, err := wp.NewRestic(wp.ResticConfig{URL: backups, Key: slices.Repeat([]byte("k"), 32), StateDir: t.TempDir()})
	must(t, err)
	d.host.Backups, d.catalog = store, &memoryCatalog{}
	w := twin{doomed: d, store: store, source: d.copyable(account, "staging.live.test", "staging"), target: d.copyable(account, "live.test", "live")}
	before := w.state(t)

	backup := func() *order { return w.source.then(t, "backup", `{}`) }
	clone := func() *order {
		return original{order: w.source}.cloneTo(t, account, "copy.test", "public_html", Clone{})
	}
	push := func() *order { return w.source.pushTo(t, w.target, Push{Checkpoint: noCheckpoint}) }
	for _, c := range []struct {
		name string
		make func() *order
		disk string // that is full; "" for the server that is dead
		at   Entry  // what the journal is about to say
		code string
	}{
		{"backup, full", backup, stored, Entry{Mark: MarkSet, Key: keySaving}, CodeDiskFull},
		{"backup, dead", backup, "", Entry{Mark: MarkSet, Key: keySaving}, CodeDatabaseError},
		{"clone, full", clone, "copy.test", Entry{Mark: MarkBegin, Step: "files"}, CodeDiskFull},
		{"clone, dead", clone, "", Entry{Mark: MarkBegin, Step: "tables"}, CodeDatabaseError},
		{"push, full", push, "live.test", Entry{Mark: MarkBegin, Step: "unpack"}, CodeDiskFull},
		{"push, dead", push, "", Entry{Mark: MarkSet, Key: keySchema}, CodeDatabaseError},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.make()
			o.t = t
			var once sync.Once
			o.fail = func(e Entry) error {
				if e.Mark == c.at.Mark && e.Key == c.at.Key && e.Step == c.at.Step {
					once.Do(func() {
						if c.disk != "" {
							disks[c.disk].eat(64 << 10) // little files fit, for a while
							return
						}
						server.Kill()
					})
				}
				return nil
			}
			out := o.mustEnd(Failed)
			if out.Error.Code != c.code || out.Error.Hint == "" {
				t.Errorf("%+v", out.Error)
			}
			if c.disk != "" {
				disks[c.disk].leave()
			} else {
				must(t, server.Restart(t.Context()))
				if n := w.collect(t, o.op); (n > 0) != (o.op.Kind != "backup") {
					t.Errorf("%d databases were left over", n)
				}
			}
			if diff := cmp.Diff(before, w.state(t)); diff != "" {
				t.Errorf("the sites were changed: %s", diff)
			}
			if got := entries(t, filepath.Join(d.home, account, "domains", "copy.test")); len(got) > 0 {
				t.Errorf("of the copy is left %q", got)
			}
			if keys, err := store.List(t.Context(), account); err != nil || len(keys) > 0 {
				t.Errorf("%d backups are in the store, %v", len(keys), err)
			}
		})
	}
}

// collect drops what is claimed, as the worker does when the server is back.
func (w twin) collect(t *testing.T, op Op) int {
	t.Helper()
	all, err := w.host.DB.Claims(t.Context())
	must(t, err)
	for _, c := range all {
		if c.Owner != op.ID {
			t.Errorf("%s is claimed by %s", c.Name, c.Owner)
		}
		must(t, w.host.DropClaimed(t.Context(), op.Site.Account, c))
	}
	return len(all)
}
