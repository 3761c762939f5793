package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/tasks"
)

func checkOperations(x *exam) {
	op := x.change("/inspect", nil, nil)
	var page struct{ Operations []operation }
	if x.err == nil {
		_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/operations", map[string][]string{"site": {x.id}, "limit": {"200"}}, &page)
		x.note(err)
	}
	x.check(slices.ContainsFunc(page.Operations, func(o operation) bool { return o.OperationID == op.OperationID && o.Status == tasks.Succeeded }),
		"the list of %d lacks the newest", len(page.Operations))
	x.check(!slices.ContainsFunc(page.Operations, func(o operation) bool { return o.ID != x.id }), "the list has other sites' operations")
}

func checkOperation(x *exam) {
	op, one := x.change("/inspect", nil, nil), operation{}
	if x.err == nil {
		_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/operations/"+op.OperationID, nil, &one)
		x.note(err)
	}
	x.check(one.OperationID == op.OperationID && one.Status == op.Status && one.FinishedAt.Equal(op.FinishedAt), "it is %s", inJSON(one))
}

// checkLog: the install's own output, without its password.
func checkLog(x *exam) {
	if x.err != nil {
		return
	}
	got, err := x.e2e.stack.client.get(x.ctx, "/wordpress/operations/"+x.installOp()+"/log", nil, nil)
	x.note(err)
	x.check(strings.Contains(string(got.raw), `"text"`), "the log of the install is empty: %.300s", got.raw)
	x.check(!strings.Contains(string(got.raw), x.password), "the log shows the administrator's password")
}

// installOp is the op that has made the site.
func (x *exam) installOp() string {
	var page struct{ Operations []operation }
	_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/operations", map[string][]string{"site": {x.id}, "kind": {"install"}}, &page)
	x.note(err)
	if len(page.Operations) != 1 {
		x.fail("the site has %d installs", len(page.Operations))
		return ""
	}
	return page.Operations[0].OperationID
}

// checkEvents follows an op by its stream alone.
func checkEvents(x *exam) {
	took := x.submit("/inspect", nil)
	if x.err != nil {
		return
	}
	req, err := http.NewRequestWithContext(x.ctx, http.MethodGet, x.e2e.stack.apiURL()+apiRoot+"/wordpress/operations/"+took.OperationID+"/events", nil)
	if err != nil {
		x.note(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+x.e2e.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		x.note(err)
		return
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body) // the stream ends with the op
	x.note(err)
	text := string(raw)
	x.check(strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") && strings.Contains(text, "event: snapshot") &&
		strings.Contains(text, "event: done") && strings.Contains(text, `"status":"succeeded"`), "the stream is %.400s", text)
}

// checkAccountEvents has an op that begins after the stream end in it.
func checkAccountEvents(x *exam) { x.endsIn("/events") }

func checkSiteEvents(x *exam) { x.endsIn("/installations/" + x.id + "/events") }

func (x *exam) endsIn(stream string) {
	if x.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(x.ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.e2e.stack.apiURL()+apiRoot+"/wordpress"+stream, nil)
	if err != nil {
		x.note(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+x.e2e.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		x.note(err)
		return
	}
	defer res.Body.Close()
	var event string
	var took accepted
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 8<<20) // a snapshot has everything that is open
	for lines.Scan() && x.err == nil {
		name, isName := strings.CutPrefix(lines.Text(), "event: ")
		switch {
		case isName:
			event = name
		case !strings.HasPrefix(lines.Text(), "data: "):
		case event == "snapshot" && took.OperationID == "":
			took = x.submit("/inspect", nil)
		case event == "done" && strings.Contains(lines.Text(), took.OperationID):
			x.check(strings.Contains(lines.Text(), `"status":"succeeded"`), "the stream ends the op with %.400s", lines.Text())
			return
		}
	}
	x.fail("the stream ended without the op %q: %v", took.OperationID, lines.Err())
}

// checkCancel cancels what waits behind something longer; it never happens.
func checkCancel(x *exam) {
	x.undo(func() { x.answers(http.StatusOK, "/") })
	long := []string{x.submit("/verify-checksums", nil).OperationID, x.submit("/verify-checksums", nil).OperationID}
	waits := x.submit("/maintenance", fields{"enabled": true})
	if x.err != nil {
		return
	}
	_, err := x.e2e.stack.client.post(x.ctx, "/wordpress/operations/"+waits.OperationID+"/cancel", nil, nil)
	x.note(err)
	x.check(x.ended(waits.OperationID).Status == tasks.Cancelled, "it was not cancelled")
	for _, id := range long {
		x.check(x.ended(id).Status == tasks.Succeeded, "what ran in front of it did not succeed")
	}
	x.check(!x.has(".maintenance"), "the site was closed all the same")
	x.answers(http.StatusOK, "/")
}

// checkRetry has an op fail for a reason that goes away.
func checkRetry(x *exam) {
	x.put(".maintenance", "<?php $upgrading = time();")
	x.undo(func() {
		x.drop(".maintenance")
		x.answers(http.StatusOK, "/")
	})
	op := x.refused(tasks.CodeConflict, "/maintenance", fields{"enabled": true})
	x.drop(".maintenance")
	if x.err != nil {
		return
	}
	var again accepted
	_, err := x.e2e.stack.client.post(x.ctx, "/wordpress/operations/"+op.OperationID+"/retry", nil, &again)
	x.note(err)
	x.check(again.OperationID != op.OperationID, "the retry has the id of the op that failed")
	x.check(x.ended(again.OperationID).Status == tasks.Succeeded, "the retry did not succeed")
	x.answers(http.StatusServiceUnavailable, "/")
	x.undo(func() { x.change("/maintenance", fields{"enabled": false}, nil) })
}
