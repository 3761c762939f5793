package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wispanel/wptk/queue"
)

const (
	auditPath = "/wordpress/audit"
	auditKeep = 90 * 24 * time.Hour
	// auditWait bounds how long an answer is held up by a Redis that does not take its entry.
	auditWait = time.Second
)

// audit notes who asked for what, from where, on what, and how it ended: in the log first,
// which no client and no Redis can alter, and then in the trail that GET /wordpress/audit
// shows. Why which requests: docs/decisions/0081-audit-trail.md.
func (s *server) audit(r *http.Request) {
	x := exchangeOf(r.Context())
	if !audited(x, r.Method) {
		return
	}
	e := queue.AuditEntry{At: time.Now().UTC(), Key: x.key.Prefix, Session: x.key.Session, Account: x.key.Owner, Addr: x.addr.String(),
		Action: r.Method + " " + x.route, Target: printable(x.target), Outcome: outcomeOf(x.status), Status: x.status, Request: x.id}
	what := "change requested"
	if r.Method == http.MethodGet {
		what = "reading noted"
	}
	s.Log.Info(what, "logger", "audit", "key", e.Key, "session", e.Session, "account", e.Account, "addr", e.Addr,
		"action", e.Action, "target", x.target, "outcome", e.Outcome, "status", e.Status, "request", e.Request)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), auditWait)
	defer cancel()
	if err := s.Ledger.Audit(ctx, e, cmp.Or(s.AuditKeep, auditKeep)); err != nil {
		s.Metrics.RedisError("audit")
		x.log.Error("keeping audit entry failed; the log has it", "request", x.id, "err", err)
	}
}

// audited tells which requests leave an entry: every change, allowed or not, and of readings
// those that were refused and those that showed a secret. Requests over the limit are counted
// only: whoever sends thousands would have an entry for each.
func audited(x *exchange, method string) bool {
	if x.status == http.StatusTooManyRequests {
		return method != http.MethodGet && x.key.ID != ""
	}
	if method != http.MethodGet {
		return true
	}
	return x.secret || x.status == http.StatusUnauthorized || x.status == http.StatusForbidden || x.status == http.StatusNotFound
}

func outcomeOf(status int) string {
	switch {
	case status >= 500:
		return queue.AuditFailed
	case status >= 200 && status < 300:
		return queue.AuditAccepted
	}
	return queue.AuditRefused
}

// printable is a target as it is kept: some of it comes from the path of a request.
func printable(target string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return -1
		}
		return r
	}, target)
	return clean[:min(len(clean), 200)]
}

type auditInput struct {
	Key     string `query:"key" maxLength:"12" doc:"Beginning of a key, at most its first 12 characters."`
	Account string `query:"account" maxLength:"64" doc:"Whose key it was."`
	Outcome string `query:"outcome" enum:"accepted,refused,failed"`
	Action  string `query:"action" maxLength:"128" doc:"A part of method and route, like DELETE or /api-keys."`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor  string `query:"cursor" maxLength:"64"`
	After   string `query:"after" maxLength:"64" doc:"newest of an earlier answer: what came since, oldest first."`
}

type auditAnswer struct {
	Link string `header:"Link"`
	Body struct {
		Success    bool               `json:"success"`
		Entries    []queue.AuditEntry `json:"entries"`
		NextCursor string             `json:"next_cursor" doc:"Empty on the last page. A page may be short and still have a next."`
		Newest     string             `json:"newest" doc:"Ask with after=<this> for what comes later; on the first page and with after."`
	}
}

func (s *server) listAudit(ctx context.Context, in *auditInput) (*auditAnswer, error) {
	page, err := s.Ledger.AuditTrail(ctx, queue.AuditFilter{Key: in.Key, Account: in.Account, Outcome: in.Outcome, Action: in.Action,
		Limit: in.Limit, Cursor: in.Cursor, After: in.After})
	if err != nil {
		return nil, err
	}
	out := &auditAnswer{}
	out.Body.Success, out.Body.Entries, out.Body.NextCursor, out.Body.Newest = true, page.Items, page.Next, page.Newest
	if page.Next != "" {
		out.Link = nextLink(apiBase+auditPath, page.Next, url.Values{"key": {in.Key}, "account": {in.Account}, "outcome": {in.Outcome},
			"action": {in.Action}, "limit": {fmt.Sprint(in.Limit)}})
	}
	return out, nil
}
