package tasks

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLoginSlugsThatHideNothingAreRefused(t *testing.T) {
	t.Parallel()
	for slug, good := range map[string]bool{
		"backstage": true, "my-door-2": true, "abc": true, strings.Repeat("a", 40): true,
		"": false, "ab": false, strings.Repeat("a", 41): false, "login": false, "admin": false, "wp-admin": false, "wp-login": false,
		"dashboard": false, "wp-json": false, "Door": false, "a_b": false, "-door": false, "door-": false, "a/b": false, "../x": false,
		"a.php": false, "2024": false, "door\n": false, "dóor": false, "a b": false, "20-24": false,
	} {
		p := &SecurityHideLogin{Enabled: true, Slug: slug}
		if found := p.Validate(); (len(found) == 0) != good {
			t.Errorf("%q: %v", slug, found)
		}
	}
	if found := (&SecurityHideLogin{}).Validate(); len(found) > 0 {
		t.Errorf("showing it again needs no slug: %v", found)
	}
}

func TestTokensAreLongAndDiffer(t *testing.T) {
	t.Parallel()
	seen := map[Secret]bool{}
	for range 100 {
		token := new(AdminAutologin).Draw()
		if !tokenPattern.MatchString(string(token)) || seen[token] {
			t.Fatalf("%d characters, seen before: %t", len(token), seen[token])
		}
		seen[token] = true
	}
}

// resolve is where a browser on the site goes with a redirect that was accepted.
func resolve(t *rapid.T, redirect string) *url.URL {
	base, err := url.Parse("https://blog.test/wp-login.php")
	if err != nil {
		t.Fatal(err)
	}
	u, err := base.Parse(strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(redirect)) // as browsers do
	if err != nil {
		t.Fatalf("%q was accepted: %v", redirect, err)
	}
	return u
}

func TestRedirectThatIsAPathStaysOnTheSite(t *testing.T) {
	t.Parallel()
	part := rapid.SampledFrom([]string{"/", "//", `\`, ".", "..", "%2e", "%2E.", "%5c", "%00", "@", ":", "?", "#", " ", "\t", "evil.test", "wp-admin", "http:", "a", "é", "&"})
	rapid.Check(t, func(t *rapid.T) {
		redirect := strings.Join(rapid.SliceOfN(part, 1, 8).Draw(t, "parts"), "")
		if validRedirect(redirect) != "" {
			return
		}
		u := resolve(t, redirect)
		if strings.HasPrefix(redirect, "/") && u.Host != "blog.test" {
			t.Fatalf("%q leads to %s", redirect, u)
		}
		if u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			t.Fatalf("%q leads to %s", redirect, u)
		}
		if clean := path.Clean(u.Path); strings.TrimSuffix(u.Path, "/") != strings.TrimSuffix(clean, "/") && !strings.Contains(u.Path, "//") {
			t.Fatalf("%q is not the path that it seems: %s", redirect, u.Path)
		}
	})
}

func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{"/wp-admin/", "https://blog.test/?a=b#c", "//evil.test", `/\evil.test`, "/%2e%2e/", "javascript:x", "http:/evil.test", "https:evil.test"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, redirect string) {
		if validRedirect(redirect) != "" {
			return
		}
		if strings.ContainsFunc(redirect, isControl) || strings.HasPrefix(redirect, "//") || strings.Contains(redirect, `\`) {
			t.Fatalf("%q was accepted", redirect)
		}
		if u, err := url.Parse(redirect); err != nil || u.Host == "" && redirect[0] != '/' {
			t.Fatalf("%q was accepted: %v", redirect, err)
		}
	})
}
