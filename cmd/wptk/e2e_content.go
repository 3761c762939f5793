package main

import (
	"net/http"

	"github.com/wispanel/wptk/tasks"
)

func checkMaintenance(x *exam) {
	x.answers(http.StatusOK, "/")
	x.undo(func() { x.drop(".maintenance") }) // a site that stayed closed would fail all other rows
	x.undo(func() {
		x.change("/maintenance", fields{"enabled": false}, nil)
		x.answers(http.StatusOK, "/")
		x.check(!x.has(".maintenance"), "the marker is left")
	})
	x.change("/maintenance", fields{"enabled": true, "minutes": 5}, nil)
	x.answers(http.StatusServiceUnavailable, "/")
	x.answers(http.StatusServiceUnavailable, "/wp-login.php")
}

// searched is everywhere that a text of the site can be: an option with a serialized
// value, a post with its guid, a post's JSON.
const searched = `$post = get_post( (int) get_option( 'e2e_post' ) );
	return array( get_option( 'e2e_tree' ), $post->post_content, $post->guid, get_post_meta( $post->ID, 'e2e', true ) );`

func checkSearchReplace(x *exam) {
	const before, after = "http://ancient.example/shop", "https://modern.example.org/a-longer/shop"
	const guid = before + "/?p=1" // stays as it is
	content := func(address string) []any {
		return []any{
			fields{"deep": []any{fields{"home": address + "/a"}, 7}, "size": address}, "Visit " + address + "/sale today.", guid, `{"u":"` + address + `"}`,
		}
	}
	x.undo(func() {
		x.ask(nil, `wp_delete_post( (int) get_option( 'e2e_post' ), true ); delete_option( 'e2e_post' ); delete_option( 'e2e_tree' );`)
	})
	x.ask(nil, `update_option( 'e2e_tree', array( 'deep' => array( array( 'home' => $args[0] . '/a' ), 7 ), 'size' => $args[0] ) );
		$id = wp_insert_post( array( 'post_title' => 'e2e', 'post_status' => 'publish', 'post_content' => "Visit $args[0]/sale today.", 'guid' => "$args[0]/?p=1" ) );
		add_post_meta( $id, 'e2e', '{"u":"' . $args[0] . '"}' ); update_option( 'e2e_post', $id );`, before)
	x.wordpress(content(before), searched)

	var dry, done tasks.SearchReplaceResult
	swap := fields{"search": before, "replace": after}
	x.change("/search-replace", fields{"search": before, "replace": after, "dry_run": true}, &dry)
	counts := map[string]int{}
	if dry.Would != nil {
		for _, t := range dry.Would.Tables {
			counts[t.Table] = t.Cells
		}
	}
	x.check(x.err != nil || alike(counts, fields{"wpe_options": 1, "wpe_posts": 1, "wpe_postmeta": 1}), "the dry run counts %s", inJSON(dry))
	x.wordpress(content(before), searched)

	x.change("/search-replace", swap, &done)
	x.check(x.err != nil || done.Replaced != nil && done.Cells == 3 && done.Left == 0, "it was replaced %s", inJSON(done))
	x.wordpress(content(after), searched)

	x.change("/search-replace", fields{"search": after, "replace": before}, nil)
	x.wordpress(content(before), searched)
}
