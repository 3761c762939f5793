package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// feedStream is one stream of all changes of the ops of an account or an install.
type feedStream struct {
	sse
	s     *server
	r     *http.Request
	of    queue.Audience
	sub   *queue.Subscription
	last  queue.FeedPos    // what the client would resume from
	shown map[string]int64 // seq of the ops in the snapshot: older changes are in it
}

// accountEvents answers GET …/events: a snapshot of what is open (unless resumed), and
// every change after it.
func (s *server) accountEvents(w http.ResponseWriter, r *http.Request) {
	of, err := accountAsked(r)
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	s.follow(w, r, of)
}

// siteEvents answers GET …/installations/{id}/events: the same of one install.
func (s *server) siteEvents(w http.ResponseWriter, r *http.Request) {
	of, err := s.siteAsked(r)
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	s.follow(w, r, of)
}

func (s *server) follow(w http.ResponseWriter, r *http.Request, of queue.Audience) {
	from, err := behind(r)
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	leave, err := s.open.enter(exchangeOf(r.Context()).key.ID)
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	defer leave()
	st := &feedStream{s: s, r: r, of: of, sse: newSSE(w, r)}
	if st.sub, err = s.Feed.Subscribe(r.Context(), of, st.cutOff); err != nil {
		writeProblem(w, r, err)
		return
	}
	defer st.sub.Close()
	if err := st.run(from); err != nil {
		exchangeOf(r.Context()).log.Debug("stream ended", "err", err)
	}
}

// accountAsked reads whose changes are wanted.
func accountAsked(r *http.Request) (queue.Audience, error) {
	account := scopeOf(r.Context())
	for name, values := range r.URL.Query() {
		if name != "account" || len(values) != 1 || len(values[0]) > 64 {
			return queue.Audience{}, invalid(tasks.Problem{Field: "query." + name, Reason: "only one account can be asked for, and nothing else"})
		}
		if values[0] != "" && !sees(r.Context(), values[0]) {
			return queue.Audience{}, newProblem("FORBIDDEN", "Only an admin is told of other accounts")
		}
		if values[0] != "" {
			account = values[0]
		}
	}
	return queue.Audience{Account: account}, nil
}

// siteAsked reads the install whose changes are wanted. One that is about to be made has
// no record yet, and one that was found on disk may have no op.
func (s *server) siteAsked(r *http.Request) (queue.Audience, error) {
	id := mux.Vars(r)["id"]
	for name := range r.URL.Query() {
		return queue.Audience{}, invalid(tasks.Problem{Field: "query." + name, Reason: "unknown query parameter"})
	}
	if !strings.HasPrefix(id, "wp_") {
		return queue.Audience{}, queue.ErrNotFound
	}
	_, err := s.find(r.Context(), id)
	if errors.Is(err, queue.ErrNotFound) {
		_, err = s.seen(r.Context(), id)
	}
	return queue.Audience{Site: id}, err
}

// behind reads from where a stream is resumed; nil is from now on.
func behind(r *http.Request) (*queue.FeedPos, error) {
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		return nil, nil
	}
	pos, err := queue.ParseFeedPos(id)
	if err != nil {
		return nil, invalid(tasks.Problem{Field: "Last-Event-ID", Reason: "must be the id of an event"})
	}
	return &pos, nil
}

func (st *feedStream) run(from *queue.FeedPos) error {
	ctx, cancel := st.s.streaming(st.r, st.sse)
	defer cancel()
	if err := st.begin(ctx, from); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		quiet := false
		select {
		case <-ctx.Done():
			return nil
		case <-st.sub.Ready():
		case <-beat.C:
			quiet = true
		}
		events, at, err := st.sub.Take()
		if err != nil {
			return err
		}
		if err := st.tell(events); err != nil {
			return err
		}
		if quiet && len(events) == 0 {
			if err := st.beat(at); err != nil {
				return err
			}
		}
	}
}

// begin brings the client up to where the subscription starts.
func (st *feedStream) begin(ctx context.Context, from *queue.FeedPos) error {
	if from == nil {
		return st.snapshot(ctx)
	}
	st.last = *from
	if err := st.write(stillHere); err != nil { // the answer has begun, even if nothing happens
		return err
	}
	err := st.sub.Replay(ctx, *from, st.tell)
	if !errors.Is(err, queue.ErrFeedGone) {
		return err
	}
	if err := st.send("reset", "", struct{}{}); err != nil {
		return err
	}
	return st.snapshot(ctx)
}

type feedSnapshot struct {
	Operations []operation `json:"operations"`
	Truncated  bool        `json:"truncated"`
}

func (st *feedStream) snapshot(ctx context.Context) error {
	ops, truncated, err := st.s.Feed.Open(ctx, st.of)
	if err != nil {
		return err
	}
	shot, now := feedSnapshot{Operations: make([]operation, len(ops)), Truncated: truncated}, time.Now()
	st.shown = make(map[string]int64, len(ops))
	for i, op := range ops {
		shot.Operations[i] = st.s.view(ctx, op, now)
		st.shown[op.ID] = op.Seq
	}
	st.last = st.sub.From
	return st.send("snapshot", st.last.String(), shot)
}

// tell sends events, except for those that the client has.
func (st *feedStream) tell(events []*queue.FeedEvent) error {
	var text []byte
	for _, e := range events {
		if !e.Late {
			if e.Pos.Compare(st.last) <= 0 {
				continue
			}
			st.last = e.Pos
		}
		if e.Seq <= st.shown[e.OpID] {
			continue
		}
		text = append(text, e.Encoded(encodeChange)...)
	}
	if text == nil {
		return nil
	}
	return st.write(text)
}

// beat tells a client for whom nothing happens from where to resume, lest its place
// grows too old while others are busy. An event without data is none to a client.
func (st *feedStream) beat(at queue.FeedPos) error {
	if at.Compare(st.last) <= 0 {
		return st.write(stillHere)
	}
	st.last = at
	return st.write([]byte("id: " + at.String() + "\n" + string(stillHere)))
}

// change is what a client reads about one change of an op.
type change struct {
	ID          string      `json:"id"` // of the install; of an operation on many, its own
	OperationID string      `json:"operation_id"`
	Type        string      `json:"type"`
	Domain      string      `json:"domain"`
	Status      tasks.State `json:"status"`
	Done        bool        `json:"done"`
	Progress    int         `json:"progress"`
	Step        string      `json:"step"`
	StepIndex   int         `json:"step_index"`
	StepsTotal  int         `json:"steps_total"`
	Message     string      `json:"message"`
	Seq         int64       `json:"seq"`
	At          stamp       `json:"at"`
}

// encodeChange makes an event: progress, or done for the last one of an op.
func encodeChange(e *queue.FeedEvent) []byte {
	name, id, site := "progress", e.Pos.String(), e.Site
	if e.State.Final() {
		name = "done"
	}
	if e.Late {
		id = ""
	}
	if site == "" {
		site = e.OpID
	}
	text, err := eventText(name, id, change{
		ID: site, OperationID: e.OpID, Type: e.Kind, Domain: e.Domain, Status: e.State, Done: e.State.Final(),
		Progress: e.Progress, Step: e.Step, StepIndex: e.StepIndex, StepsTotal: e.StepsTotal,
		Message: e.Message, Seq: e.Seq, At: stamp(e.At),
	})
	if err != nil {
		return nil // strings and numbers: cannot happen
	}
	return text
}
