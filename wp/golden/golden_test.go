package golden

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const secret = "s3cret, of the sample"

var made = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// sample is as much of a WordPress as the rules are about.
func sample(t interface{ Fatal(...any) }, zone, password string) (Values, Dump) {
	v := Shape{Below: true}.Sample()
	hash, err := Hash("$wp$2y$04$"+strings.Repeat(".", 53), password)
	if err != nil {
		t.Fatal(err)
	}
	text := func(all ...string) (row []Cell) {
		for _, s := range all {
			row = append(row, Cell{Text: s})
		}
		return row
	}
	local := made.In(must(time.LoadLocation(zone))).Format(time.DateTime)
	in := fmt.Sprintf("a:2:{i:%d;s:%d:\"%s/x\";s:5:\"other\";i:12;}", made.Unix()+60, len(v.URL)+2, v.URL)
	return v, Dump{
		{Name: v.Prefix + "options", Create: "CREATE TABLE `" + v.Prefix + "options` (x)", Columns: []string{"option_id", "option_name", "option_value"}, Rows: [][]Cell{
			text("1", "siteurl", v.URL), text("2", "blogname", title(v.Title)), text("3", "timezone_string", zone),
			text("4", v.Prefix+"user_roles", in), text("5", "admin_email_lifespan", fmt.Sprint(made.Unix()+15552000)), text("6", "other", "1111111111"),
		}},
		{Name: v.Prefix + "posts", Create: "CREATE TABLE `" + v.Prefix + "posts` (x)", Columns: []string{"ID", "post_date", "post_date_gmt", "post_modified_gmt"}, Rows: [][]Cell{
			text("1", local, made.Format(time.DateTime), "0000-00-00 00:00:00"),
		}},
		{Name: v.Prefix + "users", Create: "CREATE TABLE `" + v.Prefix + "users` (x)", Columns: []string{"user_login", "user_pass", "user_nicename", "user_email", "user_registered"}, Rows: [][]Cell{
			text(v.Login, hash, nicename(v.Login), v.Email, made.Format(time.DateTime)),
		}},
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func template(t interface{ Fatal(...any) }, zone string) *Template {
	v, dump := sample(t, zone, secret)
	made, err := New(v, secret, dump)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// Whatever the values are, even those of the sample, each of them is where the sample had its
// own, serialized lengths are true, and nothing is replaced twice.
func TestRenderedValuesStandWhereTheSamplesWere(t *testing.T) {
	t.Parallel()
	tmpl := template(t, "")
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{mark + "title", mark + "prefix_", "a:1:{", `";s:1:"`, "1782900000"}))
		v := Values{Prefix: "p_", URL: "https://" + rapid.StringMatching(`[a-z]{1,20}`).Draw(t, "host") + ".test/b",
			Title: texts.Draw(t, "title"), Login: rapid.StringMatching(`[A-Za-z0-9_@][A-Za-z0-9_.@-]{0,58}`).Draw(t, "login"),
			Email: rapid.StringMatching(`[a-z.+]{1,20}@[a-z]{1,20}\.test`).Draw(t, "email"), Hash: "$wp$2y$hash", Now: made.Add(time.Hour)}
		out := tmpl.Render(v)
		for _, c := range []struct{ table, column, key, value, want string }{
			{"p_options", "option_value", "option_name", "siteurl", v.URL},
			{"p_options", "option_value", "option_name", "blogname", title(v.Title)},
			{"p_options", "option_value", "option_name", "p_user_roles", fmt.Sprintf("a:2:{i:%d;s:%d:\"%s/x\";s:5:\"other\";i:12;}", made.Unix()+3660, len(v.URL)+2, v.URL)},
			{"p_options", "option_value", "option_name", "admin_email_lifespan", fmt.Sprint(made.Unix() + 15552000 + 3600)},
			{"p_options", "option_value", "option_name", "other", "1111111111"},
			{"p_posts", "post_date_gmt", "ID", "1", "2026-07-01 13:00:00"},
			{"p_posts", "post_modified_gmt", "ID", "1", "0000-00-00 00:00:00"},
			{"p_users", "user_pass", "user_login", v.Login, v.Hash},
			{"p_users", "user_nicename", "user_login", v.Login, nicename(v.Login)},
			{"p_users", "user_email", "user_login", v.Login, v.Email},
		} {
			if got, err := out.cell(c.table, c.column, c.key, c.value); err != nil || got != c.want {
				t.Fatalf("%s of %s is %q, want %q, %v", c.column, c.value, got, c.want, err)
			}
		}
		if got := tmpl.Creates("p_")[1]; got != "CREATE TABLE `p_posts` (x)" {
			t.Fatal(got)
		}
	})
}

// A date in the site's own zone follows that zone's clock into winter.
func TestLocalDatesFollowTheirZone(t *testing.T) {
	t.Parallel()
	out := template(t, "Europe/Berlin").Render(Values{Prefix: "p_", Now: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)})
	for column, want := range map[string]string{"post_date": "2026-12-01 13:00:00", "post_date_gmt": "2026-12-01 12:00:00"} {
		if got, err := out.cell("p_posts", column, "ID", "1"); err != nil || got != want {
			t.Errorf("%s is %q, %v", column, got, err)
		}
	}
}

// A template whose sample has a value in a form that no rule finds is none.
func TestTemplateWithAnUnknownPlaceIsRefused(t *testing.T) {
	t.Parallel()
	v, dump := sample(t, "", secret)
	dump[0].Rows[5][2].Text = strings.ToUpper(v.Title)
	if _, err := New(v, secret, dump); err == nil || !strings.Contains(err.Error(), "nothing replaces") {
		t.Errorf("%v", err)
	}
	if v, dump = sample(t, "", secret); dump != nil {
		if _, err := New(v, "another", dump); err == nil {
			t.Error("a password that WordPress hashes in an unknown way was taken")
		}
	}
}

// What a second installation has and the template does not give is found.
func TestTemplateThatDiffersFromAnInstallationIsRefused(t *testing.T) {
	t.Parallel()
	tmpl := template(t, "")
	v := Shape{Below: true}.Second()
	hash := must(Hash(tmpl.Like(), "other"))
	real := func(at time.Time) Dump {
		v := v
		v.Hash, v.Now = hash, at
		return tmpl.Render(v)
	}
	if err := tmpl.Check(v, "other", real(made.Add(5*time.Second))); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(Dump) Dump{
		"a value":   func(d Dump) Dump { d[0].Rows[5][2].Text = "2"; return d },
		"a null":    func(d Dump) Dump { d[0].Rows[5][2].Null = true; return d },
		"a row":     func(d Dump) Dump { d[0].Rows = d[0].Rows[:5]; return d },
		"a table":   func(d Dump) Dump { return append(d, Table{Name: "second_more"}) },
		"a column":  func(d Dump) Dump { d[0].Create += " "; return d },
		"no user":   func(d Dump) Dump { d[2].Rows = nil; return d },
		"long ago":  func(d Dump) Dump { d[0].Rows[4][2].Text = "1700000000"; return d },
		"its dates": func(d Dump) Dump { d[1].Rows[0][1].Text = "2020-01-01 00:00:00"; return d },
	} {
		if err := tmpl.Check(v, "other", spoil(real(made))); err == nil {
			t.Errorf("%s: no difference was found", name)
		}
	}
	if err := tmpl.Check(v, "wrong", real(made)); err == nil {
		t.Error("another password was taken")
	}
}

// Rewrite rules name the path of the site.
func TestRewriteRulesFollowThePath(t *testing.T) {
	t.Parallel()
	rules := "RewriteBase /" + mark + "path/\nRewriteRule . /" + mark + "path/index.php [L]"
	got := template(t, "").Text(rules, Values{URL: "https://x.test/a/b"})
	if got != "RewriteBase /a/b/\nRewriteRule . /a/b/index.php [L]" {
		t.Error(got)
	}
}
