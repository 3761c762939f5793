package tasks

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// original is an install with everything in it that makes copying hard.
type original struct {
	*order
	db, prefix string
}

const elementor = `[{"id":"7a","settings":{"url":"http:\/\/old.test\/a","bg":{"url":"http:\/\/old.test\/wp-content\/uploads\/a.jpg"},"html":"<a href=\"http:\/\/old.test\">🦊<\/a>"},"elements":[]}]`

// makeOriginal installs WordPress at old.test and fills it.
func makeOriginal(t *testing.T, n *node, account string) original {
	t.Helper()
	o := n.order(t, account, "old.test", "public_html", Install{TablePrefix: "wp_"})
	r := o.result(o.mustEnd(Succeeded))
	src := original{order: o, db: r.DBName, prefix: r.TablePrefix}
	docroot := o.docroot()
	inner := serialized("//old.test/größe🙂")
	nested := fmt.Sprintf(`a:3:{s:4:"home";%ss:4:"path";%ss:4:"tree";%s}`, serialized("http://old.test"), serialized(docroot), serialized("a:1:{i:0;"+inner+"}"))
	src.exec(t,
		"INSERT INTO wp_options (option_name, option_value) VALUES ('deep', ?), ('broken', ?), ('wptk_login_x', '{}')", nested, `a:1:{s:99:"http://old.test/x";}`)
	src.exec(t, "INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (1, '_elementor_data', ?)", elementor)
	src.exec(t, "UPDATE wp_posts SET post_content = CONCAT(post_content, ' <img src=\"http://old.test/wp-content/uploads/a.jpg\"> 🦊 me@old.test sub.old.test') WHERE ID = 1")
	src.exec(t, "CREATE TABLE wp_orders (id INT PRIMARY KEY, total DECIMAL(8,2), gross DECIMAL(9,2) AS (total * 1.19) STORED, note VARCHAR(50) CHARACTER SET utf8mb3) ENGINE=InnoDB")
	src.exec(t, "CREATE TABLE wp_items (id INT PRIMARY KEY, order_id INT, FOREIGN KEY (order_id) REFERENCES wp_orders (id)) ENGINE=InnoDB")
	src.exec(t, "INSERT INTO wp_orders (id, total, note) VALUES (1, 10.5, 'äöü'), (2, 7, 'http://old.test')")
	src.exec(t, "INSERT INTO wp_items VALUES (1, 1), (2, 2)")
	src.exec(t, "CREATE DEFINER=`root`@`localhost` VIEW wp_totals AS SELECT o.id, SUM(o.total) t FROM wp_orders o JOIN wp_items i ON i.order_id = o.id GROUP BY o.id")
	src.exec(t, "CREATE TRIGGER wp_bump BEFORE INSERT ON wp_items FOR EACH ROW SET NEW.id = NEW.id + 0")
	must(t, write(docroot, "wp-content/uploads/a.jpg"))
	must(t, os.Symlink(filepath.Join(docroot, "wp-content/uploads/a.jpg"), filepath.Join(docroot, "wp-content/uploads/link.jpg")))
	must(t, os.Symlink("a.jpg", filepath.Join(docroot, "wp-content/uploads/near.jpg")))
	must(t, write(docroot, "wp-content/cache/page.html"))
	must(t, write(docroot, "shop/wp-includes/version.php")) // another install below this one
	must(t, os.WriteFile(filepath.Join(docroot, ".htaccess"), []byte("RewriteBase /\nRewriteRule . /index.php [L]\nAuthUserFile "+docroot+"/.htpasswd\n"), 0o600))
	giveTo(t, account, o.home())
	return src
}

// serialized is a text as PHP serializes it: its length is in bytes.
func serialized(s string) string { return fmt.Sprintf(`s:%d:"%s";`, len(s), s) }

func (s original) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	conn, err := s.node.sql.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "USE "+s.db)
	must(t, err)
	_, err = conn.ExecContext(t.Context(), query, args...)
	must(t, err)
}

// state is everything about the original: hashes of files with modes and times, checksums of
// tables.
func (s original) state(t *testing.T) string {
	t.Helper()
	return stateOf(t, s.node, s.docroot(), s.db)
}

// mustBeAsBefore shows what has changed.
func (s original) mustBeAsBefore(t *testing.T, before string) {
	t.Helper()
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(s.state(t), "\n")); diff != "" {
		t.Errorf("the original was changed: %s", diff)
	}
}

func stateOf(t *testing.T, n *node, docroot, db string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(docroot, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		must(t, err)
		fmt.Fprintf(&b, "%s %v %v ", path, info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			must(t, err)
			fmt.Fprintf(&b, "%x", sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	}))
	tables, err := n.host.DB.Tables(t.Context(), db)
	must(t, err)
	for _, table := range tables {
		var name string
		var sum *int64
		must(t, n.sql.QueryRowContext(t.Context(), "CHECKSUM TABLE "+db+"."+table).Scan(&name, &sum))
		if sum != nil {
			fmt.Fprintf(&b, "%s %d\n", name, *sum)
		}
	}
	return b.String()
}

// cloneTo is the op that copies the original to a domain of an account.
func (s original) cloneTo(t *testing.T, account, domain, path string, ask Clone) *order {
	t.Helper()
	wptest.Domain(t, s.node.home, account, domain)
	ask.Source = s.op.Site
	payload, err := json.Marshal(&ask)
	must(t, err)
	o := s.then(t, "clone", string(payload))
	o.op.Site = SiteRef{ID: SiteID(s.node.host.Node, account, domain, path), Node: s.node.host.Node, Account: account, Domain: domain, Path: path}
	o.cfg.Op = o.op
	return o
}

// mustBeACopy looks at the copy by other means than the op did.
func (o *order) mustBeACopy(out Outcome) CloneResult {
	o.t.Helper()
	t, n := o.t, o.node
	r := answerOf[CloneResult](t, out)
	site, err := n.host.Layout.Find(o.op.Site.Account, o.op.Site.Domain, o.op.Site.Path)
	must(t, err)
	site, err = site.WithURL(r.SiteURL)
	must(t, err)
	value := func(query string) string {
		t.Helper()
		var v string
		must(t, n.sql.QueryRowContext(t.Context(), strings.NewReplacer("{p}", r.DBName+"."+r.TablePrefix, "{db}", r.DBName).Replace(query)).Scan(&v))
		return v
	}
	if got := value("SELECT option_value FROM {p}options WHERE option_name = 'siteurl'"); got != r.SiteURL {
		t.Errorf("siteurl %q", got)
	}
	deep := value("SELECT option_value FROM {p}options WHERE option_name = 'deep'")
	if want := fmt.Sprintf(`s:%d:"%s"`, len(r.SiteURL), r.SiteURL); !strings.Contains(deep, want) || !strings.Contains(deep, r.Path) || strings.Contains(deep, "/old.test") {
		t.Errorf("deep: %s", deep)
	}
	escaped := strings.ReplaceAll(r.SiteURL, "/", `\/`)
	if got := value("SELECT meta_value FROM {p}postmeta WHERE meta_key = '_elementor_data'"); got != strings.ReplaceAll(elementor, `http:\/\/old.test`, escaped) {
		t.Errorf("elementor: %s", got)
	}
	if got := value("SELECT post_content FROM {p}posts WHERE ID = 1"); !strings.HasSuffix(got, r.SiteURL+`/wp-content/uploads/a.jpg"> 🦊 me@old.test sub.old.test`) {
		t.Errorf("post: %s", got)
	}
	if got := value("SELECT CONCAT_WS('|', note, gross, (SELECT t FROM {p}totals WHERE id = 1)) FROM {p}orders WHERE id = 1"); got != "äöü|12.50|10.50" {
		t.Errorf("plugin's tables: %s", got)
	}
	if got := value("SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = '{db}'") + value("SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '{db}'"); got != "11" {
		t.Errorf("triggers and foreign keys: %s", got)
	}
	if got := value("SELECT COUNT(*) FROM {p}options WHERE option_name LIKE 'wptk\\_login\\_%'"); got != "0" {
		t.Error("a login link was copied")
	}
	if got := value("SELECT option_value FROM {p}options WHERE option_name = 'broken'"); !strings.Contains(got, "old.test") || r.Broken != 1 {
		t.Errorf("a damaged value was touched: %s, %d", got, r.Broken)
	}
	ok, err := n.host.CLI.UserCheckPassword(t.Context(), site, "boss", rootPassword)
	if err != nil || !ok {
		t.Errorf("the password does not open the copy: %v", err)
	}
	o.mustHaveFiles(r)
	o.mustKeepSecrets(out)
	return r
}

func (o *order) mustHaveFiles(r CloneResult) {
	o.t.Helper()
	t := o.t
	for name, want := range map[string]bool{
		"wp-content/uploads/a.jpg": true, "wp-content/cache/page.html": false, "shop": false, wp.Marker: false, "wp-includes/version.php": true,
	} {
		if _, err := os.Lstat(filepath.Join(o.docroot(), name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{"link.jpg": o.docroot() + "/wp-content/uploads/a.jpg", "near.jpg": "a.jpg"} {
		if got, err := os.Readlink(filepath.Join(o.docroot(), "wp-content/uploads", name)); err != nil || got != want {
			t.Errorf("%s leads to %s, %v", name, got, err)
		}
	}
	if top, _, _ := strings.Cut(o.op.Site.Path, "/"); !slices.Equal(entries(t, o.home()), []string{top}) {
		t.Errorf("the domain's directory has %q", entries(t, o.home()))
	}
	info, err := os.Stat(filepath.Join(o.docroot(), configFile))
	if err != nil || info.Mode().Perm() != configMode {
		t.Errorf("wp-config: %v %v", info, err)
	}
	if r.Files < 1000 || r.Rows < 20 || r.Rewritten < 5 || !r.SiteUp || !slices.Equal(r.LeftOut, []string{"shop"}) {
		t.Errorf("%+v", r)
	}
}

func TestCloneIsTheSameSiteUnderAnotherAddress(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	src := makeOriginal(t, n, "clara")
	before := src.state(t)
	o := src.cloneTo(t, "clara", "new-and-longer.test", "public_html/blog", Clone{Title: "Copy & Co"})
	r := o.mustBeACopy(o.mustEnd(Succeeded))
	if r.Staging || r.SiteTitle != "Copy & Co" || r.SiteURL != "http://new-and-longer.test/blog" || r.DBName == src.db || r.TablePrefix == "wp_" {
		t.Errorf("%+v", r)
	}
	htaccess, err := os.ReadFile(filepath.Join(o.docroot(), ".htaccess"))
	if want := "RewriteBase /blog/\nRewriteRule . /blog/index.php [L]\nAuthUserFile " + o.docroot() + "/.htpasswd\n"; err != nil || string(htaccess) != want {
		t.Errorf("%s", htaccess)
	}
	src.mustBeAsBefore(t, before)
	original, err := os.ReadFile(filepath.Join(src.docroot(), configFile))
	must(t, err)
	copied, err := os.ReadFile(filepath.Join(o.docroot(), configFile))
	must(t, err)
	for _, line := range strings.Split(string(original), "\n") {
		if strings.Contains(line, "_SALT'") && strings.Contains(string(copied), line) {
			t.Errorf("the copy has a salt of the original's")
		}
	}

	// Once more to the same place: there is a WordPress now.
	if out := src.cloneTo(t, "clara", "new-and-longer.test", "public_html/blog", Clone{}).mustEnd(Failed); out.Error.Code != CodeWordPressExists {
		t.Errorf("%+v", out.Error)
	}
	src.mustBeGivenTo(t, "pauline")
	src.mustReachAnotherNode(t, "roxana")
	src.mustBeAsBefore(t, before)
	src.mustLeaveItsDomainBehind(t)
}

// mustLeaveItsDomainBehind moves the original into its domain's own directory, where its
// neighbours are none of the copy's.
func (s original) mustLeaveItsDomainBehind(t *testing.T) {
	t.Helper()
	for _, name := range entries(t, s.docroot()) {
		must(t, os.Rename(filepath.Join(s.docroot(), name), filepath.Join(s.home(), name)))
	}
	must(t, write(s.home(), "logs/access.log"))
	must(t, write(s.home(), "private.php"))
	giveTo(t, "clara", s.home())
	s.order = s.then(t, "site.inspect", `{}`) // any op: it stands for the install
	s.op.Site.Path, s.op.Site.ID = "", SiteID(s.node.host.Node, "clara", "old.test", "")
	before := s.state(t)
	o := s.cloneTo(t, "clara", "moved.test", "public_html", Clone{})
	r := answerOf[CloneResult](t, o.mustEnd(Succeeded))
	for name, want := range map[string]bool{"logs": false, "private.php": false, "public_html": false, "shop": false, ".htaccess": true, "wp-content/uploads/a.jpg": true} {
		if _, err := os.Lstat(filepath.Join(o.docroot(), name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !r.SiteUp || r.Files < 1000 {
		t.Errorf("%+v", r)
	}
	s.mustBeAsBefore(t, before)
}

// mustBeGivenTo has another account get a staging copy.
func (s original) mustBeGivenTo(t *testing.T, account string) {
	t.Helper()
	o := s.cloneTo(t, account, "staging.old.test", "public_html", Clone{})
	r := o.mustBeACopy(o.mustEnd(Succeeded))
	if !r.Staging || !strings.HasPrefix(r.DBName, account+"_") {
		t.Errorf("%+v", r)
	}
	who, err := wptest.Tenant(account)
	must(t, err)
	must(t, filepath.WalkDir(o.home(), func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != who.UID {
			t.Errorf("%s belongs to %d", path, st.Uid)
		}
		return nil
	}))
	if _, err := os.Lstat(filepath.Join(o.docroot(), "wp-content/mu-plugins/wptk.php")); err != nil {
		t.Errorf("nothing guards the staging copy: %v", err)
	}
}

func TestCloneSurvivesADeathAtEveryBoundary(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	src := makeOriginal(t, n, "doris")
	src.put("state.php", fmt.Sprintf(stateFile, "copied"))
	src.exec(t, "INSERT INTO wp_options (option_name, option_value) VALUES ('state', 'rows')")
	before := src.state(t)
	const shares = 3 // an op that dies three times in one step is given up on purpose
	for _, share := range some(shares) {
		o := src.cloneTo(t, fmt.Sprint("heir", share), "copy.test", "public_html", Clone{})
		r := &reaper{order: o, share: share, shares: shares, seen: map[string]bool{}}
		o.fail = func(e Entry) error {
			r.after = r.deaths%2 == 1 // before an entry is kept, and behind it, by turns
			return r.entry(e)
		}
		p := newPoller(t, o.serveDir(o.home())+"/public_html")
		out, err := r.live()
		must(t, err)
		o.mustBe(out, Succeeded)
		p.mustHaveSeen(regexp.MustCompile("^404 "), "copied rows")
		o.mustBeACopy(out)
		if want := []string{answerOf[CloneResult](t, out).DBName, answerOf[CloneResult](t, out).DBName + "@127.0.0.1"}; !slices.Equal(n.databases(t, o.op.Site.Account), want) {
			t.Errorf("databases %q, want %q", n.databases(t, o.op.Site.Account), want)
		}
		if r.deaths < 6 {
			t.Errorf("share %d: %d deaths only", share, r.deaths)
		}
	}
	// Whatever step it is stopped at, nothing of the copy stays.
	for i, step := range []string{"publish", "tables"}[:len(some(2))] {
		o := src.cloneTo(t, fmt.Sprint("none", i), "copy.test", "public_html", Clone{})
		o.cancelAt(Entry{Mark: MarkDone, Step: step})
		o.mustEnd(Cancelled)
		o.mustBeGone(nil)
	}
	src.mustBeAsBefore(t, before)
}

func TestCloneRefusesWhatItCannotCopy(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	c := d.database("fritz", "wp")
	src := original{order: d.install("fritz", "old.test", "public_html", c)}
	must(t, os.WriteFile(filepath.Join(src.docroot(), "wp-includes/version.php"), []byte("<?php\n$wp_version = '6.5';\n"), 0o644))
	src.db = c.db
	src.exec(t, "DROP TABLE wp_options")
	src.exec(t, "CREATE TABLE wp_options (option_name VARCHAR(50), option_value TEXT)")
	src.exec(t, "INSERT INTO wp_options VALUES ('siteurl', 'http://old.test'), ('home', 'http://old.test'), ('blogname', 'x')")
	config := filepath.Join(src.docroot(), configFile)
	plain, err := os.ReadFile(config)
	must(t, err)
	for name, bad := range map[string]struct{ from, to, code string }{
		"a network":               {"/** Debugging", "define( 'MULTISITE', true );\n/** Debugging", CodeMultisite},
		"a computed database":     {"define( 'DB_NAME', '", "define( 'DB_NAME', ''.getenv('X').'", CodeUnreadable},
		"a computed prefix":       {"$table_prefix = '", "$table_prefix = getenv('X') ? 'a_' : '", CodeUnreadable},
		"a database that is away": {"define( 'DB_NAME', '", "define( 'DB_NAME', 'no", CodeUnreadable},
		"no configuration at all": {string(plain), "", CodeNoWordPress},
		"keys under a condition":  {"define( 'AUTH_KEY'", "if ( getenv('X') ) define( 'AUTH_KEY'", CodeConfigUncertain},
	} {
		must(t, os.WriteFile(config, []byte(strings.Replace(string(plain), bad.from, bad.to, 1)), 0o600))
		if bad.to == "" {
			must(t, os.Remove(config))
		}
		giveTo(t, "fritz", src.home())
		o := src.cloneTo(t, "fritz", "copy.test", "public_html", Clone{})
		if out := o.mustEnd(Failed); out.Error.Code != bad.code || out.Error.Hint == "" {
			t.Errorf("%s: %+v", name, out.Error)
		}
		if got := entries(t, o.home()); len(got) != 0 {
			t.Errorf("%s: the domain's directory has %q", name, got)
		}
	}
}

func TestCloneDecidesWhatIsStaging(t *testing.T) {
	t.Parallel()
	no := false
	for _, c := range []struct {
		source, target string
		asked          *bool
		want           bool
	}{
		{"blog.com", "staging.blog.com", nil, true},
		{"www.blog.com", "dev.blog.com", nil, true},
		{"blog.com", "blog.com", nil, true},
		{"blog.com", "otherblog.com", nil, false},
		{"blog.com", "blog.org", nil, false},
		{"blog.com", "staging.blog.com", &no, false},
	} {
		if got := (&Clone{Source: SiteRef{Domain: c.source}, Staging: c.asked}).staging(c.target); got != c.want {
			t.Errorf("%s to %s: %t", c.source, c.target, got)
		}
	}
}
