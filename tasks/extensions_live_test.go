package tasks

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// parts is a package source of our own making, beside some real packages.
type parts struct {
	t   *testing.T
	dir string
}

func newParts(t *testing.T) parts {
	t.Helper()
	p := parts{t, wptest.Dir(t)}
	for _, file := range []string{
		"plugins/hello-dolly/1.7.2.zip", "themes/twentytwentythree/1.1.zip", "themes/twentytwentythree/1.2.zip",
		"themes/twentytwentyfour/1.0.zip", "themes/twentytwentyfour/1.6.zip",
	} {
		in, err := os.Open(filepath.Join(devstack.CacheT(t), file))
		must(t, err)
		defer in.Close()
		out := p.create(file)
		_, err = io.Copy(out, in)
		must(t, errors.Join(err, out.Close()))
	}
	return p
}

func (p parts) create(file string) *os.File {
	p.t.Helper()
	name := filepath.Join(p.dir, file)
	must(p.t, os.MkdirAll(filepath.Dir(name), 0o755))
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	must(p.t, err)
	return out
}

// plugin makes a package of one plugin, whose code is body.
func (p parts) plugin(slug, version, body string) {
	p.t.Helper()
	p.zip("plugins/"+slug+"/"+version+".zip", map[string]string{
		slug + "/" + slug + ".php": "<?php\n/*\nPlugin Name: " + slug + "\nVersion: " + version + "\n*/\n" + body,
		slug + "/readme.txt":       "Version " + version + "\n",
	})
}

// theme makes a package of one theme, whose functions.php is body.
func (p parts) theme(slug, version, body string) {
	p.t.Helper()
	p.zip("themes/"+slug+"/"+version+".zip", map[string]string{
		slug + "/style.css":     "/*\nTheme Name: " + slug + "\nVersion: " + version + "\n*/\n",
		slug + "/index.php":     "<?php\necho 'hello';\n",
		slug + "/functions.php": "<?php\n" + body,
	})
}

func (p parts) zip(file string, content map[string]string) {
	p.t.Helper()
	out := p.create(file)
	w := zip.NewWriter(out)
	for name, text := range content {
		f, err := w.Create(name)
		must(p.t, err)
		_, err = io.WriteString(f, text)
		must(p.t, err)
	}
	must(p.t, errors.Join(w.Close(), out.Close()))
}

// fatal ends PHP, and sulk does so once WordPress has come as far as init.
const (
	fatal = "\nno_such_function();\n"
	sulk  = "\nadd_action( 'init', function () { no_such_function(); } );\n"
)

func (p parts) fill() {
	p.plugin("steady", "1.0", "add_option( 'steady', '1.0' );\n")
	p.plugin("steady", "1.1", "add_option( 'steady', '1.1' );\nregister_uninstall_hook( __FILE__, 'steady_gone' );\nfunction steady_gone() { delete_option( 'steady' ); }\n")
	p.plugin("steady", "2.0", sulk)
	p.plugin("grumpy", "1.0", fatal)
	p.plugin("sulky", "1.0", sulk)
	p.plugin("pair", "1.0", "")
	p.zip("plugins/wrong/1.0.zip", map[string]string{"other/other.php": "<?php\n/* Plugin Name: Other */\n"})
	p.theme("plain", "1.0", "")
	p.theme("plain", "1.1", "")
	p.theme("cracked", "1.0", fatal)
}

// shop is one installed site, and the packages for it.
type shop struct {
	*order
	parts parts
}

// newShop installs a site for the tests of plugins and themes.
func newShop(t *testing.T, account string, task Install) shop {
	t.Helper()
	n := newNode(t)
	s := shop{n.order(t, account, "shop.test", "public_html", task), newParts(t)}
	s.mustEnd(Succeeded)
	s.parts.fill()
	var err error
	n.host.Packages, err = wp.OpenPackages(s.parts.dir, wptest.Dir(t))
	must(t, err)
	return s
}

// ends runs an op of a kind, and gives its items by slug.
func (s shop) ends(t *testing.T, state State, kind, payload string) (Outcome, map[string]ExtensionItem) {
	t.Helper()
	o := s.then(t, kind, payload)
	out := o.mustEnd(state)
	return out, s.items(t, out)
}

func (s shop) items(t *testing.T, out Outcome) map[string]ExtensionItem {
	t.Helper()
	items := map[string]ExtensionItem{}
	if len(out.Result) > 0 {
		for _, item := range answerOf[ExtensionResult](t, out).Items {
			items[item.Slug] = item
		}
	}
	for _, name := range entries(t, s.home()) {
		if strings.HasPrefix(name, ".wptk") {
			t.Errorf("%s is left in the domain's directory", name)
		}
	}
	return items
}

func (s shop) site(t *testing.T) wp.Site {
	t.Helper()
	site, err := s.node.host.Find(s.op.Site.Account, s.op.Site.Domain, s.op.Site.Path)
	must(t, err)
	return site
}

// has is "version status" of a plugin or theme, as WP-CLI lists it; "" when it is not there.
func (s shop) has(t *testing.T, slug string) string {
	t.Helper()
	list := s.node.host.CLI.PluginList
	if slug == "plain" || slug == "cracked" || strings.HasPrefix(slug, "twenty") {
		list = s.node.host.CLI.ThemeList
	}
	have, err := list(t.Context(), s.site(t))
	must(t, err)
	for _, e := range have {
		if e.Slug == slug {
			return e.Version + " " + e.Status
		}
	}
	return ""
}

func (s shop) mustHave(t *testing.T, slug, want string) {
	t.Helper()
	if got := s.has(t, slug); got != want {
		t.Errorf("%s is %q, want %q", slug, got, want)
	}
}

func (s shop) mustBeUp(t *testing.T) {
	t.Helper()
	_, health, err := s.node.host.Survey(t.Context(), s.site(t))
	if err != nil || !health.Up {
		t.Errorf("the site does not come up: %+v %v", health, err)
	}
}

// write puts a file into the site, as its owner would.
func (s shop) write(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(s.docroot(), name)
	who, err := wptest.Tenant(s.op.Site.Account)
	must(t, err)
	dir := filepath.Dir(file)
	must(t, errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(file, []byte(content), 0o644)))
	if os.Geteuid() == 0 {
		must(t, errors.Join(os.Lchown(dir, int(who.UID), int(who.GID)), os.Lchown(file, int(who.UID), int(who.GID))))
	}
}

// One site carries all of these, one after the other: an install costs more than most of them.
func TestPluginsAndThemesOnARealSite(t *testing.T) {
	t.Parallel()
	s := newShop(t, "paula", Install{})
	for _, part := range []struct {
		name string
		test func(*testing.T)
	}{
		{"plugin", s.pluginLife}, {"bad plugin", s.badPlugins}, {"broken site", s.brokenSite}, {"list", s.lists},
		{"delete", s.deletions}, {"theme", s.themeLife}, {"cancel", s.cancels}, {"death", s.deaths},
	} {
		if !t.Run(part.name, part.test) {
			return // the next one begins with what this one leaves
		}
	}
}

func (s shop) pluginLife(t *testing.T) {
	_, items := s.ends(t, Succeeded, "plugin.install", `{"plugin":"steady","version":"1.0","activate":true}`)
	if got := items["steady"]; got.From != "" || got.To != "1.0" || !got.Active || got.Status != ItemSucceeded {
		t.Errorf("%+v", got)
	}
	s.mustHave(t, "steady", "1.0 active")
	// The newest breaks the site, and is not left there.
	out, items := s.ends(t, RolledBack, "plugin.update", `{"plugin":"steady/steady.php","safe":false}`)
	if out.Error.Code != CodeSiteBroken || !strings.Contains(out.Error.Message, "no_such_function") || items["steady"].To != "1.0" {
		t.Errorf("%+v %+v", out.Error, items)
	}
	s.mustHave(t, "steady", "1.0 active")
	s.mustBeUp(t)
	_, items = s.ends(t, Succeeded, "plugin.update", `{"plugin":["steady@1.1"],"safe":false}`)
	if got := items["steady"]; got.From != "1.0" || got.To != "1.1" || !got.Active {
		t.Errorf("%+v", got)
	}
	s.mustHave(t, "steady", "1.1 active")
}

func (s shop) badPlugins(t *testing.T) {
	out, _ := s.ends(t, Failed, "plugin.install", `{"plugin":"grumpy","activate":true}`)
	if out.Error.Code != CodePHPFatal {
		t.Errorf("%+v", out.Error)
	}
	s.mustHave(t, "grumpy", "")
	s.ends(t, Succeeded, "plugin.install", `{"plugin":["grumpy","sulky"]}`)
	if out, _ := s.ends(t, RolledBack, "plugin.activate", `{"plugin":"sulky"}`); out.Error.Code != CodeSiteBroken {
		t.Errorf("%+v", out.Error)
	}
	s.mustHave(t, "sulky", "1.0 inactive")
	s.mustBeUp(t)
}

// What breaks a site can be taken out of it; what was not up before is not called up after.
func (s shop) brokenSite(t *testing.T) {
	file := filepath.Join(s.docroot(), "wp-content/plugins/steady/steady.php")
	whole, err := os.ReadFile(file)
	must(t, err)
	s.write(t, "wp-content/plugins/steady/steady.php", "<?php\n/*\nPlugin Name: steady\nVersion: 1.1\n*/\n"+fatal)
	if out, _ := s.ends(t, Unverified, "plugin.install", `{"plugin":"hello-dolly"}`); out.Error.Code != CodeUnconfirmed {
		t.Errorf("%+v", out.Error)
	}
	s.ends(t, Succeeded, "plugin.deactivate", `{"plugin":"steady"}`)
	s.mustHave(t, "steady", "1.1 inactive")
	s.mustBeUp(t)
	s.write(t, "wp-content/plugins/steady/steady.php", string(whole))
	s.ends(t, Succeeded, "plugin.activate", `{"plugin":"steady"}`)
}

func (s shop) lists(t *testing.T) {
	out, items := s.ends(t, Failed, "plugin.activate", `{"plugin":["hello-dolly","grumpy","steady","nowhere"]}`)
	result := answerOf[ExtensionResult](t, out)
	if out.Error.Code != CodeItemsFailed || result.Succeeded != 1 || result.Failed != 2 || result.Unchanged != 1 ||
		!strings.Contains(out.Error.Message, "grumpy, nowhere") || !strings.Contains(out.Error.Hint, "stay") ||
		items["nowhere"].Error.Code != CodeNotInstalled {
		t.Errorf("%+v %+v", out.Error, result)
	}
	s.mustHave(t, "hello-dolly", "1.7.2 active")
	s.mustHave(t, "grumpy", "1.0 inactive")
	out, _ = s.ends(t, Succeeded, "plugin.deactivate", `{"all":true,"dry_run":true}`)
	if preview := answerOf[ExtensionPreview](t, out); !preview.DryRun || len(preview.Would.Items) != 2 || preview.Would.Items[0].Status != ItemPlanned {
		t.Errorf("%+v", preview)
	}
	s.mustHave(t, "steady", "1.1 active")
	out, items = s.ends(t, RolledBack, "plugin.update", `{"all":true,"safe":false}`) // for steady 2.0
	// What WordPress brought along is not in this package source.
	if answerOf[ExtensionResult](t, out).Skipped == 0 || items["hello-dolly"].Status != ItemUnchanged || items["steady"].Status != ItemFailed {
		t.Errorf("%+v", items)
	}
	s.mustHave(t, "steady", "1.1 active")
}

func (s shop) deletions(t *testing.T) {
	s.write(t, "wp-content/mu-plugins/ours.php", "<?php\n/* Plugin Name: Ours */\n")
	if out, _ := s.ends(t, Failed, "plugin.delete", `{"plugin":"ours"}`); out.Error.Code != CodeMustUse {
		t.Errorf("%+v", out.Error)
	}
	s.ends(t, Succeeded, "plugin.delete", `{"plugin":["sulky","grumpy"]}`)
	s.mustHave(t, "sulky", "")
	_, items := s.ends(t, Succeeded, "plugin.delete", `{"plugin":"steady","deactivate":true,"uninstall":true}`)
	if items["steady"].From != "1.1" || items["steady"].To != "" {
		t.Errorf("%+v", items)
	}
	s.mustHave(t, "steady", "")
	if value, err := s.node.host.CLI.OptionString(t.Context(), s.site(t), "steady"); err == nil {
		t.Errorf("its data is left: %q", value)
	}
	// A link is taken away, not what it leads to.
	outside := filepath.Join(s.home(), "work", "linked")
	must(t, os.MkdirAll(outside, 0o755))
	must(t, os.WriteFile(filepath.Join(outside, "linked.php"), []byte("<?php\n/*\nPlugin Name: linked\nVersion: 1.0\n*/\n"), 0o644))
	link := filepath.Join(s.docroot(), "wp-content/plugins/linked")
	must(t, os.Symlink(outside, link))
	s.parts.plugin("linked", "1.1", "")
	if out, _ := s.ends(t, Failed, "plugin.update", `{"plugin":"linked","safe":false}`); out.Error.Code != CodeLinked {
		t.Errorf("%+v", out.Error)
	}
	s.ends(t, Succeeded, "plugin.delete", `{"plugin":"linked"}`)
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link is left")
	}
	if _, err := os.Stat(filepath.Join(outside, "linked.php")); err != nil {
		t.Error(err)
	}
	must(t, os.RemoveAll(filepath.Join(s.home(), "work")))
}

func (s shop) themeLife(t *testing.T) {
	before := s.activeTheme(t)
	s.ends(t, Succeeded, "theme.install", `{"theme":["plain@1.0","cracked"]}`)
	if out, _ := s.ends(t, RolledBack, "theme.activate", `{"theme":"cracked"}`); out.Error.Code != CodeSiteBroken ||
		answerOf[ExtensionResult](t, out).ActiveTheme != before {
		t.Errorf("%+v", out)
	}
	s.ends(t, Succeeded, "theme.activate", `{"theme":"plain"}`)
	s.mustHave(t, "plain", "1.0 active")
	s.ends(t, Succeeded, "theme.update", `{"theme":"plain","safe":false}`)
	s.mustHave(t, "plain", "1.1 active")
	s.parts.theme("plain", "1.2", fatal)
	if out, _ := s.ends(t, RolledBack, "theme.update", `{"theme":"plain","safe":false}`); out.Error.Code != CodeSiteBroken {
		t.Errorf("%+v", out.Error)
	}
	s.mustHave(t, "plain", "1.1 active")
	out, items := s.ends(t, Succeeded, "theme.deactivate", `{"theme":"plain"}`)
	if result := answerOf[ExtensionResult](t, out); result.ActiveTheme == "plain" || !strings.HasPrefix(result.ActiveTheme, "twentytwenty") || items["plain"].Status != ItemSucceeded {
		t.Errorf("%s", out.Result)
	}
	s.ends(t, Succeeded, "theme.install", `{"theme":"twentytwentythree","version":"1.1","activate":true}`)
	s.mustHave(t, "twentytwentythree", "1.1 active")
	s.ends(t, Succeeded, "theme.update", `{"theme":"twentytwentythree","safe":false}`)
	s.mustHave(t, "twentytwentythree", "1.2 active")
	s.ends(t, Succeeded, "theme.delete", `{"theme":["cracked","plain"]}`)
	s.mustHave(t, "cracked", "")
}

func (s shop) activeTheme(t *testing.T) string {
	t.Helper()
	have, err := s.node.host.CLI.Extensions(t.Context(), s.site(t))
	must(t, err)
	return have.Stylesheet
}

// Cancelled in the middle of a list, everything is as it was.
func (s shop) cancels(t *testing.T) {
	s.ends(t, Succeeded, "plugin.install", `{"plugin":"steady","version":"1.0","activate":true}`)
	o := s.then(t, "plugin.delete", `{"plugin":["hello-dolly","steady"],"deactivate":true}`)
	cancelled := make(chan struct{})
	var once sync.Once
	o.cfg.Cancelled = cancelled
	o.cfg.Report = func(e Event) {
		if e.Message == "Deleting steady" {
			once.Do(func() { close(cancelled) })
		}
	}
	s.items(t, o.mustEnd(Cancelled))
	s.mustHave(t, "hello-dolly", "1.7.2 active")
	s.mustHave(t, "steady", "1.0 active")
}

func (s shop) deaths(t *testing.T) {
	for _, c := range []struct {
		kind, payload, want string
		state               State
		after               bool
	}{
		{"plugin.update", `{"plugin":["steady@1.1"],"safe":false}`, "1.1 active", Succeeded, true},
		{"plugin.delete", `{"plugin":["steady"],"deactivate":true}`, "", Succeeded, false},
	} {
		o := s.then(t, c.kind, c.payload)
		r := &reaper{order: o, share: 1, shares: 2, after: c.after, seen: map[string]bool{}}
		o.fail = r.entry
		out, err := r.live()
		must(t, err)
		o.mustBe(out, c.state)
		s.items(t, out)
		s.mustHave(t, "steady", c.want)
		if r.deaths < 3 {
			t.Errorf("%s: %d deaths only", c.kind, r.deaths)
		}
	}
	s.mustBeUp(t)
}

func TestPluginsOfANetwork(t *testing.T) {
	t.Parallel()
	s := newShop(t, "nell", Install{Version: "6.2", Multisite: Subdirectories})
	s.ends(t, Succeeded, "plugin.install", `{"plugin":["hello-dolly","steady@1.0"],"activate":true,"network":true}`)
	s.mustHave(t, "steady", "1.0 active-network")
	s.ends(t, RolledBack, "plugin.update", `{"plugin":"steady","safe":false}`)
	s.mustHave(t, "steady", "1.0 active-network")
	s.ends(t, Succeeded, "plugin.deactivate", `{"all":true}`)
	s.mustHave(t, "hello-dolly", "1.7.2 inactive")
	have, err := s.node.host.CLI.Extensions(t.Context(), s.site(t))
	must(t, err)
	if !have.Multisite || !slices.ContainsFunc(have.Themes, func(a wp.Addon) bool { return a.Slug == have.DefaultTheme }) {
		t.Errorf("%+v", have)
	}
}
