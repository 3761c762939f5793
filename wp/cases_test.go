package wp

import (
	"context"
	"encoding/json"
	"path/filepath"
)

// wpCase is one call of a typed method. All cases run in this order on one real site
// (TestCasesHoldOnRealWordPress), and each alone on its recording (TestCasesReplay).
type wpCase struct {
	name string // folder of the command, then the case: testdata/<name>.txtar
	call func(ctx context.Context, x caseEnv) (any, error)
}

type caseEnv struct {
	cli  *CLI
	site Site
	zips string // package source; replays only look at the last part of a path
}

const (
	casePassword = `pä "ss'\word` // everything that a shell, PHP or a line reader could trip over
	caseLogin    = "the boss"
)

var caseUser = NewUser{Login: "1", Email: "one@blog.test", Role: "editor", Password: casePassword, Op: "op_1"}

func (x caseEnv) install(ctx context.Context) (Installed, error) {
	return x.cli.CoreInstall(ctx, x.site, InstallOptions{
		Title: `O'Brien & "Sons" <3 $1 — ☕`, AdminUser: caseLogin, AdminEmail: "boss@blog.test", AdminPassword: casePassword,
	})
}

// one picks an entry, since what else comes with WordPress differs between versions.
func one(list []Extension, err error) func(slug string) (any, error) {
	return func(slug string) (any, error) {
		for _, e := range list {
			if e.Slug == slug {
				return e, err
			}
		}
		return nil, err
	}
}

var wpCases = []wpCase{
	{"core-is-installed/no", func(ctx context.Context, x caseEnv) (any, error) { return x.cli.CoreIsInstalled(ctx, x.site) }},
	{"option-get/not-installed", func(ctx context.Context, x caseEnv) (any, error) { return x.cli.OptionString(ctx, x.site, "home") }},
	{"core-install/new", func(ctx context.Context, x caseEnv) (any, error) { return x.install(ctx) }},
	{"core-install/again", func(ctx context.Context, x caseEnv) (any, error) { return x.install(ctx) }},
	{"core-is-installed/yes", func(ctx context.Context, x caseEnv) (any, error) { return x.cli.CoreIsInstalled(ctx, x.site) }},
	{"core-version/extra", func(ctx context.Context, x caseEnv) (any, error) { return x.cli.CoreVersion(ctx, x.site) }},

	{"option-get/text", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.OptionString(ctx, x.site, "admin_email")
	}},
	{"option-get/list", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.OptionGet(ctx, x.site, "active_plugins")
	}},
	{"option-get/list-as-text", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.OptionString(ctx, x.site, "active_plugins")
	}},
	{"option-get/missing", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.OptionString(ctx, x.site, "no_such_option")
	}},
	{"option-update/looks-like-a-flag", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.OptionUpdate(ctx, x.site, "blogdescription", `--exec=phpinfo(); ☕ "q" \n`)
	}},
	{"option-update/same-again", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.OptionUpdate(ctx, x.site, "blogdescription", `--exec=phpinfo(); ☕ "q" \n`)
	}},
	{"option-update/cleaned", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.OptionUpdate(ctx, x.site, "posts_per_page", "seven")
	}},

	{"plugin-list/bundled", func(ctx context.Context, x caseEnv) (any, error) {
		return one(x.cli.PluginList(ctx, x.site))("akismet")
	}},
	{"plugin-install/zip", func(ctx context.Context, x caseEnv) (any, error) {
		zip := filepath.Join(x.zips, "plugins", "hello-dolly", "1.7.2.zip")
		return nil, x.cli.PluginInstall(ctx, x.site, "hello-dolly", zip, true)
	}},
	{"plugin-install/wrong-slug", func(ctx context.Context, x caseEnv) (any, error) {
		zip := filepath.Join(x.zips, "plugins", "hello-dolly", "1.7.2.zip")
		return nil, x.cli.PluginInstall(ctx, x.site, "goodbye", zip, false)
	}},
	{"plugin-activate/bundled", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.PluginActivate(ctx, x.site, "akismet")
	}},
	{"plugin-activate/missing", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.PluginActivate(ctx, x.site, "no-such-plugin")
	}},

	{"theme-list/bundled", func(ctx context.Context, x caseEnv) (any, error) {
		return one(x.cli.ThemeList(ctx, x.site))("twentytwentyfour")
	}},
	{"theme-install/zip", func(ctx context.Context, x caseEnv) (any, error) {
		zip := filepath.Join(x.zips, "themes", "twentytwentyfour", "1.6.zip")
		return nil, x.cli.ThemeInstall(ctx, x.site, "twentytwentyfour", zip, false)
	}},
	{"theme-activate/bundled", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.ThemeActivate(ctx, x.site, "twentytwentyfour")
	}},
	{"theme-activate/missing", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.ThemeActivate(ctx, x.site, "no-such-theme")
	}},

	{"user-list/administrators", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserList(ctx, x.site, "administrator")
	}},
	{"user-create/number-as-login", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserCreate(ctx, x.site, caseUser)
	}},
	{"user-create/same-op", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserCreate(ctx, x.site, caseUser)
	}},
	{"user-check-password/created", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserCheckPassword(ctx, x.site, "1", casePassword)
	}},
	{"user-create/twice", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserCreate(ctx, x.site, NewUser{Login: "1", Email: "two@blog.test", Role: "editor", Password: casePassword, Op: "op_2"})
	}},
	{"user-create/same-email", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserCreate(ctx, x.site, NewUser{Login: "2", Email: "one@blog.test", Role: "editor", Password: casePassword, Op: "op_2"})
	}},
	{"user-create/no-such-role", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserCreate(ctx, x.site, NewUser{Login: "2", Email: "two@blog.test", Role: "emperor", Password: casePassword, Op: "op_2"})
	}},
	{"user-remove/of-another-op", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.UserRemove(ctx, x.site, "1", "op_2")
	}},
	{"user-get/missing", func(ctx context.Context, x caseEnv) (any, error) { return x.cli.UserGet(ctx, x.site, "nobody") }},
	{"user-get/there", func(ctx context.Context, x caseEnv) (any, error) { return x.cli.UserGet(ctx, x.site, "1") }},
	{"user-reset-password/set", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserResetPassword(ctx, x.site, "1", `new 'pass" \ ☕`)
	}},
	{"user-reset-password/nobody", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserResetPassword(ctx, x.site, "nobody", casePassword)
	}},
	{"user-check-password/old", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserCheckPassword(ctx, x.site, "1", casePassword)
	}},
	{"user-check-password/first-user", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserCheckPassword(ctx, x.site, caseLogin, casePassword)
	}},
	{"user-check-password/nobody", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.UserCheckPassword(ctx, x.site, "nobody", casePassword)
	}},

	{"user-remove/of-this-op", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.UserRemove(ctx, x.site, "1", "op_1")
	}},
	{"user-remove/gone", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.UserRemove(ctx, x.site, "1", "op_1")
	}},

	{"rewrite-structure/pretty", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.RewriteStructure(ctx, x.site, "/%postname%/")
	}},
	{"language-is-installed/no", func(ctx context.Context, x caseEnv) (any, error) {
		return x.cli.LanguageIsInstalled(ctx, x.site, "de_DE")
	}},
	{"language-activate/missing", func(ctx context.Context, x caseEnv) (any, error) {
		return nil, x.cli.LanguageActivate(ctx, x.site, "de_DE")
	}},
}

// outcome is what a case ended with, in the form that is kept in testdata.
func outcome(value any, err error) string {
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	b, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return string(b) + "\n"
}
