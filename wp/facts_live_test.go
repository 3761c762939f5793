package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// adopted makes installs as other hands would have left them.
type adopted struct {
	*live
	host *Host
}

func newAdopted(t *testing.T) adopted {
	t.Helper()
	l := newLive(t)
	return adopted{l, &Host{CLI: l.cli, DB: l.admin, DBHost: "127.0.0.1:" + port(l.db.Addr), Layout: l.layout, SiteURL: "http://{domain}"}}
}

// make installs WordPress of a version at a path and hands it over to its tenant.
func (a adopted) make(t *testing.T, account, path, version string, config ConfigOptions) Site {
	t.Helper()
	l := *a.live
	if version != "" {
		l.core = version
	}
	domain := account + ".test"
	staged := l.prepare(t, account, domain, path, config)
	options := InstallOptions{Title: "Site of " + account, AdminUser: "boss", AdminEmail: "boss@" + domain, AdminPassword: livePassword}
	var err error
	if config.Multisite != nil {
		if staged, err = staged.WithURL("http://" + config.Multisite.Domain); err == nil {
			_, err = l.cli.CoreMultisiteInstall(t.Context(), staged, NetworkOptions{InstallOptions: options})
		}
	} else {
		_, err = l.cli.CoreInstall(t.Context(), staged, options)
	}
	site := l.site(t, account, domain, path)
	must(t, err, Files{}.Publish(t.Context(), site, stageOf), Files{}.Commit(t.Context(), site, stageOf))
	return site
}

func (a adopted) write(t *testing.T, site Site, name, content string) {
	t.Helper()
	file := filepath.Join(site.Docroot, name)
	must(t, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644))
	if os.Geteuid() == 0 {
		must(t, os.Lchown(file, int(site.User.UID), int(site.User.GID)))
	}
}

func (a adopted) edit(t *testing.T, site Site, name, old, now string) {
	t.Helper()
	file := filepath.Join(site.Docroot, name)
	content, err := os.ReadFile(file)
	must(t, err)
	if !strings.Contains(string(content), old) {
		t.Fatalf("%s has no %q", name, old)
	}
	a.write(t, site, name, strings.Replace(string(content), old, now, 1))
}

func (a adopted) config(t *testing.T, site Site) Config {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(site.Docroot, "wp-config.php"))
	must(t, err)
	c, err := ParseConfig(src)
	must(t, err)
	return c
}

func (a adopted) option(t *testing.T, site Site, name, value string) {
	t.Helper()
	c := a.config(t, site)
	_, err := a.admin.db.ExecContext(t.Context(), fmt.Sprintf("UPDATE %s.%s SET option_value = ? WHERE option_name = ?",
		quoteIdent(c.DBName), quoteIdent(c.TablePrefix+"options")), value, name)
	must(t, err)
}

// foreign are the ten kinds of installs that a host finds on its disks. list is what the
// files and tables say, and examine what a start of WordPress adds.
var foreign = []struct {
	name, path, version string
	config              ConfigOptions
	spoil               func(*testing.T, adopted, Site)
	list                Status
	reason              string
	examine             func(*testing.T, Details)
}{
	{name: "subdir", path: "public_html/blog", list: StatusOK, examine: func(t *testing.T, d Details) {
		if d.Status != StatusOK || d.Options.Home != "https://subdir.test/blog" || d.Core.Multisite || len(d.Failed) != 0 {
			t.Errorf("%+v %+v", d, d.Options)
		}
	}},
	{name: "network", path: "public_html", list: StatusOK,
		config: ConfigOptions{Multisite: &MultisiteOptions{Domain: "many.example", Path: "/"}}, // not the directory's name
		examine: func(t *testing.T, d Details) {
			if d.Status != StatusOK || !d.Core.Multisite || d.Core.Blogs != 1 || len(d.Users.SuperAdmins) != 1 {
				t.Errorf("%+v %+v", d, d.Core)
			}
		}},
	{name: "content", path: "public_html", list: StatusOK,
		spoil: func(t *testing.T, a adopted, s Site) {
			must(t, os.Rename(filepath.Join(s.Docroot, "wp-content"), filepath.Join(s.Docroot, "app")))
			a.edit(t, s, "wp-config.php", "<?php", "<?php\ndefine( 'WP_CONTENT_DIR', __DIR__ . '/app' );\ndefine( 'WP_CONTENT_URL', 'https://content.test/app' );")
			a.write(t, s, "app/mu-plugins/ours.php", "<?php\n/* Plugin Name: Ours\nVersion: 3 */")
			a.write(t, s, "app/object-cache.php", "<?php\n/* Plugin Name: Some Cache\nVersion: 2.0 */\nrequire ABSPATH . WPINC . '/cache.php';")
		},
		examine: func(t *testing.T, d Details) {
			var must, drop bool
			for _, p := range d.Plugins.List {
				must = must || p.Status == "must-use" && p.Slug == "ours" && p.Version == "3"
				drop = drop || p.Status == "drop-in" && p.File == "object-cache.php" && p.Name == "Some Cache"
			}
			if d.Status != StatusOK || !must || !drop || d.Cache.Object.DropIn == nil || d.Cache.Object.DropIn.Name != "Some Cache" {
				t.Errorf("%+v %+v", d.Plugins, d.Cache)
			}
		}},
	{name: "above", path: "public_html", list: StatusOK,
		spoil: func(t *testing.T, _ adopted, s Site) {
			must(t, os.Rename(filepath.Join(s.Docroot, "wp-config.php"), filepath.Join(s.Home, "wp-config.php")))
		},
		examine: func(t *testing.T, d Details) {
			if d.Status != StatusOK || d.Database.Tables != coreTables || d.Database.Bytes == 0 {
				t.Errorf("%+v %+v", d, d.Database)
			}
		}},
	{name: "iffy", path: "public_html", list: StatusUnreadable, reason: "is not a plain value",
		spoil: func(t *testing.T, a adopted, s Site) {
			c := a.config(t, s)
			define := "define( 'DB_NAME', '" + c.DBName + "' );"
			a.edit(t, s, "wp-config.php", define, "if ( ! getenv( 'STAGING' ) ) {\n\t"+define+"\n} else {\n\tdefine( 'DB_NAME', 'staging' );\n}")
		},
		examine: func(t *testing.T, d Details) {
			if d.Status != StatusOK || d.Options.BlogName != "Site of iffy" {
				t.Errorf("%+v %+v", d, d.Options)
			}
		}},
	{name: "nodb", path: "public_html", list: StatusBroken, reason: "user or password",
		spoil: func(t *testing.T, a adopted, s Site) {
			c := a.config(t, s)
			must(t, a.admin.DropUser(t.Context(), c.DBUser, "127.0.0.1"))
		},
		examine: func(t *testing.T, d Details) {
			if d.Status != StatusBroken || d.Core == nil || d.Core.Version == "" || d.Plugins != nil || d.Files.Files < 1000 {
				t.Errorf("%+v", d)
			}
		}},
	{name: "badplugin", path: "public_html", list: StatusOK,
		spoil: func(t *testing.T, a adopted, s Site) {
			a.write(t, s, "wp-content/plugins/bad-one/start.php", "<?php\n/* Plugin Name: Bad */\nno_such_function();")
			a.option(t, s, "active_plugins", `a:1:{i:0;s:17:"bad-one/start.php";}`)
		},
		examine: func(t *testing.T, d Details) {
			c := d.Culprit
			if d.Status != StatusBroken || !d.Limited || c == nil || c.Type != "plugin" || c.Slug != "bad-one" || c.Line != "3" ||
				c.File != "wp-content/plugins/bad-one/start.php" || !strings.Contains(d.Reason, "no_such_function") {
				t.Errorf("%s %q %+v", d.Status, d.Reason, c)
			}
			if d.Plugins == nil || len(d.Plugins.List) == 0 || d.Issues[0].Code != "site_broken" {
				t.Errorf("%+v %+v", d.Plugins, d.Issues)
			}
		}},
	{name: "badtheme", path: "public_html", list: StatusOK,
		spoil: func(t *testing.T, a adopted, s Site) {
			c := a.config(t, s)
			var theme string
			must(t, a.admin.db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT option_value FROM %s.%s WHERE option_name = 'stylesheet'",
				quoteIdent(c.DBName), quoteIdent(c.TablePrefix+"options"))).Scan(&theme))
			a.write(t, s, "wp-content/themes/"+theme+"/functions.php", "<?php\nif (")
		},
		examine: func(t *testing.T, d Details) {
			if d.Status != StatusBroken || !d.Limited || d.Culprit == nil || d.Culprit.Type != "theme" || d.Themes == nil {
				t.Errorf("%s %q %+v", d.Status, d.Reason, d.Culprit)
			}
		}},
	{name: "old", path: "public_html", version: "6.2.6", list: StatusOK, examine: func(t *testing.T, d Details) {
		if d.Status != StatusOK || d.Core.Version != "6.2.6" || d.Users.ByRole["administrator"] != 1 || len(d.Failed) != 0 {
			t.Errorf("%+v %+v", d, d.Core)
		}
	}},
	{name: "closed", path: "public_html", list: StatusUnreadable, reason: "cannot be read",
		spoil: func(t *testing.T, _ adopted, s Site) {
			must(t, os.Chmod(filepath.Join(s.Docroot, "wp-config.php"), 0), os.Chmod(filepath.Join(s.Docroot, "wp-content"), 0))
		},
		examine: func(t *testing.T, d Details) {
			if d.Status != StatusUnreadable || d.Files.Complete || d.Plugins != nil {
				t.Errorf("%+v", d)
			}
		}},
}

func TestForeignInstallsAreListedAndExaminedAsTheyAre(t *testing.T) {
	t.Parallel()
	a := newAdopted(t)
	for _, c := range foreign {
		t.Run(c.name, func(t *testing.T) {
			site := a.make(t, c.name, c.path, c.version, c.config)
			if c.spoil != nil {
				c.spoil(t, a, site)
			}
			census, err := a.layout.Census()
			must(t, err)
			report := Files{}.Scan(t.Context(), census.Domains)
			facts, err := Inspect(t.Context(), a.host, report.Found...)
			must(t, err)
			listed := false
			for i, f := range report.Found {
				if f.Site.Docroot != site.Docroot {
					continue
				}
				listed = true
				if facts[i].Status != c.list || !strings.Contains(facts[i].Reason, c.reason) || c.reason == "" && facts[i].Reason != "" {
					t.Errorf("listed as %s %q, want %s %q", facts[i].Status, facts[i].Reason, c.list, c.reason)
				}
				// What will never pass is not tried again as if the server were away.
				if _, err := a.host.DatabaseSize(t.Context(), f); c.name == "iffy" && !errors.Is(err, ErrConfigComputed) {
					t.Errorf("the size of its database: %v", err)
				}
			}
			if !listed {
				t.Error("is not listed")
			}
			d, err := a.host.Examine(t.Context(), site)
			must(t, err)
			c.examine(t, d)
			if encoded, err := d.Encode(); err != nil || len(encoded) > 32<<10 {
				t.Errorf("%d bytes, %v", len(encoded), err)
			}
		})
	}
}

// A reading must leave no trace: no update check, no cron run, no changed row.
func TestExaminingChangesNothing(t *testing.T) {
	t.Parallel()
	a := newAdopted(t)
	site := a.make(t, "quiet", "public_html", "", ConfigOptions{})
	c := a.config(t, site)
	checksum := func() string {
		var table, sum string
		must(t, a.admin.db.QueryRowContext(t.Context(), fmt.Sprintf("CHECKSUM TABLE %s.%s", quoteIdent(c.DBName), quoteIdent(c.TablePrefix+"options"))).Scan(&table, &sum))
		return sum
	}
	_, err := a.host.Examine(t.Context(), site) // WordPress completes its options at its very first start
	must(t, err)
	before := checksum()
	d, err := a.host.Examine(t.Context(), site)
	must(t, err)
	if after := checksum(); after != before {
		t.Errorf("the options changed: %s, %s", before, after)
	}
	if d.Core.CheckedAt != 0 || d.Core.Update != "" || d.Cron.Events == 0 || d.Database.Prefix != c.TablePrefix || d.PHP.Version == "" ||
		d.Users.Admins[0].Login != "boss" || !d.Security.KeysUnique || d.Files.Bytes < 10<<20 || !d.Files.Complete {
		t.Errorf("%+v", d)
	}
}

func TestSuspendedInstallsStayListed(t *testing.T) {
	t.Parallel()
	a := newAdopted(t)
	site := a.make(t, "late", "public_html", "", ConfigOptions{})
	account := filepath.Dir(filepath.Dir(site.Home))
	for name, c := range map[string]struct{ do, undo func() error }{
		"marker of the account": {func() error { return os.WriteFile(filepath.Join(account, SuspendedMarker), nil, 0o600) },
			func() error { return os.Remove(filepath.Join(account, SuspendedMarker)) }},
		"marker of the domain": {func() error { return os.WriteFile(filepath.Join(site.Home, SuspendedMarker), nil, 0o600) },
			func() error { return os.Remove(filepath.Join(site.Home, SuspendedMarker)) }},
		"docroot without modes": {func() error { return os.Chmod(site.Docroot, 0) }, func() error { return os.Chmod(site.Docroot, 0o755) }},
		"domain without modes":  {func() error { return os.Chmod(site.Home, 0) }, func() error { return os.Chmod(site.Home, 0o755) }},
	} {
		must(t, c.do())
		census, err := a.layout.Census()
		must(t, err)
		report := Files{}.Scan(t.Context(), census.Domains)
		closed := len(report.Closed) == 1 && (report.Closed[0].Suspended || report.Closed[0].Domain.Suspended)
		if found := len(report.Found) == 1 && report.Found[0].Site.Suspended; found == closed || len(report.Incomplete) != 0 {
			t.Errorf("%s: found %v, closed %+v, incomplete %v", name, report.Found, report.Closed, report.Incomplete)
		}
		now, err := a.layout.Find("late", "late.test", "public_html")
		must(t, err)
		d, err := a.host.Examine(t.Context(), now)
		if err != nil || d.Status != StatusSuspended {
			t.Errorf("%s: %s %q %v", name, d.Status, d.Reason, err)
		}
		must(t, c.undo())
	}
	d, err := a.host.Examine(t.Context(), site)
	if err != nil || d.Status != StatusOK {
		t.Errorf("afterwards: %s %q %v", d.Status, d.Reason, err)
	}
	if _, err := a.host.Examine(t.Context(), a.site(t, "late", "late.test", "public_html/nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where nothing is: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.host.Examine(ctx, site); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
