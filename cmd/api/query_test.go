package main

import "testing"

// Two readers of one address must not see two different requests in it.
func TestQueryWithANameTwiceIsRefused(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site, bobs := k.putSite("alice", "blog.com", "public_html"), k.putSite("bob", "bob.com", "public_html")
	for _, query := range []string{"?id=" + site.ID + "&id=" + bobs.ID, "?id=" + site.ID + "&id=" + site.ID, "?id=" + site.ID + ";id=" + bobs.ID, "?id=%zz"} {
		k.call(k.alice, "GET", apiBase+"/wordpress/installation"+query, "").mustBeRefused(t, query, 400, "VALIDATION_ERROR")
	}
}

func TestPathThatANodeWouldRefuseIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for path, ok := range map[string]bool{
		"public_html": true, "public_html/a-b_c.d": true, "./public_html/": true,
		"-rf": false, "--path=x": false, "public_html/--require=x": false, "$(id)": false, "~root": false, "public_html/*": false, "a b": false, "‥/etc": false,
	} {
		if reason := badPath(path); (reason == "") != ok {
			t.Errorf("%q: %q", path, reason)
		}
	}
}
