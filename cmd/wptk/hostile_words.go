package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wispanel/wptk/tasks"
)

// flags are values that would be options, or commands, if something took them for such.
var flags = []string{
	"--require=/tmp/x.php", "--exec=phpinfo();", "--path=/home/b", "--allow-root", "--prompt", "--user=1", "--", "-x", "--ssh=root@127.0.0.1",
	"@all", "$(touch MARK)", "`touch MARK`", ";touch MARK", "|touch MARK", "&& touch MARK", "a\nb", "a\r\nb", "a\x00b", "a\x1b[31mb", "../../etc/passwd", "/etc/passwd",
	"\u202egnp.exe", "", " ", "*", "a b", "%s%n", "{{7*7}}",
}

// argumentCases give such values for names: each has to be refused before anything is queued,
// or, where the site alone can tell, to fail.
func argumentCases(h *hostile) (all []hostileCase) {
	names := []struct{ path, field string }{
		{"/plugins/install", "plugin"},
		{"/themes/activate", "theme"},
		{"/password/reset", "user"},
	}
	for i, value := range flags {
		value = strings.ReplaceAll(value, "MARK", h.state.dir("marks", "argument"))
		n := names[i%len(names)]
		if n.field == "user" && (value == "a b" || value == "@all" || value == "*") {
			n = names[0] // WordPress has such names
		}
		all = append(all, hostileCase{name: fmt.Sprintf("%q as %s of %s", value, n.field, n.path), short: i < 6, attack: func(x *attack) {
			body := `{"id":"` + x.id + `","` + n.field + `":` + text(value) + `}`
			if n.field == "user" { // which users there are is known to the site alone
				x.futile(n.path, body)
				return
			}
			x.refuses(n.path, body)
		}})
	}
	bodies := map[string]string{ // path and body
		"a role that is a flag":       `/admin/create {"id":"ID","user":"eve","email":"eve@example.com","role":"--role=administrator"}`,
		"an address that is a flag":   `/admin/create {"id":"ID","user":"eve","email":"--send-email"}`,
		"a version that is a flag":    `/core/update {"id":"ID","version":"--force"}`,
		"a version that is a path":    `/core/update {"id":"ID","version":"../../precious"}`,
		"a version that is a URL":     `/plugins/install {"id":"ID","plugin":"akismet","version":"http://127.0.0.1/x.zip"}`,
		"a URL for a plugin":          `/plugins/install {"id":"ID","plugin":"http://127.0.0.1/x.zip"}`,
		"a file for a theme":          `/themes/install {"id":"ID","theme":"/tmp/theme.zip"}`,
		"a slug with CR and LF":       `/security/hide-login {"id":"ID","enabled":true,"slug":"a\r\nSet-Cookie: x"}`,
		"a slug that goes up":         `/security/hide-login {"id":"ID","enabled":true,"slug":"../wp-admin"}`,
		"a slug that is PHP":          `/security/hide-login {"id":"ID","enabled":true,"slug":"'.system('id').'"}`,
		"a measure that is a path":    `/security/..%2f..%2fnodes {"id":"ID","enabled":true}`,
		"a server that is unknown":    `/security/block-xmlrpc {"id":"ID","enabled":true,"server":"$(id)"}`,
		"a log file elsewhere":        `/security/toggle-debug {"id":"ID","enabled":true,"log":"/etc/cron.d/x"}`,
		"a label with a line's end":   `/backup {"id":"ID","label":"a\nb"}`,
		"tables that are flags":       `/search-replace {"id":"ID","search":"a","replace":"b","tables":["--all-tables"]}`,
		"a table with a quote":        `/search-replace {"id":"ID","search":"a","replace":"b","tables":["wp_posts` + "`" + `;DROP TABLE x"]}`,
		"a broken expression":         `/search-replace {"id":"ID","search":"(","replace":"b","regex":true}`,
		"an expression with modifier": `/search-replace {"id":"ID","search":"/a/e","replace":"b","regex":"e"}`,
		"a kind that is none":         `/schedules {"kind":"--shell","target":{"account":"x"},"cron":"@daily"}`,
		"a cron that is a command":    `/schedules {"kind":"site.inspect","target":{"account":"x"},"cron":"* * * * * touch x"}`,
		"a mode of a type":            `/cache/flush {"id":"ID","type":"--network"}`,
		"a list of a million names":   `/plugins/update {"id":"ID","plugin":[` + strings.Repeat(`"a",`, 1_000_000) + `"a"]}`,
		"a megabyte of a name":        `/plugins/install {"id":"ID","plugin":"` + strings.Repeat("a", 1<<20) + `"}`,
		"a body of 1,000 levels":      `/plugins/install {"id":"ID","plugin":` + strings.Repeat(`[`, 1000) + strings.Repeat(`]`, 1000) + `}`,
		"bytes that are no UTF-8":     "/plugins/install {\"id\":\"ID\",\"plugin\":\"a\xff\xfe\"}",
		"a slash that is too long":    "/plugins/install {\"id\":\"ID\",\"plugin\":\"..\xc0\xaf..\"}",
		"a name twice":                `/maintenance {"id":"ID","enabled":false,"enabled":true}`,
		"a name in capitals":          `/maintenance {"ID":"ID","enabled":true}`,
		"a uid":                       `/inspect {"id":"ID","uid":0}`,
		"a Unix user":                 `/inspect {"id":"ID","run_as":"root"}`,
		"a path beside the id":        `/inspect {"id":"ID","path":"/etc"}`,
	}
	for name, b := range bodies {
		path, body, _ := strings.Cut(b, " ")
		all = append(all, hostileCase{name: name, short: len(body) < 300, attack: func(x *attack) {
			body := strings.ReplaceAll(body, `"ID"`, text(x.id))
			if path == "/search-replace" { // tables and PHP's expressions are known to the site alone
				x.futile(path, body)
				return
			}
			x.refuses(path, body)
		}})
	}
	return append(byName(all), textCases()...)
}

// byName puts cases in an order that is the same in every run.
func byName(all []hostileCase) []hostileCase {
	slices.SortFunc(all, func(a, b hostileCase) int { return strings.Compare(a.name, b.name) })
	return all
}

// textCases give flags where any text is right: it has to arrive as text.
func textCases() []hostileCase {
	return []hostileCase{
		{name: "flags to search and replace", attack: func(x *attack) {
			x.succeeds("/search-replace", fields{"search": "--all-tables", "replace": "--export=/tmp/x.sql", "dry_run": true})
		}},
		{name: "a password that is a flag", attack: func(x *attack) {
			x.undo(func() { x.change("/password/reset", fields{"user": demoAdmin, "password": x.password}, nil) })
			x.succeeds("/password/reset", fields{"user": demoAdmin, "password": "--skip-email --prompt"})
			x.wordpress(true, `return wp_check_password( $args[0], get_user_by( 'login', $args[1] )->user_pass );`, "--skip-email --prompt", demoAdmin)
		}},
		{name: "a title that is flags, markup and escapes", attack: func(x *attack) {
			const title = `--exec=phpinfo(); $(id) <script>alert(1)</script> ' " \ {{7*7}}`
			y := x.second(fields{"title": title})
			y.wordpress(title, `return wp_specialchars_decode( get_option( 'blogname' ), ENT_QUOTES );`)
			x.note(y.exam.err)
		}},
	}
}

// second installs one more site of the attacker's, on a domain that was kept for it. It is
// deleted at the end, by the case or here.
func (x *attack) second(more fields) *attack {
	site := *x.demoSite
	site.domain = x.hostile.spareDomain()
	y := &attack{exam: &exam{e2eSite: &e2eSite{demoSite: &site, e2e: x.e2e}, ctx: x.ctx}, hostile: x.hostile}
	body := fields{"domain": site.domain, "path": demoPath, "title": "second", "admin_user": demoAdmin, "admin_email": demoEmail}
	for name, value := range more {
		body[name] = value
	}
	var took accepted
	if x.exam.err == nil {
		_, err := x.hostile.stack.client.post(x.ctx, "/wordpress/install", body, &took)
		x.note(err)
	}
	op := x.ended(took.OperationID)
	x.check(op.Status == tasks.Succeeded, "the install is %s: %s", op.Status, op.failure())
	made, err := op.installed()
	x.note(err)
	y.id, y.result, y.exam.err = op.ID, made, x.exam.err
	return y
}
