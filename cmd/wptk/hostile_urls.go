package main

import (
	"fmt"
	"net/http"
)

// urlCases name addresses where the toolkit must not connect to.
func urlCases(h *hostile) (all []hostileCase) {
	canary := h.canary.Addr().String()
	for _, address := range []string{
		"http://" + canary + "/", "https://" + canary + "/", "https://localhost/", "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f.0.0.1/", "https://0177.0.0.1/",
		"https://0.0.0.0/", "https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[fe80::1]/", "https://[fd00::1]/",
		"https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/", "https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.0.1/", "https://100.64.0.1/", "https://192.0.2.1/", "https://224.0.0.1/", "https://255.255.255.255/",
		"file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "ftp://example.com/", "unix:///run/x.sock", "javascript:alert(1)", "//example.com/", "example.com", "",
		"https://user:pass@example.com/", "https://example.com@127.0.0.1/", "https://example.com/#x", "https://example.com:22/", "https://example.com:25/", "https://example.com:99999/",
		"https://example.com/\r\nX: y", "https://exa mple.com/", "https://exam\x00ple.com/", "https://127.0.0.1\\@example.com/", "https://example.com/" + "\t",
	} {
		all = append(all, hostileCase{name: fmt.Sprintf("a webhook to %q", address), short: len(all)%3 == 0, attack: func(x *attack) {
			x.webhook(address)
		}})
	}
	return append(all,
		hostileCase{name: "a page to purge on another host", short: true, attack: func(x *attack) {
			x.attempt("/cache/purge", fields{"url": "http://" + canary + "/"})
		}},
		hostileCase{name: "a site whose address is the canary", attack: func(x *attack) {
			x.ask(nil, `update_option( 'siteurl', $args[0] ); update_option( 'home', $args[0] );`, "http://"+canary)
			x.undo(func() {
				x.ask(nil, `global $wpdb; $wpdb->query( $wpdb->prepare( "UPDATE $wpdb->options SET option_value = %s WHERE option_name IN ( 'siteurl', 'home' )", $args[0] ) );`, x.url())
			})
			x.attempt("/inspect", nil)
			x.attempt("/auto-login", nil)
		}},
		hostileCase{name: "a site whose database is the canary", attack: func(x *attack) {
			x.keep()
			x.as(`sed -i "s/^define( *'DB_HOST'.*/define( 'DB_HOST', '` + canary + `' );/" "$D/wp-config.php"; grep -q '` + canary + `' "$D/wp-config.php"`)
			x.attempt("/inspect", nil)
			x.attempt("/password/reset", fields{"user": demoAdmin})
			x.attempt("/search-replace", fields{"search": "a", "replace": "b", "dry_run": true})
		}},
	)
}

// webhook asks for a webhook; one that the text of the address does not betray is tried, and
// then must not get through.
func (x *attack) webhook(address string) {
	key := x.hostile.keys["mallory"]
	status, answer, _ := x.raw(key, http.MethodPost, apiRoot+"/webhooks", `{"url":`+text(address)+`}`)
	if status != http.StatusCreated {
		x.mustRefuse(status, answer, http.StatusBadRequest)
		return
	}
	var made struct{ Webhook struct{ ID string } }
	x.note(decode([]byte(answer), &made))
	at := apiRoot + "/webhooks/" + made.Webhook.ID
	x.undo(func() { x.raw(key, http.MethodDelete, at, "") })
	x.raw(key, http.MethodPost, at+"/test", "")
	x.until("the delivery", func() (bool, error) {
		var log struct {
			Deliveries []struct {
				Status   string
				Attempts int
				Code     int `json:"response_status"`
			}
		}
		_, answer, _ := x.raw(key, http.MethodGet, at+"/deliveries", "")
		x.note(decode([]byte(answer), &log))
		for _, d := range log.Deliveries {
			if d.Attempts > 0 {
				x.check(d.Status != "delivered" && d.Code == 0, "%s was reached: %s", address, answer)
				return true, nil
			}
		}
		return false, nil
	})
}
