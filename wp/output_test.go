package wp

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/wispanel/wptk/wp/proc"
)

func TestSectionIsCutOutOfNoise(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ out, section, noise string }{
		"framed":           {"notice\n<<wptk N\n{}\nwptk>> N\nbye", "{}", "notice\nbye"},
		"never reached":    {"fatal", "", "fatal"},
		"ended inside":     {"a<<wptk N\n{}", "{}", "a"},
		"somebody else's":  {"<<wptk X\n{\"fake\":1}\nwptk>> X\n<<wptk N\n{}\nwptk>> N\n", "{}", "<<wptk X\n{\"fake\":1}\nwptk>> X\n"},
		"empty":            {"<<wptk N\n\nwptk>> N\n", "", ""},
		"nothing at all":   {"", "", ""},
		"end mark at once": {"<<wptk N\nwptk>> N\n", "wptk>> N\n", ""},
	} {
		section, noise := splitSection([]byte(tc.out), "N")
		if string(section) != tc.section || string(noise) != tc.noise {
			t.Errorf("%s: %q %q", name, section, noise)
		}
	}
}

func TestRedactorBlotsSecrets(t *testing.T) {
	t.Parallel()
	const secret = `p"ä's\word`
	r := newRedactor([]string{secret, "", "abc"})
	for in, gone := range map[string]string{
		"plain " + secret + " end":                           secret,
		`json "p\"ä's\\word" end`:                            `p\"ä's\\word`,
		`php 'p"ä\'s\\word' end`:                             `p"ä\'s\\word`,
		`shell 'p"ä'\''s\word' end`:                          `p"ä'\''s\word`,
		`slashed p\"ä\'s\\word end`:                          `p\"ä\'s\\word`,
		"define( 'DB_PASSWORD', 'hunter2hunter2' ); end":     "hunter2",
		"define('AUTH_KEY',         'put your phrase'); end": "phrase",
		"Admin password: hunter2 end":                        "hunter2",
		`"user_pass":"hunter2", end`:                         "hunter2",
		"mysql://bob:hunter2@localhost/db end":               "hunter2",
		"Authorization: Bearer abc.def.ghi end":              "abc.def",
		"hash $wp$2y$10$abcdefghijklmnopqrstuv end":          "abcdefghij",
		"hash $P$Babcdefghijklmnopqrstuvwxyz01234 end":       "abcdefghij",
		"CREATE USER x IDENTIFIED BY 'hunter2' end":          "hunter2",
		"https://api.example.com/?token=hunter2&x=1 end":     "hunter2",
	} {
		out := r.clean([]byte(in))
		if strings.Contains(out, gone) || !strings.HasSuffix(out, " end") {
			t.Errorf("%q became %q", in, out)
		}
	}
	if got := r.clean([]byte("abc stays, it is too short to be told apart")); !strings.HasPrefix(got, "abc stays") {
		t.Error(got)
	}
}

func TestRedactorNeverLetsASecretThrough(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-z'"\\$]{4,20}`).Draw(t, "secret")
		before, after := rapid.String().Draw(t, "before"), rapid.String().Draw(t, "after")
		if got := newRedactor([]string{secret}).clean([]byte(before + secret + after)); strings.Contains(got, secret) &&
			!strings.Contains(proc.CleanText([]byte(before))+blot+proc.CleanText([]byte(after)), secret) {
			t.Fatalf("%q is in %q", secret, got)
		}
	})
}

func TestLogIsBoundedAndClean(t *testing.T) {
	t.Parallel()
	var lines []string
	log := func(l string) { lines = append(lines, l) }
	res := Result{Stdout: []byte("a\x1b[31mb\r\n\x00c\n" + strings.Repeat("ä", 5000) + "\n" + strings.Repeat("x\n", 5000))}
	writeLog(log, newRedactor(nil), command("x").value("title", "t"), res, nil)
	if lines[0] != "$ wp x --title=t" || lines[1] != "ab" || lines[2] != "c" {
		t.Errorf("%q", lines[:3])
	}
	if len(lines) > maxLogLines+2 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if len(line) > maxLogLine+len("…") || !utf8.ValidString(line) {
			t.Errorf("line of %d bytes", len(line))
		}
	}
	lines = nil
	writeLog(log, newRedactor(nil), command("x").forParser(), Result{Stdout: []byte("[1]")}, []byte("noise"))
	if !slices.Equal(lines, []string{"$ wp x", "noise"}) {
		t.Errorf("%q", lines)
	}
}

func TestExitErrorsAreClassified(t *testing.T) {
	t.Parallel()
	for stderr, class := range map[string]error{
		"Error: Error establishing a database connection.":                 ErrDatabaseConnection,
		"Error: This does not seem to be a WordPress installation.\nThe …": ErrNoWordPress,
		"Error: 'wp-config.php' not found.":                                ErrNoWordPress,
		"Error: The site you have requested is not installed.":             ErrNotInstalled,
		"PHP Fatal error:  Uncaught Error: x in y":                         ErrFatal,
		"Error: something else":                                            nil,
	} {
		err := newExitError(command("x"), Result{Stderr: stderr})
		if class != nil && !errors.Is(err, class) || class == nil && err.Unwrap() != nil {
			t.Errorf("%q: %v", stderr, err.Unwrap())
		}
	}
	err := newExitError(command("core", "install"), Result{Stderr: "Warning: a\nError: b\nc", Exit: proc.Exit{Code: 1}})
	if err.Error() != "wp core install ended with status 1: b" {
		t.Error(err)
	}
}

// Whatever a site makes WP-CLI print, a parser answers or refuses; what it answers is clean.
func FuzzParsers(f *testing.F) {
	for _, seed := range []string{
		`{"version":"7.1.1","admins":["a"],"tables":12}`, `[{"name":"akismet","status":"active"}]`, "WordPress version: 7.1\nPackage language: en_US (x)",
		`"text"`, `12`, `[]`, `{"found":true,"matches":false}`, `[{"ID":1,"user_login":"a"}]`, "\x00", `[{"name":"\u001b[2J"}]`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		if in, err := parseInstalled(out); err == nil {
			checkClean(t, in.Version, in.Title)
		}
		if list, err := parseExtensions(out); err == nil {
			for _, e := range list {
				checkClean(t, e.Slug, e.Status, e.Version, e.Title)
			}
		}
		if v, err := parseCoreVersion(out); err == nil {
			checkClean(t, v.WordPress, v.Database, v.Language)
		}
		_, _ = parseOptionString(out)
		if users, err := parseUsers(out); err == nil {
			for _, u := range users {
				checkClean(t, u.Login, u.Email, u.Name, u.Roles)
			}
		}
		_, _ = parseDoor(out, "a")
		_, _ = parseIsInstalled(command("x"), Result{Stderr: string(out), Exit: proc.Exit{Code: 1}})
		splitSection(out, "N")
		firstError(tail(string(out), 7))
	})
}

func checkClean(t *testing.T, values ...string) {
	t.Helper()
	for _, v := range values {
		if len(v) > 512 || !utf8.ValidString(v) || strings.ContainsFunc(v, isControl) {
			t.Errorf("not clean: %q", v)
		}
	}
}
