package main

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/wispanel/wptk/egress"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// webhookPort is which ports of public addresses a webhook may have: HTTPS, and
// those where programs of users listen. Mail, name servers and the like are not.
func webhookPort(port uint16) bool { return port == 443 || port >= 1024 }

// checkURL says what is wrong with a webhook's address as far as its text tells. Where
// it leads is decided when it is connected to.
func (s *server) checkURL(text string) []tasks.Problem {
	wrong := func(reason string) []tasks.Problem { return []tasks.Problem{{Field: "url", Reason: reason}} }
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return wrong("must be an address like https://example.com/path")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || len(s.Egress.Allow) == 0) {
		return wrong("must begin with https://")
	}
	if u.User != nil || u.Fragment != "" {
		return wrong("must have neither user nor fragment; the signature says who sends")
	}
	port := uint64(443)
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
			return wrong("must have a port up to 65535")
		}
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err == nil && !s.Egress.Permits(netip.AddrPortFrom(addr, uint16(port))) {
		return wrong("must be a public address, and port 443 or above 1023")
	}
	if err != nil && len(s.Egress.Allow) == 0 && !webhookPort(uint16(port)) {
		return wrong("must have port 443 or one above 1023")
	}
	return nil
}

// checkEvents names the patterns that no event matches.
func checkEvents(patterns []string) []tasks.Problem {
	var problems []tasks.Problem
	events := everyEvent()
	for i, pattern := range patterns {
		if w := (queue.Webhook{Events: []string{pattern}}); !slices.ContainsFunc(events, w.Wants) {
			problems = append(problems, tasks.Problem{Field: "events[" + strconv.Itoa(i) + "]",
				Reason: "matches no event; write *, wordpress.*, wordpress.plugin.* or wordpress.install.succeeded"})
		}
	}
	return problems
}

// everyEvent lists the events there are.
func everyEvent() []string {
	var events []string
	for _, kind := range append(tasks.Kinds(), "rollout") {
		for _, state := range []tasks.State{tasks.Succeeded, tasks.Failed, tasks.RolledBack, tasks.Unverified, tasks.Cancelled} {
			events = append(events, "wordpress."+kind+"."+string(state))
		}
	}
	return events
}

// webhookPolicy is where webhooks may lead.
func webhookPolicy(allow []netip.Prefix) egress.Policy {
	return egress.Policy{Allow: allow, Port: webhookPort}
}
