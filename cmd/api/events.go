package main

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/wispanel/wptk/tasks"
)

// stream is one Server-Sent Events answer about an op.
type stream struct {
	sse
	s    *server
	r    *http.Request
	op   tasks.Op
	last int64 // seq of the newest event that was sent
}

// stillHere is a comment, which clients ignore.
var stillHere = []byte(": still here\n\n")

// events answers GET …/operations/{id}/events: a snapshot (unless resumed), every
// change after it, and "done" with the outcome.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	op, err := s.find(r.Context(), mux.Vars(r)["id"])
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	last, resumed := int64(0), false
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		if last, err = strconv.ParseInt(id, 10, 64); err != nil || last < 0 {
			writeProblem(w, r, invalid(tasks.Problem{Field: "Last-Event-ID", Reason: "must be the id of an event"}))
			return
		}
		resumed = true
	}
	if resumed && op.State.Final() && last >= op.Seq {
		w.WriteHeader(http.StatusNoContent) // tells an EventSource to stop coming back
		return
	}
	leave, err := s.open.enter(exchangeOf(r.Context()).key.ID)
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	defer leave()
	st := &stream{sse: newSSE(w, r), s: s, r: r, op: op, last: last}
	if err := st.run(resumed); err != nil {
		exchangeOf(r.Context()).log.Debug("stream ended", "op", op.ID, "err", err)
	}
}

func (st *stream) run(resumed bool) error {
	if !resumed {
		if err := st.send("snapshot", st.op.Seq, st.s.view(st.r.Context(), st.op, time.Now())); err != nil {
			return err
		}
		st.last = st.op.Seq
	}
	ctx, cancel := st.s.streaming(st.r, st.sse)
	defer cancel()
	for {
		if done, err := st.catchUp(); done || err != nil {
			return err
		}
		beat, stop := context.WithTimeout(ctx, heartbeatEvery)
		err := st.s.Watcher.Wait(beat, st.op.ID, st.last)
		quiet := beat.Err() != nil
		stop()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !quiet:
			return err
		case quiet:
			if err := st.write(stillHere); err != nil {
				return err
			}
		}
	}
}

// catchUp sends what happened since the last event. The op is read first: what
// it says is in the events that are read after it.
func (st *stream) catchUp() (done bool, err error) {
	ctx := st.r.Context()
	op, err := st.s.Ledger.Get(ctx, st.op.ID)
	if err != nil {
		return false, err
	}
	events, err := st.s.Ledger.Events(ctx, op.ID, st.last)
	if err != nil {
		return false, err
	}
	for _, e := range events {
		if err := st.send("progress", e.Seq, e); err != nil {
			return false, err
		}
		st.last = e.Seq
	}
	if !op.State.Final() {
		return false, nil
	}
	v := st.s.view(ctx, op, time.Now())
	v.Result = st.s.reveal(ctx, op)
	return true, st.send("done", max(st.last, op.Seq), v)
}

func (st *stream) send(event string, id int64, data any) error {
	return st.sse.send(event, strconv.FormatInt(id, 10), data)
}
