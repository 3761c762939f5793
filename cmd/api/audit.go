package main

import "net/http"

// audit writes one line for every attempt to change something, allowed or not:
// who, from where, what, on what, and how it ended. Keys appear by their prefix.
func (s *server) audit(r *http.Request) {
	x := exchangeOf(r.Context())
	outcome := "refused"
	if x.status >= 200 && x.status < 300 {
		outcome = "accepted"
	}
	s.Log.Info("change requested", "logger", "audit",
		"key", x.key.Prefix, "session", x.key.Session, "account", x.key.Owner, "addr", x.addr.String(),
		"action", r.Method+" "+x.route, "target", x.target,
		"outcome", outcome, "status", x.status, "request", x.id)
}
