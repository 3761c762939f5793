package tasks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp"
)

// shopper is an installed site whose tables hold all that a replacement may trip over.
type shopper struct {
	*order
	db, prefix string
	site       wp.Site
}

func newShopper(t *testing.T, account string) shopper {
	t.Helper()
	n := newNode(t)
	o := n.order(t, account, "shop.test", "public_html", Install{TablePrefix: "sr_"})
	r := o.result(o.mustEnd(Succeeded))
	s := shopper{order: o, db: r.DBName, prefix: r.TablePrefix}
	var err error
	s.site, err = n.host.Find(account, "shop.test", "public_html")
	must(t, err)
	return s
}

func (s shopper) exec(statement string, args ...any) {
	s.t.Helper()
	statement = strings.NewReplacer("{db}", s.db+"."+s.prefix, "{other}", s.db+".").Replace(statement)
	_, err := s.node.sql.ExecContext(s.t.Context(), statement, args...)
	must(s.t, err)
}

func (s shopper) read(query string, args ...any) string {
	s.t.Helper()
	var text string
	must(s.t, s.node.sql.QueryRowContext(s.t.Context(), strings.ReplaceAll(query, "{db}", s.db+"."+s.prefix), args...).Scan(&text))
	return text
}

func (s shopper) option(name, value string) {
	s.exec("REPLACE INTO {db}options (option_name, option_value, autoload) VALUES (?, ?, 'no')", name, value)
}

func (s shopper) optionOf(name string) string {
	return s.read("SELECT option_value FROM {db}options WHERE option_name = ?", name)
}

func (s shopper) replaced(payload string) *wp.Replaced {
	s.t.Helper()
	return answerOf[SearchReplaceResult](s.t, s.then(s.t, "search.replace", payload).mustEnd(Succeeded)).Replaced
}

func cellsOf(r *wp.Replaced, table, column string) int {
	for _, t := range r.Tables {
		if t.Table == table {
			return t.Columns[column]
		}
	}
	return 0
}

func TestSearchReplaceChangesTheSiteAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newShopper(t, "sara")
	s.option("nested", `a:1:{s:3:"url";s:38:"a:1:{i:0;s:20:"http://shop.test/äx";}";}`)
	s.option("object", `O:7:"Missing":1:{s:4:"link";s:18:"http://shop.test/a";}`)
	s.option("builder", `{"url":"http:\/\/shop.test\/a"}`)
	s.option("nothing", `http://other.test`)
	s.exec("CREATE TABLE {db}keyless (v TEXT)")
	s.exec("INSERT INTO {db}keyless VALUES ('http://shop.test')")
	s.exec("CREATE TABLE {db}named (k VARCHAR(50), n BIGINT UNSIGNED, parent VARCHAR(100), PRIMARY KEY (k, n)) ENGINE=MyISAM")
	for i := range 350 { // several pages
		s.exec("INSERT INTO {db}named VALUES (?, ?, 'http://shop.test')", fmt.Sprintf("k'%d", i/100), uint64(1)<<63+uint64(i))
	}
	for _, name := range []string{"options", "usermeta"} { // another install in the same database
		s.exec("CREATE TABLE {other}sr_two_" + name + " LIKE {db}" + name)
	}
	s.exec("INSERT INTO {other}sr_two_options (option_name, option_value) VALUES ('home', 'http://shop.test')")
	guid, pass := s.read("SELECT guid FROM {db}posts WHERE ID = 1"), s.read("SELECT user_pass FROM {db}users")

	ask := `{"search":"http://shop.test","replace":"https://www.shop.example"`
	dry := s.then(t, "search.replace", ask+`,"dry_run":true}`)
	would := answerOf[SearchReplaceResult](t, dry.mustEnd(Succeeded))
	if !would.DryRun || would.Would == nil || would.Would.Cells < 355 || s.optionOf("home") != "http://shop.test" {
		t.Fatalf("%+v", would)
	}

	done := s.replaced(ask + `}`)
	for name, want := range map[string]string{
		"home": "https://www.shop.example", "nothing": "http://other.test",
		"nested":  `a:1:{s:3:"url";s:46:"a:1:{i:0;s:28:"https://www.shop.example/äx";}";}`,
		"object":  `O:7:"Missing":1:{s:4:"link";s:26:"https://www.shop.example/a";}`,
		"builder": `{"url":"https:\/\/www.shop.example\/a"}`,
	} {
		if got := s.optionOf(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if done.Cells != would.Would.Cells || cellsOf(done, "sr_named", "parent") != 350 || cellsOf(done, "sr_options", "option_value") < 5 || done.Left != 0 {
		t.Errorf("would: %+v\ndone: %+v", would.Would, done)
	}
	if len(done.Skipped) != 1 || done.Skipped[0].Table != "sr_keyless" {
		t.Errorf("skipped: %+v", done.Skipped)
	}
	for query, want := range map[string]string{
		"SELECT guid FROM {db}posts WHERE ID = 1":                                  guid,
		"SELECT user_pass FROM {db}users":                                          pass,
		"SELECT v FROM {db}keyless":                                                "http://shop.test",
		"SELECT COUNT(*) FROM {db}named WHERE parent = 'https://www.shop.example'": "350",
		"SELECT option_value FROM {db}two_options":                                 "http://shop.test",
		"SELECT COUNT(*) FROM {db}options WHERE option_name LIKE '%wptk%'":         "0",
	} {
		if got := s.read(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if home, err := s.node.host.CLI.OptionString(t.Context(), s.site, "home"); err != nil || home != "https://www.shop.example" {
		t.Errorf("WordPress says %q %v", home, err)
	}
	if again := s.replaced(ask + `}`); again.Cells != 0 {
		t.Errorf("the second time: %+v", again)
	}
	s.mustTakeHardValues()
	s.mustRefuseWhatCannotBe()
	s.mustBeDoneOnce()
	s.mustSayWhatItCouldNotDo()
}

// mustTakeHardValues replaces what no command line could carry.
func (s shopper) mustTakeHardValues() {
	s.t.Helper()
	for i, c := range []struct {
		cell, search, replace, want string
		regex                       bool
	}{
		{"--exec=x and -h", "--exec=x", "-", "- and -h", false},
		{"100% of 'it' \\ \"that\"\n`x`", "% of 'it' \\ \"that\"\n`", "_", "100_x`", false},
		{"a_b axb", "a_b", "%s", "%s axb", false},
		{"Müller müller", "Müller", "Möller ☕", "Möller ☕ müller", false},
		{"www.x.test/x.test", "x.test", "www.x.test", "www.x.test/www.x.test", false},
		{"aaaaaa", "aa", "a", "a", false}, // comes up again while it is replaced
		{"img-12.png img-7.png", `img-(\d+)`, "pic$1", "pic12.png pic7.png", true},
		{"one+one", "(one)", "$1$1", "oneone+oneone", true},
	} {
		s.option("hard", c.cell)
		wish := wp.Replacement{Op: fmt.Sprint("op_", i), Search: c.search, Replace: c.replace, Regex: c.regex, Tables: []string{"sr_opt*"}}
		done, err := s.node.host.CLI.ApplyReplacements(s.t.Context(), s.site, wish)
		must(s.t, err)
		if s.optionOf("hard") != c.want || done.Cells == 0 {
			s.t.Errorf("%d: %q, want %q: %+v", i, s.optionOf("hard"), c.want, done)
		}
	}
}

func (s shopper) mustRefuseWhatCannotBe() {
	s.t.Helper()
	for _, payload := range []string{
		`{"search":"(","replace":"","regex":true}`, `{"search":"a","replace":"b","tables":["sr_two_options"]}`,
	} {
		out := s.then(s.t, "search.replace", payload).mustEnd(Failed)
		if out.Error.Code != CodeInvalidPayload {
			s.t.Errorf("%s: %+v", payload, out.Error)
		}
	}
}

// An expression would match its own replacement: after a death at any point each cell must
// have been changed exactly once.
func (s shopper) mustBeDoneOnce() {
	t := s.t
	t.Helper()
	for _, mark := range []Mark{MarkBegin, MarkSet, MarkDone} {
		s.option("mine", "one")
		op := s.then(t, "search.replace", `{"search":"\\bone|(?<=one)one\\b","replace":"oneone","regex":true,"tables":["sr_options"]}`)
		dead := false
		op.fail = func(e Entry) error {
			if dead {
				return errDead
			}
			if e.Mark == mark && (e.Step == "replace" || mark == MarkSet && e.Key == resultKey && strings.Contains(e.Value, `"passes":1`)) {
				dead = true
				return errDead
			}
			return nil
		}
		if _, err := op.attempt(); !errors.Is(err, errDead) {
			t.Fatalf("%s: %v", mark, err)
		}
		op.fail = nil
		done := answerOf[SearchReplaceResult](t, op.mustEnd(Succeeded))
		if got := s.optionOf("mine"); got != "oneone" || cellsOf(done.Replaced, "sr_options", "option_value") == 0 {
			t.Errorf("dead at %s: %q %+v", mark, got, done.Replaced)
		}
	}
}

func (s shopper) mustSayWhatItCouldNotDo() {
	t := s.t
	t.Helper()
	s.exec("CREATE TABLE {db}tight (id INT PRIMARY KEY, v VARCHAR(5))")
	s.exec("INSERT INTO {db}tight VALUES (1, 'short'), (2, 'ok')")
	out, err := s.then(t, "search.replace", `{"search":"short","replace":"too long for it","tables":["sr_tight"]}`).attempt()
	must(t, err)
	r := answerOf[SearchReplaceResult](t, out)
	if out.State != Unverified || out.Error.Code != CodeUnconfirmed || r.Replaced.Failed == 0 || s.read("SELECT v FROM {db}tight WHERE id = 1") != "short" {
		t.Errorf("%s %+v %+v", out.State, out.Error, r.Replaced)
	}
	// A must-use plugin that ends PHP is no reason to change anything.
	must(t, os.MkdirAll(filepath.Join(s.docroot(), "wp-content/mu-plugins"), 0o755))
	must(t, os.WriteFile(filepath.Join(s.docroot(), "wp-content/mu-plugins/x.php"), []byte("<?php exit( 3 );"), 0o644))
	if out := s.then(t, "search.replace", `{"search":"shop.example","replace":"b.test"}`).mustEnd(Failed); out.Error.Code != CodeWPCLI || s.optionOf("home") != "https://www.shop.example" {
		t.Errorf("%+v", out.Error)
	}
}

func TestSearchReplaceRequestsAreChecked(t *testing.T) {
	t.Parallel()
	for payload, fields := range map[string]string{
		`{"search":"","replace":"x"}`:                                  "search",
		`{"search":"x","replace":"x"}`:                                 "replace",
		`{"search":"x","replace":"a\u0000b"}`:                          "replace",
		`{"search":"x","replace":"y","tables":["a b"]}`:                "tables",
		`{"search":"x","replace":"y","tables":["--allow-root"]}`:       "",
		`{"search":"(x)","replace":"(x)","regex":true}`:                "",
		`{"search":"` + strings.Repeat("x", 5000) + `","replace":"y"}`: "search",
	} {
		task, _, err := Decode("search.replace", []byte(payload))
		must(t, err)
		var got []string
		for _, p := range task.Validate() {
			got = append(got, p.Field)
		}
		if strings.Join(got, ",") != fields {
			t.Errorf("%.80s: %q, want %q", payload, got, fields)
		}
	}
}
