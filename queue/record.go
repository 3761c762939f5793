package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// progressFields are the fields of an op's hash that a progress poll needs, in
// the order of decodeRecord. read.lua wants "state" and "site" first.
var progressFields = []string{
	"state", "site", "kind", "class", "node", "account", "domain", "path",
	"attempt", "seq", "progress", "step", "step_index", "steps_total", "message",
	"created", "started", "updated", "finished", "cancel", "result", "error", "key", "request", "parent",
}

// allFields adds what is large or private.
var allFields = append(progressFields[:len(progressFields):len(progressFields)], "payload", "revealed", "sig")

// recordFields lists field, value, … of an op that is about to be submitted.
func recordFields(op tasks.Op, retention time.Duration) []any {
	return []any{
		"kind", op.Kind, "class", string(op.Class), "payload", string(op.Payload),
		"site", op.Site.ID, "node", op.Site.Node, "account", op.Site.Account,
		"domain", op.Site.Domain, "path", op.Site.Path,
		"key", op.KeyID, "request", op.RequestID, "parent", op.Parent, "revealed", op.Revealed,
		"retention", max(int64(retention/time.Second), 1), "sig", op.Signature,
	}
}

// errRecord is an op that cannot be read: damaged, or written by a newer program.
var errRecord = errors.New("malformed op record")

// decodeRecord reads the answer of read.lua. The op's texts are parts of the
// answer, so an op costs a constant number of allocations.
func decodeRecord(packed string) (tasks.Op, error) {
	head, body, ok := strings.Cut(packed, ";")
	if !ok {
		return tasks.Op{}, errRecord
	}
	r := recordReader{sizes: head, body: body}
	op := tasks.Op{ID: r.text(), Position: int(r.number())}
	op.State = tasks.State(r.text())
	op.Site.ID, op.Kind, op.Class = r.text(), r.text(), tasks.Class(r.text())
	op.Site.Node, op.Site.Account, op.Site.Domain, op.Site.Path = r.text(), r.text(), r.text(), r.text()
	op.Attempt, op.Seq, op.Progress = int(r.number()), r.number(), int(r.number())
	op.Step, op.StepIndex, op.StepsTotal, op.Message = r.text(), int(r.number()), int(r.number()), r.text()
	op.CreatedAt, op.StartedAt, op.UpdatedAt, op.FinishedAt = r.time(), r.time(), r.time(), r.time()
	op.CancelRequested = r.text() == "1"
	op.Result = r.json()
	failure := r.text()
	op.KeyID, op.RequestID, op.Parent = r.text(), r.text(), r.text()
	if r.more() {
		op.Payload, op.Revealed, op.Signature = r.json(), r.text(), r.text()
	}
	if r.failed {
		return tasks.Op{}, fmt.Errorf("decoding op: %w", errRecord)
	}
	if failure != "" {
		op.Error = new(tasks.Failure)
		if err := json.Unmarshal([]byte(failure), op.Error); err != nil {
			return tasks.Op{}, fmt.Errorf("decoding failure of op: %w", err)
		}
	}
	return op, nil
}

// recordReader takes "<n>,<n>,…" apart together with the values it measures.
// The first thing that does not fit fails all that follows.
type recordReader struct {
	sizes, body string
	failed      bool
}

func (r *recordReader) more() bool { return r.sizes != "" && !r.failed }

func (r *recordReader) text() string {
	size, rest, _ := strings.Cut(r.sizes, ",")
	n, err := strconv.ParseUint(size, 10, 32)
	if err != nil || n > uint64(len(r.body)) {
		r.failed = true
		return ""
	}
	value := r.body[:n]
	r.sizes, r.body = rest, r.body[n:]
	return value
}

func (r *recordReader) number() int64 {
	text := r.text()
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		r.failed = true
	}
	return n
}

func (r *recordReader) time() time.Time {
	if ms := r.number(); ms > 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

func (r *recordReader) json() json.RawMessage {
	if text := r.text(); text != "" {
		return json.RawMessage(text)
	}
	return nil
}
