package main

import "os"

// Values of a body that are known only then.
const (
	theBackup  = "the backup that was made before"
	theInstall = "the install"
	thePage    = "the site's front page"
)

// foreignChanges is every change of an install that the API offers, in an order in which
// each finds what it needs and what can be taken back is.
var foreignChanges = []foreignChange{
	{path: "/inspect"},
	{path: "/backup"},
	{path: "/maintenance", what: "on", body: fields{"enabled": true, "minutes": 5}},
	{path: "/maintenance", what: "off", body: fields{"enabled": false}},
	{path: "/search-replace", body: fields{"search": "no such text anywhere", "replace": "another"}},
	{path: "/admin/create", body: fields{"user": "second", "email": "second@example.com"}},
	{path: "/password/reset", body: fields{"user": e2eAdmin}},
	{path: "/auto-login", body: fields{"user": e2eAdmin}},

	{path: "/plugins/install", body: fields{"plugin": "hello-dolly"}},
	{path: "/plugins/activate", body: fields{"plugin": "hello-dolly"}},
	{path: "/plugins/update", body: fields{"all": true}},
	{path: "/plugins/deactivate", body: fields{"plugin": "hello-dolly"}},
	{path: "/plugins/delete", body: fields{"plugin": "hello-dolly"}},
	{path: "/themes/install", body: fields{"theme": "twentytwentyfour"}},
	{path: "/themes/activate", body: fields{"theme": "twentytwentyfour"}},
	{path: "/themes/update", body: fields{"theme": "twentytwentyfour"}},
	{path: "/themes/deactivate", body: fields{"theme": "twentytwentyfour"}},
	{path: "/themes/delete", body: fields{"theme": "twentytwentyfour"}},

	{path: "/cache/enable", body: fields{"type": "object"}},
	{path: "/cache/flush", body: fields{"type": "object"}},
	{path: "/cache/disable", body: fields{"type": "object"}},
	{path: "/cache/enable", what: "page", body: fields{"type": "page"}},
	{path: "/cache/purge", body: fields{"type": "page", "url": thePage}},
	{path: "/cache/disable", what: "page", body: fields{"type": "page"}},

	{path: "/security/disable-file-edit", what: "on", body: fields{"enabled": true}},
	{path: "/security/disable-file-edit", what: "off", body: fields{"enabled": false}},
	{path: "/security/toggle-debug", what: "on", body: fields{"enabled": true}},
	{path: "/security/toggle-debug", what: "off", body: fields{"enabled": false}},
	{path: "/security/hide-login", what: "on", body: fields{"enabled": true, "slug": "way-in"}},
	{path: "/security/hide-login", what: "off", body: fields{"enabled": false}},
	{path: "/security/file-protection", what: "on", body: fields{"enabled": true, "server": "apache"}},
	{path: "/security/file-protection", what: "off", body: fields{"enabled": false, "server": "apache"}},
	{path: "/security/block-xmlrpc", what: "on", body: fields{"enabled": true, "server": "apache"}},
	{path: "/security/block-xmlrpc", what: "off", body: fields{"enabled": false, "server": "apache"}},
	{path: "/security/limit-xmlrpc", what: "on", body: fields{"enabled": true}},
	{path: "/security/limit-xmlrpc", what: "off", body: fields{"enabled": false}},
	{path: "/security/disable-pingbacks", what: "on", body: fields{"enabled": true}},
	{path: "/security/disable-pingbacks", what: "off", body: fields{"enabled": false}},

	{path: "/verify-checksums"},
	{path: "/reinstall-core"},
	{path: "/core/update", body: fields{"version": "latest"}},
	{path: "/restore", body: fields{"backup_id": theBackup, "checkpoint": false}},
	{path: deletePath},
}

// foreignInstalls are the ten that a host finds on its disks. What refuses has no entry for
// yet is held against success: a refusal that makes sense is written down here.
var foreignInstalls = []foreignInstall{
	{name: "subdir", path: "public_html/blog"},
	{name: "network", path: demoPath, multisite: true, refuses: map[string]string{
		"POST /security/disable-pingbacks on": "unavailable", "POST /security/disable-pingbacks off": "unavailable", // each site decides
	}},
	{name: "content", path: demoPath, spoil: func(x *exam) {
		x.tenant("", "mv", "wp-content", "app")
		x.edit(e2eConfig, "<?php", "<?php\ndefine( 'WP_CONTENT_DIR', __DIR__ . '/app' );\ndefine( 'WP_CONTENT_URL', '"+x.url()+"/app' );")
	}},
	{name: "above", path: demoPath, spoil: func(x *exam) { x.tenant("", "mv", e2eConfig, "..") }},
	{name: "iffy", path: demoPath, spoil: func(x *exam) {
		x.edit(e2eConfig, "define( 'DB_NAME',", "if ( ! getenv( 'STAGING' ) ) define( 'DB_NAME',")
	}, refuses: map[string]string{"POST /backup": "backup_failed", "POST /core/update": "snapshot_impossible", "POST /restore": "none"}},
	{name: "nodb", path: demoPath, spoil: func(x *exam) { x.edit(e2eConfig, "define( 'DB_PASSWORD', '", "define( 'DB_PASSWORD', 'not ") },
		refuses: map[string]string{
			"*":             "database_error",
			"POST /inspect": foreignFine, "POST /maintenance on": "unconfirmed", "POST /maintenance off": "unconfirmed",
			"POST /security/disable-file-edit on": foreignFine, "POST /security/disable-file-edit off": foreignFine,
			"POST /security/toggle-debug on": foreignFine, "POST /security/toggle-debug off": foreignFine,
			"POST /security/file-protection on": foreignFine, "POST /security/file-protection off": foreignFine,
			"POST /security/block-xmlrpc on": foreignFine, "POST /security/block-xmlrpc off": foreignFine,
			"POST /restore": "none", deleteRow: foreignFine,
		}},
	{name: "badplugin", path: demoPath, spoil: func(x *exam) {
		x.ask(nil, `update_option( 'active_plugins', array( 'bad-one/start.php' ) );`)
		x.put("wp-content/plugins/bad-one/start.php", "<?php\n/* Plugin Name: Bad */\nno_such_function();")
	}, refuses: map[string]string{
		"POST /plugins/install": "unconfirmed", "POST /plugins/activate": "site_down", "POST /plugins/delete": "unconfirmed",
		"POST /themes/activate": "unconfirmed", "POST /themes/deactivate": "unconfirmed", "POST /themes/delete": "unconfirmed",
		"POST /cache/enable page": "site_down", "POST /cache/purge": "site_down",
		"POST /restore": "verify_failed", // the saved state is broken, too
	}},
	{name: "badtheme", path: demoPath, spoil: func(x *exam) {
		var theme string
		x.ask(&theme, `return get_stylesheet();`)
		x.put("wp-content/themes/"+theme+"/functions.php", "<?php\nif (")
	}, refuses: map[string]string{
		"POST /plugins/install": "unconfirmed", "POST /plugins/activate": "site_down", "POST /plugins/delete": "unconfirmed",
		// Another theme mends it; back to this one breaks it, so that the other stays active.
		"POST /themes/deactivate": "site_broken", "POST /themes/delete": "in_use",
		"POST /restore": "verify_failed", // the saved state is broken
	}},
	{name: "old", path: demoPath, version: "6.2.6", refuses: map[string]string{
		"POST /themes/install":  "wp_cli_error", // it asks for WordPress 6.4
		"POST /themes/activate": "not_installed", "POST /themes/update": "not_installed",
		"POST /themes/deactivate": "not_installed", "POST /themes/delete": "not_installed",
	}},
	{name: "closed", path: demoPath, spoil: func(x *exam) {
		for _, name := range []string{e2eConfig, "wp-content"} {
			if err := os.Chmod(x.docroot()+"/"+name, 0); err != nil {
				x.note(err)
			}
		}
	}, refuses: map[string]string{
		"POST /backup": "backup_failed", "POST /maintenance on": "unconfirmed", "POST /maintenance off": "unconfirmed",
		"POST /search-replace": "wp_cli_error", "POST /admin/create": "wp_cli_error", "POST /password/reset": "wp_cli_error",
		"POST /auto-login": "wp_cli_error", "POST /plugins/install": "wp_cli_error", "POST /plugins/activate": "wp_cli_error",
		"POST /plugins/update": "wp_cli_error", "POST /plugins/deactivate": "wp_cli_error", "POST /plugins/delete": "wp_cli_error",
		"POST /themes/install": "wp_cli_error", "POST /themes/activate": "wp_cli_error",
		"POST /themes/update": "wp_cli_error", "POST /themes/deactivate": "wp_cli_error", "POST /themes/delete": "wp_cli_error",
		"POST /cache/enable": "wp_cli_error", "POST /cache/flush": "wp_cli_error", "POST /cache/disable": "wp_cli_error",
		"POST /cache/enable page": "wp_cli_error", "POST /cache/purge": "wp_cli_error", "POST /cache/disable page": "wp_cli_error",
		"POST /security/disable-file-edit on": "permission_denied", "POST /security/disable-file-edit off": "permission_denied",
		"POST /security/toggle-debug on": "permission_denied", "POST /security/toggle-debug off": "permission_denied",
		"POST /security/disable-pingbacks on": "permission_denied", "POST /security/disable-pingbacks off": "permission_denied",
		"POST /security/hide-login on": "wp_cli_error", "POST /security/hide-login off": "wp_cli_error",
		"POST /security/limit-xmlrpc on": "wp_cli_error", "POST /security/limit-xmlrpc off": "wp_cli_error", "POST /restore": "none",
		"POST /core/update": "snapshot_impossible", deleteRow: "backup_failed", // nothing is deleted without its last backup
	}},
}
