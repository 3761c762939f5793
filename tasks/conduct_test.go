package tasks

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"
)

// then makes the order of another kind on the same install, with a journal of its own.
func (o *order) then(t *testing.T, kind, payload string) *order {
	t.Helper()
	task, spec, err := Decode(kind, []byte(payload))
	must(t, err)
	if found := task.Validate(); len(found) > 0 {
		t.Fatal(found)
	}
	next := &order{t: t, node: o.node, task: o.task}
	next.journal, next.dir = openJournal(t)
	next.op = Op{ID: NewOpID(o.node.host.Node), Kind: spec.Kind, Class: spec.Class, Payload: []byte(payload), Site: o.op.Site}
	next.cfg = ExecuteConfig{
		Op: next.op, Spec: spec, Task: task, Journal: next, Log: slog.New(slog.NewTextHandler(lineWriter{next}, nil)),
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	return next
}

// answerOf decodes what an op answered.
func answerOf[T any](t *testing.T, out Outcome) T {
	t.Helper()
	var r T
	must(t, json.Unmarshal(out.Result, &r))
	return r
}
