package main

import (
	"net/url"
	"strings"

	"github.com/wispanel/wptk/queue"
)

// checkAudit finds a change that was accepted, and one that was refused, in the audit trail.
func checkAudit(x *exam) {
	if x.err != nil {
		return
	}
	took := x.submit("/verify-checksums", nil)
	_, refused := x.e2e.stack.client.get(x.ctx, "/wordpress/installation", url.Values{"id": {"wp_0000000000000000"}}, nil)
	x.check(refused != nil, "an install that nobody has is shown")
	find := func(outcome, action, target string) {
		var list auditList
		_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/audit", url.Values{"outcome": {outcome}, "action": {action}}, &list)
		x.note(err)
		for _, e := range list.Entries {
			if strings.Contains(e.Target, target) && strings.HasPrefix(e.Key, "wsp_") && len(e.Key) == 12 && e.Addr != "" {
				return
			}
		}
		x.fail("none of %d entries tells of %s %s", len(list.Entries), action, target)
	}
	find(queue.AuditAccepted, "POST /api/v1/wordpress/verify-checksums", took.OperationID)
	find(queue.AuditRefused, "GET /api/v1/wordpress/installation", "")
	x.ended(took.OperationID)
}
