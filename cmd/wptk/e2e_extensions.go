package main

import (
	"net/http"
	"strings"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

const (
	akismet = "wp-content/plugins/akismet/akismet.php"
	// plugins are all plugins by file, with version and whether they are active.
	plugins = `$all = array(); foreach ( get_plugins() as $file => $p ) { $all[ $file ] = array( $p['Version'], is_plugin_active( $file ) ); } return (object) $all;`

	akismetNew, helloNew = "5.7.2", "1.7.2"
)

func checkPluginsInstall(x *exam) {
	x.drop("wp-content/plugins/akismet", "wp-content/plugins/hello.php") // which some versions bring
	var got tasks.ExtensionResult
	x.change("/plugins/install", fields{"plugin": []string{"akismet", "hello-dolly@" + helloNew}}, &got)
	x.check(got.Succeeded == 2 && len(got.Items) == 2, "the result is %s", inJSON(got))
	x.wordpress(fields{"akismet/akismet.php": []any{akismetNew, false}, "hello-dolly/hello.php": []any{helloNew, false}}, plugins)
	x.refused(tasks.CodePackageUnavailable, "/plugins/install", fields{"plugin": "no-such-plugin-anywhere"})
}

func checkPluginsActivate(x *exam) {
	x.wordpress(fields{"akismet/akismet.php": []any{akismetNew, false}, "hello-dolly/hello.php": []any{helloNew, false}}, plugins)
	x.change("/plugins/activate", fields{"plugin": []string{"akismet", "hello-dolly"}}, nil)
	x.wordpress(fields{"akismet/akismet.php": []any{akismetNew, true}, "hello-dolly/hello.php": []any{helloNew, true}}, plugins)
	x.answers(http.StatusOK, "/")
}

func checkPlugins(x *exam) {
	var list []wp.Plugin
	x.read("/plugins", &list)
	listed := map[string][]any{}
	for _, p := range list {
		if p.Status == "active" || p.Status == "inactive" {
			listed[p.File] = []any{p.Version, p.Status == "active"}
		}
	}
	x.wordpress(listed, plugins)
}

func checkPluginsDeactivate(x *exam) {
	x.wordpress(fields{"akismet/akismet.php": []any{akismetNew, true}, "hello-dolly/hello.php": []any{helloNew, true}}, plugins)
	x.change("/plugins/deactivate", fields{"plugin": "akismet"}, nil)
	x.wordpress(fields{"akismet/akismet.php": []any{akismetNew, false}, "hello-dolly/hello.php": []any{helloNew, true}}, plugins)
	x.answers(http.StatusOK, "/")
}

// checkPluginsUpdate makes an old plugin of the newest.
func checkPluginsUpdate(x *exam) {
	packaged := x.file(akismet)
	x.put(akismet, strings.Replace(packaged, "Version: "+akismetNew, "Version: 5.0", 1))
	x.wordpress(fields{"akismet/akismet.php": []any{"5.0", false}, "hello-dolly/hello.php": []any{helloNew, true}}, plugins)
	var got tasks.ExtensionResult
	x.change("/plugins/update", fields{"all": true}, &got)
	x.wordpress(fields{"akismet/akismet.php": []any{akismetNew, false}, "hello-dolly/hello.php": []any{helloNew, true}}, plugins)
	x.check(x.file(akismet) == packaged, "the plugin's file is not that of its package")
	x.check(got.Failed == 0 && got.Succeeded == 1, "the result is %s", inJSON(got))
}

func checkPluginsDelete(x *exam) {
	x.wordpress(fields{"akismet/akismet.php": []any{akismetNew, false}, "hello-dolly/hello.php": []any{helloNew, true}}, plugins)
	x.change("/plugins/delete", fields{"plugin": []string{"akismet", "hello-dolly"}, "deactivate": true}, nil)
	x.wordpress(fields{}, plugins)
	x.check(!x.has("wp-content/plugins/akismet") && !x.has("wp-content/plugins/hello-dolly"), "files are left")
	x.answers(http.StatusOK, "/")
}

const (
	bundled  = "twentytwentythree" // each version of the package source is for all of ours
	ownTheme = "e2e-own"
	themes   = `$all = array(); foreach ( wp_get_themes() as $slug => $t ) { $all[ $slug ] = $t->get( 'Version' ); } return array( $all[ $args[0] ] ?? null, get_option( 'stylesheet' ) );`
)

// checkThemesInstall first gives the site a theme of its own, so that the others can go.
func checkThemesInstall(x *exam) {
	x.put("wp-content/themes/"+ownTheme+"/style.css", "/*\nTheme Name: End to end\nVersion: 1.0\n*/\n")
	x.put("wp-content/themes/"+ownTheme+"/index.php", "<html><head><?php wp_head(); ?></head><body><h1><?php bloginfo( 'name' ); ?></h1></body></html>")
	x.ask(nil, `switch_theme( $args[0] );`, ownTheme)
	x.drop("wp-content/themes/" + bundled)
	x.wordpress([]any{nil, ownTheme}, themes, bundled)
	x.change("/themes/install", fields{"theme": bundled, "version": "1.1"}, nil)
	x.wordpress([]any{"1.1", ownTheme}, themes, bundled)
}

func checkThemesActivate(x *exam) {
	x.wordpress([]any{"1.1", ownTheme}, themes, bundled)
	x.change("/themes/activate", fields{"theme": bundled}, nil)
	x.wordpress([]any{"1.1", bundled}, themes, bundled)
	page := x.answers(http.StatusOK, "/")
	x.check(!strings.Contains(page, "<h1>End &amp; end"), "the page is still that of the other theme")
}

func checkThemes(x *exam) {
	var list []wp.Theme
	x.read("/themes", &list)
	versions, active := map[string]string{}, ""
	for _, t := range list {
		versions[t.Slug] = t.Version
		if t.Status == "active" {
			active = t.Slug
		}
	}
	x.wordpress([]any{versions, active}, `return array( array_map( function ( $t ) { return $t->get( 'Version' ); }, wp_get_themes() ), get_option( 'stylesheet' ) );`)
}

func checkThemesDeactivate(x *exam) {
	x.wordpress([]any{"1.1", bundled}, themes, bundled)
	x.change("/themes/deactivate", fields{"theme": bundled, "fallback": ownTheme}, nil)
	x.wordpress([]any{"1.1", ownTheme}, themes, bundled)
	x.answers(http.StatusOK, "/")
}

func checkThemesUpdate(x *exam) {
	x.wordpress([]any{"1.1", ownTheme}, themes, bundled)
	x.change("/themes/update", fields{"theme": bundled, "version": "1.2"}, nil)
	x.wordpress([]any{"1.2", ownTheme}, themes, bundled)
}

func checkThemesDelete(x *exam) {
	x.wordpress([]any{"1.2", ownTheme}, themes, bundled)
	x.change("/themes/delete", fields{"theme": bundled}, nil)
	x.wordpress([]any{nil, ownTheme}, themes, bundled)
	x.check(!x.has("wp-content/themes/"+bundled), "files are left")
	x.answers(http.StatusOK, "/")
}
