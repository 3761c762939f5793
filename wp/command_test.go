package wp

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestBuilders(t *testing.T) {
	t.Parallel()
	admin := InstallOptions{Title: "--exec=phpinfo();", AdminUser: "-boss", AdminEmail: "b@c.test", AdminPassword: "s3cret", Locale: "de_DE"}
	for name, tc := range map[string]struct {
		cmd   Command
		want  []string
		stdin string
	}{
		"install": {coreInstall(InstallOptions{Title: "T", AdminUser: "u", AdminEmail: "e@f.test", AdminPassword: "s3cret"}),
			[]string{"core", "install", "--title=T", "--admin_user=u", "--admin_email=e@f.test", "--skip-email"}, "s3cret\n"},
		"install with everything": {coreInstall(admin),
			[]string{"core", "install", "--title=--exec=phpinfo();", "--admin_user=-boss", "--admin_email=b@c.test", "--locale=de_DE", "--skip-email"}, "s3cret\n"},
		"network": {coreMultisiteInstall("/", NetworkOptions{InstallOptions: admin}),
			[]string{"core", "multisite-install", "--title=--exec=phpinfo();", "--admin_user=-boss", "--admin_email=b@c.test", "--locale=de_DE", "--skip-email", "--base=/", "--skip-config"}, "s3cret\n"},
		"network of subdomains": {coreMultisiteInstall("/blog/", NetworkOptions{InstallOptions: InstallOptions{AdminPassword: "s3cret"}, Subdomains: true}),
			[]string{"core", "multisite-install", "--title=", "--admin_user=", "--admin_email=", "--skip-email", "--base=/blog/", "--skip-config", "--subdomains"}, "s3cret\n"},
		"option get":          {optionGet("home"), []string{"option", "get", "home", "--format=json"}, ""},
		"option update":       {optionUpdate("blogname", "--x"), []string{"option", "update", "blogname", "--format=json"}, `"--x"`},
		"plugin list":         {pluginList(), []string{"plugin", "list", "--format=json", "--fields=name,status,version,title", "--skip-update-check"}, ""},
		"plugin install":      {pluginInstall("/p/a.zip", false), []string{"plugin", "install", "/p/a.zip", "--force"}, ""},
		"plugin install, on":  {pluginInstall("/p/a.zip", true), []string{"plugin", "install", "/p/a.zip", "--force", "--activate"}, ""},
		"plugin activate":     {pluginActivate([]string{"a", "b"}), []string{"plugin", "activate", "a", "b"}, ""},
		"theme list":          {themeList(), []string{"theme", "list", "--format=json", "--fields=name,status,version,title", "--skip-update-check"}, ""},
		"theme install":       {themeInstall("/p/a.zip", true), []string{"theme", "install", "/p/a.zip", "--force", "--activate"}, ""},
		"theme activate":      {themeActivate("a"), []string{"theme", "activate", "a"}, ""},
		"language installed":  {languageIsInstalled("de_DE"), []string{"language", "core", "is-installed", "de_DE"}, ""},
		"language install":    {languageInstall("de_DE"), []string{"language", "core", "install", "de_DE"}, ""},
		"language activate":   {languageActivate("de_DE"), []string{"site", "switch-language", "de_DE"}, ""},
		"rewrite":             {rewriteStructure("/%postname%/"), []string{"rewrite", "structure", "/%postname%/", "--hard"}, ""},
		"user list":           {userList(""), []string{"user", "list", "--fields=ID,user_login,user_email,display_name,roles", "--format=json"}, ""},
		"user list of a role": {userList("editor"), []string{"user", "list", "--role=editor", "--fields=ID,user_login,user_email,display_name,roles", "--format=json"}, ""},
		"user create": {userCreate(NewUser{Login: "a", Email: "b@c.test", Role: "editor", Password: "s3cret", Op: "op_1"}),
			[]string{"wptk", "create-user"}, `{"email":"b@c.test","login":"a","op":"op_1","password":"s3cret","role":"editor"}`},
		"user password":  {userResetPassword("--all", "s3cret"), []string{"wptk", "reset-password"}, `{"login":"--all","password":"s3cret"}`},
		"check password": {userCheckPassword(`a"b`, "s3cret"), []string{"wptk", "check-password"}, `{"login":"a\"b","password":"s3cret"}`},
	} {
		if tc.cmd.err != nil {
			t.Errorf("%s: %v", name, tc.cmd.err)
		}
		if diff := cmp.Diff(tc.want, append(slices.Clone(tc.cmd.verbs), tc.cmd.args...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got := tc.cmd.standardInput(); got != tc.stdin {
			t.Errorf("%s: input %q, want %q", name, got, tc.stdin)
		}
	}
}

func TestBuildersRefuseWhatCannotBePassed(t *testing.T) {
	t.Parallel()
	for name, cmd := range map[string]Command{
		"slug that is a flag":   pluginActivate([]string{"--require=/home/a/x.php"}),
		"no slug":               pluginActivate(nil),
		"slug all":              themeActivate("a b"),
		"zip that is relative":  pluginInstall("a.zip", true),
		"zip that is a URL":     pluginInstall("https://example.com/a.zip", true),
		"empty option name":     optionGet(""),
		"option that is a flag": optionGet("--user=1"),
		"locale with a path":    languageActivate("../x"),
		"title with line feed":  coreInstall(InstallOptions{Title: "a\nb", AdminPassword: "s3cret"}),
		"title with escape":     coreInstall(InstallOptions{Title: "a\x1b[2Jb", AdminPassword: "s3cret"}),
		"title with NUL":        coreInstall(InstallOptions{Title: "a\x00b", AdminPassword: "s3cret"}),
		"title not UTF-8":       coreInstall(InstallOptions{Title: "a\xffb", AdminPassword: "s3cret"}),
		"title of 1 MiB":        coreInstall(InstallOptions{Title: strings.Repeat("a", 1<<20), AdminPassword: "s3cret"}),
		"no password":           coreInstall(InstallOptions{}),
		"password that is 0":    coreInstall(InstallOptions{AdminPassword: "0"}),
		"password of two lines": coreInstall(InstallOptions{AdminPassword: "a\nb"}),
		"password too long":     coreInstall(InstallOptions{AdminPassword: strings.Repeat("a", 513)}),
		"permalinks":            rewriteStructure("-x"),
	} {
		if !errors.Is(cmd.err, errValue) {
			t.Errorf("%s: error %v", name, cmd.err)
		}
	}
}

// Whatever a value is, it adds exactly one argument and never one that WP-CLI takes for
// another flag, and a secret adds none.
func TestValuesAreNeverFlags(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`--?[a-z]{1,6}(=[a-z/]*)?`)).Draw(t, "value")
		base := command("some", "verb")
		if cmd := base.value("name", value); cmd.err == nil && (len(cmd.args) != 1 || cmd.args[0] != "--name="+value) {
			t.Fatalf("value %q became %q", value, cmd.args)
		}
		if cmd := base.arg(value); cmd.err == nil && (len(cmd.args) != 1 || strings.HasPrefix(cmd.args[0], "-")) {
			t.Fatalf("argument %q became %q", value, cmd.args)
		}
		cmd := base.secret("password", value)
		if cmd.err == nil && (len(cmd.args) != 0 || strings.Count(cmd.standardInput(), "\n") != 1) {
			t.Fatalf("secret %q became %q and %q", value, cmd.args, cmd.standardInput())
		}
	})
}

func TestCommandsBuiltFromOneStayApart(t *testing.T) {
	t.Parallel()
	base := command("x").flag("a").flag("b").flag("c")
	one, two := base.flag("one"), base.flag("two")
	if one.args[3] != "--one" || two.args[3] != "--two" || len(base.args) != 3 {
		t.Errorf("%q %q %q", base.args, one.args, two.args)
	}
}

// The type literal is worth something only while no variable is converted to it.
func TestNothingBecomesALiteral(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "literal" {
					t.Errorf("%s converts something to literal", file.Name())
				}
			}
			return true
		})
	}
}
