package tasks

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp"
)

// pushTo is the op that brings parts of this install onto another one.
func (o *order) pushTo(t *testing.T, target *order, ask Push) *order {
	t.Helper()
	ask.Source = o.op.Site
	payload, err := json.Marshal(&ask)
	must(t, err)
	return target.then(t, "push", string(payload))
}

// pushing is a live site with a staging copy on which work was done.
type pushing struct {
	live    original
	staging *order
	copied  CloneResult
}

func newPushing(t *testing.T, account string) pushing {
	t.Helper()
	n := newNode(t)
	s := newShelf()
	n.host.Backups, n.catalog = s, s
	live := makeOriginal(t, n, account)
	staging := live.cloneTo(t, account, "staging.old.test", "public_html", Clone{})
	p := pushing{live: live, staging: staging, copied: answerOf[CloneResult](t, staging.mustEnd(Succeeded))}
	// Work on the staging copy: a post, a table, files.
	work := original{order: staging, db: p.copied.DBName}
	prefix := p.copied.TablePrefix
	work.exec(t, "UPDATE "+prefix+"posts SET post_content = 'New at http://staging.old.test/a' WHERE ID = 1")
	work.exec(t, "INSERT INTO "+prefix+"orders (id, total, note) VALUES (3, 1, 'http://staging.old.test/größe')")
	work.exec(t, "UPDATE "+prefix+"users SET user_email = 'staging@example.com'")
	must(t, write(staging.docroot(), "wp-content/uploads/new.jpg"))
	must(t, os.Remove(filepath.Join(staging.docroot(), "wp-content/uploads/near.jpg")))
	giveTo(t, account, staging.home())
	// Meanwhile somebody logs in at the live site.
	live.exec(t, "INSERT INTO wp_usermeta (user_id, meta_key, meta_value) VALUES (1, 'session_tokens', 'a:0:{}')")
	return p
}

// value asks the live site's present database.
func (p pushing) value(t *testing.T, query string) string {
	t.Helper()
	site, err := p.live.node.host.Find(p.live.op.Site.Account, p.live.op.Site.Domain, p.live.op.Site.Path)
	must(t, err)
	login, err := p.live.node.host.Login(t.Context(), site)
	must(t, err)
	var v string
	must(t, p.live.node.sql.QueryRowContext(t.Context(), strings.ReplaceAll(query, "{p}", login.Name+".wp_")).Scan(&v))
	return v
}

// mustBePushed looks at the live site.
func (p pushing) mustBePushed(t *testing.T, r PushResult) {
	t.Helper()
	for query, want := range map[string]string{
		"SELECT post_content FROM {p}posts WHERE ID = 1":                                             "New at http://old.test/a",
		"SELECT note FROM {p}orders WHERE id = 3":                                                    "http://old.test/größe",
		"SELECT user_email FROM {p}users WHERE ID = 1":                                               "boss@old.test",
		"SELECT COUNT(*) FROM {p}usermeta WHERE meta_key = 'session_tokens'":                         "1",
		"SELECT option_value FROM {p}options WHERE option_name = 'siteurl'":                          "http://old.test",
		"SELECT option_value FROM {p}options WHERE option_name = 'blog_public'":                      "1",
		"SELECT COUNT(*) FROM {p}options WHERE option_name = 'wptk_staging'":                         "0",
		"SELECT COUNT(*) FROM {p}options WHERE option_value LIKE '%staging.old.test%'":               "0",
		"SELECT COUNT(*) FROM {p}postmeta WHERE meta_value LIKE '%staging.old.test%'":                "0",
		"SELECT COUNT(*) FROM {p}posts WHERE CONCAT(post_content, guid) LIKE '%//staging.old.test%'": "0",
		"SELECT meta_value FROM {p}postmeta WHERE meta_key = '_elementor_data'":                      elementor,
	} {
		if got := p.value(t, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	uploads := filepath.Join(p.live.docroot(), "wp-content/uploads")
	if _, err := os.Stat(filepath.Join(uploads, "new.jpg")); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(uploads, "near.jpg")); !os.IsNotExist(err) {
		t.Errorf("what the staging copy has not is still there: %v", err)
	}
	if !r.SiteUp || r.Files < 10 || r.Rewritten == 0 || r.URL != "http://old.test" {
		t.Errorf("%+v", r)
	}
	if got := entries(t, p.live.home()); len(got) != 1 {
		t.Errorf("the domain's directory has %q", got)
	}
}

func TestPushBringsWorkOntoTheLiveSiteAndLeavesItsPeople(t *testing.T) {
	t.Parallel()
	p := newPushing(t, "pia")
	config, err := os.ReadFile(filepath.Join(p.live.docroot(), configFile))
	must(t, err)
	before := stateOf(t, p.live.node, p.staging.docroot(), p.copied.DBName)

	dry := answerOf[PushResult](t, p.staging.pushTo(t, p.live.order, Push{DryRun: true}).mustEnd(Succeeded))
	if !dry.DryRun || len(dry.Paths) < 3 || len(dry.TableList) < 10 || p.value(t, "SELECT COUNT(*) FROM {p}orders") != "2" {
		t.Errorf("%+v", dry)
	}
	// Uploads alone first: the tables stay.
	r := answerOf[PushResult](t, p.staging.pushTo(t, p.live.order, Push{Select: Selection{Paths: []string{"wp-content/uploads"}}}).mustEnd(Succeeded))
	if r.Tables != 0 || r.Checkpoint == "" || p.value(t, "SELECT COUNT(*) FROM {p}orders") != "2" {
		t.Errorf("%+v", r)
	}
	r = answerOf[PushResult](t, p.staging.pushTo(t, p.live.order, Push{}).mustEnd(Succeeded))
	p.mustBePushed(t, r)
	now, err := os.ReadFile(filepath.Join(p.live.docroot(), configFile))
	must(t, err)
	if want := strings.Replace(string(config), p.live.db, r.Database, 1); string(now) != want {
		t.Error("wp-config.php has more than another database")
	}
	site, err := p.live.node.host.Find("pia", "old.test", "public_html")
	must(t, err)
	ok, err := p.live.node.host.CLI.UserCheckPassword(t.Context(), site, "boss", rootPassword)
	if err != nil || !ok {
		t.Errorf("the password does not open the site: %v", err)
	}
	if stateOf(t, p.live.node, p.staging.docroot(), p.copied.DBName) != before {
		t.Error("the staging copy was changed")
	}
}

func TestPushSurvivesADeathAtEveryBoundary(t *testing.T) {
	t.Parallel()
	p := newPushing(t, "pamela")
	const shares = 3
	for _, share := range some(shares) {
		o := p.staging.pushTo(t, p.live.order, Push{})
		r := &reaper{order: o, share: share, shares: shares, seen: map[string]bool{}}
		o.fail = func(e Entry) error {
			r.after = r.deaths%2 == 1
			return r.entry(e)
		}
		out, err := r.live()
		must(t, err)
		o.mustBe(out, Succeeded)
		p.mustBePushed(t, answerOf[PushResult](t, out))
		if r.deaths < 4 {
			t.Errorf("share %d: %d deaths only", share, r.deaths)
		}
	}
	if got := p.live.node.databases(t, "pamela"); len(got) != 4 { // two sites, a user each
		t.Errorf("databases and users: %q", got)
	}
}

func TestPushThatEndsEarlyLeavesTheLiveSiteAsItWas(t *testing.T) {
	t.Parallel()
	p := newPushing(t, "paul")
	site, err := p.live.node.host.Find("paul", "old.test", "public_html")
	must(t, err)
	login, err := p.live.node.host.Login(t.Context(), site)
	must(t, err)
	for _, step := range []string{"unpack", "switch"} {
		o := p.staging.pushTo(t, p.live.order, Push{})
		o.cancelAt(Entry{Mark: MarkDone, Step: step})
		o.mustEnd(Cancelled)
		if now, err := p.live.node.host.Login(t.Context(), site); err != nil || now.Name != login.Name {
			t.Errorf("after %s the site uses %s", step, fmt.Sprint(now))
		}
		if _, err := os.Lstat(filepath.Join(p.live.docroot(), "wp-content/uploads/near.jpg")); err != nil {
			t.Errorf("after %s: %v", step, err)
		}
		if got := entries(t, p.live.home()); len(got) != 1 {
			t.Errorf("after %s the domain's directory has %q", step, got)
		}
		if state, err := p.live.node.host.Files.State(t.Context(), site); err != nil || state.Kind != wp.DirWordPress {
			t.Errorf("%v %v", state, err)
		}
	}
}
