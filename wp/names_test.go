package wp

import (
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestValidDomainTellsWhatToChange(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]string{
		"blog.example.com":                "",
		"a-1.b--c.test":                   "",
		"site.localhost":                  "",
		"xn--bcher-kva.example":           "",
		"1.example.com":                   "",
		"":                                "missing",
		"localhost":                       "one label",
		"Blog.example.com":                "lower case",
		"bücher.example":                  "xn--",
		"a..b":                            "empty label",
		".example.com":                    "empty label",
		"example.com.":                    "ends with a dot",
		"-a.example.com":                  "hyphen",
		"a-.example.com":                  "hyphen",
		"a_b.example.com":                 "'_'",
		"a b.example.com":                 "' '",
		"a/../b.example.com":              "'/'",
		"example.com\n":                   `'\n'`,
		"example.com\x00":                 `'\x00'`,
		"192.0.2.1":                       "IP address",
		"1.2.3":                           "IP address",
		"[::1]":                           "one label",
		"user@example.com":                "'@'",
		"example.com:80":                  "':'",
		strings.Repeat("a", 64) + ".test": "64 characters",
		strings.Repeat("a.", 127) + "te":  "at most 253",
	} {
		checkReason(t, "domain", domain, ValidDomain(domain), want)
	}
}

func TestValidPathTellsWhatToChange(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"public_html":             "",
		"public_html/blog":        "",
		"a/b/c.d/E-1":             "",
		"":                        "missing",
		"/public_html":            "absolute",
		"public_html/":            "ends with a slash",
		"a//b":                    "two slashes",
		"..":                      `".."`,
		"../../etc":               `".."`,
		"a/../b":                  `".."`,
		".":                       "begin with a dot",
		"./a":                     "begin with a dot",
		"a/.git":                  "begin with a dot",
		".wptk-op_1":              "begin with a dot",
		"-rf":                     "begin with a hyphen",
		"a/--path=x":              "begin with a hyphen",
		"a b":                     "' '",
		"a\nb":                    `'\n'`,
		"a\x00":                   `'\x00'`,
		"ä":                       "'ä'",
		`a\..\b`:                  `'\\'`,
		strings.Repeat("a", 65):   "part of 65",
		strings.Repeat("a/b", 86): "at most 255",
	} {
		checkReason(t, "path", path, ValidPath(path), want)
	}
}

func TestValidAccountTellsWhatToChange(t *testing.T) {
	t.Parallel()
	for account, want := range map[string]string{
		"alice": "", "_svc-1": "", "a": "",
		"": "missing", "1a": "must begin", "-a": "must begin", "Alice": "must begin", "a.b": "'.'",
		"a/b": "'/'", "..": "must begin", "a$": "'$'", "aé": "'é'", strings.Repeat("a", 33): "at most 32",
	} {
		checkReason(t, "account", account, ValidAccount(account), want)
	}
}

func TestValidLocaleAndSlug(t *testing.T) {
	t.Parallel()
	for locale, ok := range map[string]bool{
		"en_US": true, "de_DE_formal": true, "ckb": true, "pt_PT_ao90": true, "de_CH_informal": true, "zh_CN": true,
		"": false, "e": false, "EN": false, "en-US": false, "../x": false, "en_": false, "de_DE_formal_x": false, "en_US\n": false,
	} {
		if got := ValidLocale(locale); (got == "") != ok {
			t.Errorf("locale %q: %q", locale, got)
		}
	}
	for slug, ok := range map[string]bool{
		"akismet": true, "hello-dolly": true, "Divi": true, "a.b_c": true,
		"": false, "-x": false, ".x": false, "--require=/x": false, "a/b": false, "a b": false, "all\x00": false,
	} {
		if got := ValidSlug(slug); (got == "") != ok {
			t.Errorf("slug %q: %q", slug, got)
		}
	}
}

func checkReason(t *testing.T, kind, value, got, want string) {
	t.Helper()
	if (want == "") != (got == "") || !strings.Contains(got, want) {
		t.Errorf("%s %q: reason %q, want one with %q", kind, value, got, want)
	}
}

func TestValidPathNeverLeavesTheDomain(t *testing.T) {
	t.Parallel()
	part := rapid.StringMatching(`[a-z.\-/\\~ ]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		checkPath(t, strings.Join(rapid.SliceOfN(part, 1, 6).Draw(t, "parts"), "/"))
	})
}

func checkPath(t interface{ Fatalf(string, ...any) }, path string) {
	if ValidPath(path) != "" {
		return
	}
	const home = "/home/a/domains/b.test"
	joined := home + "/" + path
	if filepath.Clean(joined) != joined || !filepath.IsLocal(path) || strings.Contains(joined, "/-") || strings.Contains(joined, "/.") {
		t.Fatalf("path %q is taken as valid", path)
	}
}

func FuzzValidNames(f *testing.F) {
	for _, seed := range []string{"public_html/blog", "a..b", "-x", "blog.example.com", "xn--a.b", "1.2.3.4", "de_DE"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkPath(t, s)
		for kind, reason := range map[string]string{
			"domain": ValidDomain(s), "account": ValidAccount(s), "slug": ValidSlug(s), "locale": ValidLocale(s),
		} {
			if reason == "" && (strings.ContainsFunc(s, isControl) || strings.ContainsAny(s, "/ \\'\"`$&;%") || s[0] == '-' || s[0] == '.') {
				t.Errorf("%s %q is taken as valid", kind, s)
			}
		}
	})
}
