package main

import (
	"fmt"
	"net/http"
	"strings"
)

// nameCases ask for installs at places that are not the attacker's, or no places at all.
func nameCases(h *hostile) (all []hostileCase) {
	own := h.mallory.domain
	add := func(name, domain, path, more string) {
		all = append(all, hostileCase{name: name, short: len(all)%3 == 0, attack: func(x *attack) {
			x.refuses("/install", `{"domain":`+text(domain)+`,"path":`+text(path)+`,"title":"x","admin_user":"eve","admin_email":"eve@example.com","dry_run":true`+more+`}`)
		}})
	}
	for _, path := range []string{
		"../victim.localhost/public_html", "/etc", "/home/a/../b", "public_html/../../..", "..", ".", "./.", "public_html/..", ".ssh", "public_html/.git",
		"a\nb", "a\r\nb", "a\x00b", "a\\..\\b", "public_html\x1b[2J", strings.Repeat("a/", 2048), strings.Repeat("a", 4096), strings.Repeat("a", 256),
		"\u2025/etc", "-rf", "--path=x", "public_html/--require=x", "$(id)", "~root", "public_html/*",
	} {
		add(fmt.Sprintf("path %.40q", path), own, path, "")
	}
	for _, domain := range []string{
		h.victim.domain, strings.ToUpper(h.victim.domain), h.victim.domain + ".", "a..b", "." + own, own + ".", strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 127) + "com",
		"127.0.0.1", "[::1]", "169.254.169.254", "..", "../../etc", "a/b", "a\nb", "a\r\nHost: x", "a b", "a;id", "$(id).com", "-a.com", "a-.com", "a_b.com", "*.com", "m\u00fcnchen.de",
		"\u0430pple.com", "localhost\x00.com", own + ":80", own + "@evil.com", "http://" + own,
	} {
		add(fmt.Sprintf("domain %.40q", domain), domain, demoPath, "")
	}
	add("the account of the victim", own, "x", `,"account":`+text(h.victim.account))
	add("the domain and the account of the victim", h.victim.domain, "x", `,"account":`+text(h.victim.account))
	add("the account root", own, "x", `,"account":"root"`)
	add("a node that is none", own, "x", `,"node":"../n1"`)
	all = append(all,
		hostileCase{name: "the victim's domain as the target of a clone", attack: func(x *attack) {
			x.refuses("/clone", `{"source_id":`+text(x.id)+`,"target_domain":`+text(h.victim.domain)+`,"target_path":"copy"}`)
		}},
		hostileCase{name: "the victim's domain in the path of a clone", attack: func(x *attack) {
			x.refuses("/clone", `{"source_id":`+text(x.id)+`,"target_domain":`+text(own)+`,"target_path":"../`+h.victim.domain+`/copy"}`)
		}},
		hostileCase{name: "a site of the victim's as the source of a clone", attack: func(x *attack) {
			x.refuses("/clone", `{"source_id":`+text(h.victim.id)+`,"target_domain":`+text(own)+`,"target_path":"copy"}`)
		}},
		hostileCase{name: "an install in the place of the site that is there", attack: func(x *attack) {
			status, answer, _ := x.raw(h.keys["mallory"], http.MethodPost, apiRoot+"/wordpress/install",
				`{"domain":`+text(own)+`,"path":"./public_html/","title":"x","admin_user":"eve","admin_email":"eve@example.com"}`)
			x.mustRefuse(status, answer, http.StatusConflict)
		}},
	)
	return all
}
