package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

func TestNamesAreAStringOrAList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Names{
		`"akismet"`: {"akismet"}, `["akismet","hello"]`: {"akismet", "hello"}, `[]`: {}, `""`: {""},
	} {
		var n Names
		if err := json.Unmarshal([]byte(text), &n); err != nil || !slices.Equal(n, want) {
			t.Errorf("%s: %q %v", text, n, err)
		}
	}
	for _, text := range []string{`1`, `{}`, `[1]`, `true`, `[["a"]]`, `"a`} {
		var n Names
		if err := json.Unmarshal([]byte(text), &n); err == nil {
			t.Errorf("%s was accepted as %q", text, n)
		}
	}
}

func TestSelectionNamesItsProblems(t *testing.T) {
	t.Parallel()
	many := make(Names, maxNames+1)
	for i := range many {
		many[i] = strings.Repeat("a", i+1)
	}
	for _, c := range []struct {
		s      selection
		fields string
	}{
		{selection{}, "plugin"},
		{selection{all: true}, ""},
		{selection{names: Names{"akismet"}}, ""},
		{selection{names: Names{"akismet/akismet.php", "hello.php", "My-Plugin/my plugin.php"}}, ""},
		{selection{names: Names{"akismet"}, all: true}, "plugin"},
		{selection{names: Names{"akismet", "akismet"}}, "plugin"},
		{selection{names: Names{"akismet@1", "akismet@2"}, versions: true}, "plugin"},
		{selection{names: Names{"akismet@1"}}, "plugin"},
		{selection{names: Names{"akismet@1"}, versions: true, version: "2"}, "plugin"},
		{selection{names: Names{"akismet@"}, versions: true}, "plugin"},
		{selection{names: Names{"akismet@1.2-beta"}, versions: true}, ""},
		{selection{names: Names{"a", "b"}, version: "1"}, "version"},
		{selection{names: Names{"a"}, version: "../1"}, "version"},
		{selection{all: true, version: "1"}, "version"},
		{selection{names: many}, "plugin"},
		{selection{names: Names{"--require=/x"}}, "plugin"},
		{selection{names: Names{"../x.php"}}, "plugin"},
		{selection{names: Names{"a/b/c.php"}}, "plugin"},
		{selection{names: Names{"-a/b.php"}}, "plugin"},
		{selection{names: Names{"x\n.php"}}, "plugin"},
		{selection{names: Names{""}}, "plugin"},
		{selection{names: Names{"hello.php"}, family: themeFamily}, "theme"},
	} {
		if c.s.family.word == "" {
			c.s.family = pluginFamily
		}
		var fields []string
		for _, p := range c.s.problems() {
			fields = append(fields, p.Field)
		}
		if got := strings.Join(fields, " "); got != c.fields {
			t.Errorf("%+v: %q, want %q", c.s.names, got, c.fields)
		}
	}
}

// What passes can stand where WP-CLI takes an argument, and is a single path component or two.
func TestNamesThatPassAreSafe(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`-{0,2}[a-z./@ -]{0,12}(\.php)?`))
	rapid.Check(t, func(t *rapid.T) {
		s := selection{family: pluginFamily, names: Names{text.Draw(t, "name")}, versions: true}
		if len(s.problems()) > 0 {
			return
		}
		r := s.references()[0]
		for _, v := range []string{r.slug, r.file, r.version} {
			if strings.HasPrefix(v, "-") || strings.HasPrefix(v, ".") || strings.Contains(v, "..") && strings.Contains(v, "/..") || strings.ContainsFunc(v, isControl) {
				t.Fatalf("%q: %+v", s.names[0], r)
			}
		}
		if strings.Contains(r.slug, "/") || r.slug == "" {
			t.Fatalf("%q: slug %q", s.names[0], r.slug)
		}
	})
}

// stock is a package source without WordPress, and a site that is only told of.
func stock(t *testing.T) (*extensionOp, wp.Extensions) {
	t.Helper()
	p := parts{t, wptest.Dir(t)}
	p.fill()
	p.plugin("hello", "9", "")
	packages, err := wp.OpenPackages(p.dir, wptest.Dir(t))
	must(t, err)
	x := &extensionOp{
		Run:       &Run{Host: &wp.Host{Packages: packages}},
		selection: selection{family: pluginFamily}, plan: &extensionPlan{Health: wp.Health{Up: true}},
	}
	at := func(slug, file, version, status string) wp.Addon {
		return wp.Addon{Slug: slug, File: file, Version: version, Status: status, Path: "/d/plugins/" + slug}
	}
	have := wp.Extensions{
		PluginRoot: "/d/plugins", ThemeRoot: "/d/themes", Stylesheet: "plain", DefaultTheme: "twentytwentyfive",
		Plugins: []wp.Addon{
			at("steady", "steady/steady.php", "1.1", wp.AddonActive), at("hello", "hello.php", "1.7", wp.AddonInactive),
			at("pair", "pair/a.php", "1.0.0", wp.AddonInactive), at("pair", "pair/b.php", "0.5", wp.AddonActive),
			at("ours", "ours.php", "", wp.AddonMustUse), at("object-cache", "object-cache.php", "", wp.AddonDropIn),
			{Slug: "far", File: "far/far.php", Version: "1.0", Status: wp.AddonInactive},
			{Slug: "shared", File: "shared/s.php", Version: "1.0", Status: wp.AddonInactive, Path: "/d/plugins/shared", Used: 3},
		},
		Themes: []wp.Addon{
			{Slug: "plain", Version: "1.0", Status: wp.AddonActive, Parent: "base", Path: "/d/themes/plain"},
			{Slug: "base", Version: "1.0", Status: wp.AddonParent, Path: "/d/themes/base"},
			{Slug: "orphan", Version: "1.0", Status: wp.AddonInactive, Error: "The parent theme is missing.", Path: "/d/themes/orphan"},
			{Slug: "twentytwentyfour", Version: "1.0", Status: wp.AddonInactive, Path: "/d/themes/twentytwentyfour"},
		},
	}
	return x, have
}

// decided is what a kind decides about one name: "from>to was>want", with u, r and x for
// unpack, remove and uninstall, or the code of the refusal.
func decided(x *extensionOp, have wp.Extensions, task Task, name string) string {
	op := *task.(interface{ op(*Run) *extensionOp }).op(x.Run)
	op.plan = x.plan
	c, err := op.decide(context.Background(), &op, have, refer(name))
	if err != nil {
		return op.failureOf(err).Code
	}
	s := c.From + ">" + c.To + " " + c.Was + ">" + c.Want
	for flag, set := range map[string]bool{" u": c.Unpack, " r": c.Remove, " x": c.Uninstall} {
		if set {
			s += flag
		}
	}
	if c.Status != "" {
		s = string(c.Status)
	}
	return s
}

func TestEachKindDecidesWhatBecomesOfAnExtension(t *testing.T) {
	t.Parallel()
	x, have := stock(t)
	for _, c := range []struct {
		task Task
		name string
		want string
	}{
		{&PluginInstall{}, "steady", "unchanged"},
		{&PluginInstall{}, "steady@1.0", "1.1>1.0 active>active u"},
		{&PluginInstall{}, "grumpy", ">1.0 >inactive u"},
		{&PluginInstall{Activate: true}, "grumpy", ">1.0 >active u"},
		{&PluginInstall{Activate: true}, "hello.php", "1.7>1.7 inactive>active"},
		{&PluginInstall{Activate: true, Network: true}, "grumpy", CodeInvalidPayload},
		{&PluginInstall{}, "wrong", CodePackageDamaged},
		{&PluginInstall{}, "nowhere", CodePackageUnavailable},
		{&PluginInstall{}, "ours", CodeMustUse},
		{&PluginInstall{}, "far@2", CodePermission},
		{&PluginActivate{}, "steady", "unchanged"},
		{&PluginActivate{}, "hello", "1.7>1.7 inactive>active"},
		{&PluginActivate{}, "nowhere", CodeNotInstalled},
		{&PluginActivate{}, "object-cache", CodeMustUse},
		{&PluginDeactivate{}, "steady/steady.php", "1.1>1.1 active>inactive"},
		{&PluginDeactivate{}, "hello", "unchanged"},
		{&PluginDeactivate{}, "pair/b.php", "0.5>0.5 active>inactive"},
		{&PluginUpdate{}, "steady", "1.1>2.0 active>active u"},
		{&PluginUpdate{}, "steady@1.0", "1.1>1.0 active>active u"},
		{&PluginUpdate{}, "steady@1.1", "unchanged"},
		{&PluginUpdate{}, "pair", "unchanged"}, // 1.0 is 1.0.0
		{&PluginUpdate{}, "hello", CodeUnusable},
		{&PluginUpdate{}, "shared", CodePackageUnavailable},
		{&PluginDelete{}, "steady", CodeInUse},
		{&PluginDelete{Deactivate: true, Uninstall: true}, "steady", "1.1> active> r x"},
		{&PluginDelete{}, "hello", "1.7> inactive> r"},
		{&PluginDelete{}, "pair/a.php", CodeInUse}, // its neighbour is active
		{&PluginDelete{}, "shared", CodeInUse},
		{&PluginDelete{}, "far", CodePermission},
		{&ThemeActivate{}, "plain", "unchanged"},
		{&ThemeActivate{}, "orphan", CodeUnusable},
		{&ThemeActivate{}, "twentytwentyfour", "1.0>1.0 inactive>active"},
		{&ThemeDeactivate{}, "plain", "1.0>1.0 inactive>active"},
		{&ThemeDeactivate{}, "orphan", "unchanged"},
		{&ThemeDeactivate{Fallback: "nowhere"}, "plain", CodeNotInstalled},
		{&ThemeDeactivate{Fallback: "orphan"}, "plain", CodeUnusable},
		{&ThemeDelete{}, "plain", CodeInUse},
		{&ThemeDelete{}, "base", CodeInUse},
		{&ThemeDelete{}, "orphan", "1.0> inactive> r"},
	} {
		got := strings.Fields(decided(x, have, c.task, c.name))
		slices.Sort(got)
		want := strings.Fields(c.want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s of %s: %q, want %q", c.task.Kind(), c.name, got, c.want)
		}
	}
	x.plan.Health = wp.Health{Reason: "PHP ends"}
	for _, task := range []Task{&PluginActivate{}, &PluginInstall{Activate: true}} {
		if got := decided(x, have, task, "hello"); got != CodeSiteDown {
			t.Errorf("%s on a site that is down: %s", task.Kind(), got)
		}
	}
}

func TestFailedItemsAreCountedAndNamed(t *testing.T) {
	t.Parallel()
	bad := Failure{Code: CodeSiteBroken, Message: "m"}
	items := []itemChange{
		{Show: "a", From: "1", To: "2", Was: wp.AddonActive, Want: wp.AddonActive, Status: ItemSucceeded},
		itemChange{Show: "b", From: "1", To: "2", Was: wp.AddonActive, Want: wp.AddonInactive}.failed(bad, false),
		itemChange{Show: "c", From: "1", To: "2"}.failed(bad, true),
	}
	r := resultOf(items)
	if r.Succeeded != 1 || r.Failed != 1 || r.Skipped != 1 || r.Items[1].To != "1" || !r.Items[1].Active || r.Items[1].Error.Code != CodeSiteBroken {
		t.Errorf("%+v", r)
	}
	x := &extensionOp{selection: selection{family: pluginFamily}}
	err := x.whole(r)
	var back *badEffect
	if f := FailureOf(err); f.Code != CodeItemsFailed || !strings.Contains(f.Message, "1 of 3 plugins failed: b.") || errors.As(err, &back) {
		t.Errorf("%v %+v", err, f)
	}
	// When nothing is left of what was done, the op as a whole is taken back.
	if err := x.whole(resultOf(items[1:2])); FailureOf(err).Code != CodeSiteBroken || !errors.As(err, &back) {
		t.Errorf("%v", err)
	}
}
