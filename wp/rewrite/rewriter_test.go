package rewrite

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	oldSite = Place{"https://old.test", "/home/alice/domains/old.test/public_html"}
	newSite = Place{"https://clone.example.org", "/srv/bob/www"}
)

func TestValuesAreRewrittenWithoutBreakingThem(t *testing.T) {
	t.Parallel()
	moved := New(SiteRules(oldSite, newSite))
	for _, tc := range []struct{ name, in, want string }{
		{"address", `<a href="https://old.test/x">`, `<a href="https://clone.example.org/x">`},
		{"other scheme", `http://old.test`, `https://clone.example.org`},
		{"no scheme", `src='//old.test/a.js'`, `src='//clone.example.org/a.js'`},
		{"host alone", `Visit old.test.`, `Visit clone.example.org.`},
		{"host in a list", `old.test,https://old.test`, `clone.example.org,https://clone.example.org`},
		{"longer host", `notold.test old.test.example sub.old.test old.test-x x-old.test`, ``},
		{"accented host", `müold.test`, ``},
		{"Chinese around", `访问old.test吧`, `访问clone.example.org吧`},
		{"mail address", `me@old.test me%40old.test`, ``},
		{"capitals", `OLD.TEST`, ``},
		{"port", `https://old.test:8080/x`, `https://clone.example.org:8080/x`},
		{"JSON", `{"url":"https:\/\/old.test\/x"}`, `{"url":"https:\/\/clone.example.org\/x"}`},
		{"JSON of JSON", `"{\"url\":\"https:\\\/\\\/old.test\\\/x\"}"`, `"{\"url\":\"https:\\\/\\\/clone.example.org\\\/x\"}"`},
		{"line break in JSON", `{"t":"see\nold.test"}`, `{"t":"see\nclone.example.org"}`},
		{"encoded", `?u=https%3A%2F%2Fold.test%2Fx&v=https%3a%2f%2fold.test`, `?u=https%3A%2F%2Fclone.example.org%2Fx&v=https%3a%2f%2fclone.example.org`},
		{"encoded host", `?h=%20old.test%20`, `?h=%20clone.example.org%20`},
		{"directory", `/home/alice/domains/old.test/public_html/wp-content`, `/srv/bob/www/wp-content`},
		{"other directory", `/home/alice/domains/old.test/public_html2 /mnt/home/alice/domains/old.test/public_html`,
			`/home/alice/domains/clone.example.org/public_html2 /mnt/home/alice/domains/clone.example.org/public_html`},
		{"serialized", `a:1:{s:3:"url";s:19:"https://old.test/é";}`, `a:1:{s:3:"url";s:28:"https://clone.example.org/é";}`},
		{"serialized key", `a:1:{s:16:"https://old.test";i:1;}`, `a:1:{s:25:"https://clone.example.org";i:1;}`},
		{"serialized in serialized", `s:24:"s:16:"https://old.test";";`, `s:33:"s:25:"https://clone.example.org";";`},
		{"serialized in JSON", `{"d":"a:1:{i:0;s:16:\"https:\/\/old.test\";}"}`, `{"d":"a:1:{i:0;s:25:\"https:\/\/clone.example.org\";}"}`},
		{"serialized in a comment of the block editor", `<!-- wp:x {"d":"s:16:\u0022https://old.test\u0022;"} -->`, `<!-- wp:x {"d":"s:25:\u0022https://clone.example.org\u0022;"} -->`},
		{"session", `a|s:16:"https://old.test";b|i:1;`, `a|s:25:"https://clone.example.org";b|i:1;`},
		{"space behind", "s:8:\"old.test\"; \n", "s:17:\"clone.example.org\"; \n"},
		{"escaped S", `S:8:"old\2etest";S:8:"old.test";`, `s:17:"clone.example.org";s:17:"clone.example.org";`},
		{"class's own", `C:3:"Foo":8:{old.test}`, ``},
		{"private property", "O:1:\"A\":1:{s:4:\"\x00A\x00b\";s:8:\"old.test\";}", "O:1:\"A\":1:{s:4:\"\x00A\x00b\";s:17:\"clone.example.org\";}"},
		{"wrong length", `a:1:{s:9:"old.test";}`, ``},
		{"cut off", `a:1:{s:30:"https://old.test/and-then`, ``},
		{"escaped by mistake", `a:1:{s:3:\"url\";s:16:\"https://old.test\";}`, ``},
		{"looks serialized", `a:1: my notes on https://old.test`, `a:1: my notes on https://clone.example.org`},
		{"base64", `aHR0cHM6Ly9vbGQudGVzdA==`, ``},
		{"longer path", `https://old.test/blogger`, `https://clone.example.org/blogger`},
	} {
		if tc.want == "" {
			tc.want = tc.in
		}
		in := []byte(tc.in)
		got, changed := moved.Text(in)
		if string(got) != tc.want || changed == 0 != (tc.want == tc.in) {
			t.Errorf("%s: %s\n  became %s\n  want   %s (changed %d)", tc.name, tc.in, got, tc.want, changed)
		}
		if string(in) != tc.in {
			t.Errorf("%s: the value itself was changed", tc.name)
		}
	}
}

func TestInstallBelowAPathLeavesTheRestOfTheHostAlone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ from, to, in, want string }{
		{"https://old.test/blog", "https://new.test", "https://old.test/blog/x https://old.test/blogger https://old.test/blog-2 https://old.test/blog.html https://old.test/ old.test https://old.test/blog.",
			"https://new.test/x https://old.test/blogger https://old.test/blog-2 https://old.test/blog.html https://old.test/ old.test https://new.test."},
		{"https://old.test", "https://new.test/blog", "https://old.test/x old.test/y old.test me@old.test //old.test", "https://new.test/blog/x new.test/blog/y new.test me@old.test //new.test/blog"},
		{"https://old.test", "http://127.0.0.1:8080", "https://old.test/ old.test old.test:9090", "http://127.0.0.1:8080/ 127.0.0.1:8080 old.test:9090"},
		{"http://127.0.0.1:808", "http://new.test", "http://127.0.0.1:8080 http://127.0.0.1:808/", "http://127.0.0.1:8080 http://new.test/"},
		{"https://xn--bcher-kva.test", "https://new.test", `{"url":"https://xn\u002d\u002dbcher-kva.test/"}`, `{"url":"https://new.test/"}`},
		{"https://old.test", "https://old.test/x", "https://old.test/ old.test", "https://old.test/x/ old.test"},
	} {
		got, _ := New(SiteRules(Place{tc.from, ""}, Place{tc.to, ""})).Text([]byte(tc.in))
		if string(got) != tc.want {
			t.Errorf("%s to %s:\n  got  %s\n  want %s", tc.from, tc.to, got, tc.want)
		}
	}
}

func TestTracesAreFoundInEveryForm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text, in string
		want     int
	}{
		{"old.test", `old.test https:\/\/old.test me@old.test sub.old.test`, 2},
		{"https://old.test", `https:\/\/old.test https%3A%2F%2Fold.test http://old.test`, 2},
		{"/home/a", `/home/a /home/ab \/home\/a\/x /mnt/home/a`, 2},
		{"https://old.test/blog", `https://old.test/blog/ https://old.test/blog_2`, 1},
	} {
		if got := New(Traces(tc.text)).Count([]byte(tc.in)); got != tc.want {
			t.Errorf("%s in %s: %d, want %d", tc.text, tc.in, got, tc.want)
		}
	}
}

func TestLongerRuleWinsAndNothingIsReplacedTwice(t *testing.T) {
	t.Parallel()
	got, n := New([]Rule{{From: "a", To: "b"}, {From: "ab", To: "a"}, {From: "b", To: "c"}, {From: "", To: "x"}}).Text([]byte("abab"))
	if string(got) != "aa" || n != 2 {
		t.Errorf("%s, %d", got, n)
	}
}

// Whatever the text and the rules, a value that has no match is the same slice, and what is
// rewritten has the rules' texts and nothing else changed in plain text.
func TestPlainTextIsReplacedAsStringsDoesIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{"old.test", "x", "\\", "\"", "/", "%", "é", "n", ".", "-", "\n"})).Draw(t, "parts")
		in := strings.Join(parts, "")
		got, n := New([]Rule{{From: "old.test", To: "new"}}).Text([]byte(in))
		if want := strings.ReplaceAll(in, "old.test", "new"); string(got) != want || n != strings.Count(in, "old.test") {
			t.Fatalf("%q became %q, want %q (%d)", in, got, want, n)
		}
	})
}

func TestHostileNestingCostsBoundedWork(t *testing.T) {
	t.Parallel()
	value := []byte("old.test")
	for range 200 {
		value = serializedString(value)
	}
	value = append(value, bytes.Repeat([]byte(`s:9:\"s:9:"`), 20_000)...)
	r := run{w: New(SiteRules(oldSite, newSite))}
	out := r.text(value, 0)
	if r.left != 1 || r.changed != 0 || !bytes.Equal(out, value) {
		t.Errorf("left %d, changed %d", r.left, r.changed)
	}
}

func serializedString(s []byte) []byte {
	return append(append([]byte("s:"+itoa(len(s))+`:"`), s...), `";`...)
}

func FuzzText(f *testing.F) {
	for _, s := range []string{`a:1:{s:3:"url";s:16:"https://old.test";}`, `{"d":"s:16:\"https:\/\/old.test\";"}`, `s:9:"old.test`, `C:1:"A":8:{old.test}`,
		`S:8:"old\2etest";`, `"\ud83d\ude00 s:8:\"old.test\";"`, `x%40old.test \u0022old.test`, `O:8:"old.test":0:{}`, `E:10:"old.test:A";`} {
		f.Add([]byte(s))
	}
	moved := New(SiteRules(oldSite, newSite))
	back := New(SiteRules(newSite, oldSite))
	f.Fuzz(func(t *testing.T, s []byte) {
		out, n := moved.Text(s)
		if n == 0 && !bytes.Equal(out, s) {
			t.Fatalf("%q became %q without a change", s, out)
		}
		back.Text(out)
		// A string that holds it serialized must hold its rewriting, with the true length.
		outer, m := moved.Text(serializedString(s))
		if want := serializedString(out); m == n && !bytes.Equal(outer, want) || m != n {
			t.Fatalf("%q became %q inside of a string, want %q (%d, %d)", s, outer, want, n, m)
		}
	})
}
