package wp

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/wp/rewrite"
)

// What WP-CLI replaces row by row with PHP is what the filter makes of the dump, on a real
// WordPress with the kinds of values that plugins leave there. (WP-CLI drops blanks behind a
// serialized value and leaves keys of arrays as they are; the filter does neither.)
func TestFilteredCopyAgreesWithSearchReplace(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	site := l.prepare(t, "jan", "jan.test", "public_html", ConfigOptions{TablePrefix: "wp_jan_"})
	host := &Host{CLI: l.cli, DB: l.admin, DBHost: "127.0.0.1:" + port(l.db.Addr), Layout: l.layout}
	ctx := t.Context()
	_, err := l.cli.CoreInstall(ctx, site, InstallOptions{Title: "Jan", AdminUser: "jan", AdminEmail: "jan@jan.test", AdminPassword: livePassword})
	must(t, err)
	login, err := host.Login(ctx, site)
	must(t, err)
	inner := `a:2:{s:3:"url";s:19:"https://jan.test/é";i:7;O:8:"stdClass":1:{s:1:"p";s:15:"//jan.test/😀";}}`
	insert := "INSERT INTO wp_jan_options (option_name, option_value) VALUES (?, ?)"
	conn := asTCP(t, l, login)
	for name, value := range map[string]string{
		"opt_serialized": inner,
		"opt_nested":     `a:1:{s:4:"data";s:` + strconv.Itoa(len(inner)) + `:"` + inner + `";}`,
		"opt_json":       `{"url":"https:\/\/jan.test\/x","t":"jan.test \ud83d\ude00"}`,
		"opt_elementor":  `[{"id":"1","settings":{"image":{"url":"https:\/\/jan.test\/a.jpg"},"html":"<a href=\"https:\/\/jan.test\">it's<\/a>"}}]`,
		"opt_plain":      "https://jan.test \\ ' \" \n\r\t %_ jan.test",
		"opt_base64":     "aHR0cHM6Ly9qYW4udGVzdA==",
	} {
		_, err := conn.ExecContext(ctx, insert, name, value)
		must(t, err)
	}
	replace := command("search-replace").arg("jan.test").arg("clone.example.org").flag("precise").flag("all-tables").fixed("format", "count")
	_, err = l.cli.must(ctx, site, replace.flag("dry-run")) // the first start of a WordPress plans its cron
	must(t, err)
	fresh, err := host.FreshSchema(ctx, "op_agree", login.Name, login.User, "127.0.0.1")
	must(t, err)
	stats, err := host.CopyDatabase(ctx, site, login, login.In(fresh), rewrite.Filter{
		Rewriter: rewrite.New([]rewrite.Rule{{From: "jan.test", To: "clone.example.org"}}), GUID: true,
	}, nil)
	must(t, err)
	_, err = l.cli.must(ctx, site, replace)
	must(t, err)
	rows := func(login Login) []string {
		var out bytes.Buffer
		must(t, host.Dump(ctx, site, login, DumpOptions{}, &out))
		return strings.Split(regexp.MustCompile(`[Dd]atabase:? .*|AUTO_INCREMENT=\d+`).ReplaceAllString(out.String(), ""), "\n")
	}
	want, got := rows(login), rows(login.In(fresh))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-search-replace +filter)\n%s", diff)
	}
	var changed int64
	for _, table := range stats.Tables {
		changed += table.Changed
	}
	if changed < 15 || stats.BrokenLeft != 0 {
		t.Errorf("%d values changed, %d left", changed, stats.BrokenLeft)
	}
}
