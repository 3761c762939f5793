package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// StreamEvent is one event of [Client.Events]: a snapshot or a change, the other is nil.
type StreamEvent struct {
	// ID is where the stream stands with this event: EventsQuery.After of a later call.
	ID       string
	Snapshot *Snapshot
	Change   *Change
}

// Snapshot is what is open at that moment, in place of all that was known before.
type Snapshot struct {
	Operations []Operation `json:"operations"`
	Truncated  bool        `json:"truncated"` // there are more
}

// Change is what an operation has come to.
type Change struct {
	ID          string    `json:"id"` // of the install; of an operation on many, its own
	OperationID string    `json:"operation_id"`
	Type        string    `json:"type"`
	Domain      string    `json:"domain"`
	Status      string    `json:"status"`
	Done        bool      `json:"done"` // the last change of the operation; its result is at Operation
	Progress    int64     `json:"progress"`
	Step        string    `json:"step"`
	StepIndex   int64     `json:"step_index"`
	StepsTotal  int64     `json:"steps_total"`
	Message     string    `json:"message"`
	Seq         int64     `json:"seq"`
	At          time.Time `json:"at"`
}

// EventsQuery is what [Client.Events] tells of.
type EventsQuery struct {
	Account string // of an admin's key: of that account alone
	After   string // the ID of the last event that was seen; none is from now on
}

// Events tells of all operations of the account: what is open, then every change, each
// once and in order. It goes on until the loop is left or ctx ends. A stream that breaks
// is resumed behind the last event, after as long as the API asks for. The first error is
// the last that comes, and another call goes on After the last event.
//
// A snapshot comes first, unless After says from where to go on, and again after an
// absence for which the API has not kept the changes.
func (c *Client) Events(ctx context.Context, q EventsQuery) iter.Seq2[StreamEvent, error] {
	query := url.Values{}
	addText(query, "account", q.Account)
	return c.follow(ctx, Request{Method: http.MethodGet, Path: "/wordpress/events", Query: query}, q.After)
}

// InstallationEvents is as [Client.Events], of one install: also of what is asked of it later.
func (c *Client) InstallationEvents(ctx context.Context, id, after string) iter.Seq2[StreamEvent, error] {
	return c.follow(ctx, Request{Method: http.MethodGet, Path: "/wordpress/installations/" + url.PathEscape(id) + "/events"}, after)
}

func (c *Client) follow(ctx context.Context, r Request, last string) iter.Seq2[StreamEvent, error] {
	patient := *c
	patient.opts.Patience = max(c.opts.Patience, watchPatience)
	return func(yield func(StreamEvent, error) bool) {
		for last := last; ; {
			more, err := patient.followOne(ctx, r, &last, yield)
			if !more {
				return
			}
			if err == nil { // not all at once when the API is started anew
				err = patient.opts.Pause(ctx, time.Second/2+rand.N(time.Second))
			}
			if err != nil {
				yield(StreamEvent{}, err)
				return
			}
		}
	}
}

// followOne reads one stream to its end. An error is one that another stream would not cure.
func (c *Client) followOne(ctx context.Context, r Request, last *string, yield func(StreamEvent, error) bool) (more bool, err error) {
	var s *stream
	err = c.retrying(ctx, func() (err error) {
		s, err = c.listen(ctx, r, *last)
		return err
	})
	if err != nil {
		return true, err
	}
	defer s.end()
	for {
		e, err := s.next()
		*last = s.last
		switch {
		case ctx.Err() != nil:
			return true, ctx.Err()
		case err != nil:
			if !errors.Is(err, io.EOF) {
				c.opts.OnRetry(err, 0)
			}
			return true, nil
		}
		told, err := streamEventOf(e)
		if err != nil {
			return true, err
		}
		told.ID = s.last
		if (told.Snapshot != nil || told.Change != nil) && !yield(told, nil) {
			return false, nil
		}
	}
}

// streamEventOf is empty for what a newer API tells, and for "reset", behind which a
// snapshot comes.
func streamEventOf(e event) (told StreamEvent, err error) {
	switch e.name {
	case "snapshot":
		err = json.Unmarshal(e.data, &told.Snapshot)
	case "progress", "done":
		err = json.Unmarshal(e.data, &told.Change)
	}
	if err != nil {
		return StreamEvent{}, fmt.Errorf("reading the stream: %w", err)
	}
	return told, nil
}

// stream is an open stream of events.
type stream struct {
	*eventReader
	end func()
}

// silence is how long a stream may say nothing, heartbeats (every 15 s) included.
const silence = 50 * time.Second

var (
	errNoStream = errors.New("there is no stream")
	errSilent   = errors.New("the stream is silent")
)

// listen opens a stream behind the event with an id; "" is from now on. It has begun: the
// API says something at once.
func (c *Client) listen(ctx context.Context, r Request, last string) (_ *stream, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	quit := func() { watchdog.Stop(); cancel(nil) }
	defer func() {
		if err != nil {
			quit()
		}
	}()
	header := http.Header{"Accept": {"text/event-stream"}}
	if last != "" {
		header.Set("Last-Event-ID", last)
	}
	res, err := c.open(ctx, r, header, http.NoBody) //nolint:bodyclose // end closes it
	if err != nil {
		return nil, err
	}
	events := newEventReader(res.Body, func() { watchdog.Reset(silence) })
	events.last = last
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || kind != "text/event-stream" {
		err = errNoStream
	} else if _, err = events.in.Peek(1); err != nil {
		err = fmt.Errorf("%w: %w", errNoStream, err)
	}
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	return &stream{eventReader: events, end: func() { res.Body.Close(); quit() }}, nil
}
