package wp

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFactsOfAHostileSiteAreCleanAndBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä\\u001b[31m\\n", 2000)
	out := `{"status":"ok","reason":"forged","issues":[{"code":"x"}],"files":{"bytes":-1},
		"core":{"version":"` + long + `"},"failed":["a\nb"],
		"security":{"constants":{"WP_DEBUG":true,"X\u001b":["nested"],"Y":"a\nb","Z":null,"N":3.5}},
		"users":{"by_role":{"ed\nitor":2},"administrators":[{"login":"x\u0007"}]},
		"plugins":{"list":[` + strings.TrimSuffix(strings.Repeat(`{"slug":"`+long+`","name":"`+long+`"},`, 400), ",") + `]}}`
	d, err := parseFacts([]byte(out))
	must(t, err)
	if d.Status != "" || d.Reason != "" || d.Issues != nil || d.Files != nil {
		t.Errorf("the site speaks for us: %+v", d)
	}
	if len(d.Core.Version) > 512 || strings.ContainsAny(d.Core.Version+d.Users.Admins[0].Login+d.Failed[0], "\n\x1b\x07") {
		t.Errorf("%q", d.Core.Version)
	}
	c := d.Security.Constants
	if c["WP_DEBUG"] != true || c["Y"] != "a b" || c["N"] != nil || len(c) != 3 || d.Users.ByRole["ed itor"] != 2 {
		t.Errorf("%v %v", c, d.Users.ByRole)
	}
	encoded, err := d.Encode()
	must(t, err)
	var back Details
	must(t, json.Unmarshal(encoded, &back))
	if len(encoded) > MaxDetails || back.Plugins.More+len(back.Plugins.List) != 400 || back.Plugins.More == 0 || len(d.Plugins.List) != 400 {
		t.Errorf("%d bytes, %d and %d more", len(encoded), len(back.Plugins.List), back.Plugins.More)
	}
	for _, bad := range []string{"", "{}", "[]", "null", `{"core":null}`, `{"core":{"version":1}}`, `{"core":{}} x`} {
		if _, err := parseFacts([]byte(bad)); !errors.Is(err, ErrOutput) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzParseFacts(f *testing.F) {
	f.Add([]byte(`{"core":{"version":"6.5"},"security":{"constants":{"A":"b"}},"users":{"by_role":{"a":1}}}`))
	f.Add([]byte(`{"core":{},"plugins":{"list":[{"slug":"\ud800"}]}}`))
	f.Fuzz(func(t *testing.T, out []byte) {
		d, err := parseFacts(out)
		if err != nil {
			return
		}
		d.Issues = issuesOf(d)
		encoded, err := d.Encode()
		if err != nil || !utf8.Valid(encoded) {
			t.Fatalf("%v %q", err, encoded)
		}
	})
}

func TestCulpritIsTheFileThatPHPBlames(t *testing.T) {
	t.Parallel()
	site := Site{Home: "/home/a/domains/a.test", Docroot: "/home/a/domains/a.test/public_html"}
	root := site.Docroot + "/"
	for stderr, want := range map[string]Culprit{
		"PHP Fatal error:  Uncaught Error: Call to undefined function f() in " + root + "wp-content/plugins/bad/a.php:3\nStack trace:\n#0 " + root + "wp-settings.php(545): x": {"plugin", "bad", "wp-content/plugins/bad/a.php", "3"},
		"Parse error: syntax error, unexpected end of file in " + root + "wp-content/themes/t/functions.php on line 12":                                                        {"theme", "t", "wp-content/themes/t/functions.php", "12"},
		"Fatal error: Allowed memory size of 1 bytes exhausted (tried to allocate 2 bytes) in " + root + "wp-content/mu-plugins/m.php on line 7":                               {"must-use", "m", "wp-content/mu-plugins/m.php", "7"},
		"PHP Fatal error:  x in " + root + "app/plugins/single.php on line 1":                                                                                                  {"plugin", "single", "app/plugins/single.php", "1"},
		"PHP Fatal error:  x in " + root + "wp-content/object-cache.php on line 1":                                                                                             {"drop-in", "object-cache.php", "wp-content/object-cache.php", "1"},
		"PHP Parse error:  x in phar:///w/wp-cli.phar/vendor/x.php(15) : eval()'d code on line 2":                                                                              {},
		"PHP Fatal error:  x in " + root + "wp-includes/load.php(15) : eval()'d code on line 2":                                                                                {"core", "", "wp-includes/load.php", ""},
		"PHP Warning: something in " + root + "wp-content/plugins/loud/a.php on line 3":                                                                                        {},
		"": {},
	} {
		got := culpritOf(site, &ExitError{Stderr: stderr, class: ErrFatal})
		if got == nil {
			got = &Culprit{}
		}
		if *got != want {
			t.Errorf("%.60q: %+v, want %+v", stderr, *got, want)
		}
	}
}

func TestIssuesNameTheWorstFirst(t *testing.T) {
	t.Parallel()
	d := Details{Status: StatusBroken, Reason: "PHP ends",
		Core:     &CoreFacts{Update: "9", DBVersion: 1, DBVersionWanted: 2},
		Plugins:  &PluginFacts{List: []Plugin{{Status: "inactive", Update: "2"}}},
		Themes:   &ThemeFacts{List: []Theme{{Slug: "t", Status: "active", Update: "2", Error: "no style sheet"}}},
		Options:  &OptionFacts{UsersCanRegister: true, DefaultRole: "administrator"},
		Cron:     &CronFacts{Overdue: 1},
		Database: &DatabaseFacts{AutoloadBytes: maxAutoload + 1},
		Security: &SecurityFacts{Constants: map[string]any{"WP_DEBUG": true, "WP_DEBUG_LOG": true}, UserAdminExists: true},
	}
	var codes []string
	for _, issue := range issuesOf(d) {
		codes = append(codes, issue.Code)
	}
	const want = "site_broken theme_broken open_registration keys_weak core_update database_upgrade plugin_updates theme_updates " +
		"cron_overdue autoload_large debug_display debug_log_public plugins_inactive search_engines_blocked user_admin"
	if got := strings.Join(codes, " "); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	if got := issuesOf(Details{Status: StatusOK}); got == nil || len(got) != 0 {
		t.Errorf("%+v", got)
	}
}
