package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wispanel/wptk/tasks"
)

// checkSafeUpdate updates a site whose plugin does not take the other version: its pages end
// in a fatal error, while WordPress itself comes up. All of it has to be as before.
func checkSafeUpdate(x *exam) {
	const plugin = "e2e-old/e2e-old.php"
	to := "6.5.5"
	if x.version == to {
		to = "latest"
	}
	x.undo(func() {
		x.ask(nil, `require_once ABSPATH . 'wp-admin/includes/plugin.php'; deactivate_plugins( $args[0] );`, plugin)
		x.drop("wp-content/plugins/e2e-old")
	})
	x.put("wp-content/plugins/"+plugin, fmt.Sprintf(`<?php
/* Plugin Name: Of its time */
add_action( 'wp_head', function () { if ( %q !== $GLOBALS['wp_version'] ) { update_option( 'e2e_old', 'spoiled' ); e2e_function_that_is_gone(); } } );`, x.version))
	x.ask(nil, `require_once ABSPATH . 'wp-admin/includes/plugin.php'; activate_plugin( $args[0] ); update_option( 'e2e_old', 'as it was' );`, plugin)
	files, tables := x.filesSums(), x.tablesSum()

	op := x.ended(x.submit("/core/update", fields{"version": to, "force": true}).OperationID)
	x.check(x.err != nil || op.Status == tasks.RolledBack && op.Error != nil && op.Error.Code == tasks.CodeUpdateBrokeSite,
		"the update is %s: %s", op.Status, op.failure())
	var told struct{ Safe *tasks.SafeReport }
	if x.err == nil {
		x.note(decode(op.Result, &told))
	}
	x.check(x.err != nil || told.Safe != nil && told.Safe.RolledBack && told.Safe.AsBefore != nil && *told.Safe.AsBefore && len(told.Safe.Regressions) > 0 &&
		told.Safe.Snapshot != nil && told.Safe.Snapshot.Removed, "the result says %s", op.Result)
	x.ask(&x.result.DBName, `return DB_NAME;`)
	x.check(x.err != nil || told.Safe.Snapshot.Database == x.result.DBName, "the site is in %s", x.result.DBName)
	others := changedFiles(files, x.filesSums())
	x.check(len(others) == 0, "%d files are not as before: %.300q", len(others), others)
	x.check(x.tablesSum() == tables, "tables are not as before")
	x.wordpress([]any{x.version, "as it was"}, `$GLOBALS['wpdb']->suppress_errors(); return array( get_bloginfo( 'version' ), get_option( 'e2e_old' ) );`)
	x.answers(http.StatusOK, "/wp-login.php")
	x.check(!x.has(".maintenance"), "the site is still closed")
}

// filesSums are the sums of all files but for wp-config.php, which names another database
// after a rollback.
func (x *exam) filesSums() map[string]string {
	sums := map[string]string{}
	if x.err != nil {
		return sums
	}
	x.note(filepath.WalkDir(x.docroot(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "wp-config.php" {
			return err
		}
		content, err := os.ReadFile(path)
		sums[strings.TrimPrefix(path, x.docroot())] = fmt.Sprintf("%x", sha256.Sum256(content))
		return err
	}))
	return sums
}

// changedFiles are the names under which two sets of sums have something else.
func changedFiles(a, b map[string]string) (names []string) {
	both := maps.Clone(a)
	maps.Copy(both, b)
	for name := range both {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// tablesSum is one sum of all tables. Of the options, those stay out that WordPress changes
// with every visit.
func (x *exam) tablesSum() (sums string) {
	var all any
	x.ask(&all, `global $wpdb; $all = array();
	foreach ( $wpdb->get_col( 'SHOW TABLES' ) as $t ) { if ( $t !== $wpdb->options ) { $all[ $t ] = $wpdb->get_row( "CHECKSUM TABLE $t", ARRAY_N )[1]; } }
	$all['options'] = $wpdb->get_var( "SELECT BIT_XOR( CRC32( CONCAT( option_name, '=', option_value ) ) ) FROM $wpdb->options WHERE option_name NOT LIKE '%transient%' AND option_name <> 'cron'" );
	return $all;`)
	return inJSON(all)
}
