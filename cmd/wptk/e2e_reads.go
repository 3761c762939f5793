package main

import (
	"slices"

	"github.com/wispanel/wptk/tasks"
)

// checkProgress: the install's id shows its newest op, an op's id that op.
func checkProgress(x *exam) {
	var of, newest operation
	op := x.change("/inspect", nil, nil)
	for id, into := range map[string]*operation{x.id: &newest, op.OperationID: &of} {
		if x.err == nil {
			_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/install/"+id+"/progress", nil, into)
			x.note(err)
		}
	}
	x.check(of.OperationID == op.OperationID && of.Status == tasks.Succeeded && of.Done && of.Progress == 100 && newest.ID == x.id,
		"of the op: %s; of the install: %s", inJSON(of), inJSON(newest))
}

// itself is what WordPress says of itself in the words of the list.
const itself = `return array( 'version' => get_bloginfo( 'version' ), 'site_title' => wp_specialchars_decode( get_option( 'blogname' ) ), 'site_url' => get_option( 'siteurl' ),
	'db_name' => DB_NAME, 'db_user' => DB_USER, 'table_prefix' => $GLOBALS['table_prefix'], 'debug' => WP_DEBUG, 'multisite' => is_multisite() );`

func (x *exam) isItself(listed installation) {
	x.wordpress(fields{"version": listed.Version, "site_title": listed.SiteTitle, "site_url": listed.SiteURL, "db_name": listed.DBName,
		"db_user": listed.DBUser, "table_prefix": listed.TablePrefix, "debug": listed.Debug, "multisite": listed.Multisite}, itself)
	x.check(listed.Domain == x.domain && listed.Path == x.docroot() && listed.Node == e2eNode && listed.Account == x.account && listed.Status == "ok",
		"listed as %s", inJSON(listed))
}

func checkInstallations(x *exam) {
	var all []installation
	if x.err == nil {
		_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/installations", map[string][]string{"domain": {x.domain}}, &all)
		x.note(err)
	}
	x.check(len(all) == 1 && all[0].ID == x.id, "the domain has %s", inJSON(all))
	if len(all) == 1 {
		x.isItself(all[0])
	}
}

func checkInstallation(x *exam) {
	var one struct {
		installation
		Plugins []struct{ File, Version string }
		Themes  []struct{ Slug, Version string }
		Users   struct{ Total int }
		Sizes   struct {
			Database struct{ Tables int }
			Files    struct{ Bytes int64 }
		}
	}
	x.read("/installation", &one)
	x.isItself(one.installation)
	plugins, themes := map[string]string{}, map[string]string{}
	for _, p := range one.Plugins {
		plugins[p.File] = p.Version
	}
	for _, t := range one.Themes {
		themes[t.Slug] = t.Version
	}
	x.wordpress([]any{plugins, themes, one.Users.Total, one.Sizes.Database.Tables}, `return array( (object) wp_list_pluck( get_plugins(), 'Version' ),
		(object) array_map( function ( $t ) { return $t->get( 'Version' ); }, wp_get_themes() ), count_users()['total_users'],
		count( $GLOBALS['wpdb']->get_col( $GLOBALS['wpdb']->prepare( 'SHOW TABLES LIKE %s', $GLOBALS['wpdb']->esc_like( $GLOBALS['table_prefix'] ) . '%' ) ) ) );`)
	x.check(one.Sizes.Files.Bytes > 10<<20, "its files are said to have %d bytes", one.Sizes.Files.Bytes)
}

func checkStatus(x *exam) {
	var status struct {
		CLI           bool `json:"wp_cli_available"`
		Installations []installation
	}
	if x.err == nil {
		_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/status", nil, &status)
		x.note(err)
	}
	i := slices.IndexFunc(status.Installations, func(s installation) bool { return s.ID == x.id })
	x.check(status.CLI && i >= 0, "the status does not have the site: %.300s", inJSON(status))
	if i >= 0 {
		x.isItself(status.Installations[i])
	}
}

// checkInspect changes the site behind the toolkit's back.
func checkInspect(x *exam) {
	rename := func(title string) {
		x.ask(nil, `return update_option( 'blogname', $args[0] );`, title)
		x.change("/inspect", nil, nil)
		var one struct {
			installation
			Options struct{ BlogName string }
		}
		x.read("/installation", &one)
		x.check(one.Options.BlogName == title, "the site is called %q now, and %q says the inspection", title, one.Options.BlogName)
	}
	x.undo(func() { rename(x.title) })
	rename("Renamed by hand")
}
