package main

import (
	"net/http"
	"slices"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// roll has the API accept a change of the site and of another one, if there is one by now.
func (x *exam) roll(path string, rollout fields) (took accepted, sites int) {
	if x.err != nil {
		return took, 0
	}
	var list []installation
	_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/installations", nil, &list)
	x.note(err)
	ids := []string{x.id}
	for _, s := range list {
		if s.ID != x.id && len(ids) < 2 {
			ids = append(ids, s.ID)
		}
	}
	if x.err == nil {
		_, err = x.e2e.stack.client.post(x.ctx, "/wordpress"+path, fields{"ids": ids, "rollout": rollout}, &took)
		x.note(err)
	}
	x.check(took.ID == took.OperationID, "the id of an operation on many is %q", took.ID)
	return took, len(ids)
}

// checkChildren inspects two sites, one after the other, and reads how each of them went. The
// other one may be in the middle of anything, so only this one has to succeed.
func checkChildren(x *exam) {
	took, sites := x.roll("/inspect", fields{"canary": 1, "stop_on_error_rate": 1})
	op := x.ended(took.OperationID)
	var page struct {
		Children []struct {
			ID          string      `json:"id"`
			OperationID string      `json:"operation_id"`
			Status      tasks.State `json:"status"`
		} `json:"children"`
	}
	if x.err == nil {
		_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/operations/"+took.OperationID+"/children", nil, &page)
		x.note(err)
	}
	x.check(op.Done && len(page.Children) == sites && page.Children[0].ID == x.id && page.Children[0].Status == tasks.Succeeded,
		"it is %s with %s", op.Status, inJSON(page))
	if x.err != nil {
		return
	}
	var list struct{ Operations []operation }
	_, err := x.e2e.stack.client.get(x.ctx, "/wordpress/operations", map[string][]string{"site": {x.id}, "limit": {"200"}}, &list)
	x.note(err)
	x.check(slices.ContainsFunc(list.Operations, func(o operation) bool { return o.OperationID == page.Children[0].OperationID }),
		"the site's operations lack the one of the rollout")
}

// checkPause pauses, resumes and cancels what waits for a part of the day that is far off.
func checkPause(x *exam) {
	now := x.e2e.now().UTC()
	took, _ := x.roll("/inspect", fields{"window": fields{"from": now.Add(6 * time.Hour).Format("15:04"), "to": now.Add(7 * time.Hour).Format("15:04")}})
	for _, what := range []string{"pause", "resume", "cancel"} {
		if x.err != nil {
			return
		}
		var op operation
		_, err := x.e2e.stack.client.post(x.ctx, "/wordpress/operations/"+took.OperationID+"/"+what, nil, &op)
		x.note(err)
		x.check(op.OperationID == took.OperationID && (what == "cancel" || !op.Done), "%s answers %s", what, inJSON(op))
	}
	op := x.ended(took.OperationID)
	x.check(op.Status == tasks.Cancelled && op.StartedAt.IsZero(), "it is %s", op.Status)
}

// checkSchedules makes a schedule of the site, reads, changes and deletes it.
func checkSchedules(x *exam) {
	if x.err != nil {
		return
	}
	c := x.e2e.stack.client
	var made, got schedule
	_, err := c.post(x.ctx, "/wordpress/schedules", fields{"name": "e2e", "kind": "site.inspect", "target": fields{"id": x.id}, "cron": "0 3 * * *"}, &made)
	x.note(err)
	at := "/wordpress/schedules/" + made.ID
	if x.err == nil {
		_, err = c.do(x.ctx, request{method: http.MethodPatch, path: at, body: fields{"cron": "30 4 * * *", "tz": "Asia/Tokyo"}}, nil)
		x.note(err)
		_, err = c.get(x.ctx, at, nil, &got)
		x.note(err)
	}
	// 04:30 in Tokyo is 19:30 in UTC, summer and winter.
	x.check(got.Enabled && got.Name == "e2e" && got.NextAt.UTC().Format("15:04") == "19:30", "it is %s", inJSON(got))
	if x.err == nil {
		_, err = c.do(x.ctx, request{method: http.MethodDelete, path: at}, nil)
		x.note(err)
	}
	var list struct{ Schedules []schedule }
	if x.err == nil {
		_, err = c.get(x.ctx, "/wordpress/schedules", nil, &list)
		x.note(err)
	}
	x.check(!slices.ContainsFunc(list.Schedules, func(s schedule) bool { return s.ID == made.ID }), "it was deleted and is listed")
}
