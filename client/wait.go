package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Wait follows an operation to its end: id is its own, or an install's for its newest
// operation. Every change is shown to onProgress, once and in order, the end included;
// it may be nil. The error is that of [Operation.Err] when the operation did not succeed,
// and the operation is there too then.
//
// It reads a stream of events, resumes it where it broke, and asks again and again where
// there is no stream to be had.
func (c *Client) Wait(ctx context.Context, id string, onProgress func(Operation)) (*Operation, error) {
	if onProgress == nil {
		onProgress = func(Operation) {}
	}
	w := &waiting{client: c, id: id, seen: -1, show: onProgress}
	if !c.opts.PollOnly {
		if err := w.streams(ctx); err != nil {
			return nil, err
		}
	}
	if err := w.poll(ctx); err != nil {
		return nil, err
	}
	return &w.op, w.op.Err()
}

// waiting is one call of Wait.
type waiting struct {
	client *Client
	id     string
	op     Operation // as it was last seen
	seen   int64     // the newest change that was shown
	show   func(Operation)
}

// streams reads streams until the operation is done or there is none to be had. What
// they were about, such as an id that does not exist, is for poll to find out.
func (w *waiting) streams(ctx context.Context) error {
	for !w.op.Done {
		before := w.seen
		err := w.stream(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case w.op.Done || w.seen == before || errors.Is(err, errNoStream):
			return nil // a stream that brings nothing new may be held back by a proxy
		case err != nil:
			w.client.opts.OnRetry(err, 0)
		}
	}
	return nil
}

// stream reads one stream to its end.
func (w *waiting) stream(ctx context.Context) error {
	last := ""
	if w.seen >= 0 {
		last = strconv.FormatInt(w.seen, 10)
	}
	r := Request{Method: http.MethodGet, Path: "/wordpress/operations/" + url.PathEscape(w.id) + "/events"}
	events, err := w.client.listen(ctx, r, last)
	if err != nil {
		return errors.Join(errNoStream, err)
	}
	defer events.end()
	for !w.op.Done {
		e, err := events.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = w.take(e)
		}
		if err != nil {
			return fmt.Errorf("reading the stream: %w", err)
		}
	}
	return nil
}

// take shows what an event changes. A snapshot and the end are whole operations, what
// comes between them are the parts that change.
func (w *waiting) take(e event) error {
	seq, err := strconv.ParseInt(e.id, 10, 64)
	if err != nil || e.name != "snapshot" && e.name != "progress" && e.name != "done" {
		return nil // of a newer API
	}
	if seq <= w.seen && e.name != "done" {
		return nil
	}
	op := w.op
	if e.name != "progress" {
		op = Operation{}
	} else if op.OperationID == "" {
		return errNoStream // nothing to change
	}
	if err := json.Unmarshal(e.data, &op); err != nil {
		return err
	}
	if e.name != "done" && final(op.Status) {
		return nil // "done" follows and says it whole, with the result
	}
	if e.name == "done" && !op.Done || e.name != "progress" && op.OperationID == "" {
		return errNoStream
	}
	w.reached(op, seq)
	return nil
}

func final(status string) bool { return status == "succeeded" || byEnd[status] != nil }

// reached shows a state. From here on it is about the operation itself: an install's id
// would move on to a newer one.
func (w *waiting) reached(op Operation, seq int64) {
	w.op, w.seen, w.id = op, seq, op.OperationID
	w.show(op)
}

// watchPatience sits out a restart of the API: the operation goes on anyway.
const watchPatience = 90 * time.Second

// poll asks until the operation is done.
func (w *waiting) poll(ctx context.Context) error {
	patient := *w.client
	patient.opts.Patience = max(patient.opts.Patience, watchPatience)
	for !w.op.Done {
		query := url.Values{}
		if w.seen >= 0 {
			query = url.Values{"wait": {strconv.Itoa(int(pollFor.Seconds()))}, "since": {strconv.FormatInt(w.seen, 10)}}
		}
		var op Operation
		r := Request{Method: http.MethodGet, Path: "/wordpress/install/" + url.PathEscape(w.id) + "/progress", Query: query}
		got, err := patient.Do(ctx, r, &op)
		if err != nil {
			return err
		}
		if op.OperationID == "" {
			return errors.New("reading the API's answer: it is not about an operation")
		}
		if op.Seq > w.seen || op.Done {
			w.reached(op, op.Seq)
		}
		if op.Done {
			return nil
		}
		if err := patient.opts.Pause(ctx, Pace(got.Header, time.Now())); err != nil {
			return err
		}
	}
	return nil
}

// Pace is how long to leave the API in peace so that the key's rate limit lasts, from
// the header of its last answer: 200 ms to 5 s.
func Pace(h http.Header, now time.Time) time.Duration {
	const least, most = 200 * time.Millisecond, 5 * time.Second
	left, errLeft := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	reset, errReset := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
	if errLeft != nil || errReset != nil {
		return time.Second
	}
	rest := time.Unix(reset, 0).Sub(now)
	return min(max(rest/time.Duration(max(left, 1)), least), most)
}
