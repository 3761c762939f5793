package main

import (
	"net/http"
	"strings"

	"github.com/wispanel/wptk/tasks"
)

// hard is everything that breaks when an address is replaced without care: a value that is
// serialized in a serialized one, a page builder's JSON with escaped slashes, bytes that are
// not letters. Its parameter is the site's address.
const hard = `$escaped = str_replace( '/', '\/', $args[0] );
	return array( [ 'deep' => array( serialize( array( 'url' => $args[0] . '/größe/🙂' ) ), $args[0] ) ],
		'[{"id":"7a","settings":{"link":"' . $escaped . '\/a","html":"<a href=\"' . $escaped . '\">🦊<\/a>"},"elements":[]}]',
		"See $args[0]/wp-content/uploads/a.jpg 🦊" );`

// content is what an original must have after a clone as before it.
const content = `global $wpdb; $rows = array(); foreach ( array( $wpdb->posts, $wpdb->postmeta, $wpdb->users, $wpdb->terms ) as $t ) { $rows[] = $wpdb->get_results( "SELECT * FROM $t ORDER BY 1" ); } return md5( serialize( $rows ) );`

// makeHard puts the hard values into the site until the row ends.
func (x *exam) makeHard() {
	x.undo(func() {
		x.ask(nil, `wp_delete_post( (int) get_option( 'e2e_hard_post' ), true ); delete_option( 'e2e_hard' ); delete_option( 'e2e_hard_post' );`)
	})
	x.ask(nil, `$make = function ( $args ) { `+hard+` }; list( $option, $json, $content ) = $make( $args );
		update_option( 'e2e_hard', $option );
		$id = wp_insert_post( array( 'post_title' => 'hard 🦊', 'post_status' => 'publish', 'post_content' => $content ) );
		add_post_meta( $id, '_elementor_data', wp_slash( $json ) ); update_option( 'e2e_hard_post', $id );`, x.url())
}

// hasHard wants them in a copy, with its own address in them.
func (x *exam) hasHard() {
	x.wordpress(true, `$make = function ( $args ) { `+hard+` }; $id = (int) get_option( 'e2e_hard_post' );
		$have = array( get_option( 'e2e_hard' ), get_post_meta( $id, '_elementor_data', true ), get_post( $id )->post_content );
		return $have === $make( $args ) ? true : $have;`, x.url())
}

// checkClone copies the site to a subdomain, looks into both, and deletes the copy.
func checkClone(x *exam) {
	copied := *x.demoSite
	copied.domain = "copy." + x.domain
	y := &exam{e2eSite: &e2eSite{demoSite: &copied, e2e: x.e2e, version: x.version}, ctx: x.ctx}
	x.makeHard()
	x.tenant("", "mkdir", "-p", copied.homeDir())
	var before any
	x.ask(&before, content)

	body := fields{"source_id": x.id, "target_domain": copied.domain, "title": "A copy 🦊"}
	var r tasks.CloneResult
	op := x.asked("/clone", body, &r)
	if x.err != nil {
		return
	}
	y.id, y.result = op.ID, installed{InstallResult: tasks.InstallResult{DBName: r.DBName}}
	x.undo(func() {
		y.remove(&tasks.SiteDeleteResult{}, "keep_backup", "false")
		x.note(y.err)
		x.drop(copied.homeDir())
	})
	x.wordpress(before, content) // the original is as it was
	y.wordpress([]any{x.version, "A copy 🦊", copied.url(), r.DBName, r.TablePrefix, "0"},
		`return array( get_bloginfo( 'version' ), wp_specialchars_decode( get_option( 'blogname' ) ), get_option( 'siteurl' ), DB_NAME, $GLOBALS['table_prefix'], get_option( 'blog_public' ) );`)
	y.hasHard()
	// "copy.<domain>" has the domain in it: what is left of the original stands behind slashes.
	y.wordpress([]any{}, `global $wpdb; $found = array(); foreach ( $wpdb->get_col( 'SHOW TABLES' ) as $t ) { foreach ( $wpdb->get_results( "SELECT * FROM $t", ARRAY_A ) as $row ) {
		foreach ( $row as $c => $v ) { if ( false !== strpos( str_replace( array( '\/', '%2F', '%2f' ), '/', (string) $v ), '//' . $args[0] ) ) { $found[] = "$t.$c"; } } } } return $found;`, x.domain)
	y.wordpress([]any{true, 0.0}, `$left = 0; add_action( 'phpmailer_init', function () use ( &$left ) { ++$left; } ); return array( wp_mail( 'a@example.com', 'x', 'y' ), $left );`)
	y.wordpress("noindex, nofollow", `$headers = apply_filters( 'wp_headers', array() ); return isset( $headers['X-Robots-Tag'] ) ? $headers['X-Robots-Tag'] : '';`)
	y.wordpress(true, `return wp_check_password( $args[0], get_user_by( 'login', $args[1] )->user_pass );`, x.password, e2eAdmin)
	x.note(y.err)
	x.check(r.Staging && r.SiteUp && r.Broken == 0 && r.Rewritten > 0 && r.Files > 1000, "the result is %s", inJSON(r))
	x.check(strings.Contains(y.file("wp-config.php"), r.TablePrefix) && !strings.Contains(y.file("wp-config.php"), x.result.DBName), "the configuration of the copy names the original's database")
	// The original is none the worse.
	x.answers(http.StatusOK, "/")
}

// checkPush makes a staging copy, works on it, and brings the work back.
func checkPush(x *exam) {
	const file = "wp-content/uploads/e2e-push.txt"
	copied := *x.demoSite
	copied.domain = "push." + x.domain
	y := &exam{e2eSite: &e2eSite{demoSite: &copied, e2e: x.e2e, version: x.version}, ctx: x.ctx}
	x.tenant("", "mkdir", "-p", copied.homeDir())
	var made tasks.CloneResult
	y.id = x.asked("/clone", fields{"source_id": x.id, "target_domain": copied.domain}, &made).ID
	if x.err != nil {
		return
	}
	x.undo(func() {
		y.remove(&tasks.SiteDeleteResult{}, "keep_backup", "false")
		x.note(y.err)
		x.drop(copied.homeDir(), file)
		x.ask(nil, `delete_option( 'e2e_push' );`)
	})
	y.ask(nil, `update_option( 'e2e_push', array( 'home' => $args[0] . '/größe' ) );`, copied.url())
	y.put(file, "pushed")
	x.note(y.err)
	var r tasks.PushResult
	x.asked("/push", fields{"source_id": y.id, "target_id": x.id, "select": fields{"paths": []string{file}, "tables": []string{made.TablePrefix + "options"}}}, &r)
	if x.err != nil {
		return
	}
	x.result.DBName = r.Database
	x.wordpress([]any{fields{"home": x.url() + "/größe"}, x.url(), "1", "", r.Database},
		`return array( get_option( 'e2e_push' ), get_option( 'siteurl' ), get_option( 'blog_public' ), (string) get_option( 'wptk_staging', '' ), DB_NAME );`)
	x.check(x.file(file) == "pushed" && r.Checkpoint != "" && r.SiteUp, "the result is %s", inJSON(r))
	x.answers(http.StatusOK, "/")
	_, in := x.logsIn("/wp-login.php", e2eAdmin, x.password)
	x.check(in, "the password does not log in any more")
}

// asked is change for what names its install otherwise than by id.
func (x *exam) asked(path string, body fields, into any) (op operation) {
	if x.err != nil {
		return op
	}
	var took accepted
	if _, err := x.e2e.stack.client.post(x.ctx, "/wordpress"+path, body, &took); err != nil {
		x.fail("POST %s: %w", path, err)
		return op
	}
	op = x.ended(took.OperationID)
	if x.err == nil && op.Status != tasks.Succeeded {
		x.fail("%s is %s: %s", op.Type, op.Status, op.failure())
	}
	if x.err == nil {
		x.note(decode(op.Result, into))
	}
	return op
}
