package tasks

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func validInstall() Install {
	return Install{AdminUser: "boss", AdminPassword: "correct horse", AdminEmail: "boss@blog.example"}
}

func TestLeastInstallIsValid(t *testing.T) {
	t.Parallel()
	p := validInstall()
	if found := p.Validate(); len(found) > 0 {
		t.Fatal(found)
	}
}

func TestValidateNamesAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	p := Install{
		Title: "a\nb", AdminUser: "", AdminPassword: "short", AdminEmail: "nobody", DBName: "a;b", Version: "newest",
		Locale: "german", TablePrefix: "wp-", Plugins: []string{"../x"}, Theme: "--require=/x", Multisite: "yes",
	}
	fields := map[string]bool{}
	for _, found := range p.Validate() {
		fields[found.Field] = true
		if len(found.Reason) < 5 {
			t.Errorf("%s: %q says nothing", found.Field, found.Reason)
		}
		if strings.Contains(found.Reason, "short") && found.Field == "admin_password" && strings.Contains(found.Reason, "horse") {
			t.Error("the password is quoted")
		}
	}
	if len(fields) != 11 {
		t.Errorf("%d of 11 fields are named: %v", len(fields), fields)
	}
}

func TestHostileValuesAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	for field, c := range map[string]struct {
		set    func(p *Install, v string)
		values []string
	}{
		"title": {func(p *Install, v string) { p.Title = v },
			[]string{long, "a\x00b", "a\r\nb", "\x1b[31m", "a\u2028b", "\xff\xfe", strings.Repeat("ü", maxTitle+1)}},
		"admin_user": {func(p *Install, v string) { p.AdminUser = v },
			[]string{"", "-x", "--exec=phpinfo();", " x", "x ", "a  b", "a\nb", "ü", "<b>", "$(id)", "`id`", "a/b", strings.Repeat("x", 61)}},
		"admin_password": {func(p *Install, v string) { p.AdminPassword = Secret(v) },
			[]string{"0", "1234567", " 12345678", "12345678\n", "1234\x005678", long, "1234567\xff"}},
		"admin_email": {func(p *Install, v string) { p.AdminEmail = v },
			[]string{"", "@", "a@", "@b.example", "a@b", "a@b..example", "a@1.2.3.4", "a b@c.example", "a@b.example\n", "a@b@c.example",
				"a\r\nBcc: x@y.example@z.example", "<a@b.example>", strings.Repeat("x", 100) + "@b.example"}},
		"db_name": {func(p *Install, v string) { p.DBName = v },
			[]string{"a b", "a;DROP", "a`b", "../a", "a%", "ü", strings.Repeat("x", 65)}},
		"version": {func(p *Install, v string) { p.Version = v },
			[]string{"6", "v6.5", "6.5; id", "../6.5", "-1.0", "6.5-evil", "latest ", "6.5\n"}},
		"locale": {func(p *Install, v string) { p.Locale = v },
			[]string{"d", "de-DE", "de_DE/..", "--path=/x", "de_DE\n", "DE"}},
		"table_prefix": {func(p *Install, v string) { p.TablePrefix = v },
			[]string{"wp", "_", "1_", "WP_", "wp-_", "wp_; DROP_", "wptk_", "wp_\n", strings.Repeat("x", 21) + "_"}},
		"theme": {func(p *Install, v string) { p.Theme = v },
			[]string{"-x", "--require=/x", "a/b", "..", "a@", "a@../b", "a@-1", "https://evil.example/x.zip", "a b"}},
		"plugins": {func(p *Install, v string) { p.Plugins = []string{v} },
			[]string{"", "-x", "--require=/home/a/x.php", "../x", "a@", "a@b@c", "https://evil.example/x.zip", "a\nb", long}},
		"multisite": {func(p *Install, v string) { p.Multisite = v }, []string{"true", "subdomain", "SUBDOMAINS"}},
	} {
		for _, value := range c.values {
			p := validInstall()
			c.set(&p, value)
			found := p.Validate()
			if len(found) != 1 || found[0].Field != field || len(found[0].Reason) > 300 {
				t.Errorf("%s %.40q: %.300v", field, value, found)
			}
		}
	}
}

// What looks like a flag is fine where it can only be a value.
func TestUnusualValuesAreAccepted(t *testing.T) {
	t.Parallel()
	for _, change := range []func(p *Install){
		func(p *Install) { p.Title = "--exec=phpinfo();" },
		func(p *Install) { p.Title = `O'Brien & "Sons" <3 $(id) ☕` },
		func(p *Install) { p.AdminPassword = `--prompt $1 \'" ä•☕` },
		func(p *Install) { p.AdminPassword = "age:" + "a sealed one is checked on the node" },
		func(p *Install) { p.AdminUser = "the boss@home.example" },
		func(p *Install) { p.AdminEmail = "o'brien+wp@xn--bcher-kva.example" },
		func(p *Install) { p.Version = "7.1-RC2" },
		func(p *Install) { p.Locale = "de_DE_formal" },
		func(p *Install) { p.Plugins = []string{"akismet@5.3", "a.b_c-d"} },
		func(p *Install) { p.Multisite = Subdomains },
	} {
		p := validInstall()
		change(&p)
		if found := p.Validate(); len(found) > 0 {
			t.Errorf("%v: %v", p, found)
		}
	}
}

func TestPluginIsNamedOnce(t *testing.T) {
	t.Parallel()
	p := validInstall()
	p.Plugins = []string{"akismet", "akismet@5.3"}
	if found := p.Validate(); len(found) != 1 {
		t.Error(found)
	}
	p.Plugins = make([]string, maxInstallPkgs+1)
	if found := p.Validate(); len(found) != 1 || !strings.Contains(found[0].Reason, "at most") {
		t.Error(found)
	}
}

// Whatever passes has no control character and no leading hyphen where a value
// is an argument of its own.
func TestWhatPassesIsSafeToHandOn(t *testing.T) {
	t.Parallel()
	anything := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,30}`), rapid.StringMatching(`-{0,2}[a-z0-9@._ -]{0,20}`))
	rapid.Check(t, func(t *rapid.T) {
		p := Install{
			Title: anything.Draw(t, "title"), AdminUser: anything.Draw(t, "user"), AdminPassword: Secret(anything.Draw(t, "password")),
			AdminEmail: anything.Draw(t, "email"), DBName: anything.Draw(t, "db"), Theme: anything.Draw(t, "theme"),
		}
		bad := map[string]bool{}
		for _, found := range p.Validate() {
			bad[found.Field] = true
		}
		for field, value := range map[string]string{
			"title": p.Title, "admin_user": p.AdminUser, "admin_password": string(p.AdminPassword), "admin_email": p.AdminEmail,
			"db_name": p.DBName, "theme": p.Theme,
		} {
			if bad[field] || strings.HasPrefix(value, sealedPrefix) {
				continue
			}
			if strings.ContainsFunc(value, isControl) {
				t.Fatalf("%s has a control character: %q", field, value)
			}
			if (field == "admin_user" || field == "theme") && strings.HasPrefix(value, "-") {
				t.Fatalf("%s begins with a hyphen: %q", field, value)
			}
		}
	})
}
