package main

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

const (
	maxWait      = 60               // seconds of a long poll
	stalledAfter = 30 * time.Second // without any news of a running op
	kindInstall  = "install"
	kindClone    = "clone"
)

// operation is what a client reads about an op, in this order.
type operation struct {
	Success       bool           `json:"success"`
	ID            string         `json:"id" example:"wp_4e8a1b2c3d4e5f60" doc:"The install; of an operation on many, its own id."`
	OperationID   string         `json:"operation_id"`
	Type          string         `json:"type" example:"install"`
	Status        tasks.State    `json:"status" enum:"queued,running,succeeded,failed,rolled_back,unverified,cancelled"`
	Done          bool           `json:"done" doc:"The status is final."`
	Progress      int            `json:"progress" minimum:"0" maximum:"100" doc:"Never goes down."`
	Step          string         `json:"step"`
	StepIndex     int            `json:"step_index"`
	StepsTotal    int            `json:"steps_total"`
	Message       string         `json:"message"`
	Attempt       int            `json:"attempt" doc:"How often a node began it."`
	QueuePosition int            `json:"queue_position" doc:"Operations in front of it on the same install."`
	CreatedAt     stamp          `json:"created_at"`
	StartedAt     stamp          `json:"started_at"`
	UpdatedAt     stamp          `json:"updated_at"`
	FinishedAt    stamp          `json:"finished_at"`
	ETASeconds    *int           `json:"eta_seconds" doc:"A guess from the time so far; null when there is nothing to guess from."`
	Stalled       bool           `json:"stalled" doc:"No news for a while, or its node is away. It goes on when the node is back."`
	Result        object         `json:"result" doc:"A generated admin_password is in the first answer after the success, and in no other."`
	Error         *tasks.Failure `json:"error"`
	Seq           int64          `json:"seq" doc:"Grows with every change; since=<seq> waits for the next."`
	Cancelling    bool           `json:"cancel_requested"`
	Domain        string         `json:"domain"`
	Path          string         `json:"path"`
	Node          string         `json:"node"`
	ParentID      string         `json:"parent_id" doc:"The operation on many installs that it belongs to."`
	ChildrenURL   string         `json:"children_url" doc:"Of an operation on many: each install and how it went. The result has the counts."`
}

// view is an op as it goes out. The password that is shown once is not in it.
func (s *server) view(ctx context.Context, op tasks.Op, now time.Time) operation {
	id, children := op.Site.ID, ""
	if op.Rollout() {
		id, children = op.ID, childrenURL(op.ID)
	}
	return operation{
		Success: true, ID: id, OperationID: op.ID, Type: op.Kind,
		Status: op.State, Done: op.State.Final(), Progress: op.Progress,
		Step: op.Step, StepIndex: op.StepIndex, StepsTotal: op.StepsTotal, Message: op.Message,
		Attempt: op.Attempt, QueuePosition: op.Position,
		CreatedAt: stamp(op.CreatedAt), StartedAt: stamp(op.StartedAt),
		UpdatedAt: stamp(op.UpdatedAt), FinishedAt: stamp(op.FinishedAt),
		ETASeconds: eta(op, now), Stalled: s.stalled(ctx, op, now),
		Result: object(op.Result), Error: op.Error, Seq: op.Seq, Cancelling: op.CancelRequested,
		Domain: op.Site.Domain, Path: op.Site.Path, Node: op.Site.Node,
		ParentID: op.Parent, ChildrenURL: children,
	}
}

// eta takes it that the rest goes as fast as what is done.
func eta(op tasks.Op, now time.Time) *int {
	if op.State != tasks.Running || op.Progress < 1 || op.Progress > 99 || op.StartedAt.IsZero() {
		return nil
	}
	rest := now.Sub(op.StartedAt) * time.Duration(100-op.Progress) / time.Duration(op.Progress)
	seconds := max(0, int(rest.Round(time.Second)/time.Second))
	return &seconds
}

// stalled asks after the node only when an op has been silent for a while, so
// that a poll of a busy one costs nothing more.
func (s *server) stalled(ctx context.Context, op tasks.Op, now time.Time) bool {
	if op.State.Final() || now.Sub(op.UpdatedAt) < stalledAfter {
		return false
	}
	return op.State == tasks.Running || s.nodes.lost(ctx, op.Site.Node)
}

// progress answers GET …/install/{id}/progress. Clients call it more than all
// else together, so it is written by hand: one round trip to Redis counts the
// request and reads the op, and the body is appended, not reflected.
func (s *server) progress(w http.ResponseWriter, r *http.Request) {
	ctx, x := r.Context(), exchangeOf(r.Context())
	ask, err := waitOf(r)
	bucket, most := s.bucket(x.key)
	limit, op, pollErr := s.Ledger.Poll(ctx, bucket, most, mux.Vars(r)["id"])
	if limit.Max > 0 {
		if err := s.applyLimit(w.Header(), limit); err != nil {
			writeProblem(w, r, err)
			return
		}
	}
	if err == nil {
		err = pollErr
	}
	if err == nil && !sees(ctx, op.Site.Account) {
		err = queue.ErrNotFound
	}
	if err == nil && ask.wait > 0 {
		op, err = s.await(w, r, op, ask)
	}
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	s.writeProgress(w, r, op)
}

func (s *server) writeProgress(w http.ResponseWriter, r *http.Request, op tasks.Op) {
	now := time.Now()
	v := s.view(r.Context(), op, now)
	v.Result = s.reveal(r.Context(), op)
	h := w.Header()
	h["Content-Type"] = jsonType
	if !v.Done {
		h["Retry-After"] = soon
	}
	body := bodies.Get().(*[]byte)
	defer bodies.Put(body) // net/http keeps nothing of what it is given to write
	*body = append(v.appendJSON((*body)[:0]), '\n')
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(*body); err != nil {
		exchangeOf(r.Context()).log.Debug("writing progress", "op", op.ID, "err", err)
	}
}

// bodies are buffers of answers.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// appendJSON is json.Marshal without reflection; a test holds the two together.
func (v *operation) appendJSON(b []byte) []byte {
	b = append(b, `{"success":true,"id":`...)
	b = appendText(b, v.ID)
	b = appendText(append(b, `,"operation_id":`...), v.OperationID)
	b = appendText(append(b, `,"type":`...), v.Type)
	b = appendText(append(b, `,"status":`...), string(v.Status))
	b = strconv.AppendBool(append(b, `,"done":`...), v.Done)
	b = strconv.AppendInt(append(b, `,"progress":`...), int64(v.Progress), 10)
	b = appendText(append(b, `,"step":`...), v.Step)
	b = strconv.AppendInt(append(b, `,"step_index":`...), int64(v.StepIndex), 10)
	b = strconv.AppendInt(append(b, `,"steps_total":`...), int64(v.StepsTotal), 10)
	b = appendText(append(b, `,"message":`...), v.Message)
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(v.Attempt), 10)
	b = strconv.AppendInt(append(b, `,"queue_position":`...), int64(v.QueuePosition), 10)
	b = appendStamp(append(b, `,"created_at":`...), time.Time(v.CreatedAt))
	b = appendStamp(append(b, `,"started_at":`...), time.Time(v.StartedAt))
	b = appendStamp(append(b, `,"updated_at":`...), time.Time(v.UpdatedAt))
	b = appendStamp(append(b, `,"finished_at":`...), time.Time(v.FinishedAt))
	b = append(b, `,"eta_seconds":`...)
	if v.ETASeconds == nil {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, int64(*v.ETASeconds), 10)
	}
	b = strconv.AppendBool(append(b, `,"stalled":`...), v.Stalled)
	b = append(b, `,"result":`...)
	if len(v.Result) == 0 {
		b = append(b, "null"...)
	} else {
		b = append(b, v.Result...)
	}
	b = appendFailure(append(b, `,"error":`...), v.Error)
	b = strconv.AppendInt(append(b, `,"seq":`...), v.Seq, 10)
	b = strconv.AppendBool(append(b, `,"cancel_requested":`...), v.Cancelling)
	b = appendText(append(b, `,"domain":`...), v.Domain)
	b = appendText(append(b, `,"path":`...), v.Path)
	b = appendText(append(b, `,"node":`...), v.Node)
	b = appendText(append(b, `,"parent_id":`...), v.ParentID)
	b = appendText(append(b, `,"children_url":`...), v.ChildrenURL)
	return append(b, '}')
}

func appendFailure(b []byte, f *tasks.Failure) []byte {
	if f == nil {
		return append(b, "null"...)
	}
	b = appendText(append(b, `{"code":`...), f.Code)
	b = appendText(append(b, `,"message":`...), f.Message)
	if f.Hint != "" {
		b = appendText(append(b, `,"hint":`...), f.Hint)
	}
	return append(b, '}')
}
