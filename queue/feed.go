package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wispanel/wptk/tasks"
)

const (
	feedKept    = 4096 // changes of a shard at least, as announce.lua trims them
	feedBatch   = 200  // entries of a shard in one reading
	feedPending = 256  // events that may wait for a subscriber
	// feedGather is how long a reading waits after a change was announced: for others to
	// join it, and for the change's millisecond to be over.
	feedGather = 10 * time.Millisecond
	// replayMost is how many entries a resumed stream may look at. Who was away for longer
	// is better off with a snapshot.
	replayMost = 20_000
	// replaysAtOnce of them may be under way in this process.
	replaysAtOnce = 4
)

var (
	// ErrFeedGone says that changes behind a position are kept no more, or are too many.
	ErrFeedGone = errors.New("changes behind this position are not kept")
	// ErrCutOff says that a subscriber took its events too slowly, or that Redis was away
	// for so long that some are lost to it.
	ErrCutOff = errors.New("subscriber cut off")
)

// FeedEvent is a change of an op as the feed tells it. It is shared by all who read it.
type FeedEvent struct {
	tasks.Event
	Pos FeedPos
	// Late says that it comes behind events of later positions, as a Redis clock was set
	// back. It is no place to resume from.
	Late bool

	OpID, Account, Kind, Site, Domain string

	once    sync.Once
	encoded []byte
}

// Encoded is what encode makes of the event, made once for all subscribers.
func (e *FeedEvent) Encoded(encode func(*FeedEvent) []byte) []byte {
	e.once.Do(func() { e.encoded = encode(e) })
	return e.encoded
}

// Feed hands out the changes of all ops, in one order that is the same in every process
// and every time. A process has one: it reads Redis once, however many subscribe, and not
// at all while nobody does. Run does the reading.
type Feed struct {
	*Store
	wake    chan struct{}
	replays chan struct{}
	open    openList

	mu   sync.Mutex
	reel *reel   // what is read next; nil while nobody subscribes
	at   FeedPos // all up to here has been handed out
	subs map[Audience]map[*Subscription]struct{}
}

// Audience is whose changes a subscriber is told of: an account's, or an install's. The
// zero Audience is told of all.
type Audience struct{ Account, Site string }

func (a Audience) wants(e *FeedEvent) bool {
	return (a.Account == "" || a.Account == e.Account) && (a.Site == "" || a.Site == e.Site)
}

// audiences are all that an event is for.
func audiences(e *FeedEvent) []Audience {
	all := []Audience{{}}
	if e.Account != "" {
		all = append(all, Audience{Account: e.Account})
	}
	if e.Site != "" {
		all = append(all, Audience{Site: e.Site})
	}
	return all
}

// NewFeed makes a feed; the watcher tells it when to read.
func NewFeed(s *Store, w *Watcher) *Feed {
	f := &Feed{
		Store: s, wake: make(chan struct{}, 1), replays: make(chan struct{}, replaysAtOnce),
		subs: make(map[Audience]map[*Subscription]struct{}), open: openList{turn: make(chan struct{}, 1)},
	}
	w.Heed(func(Change) { f.rouse() })
	return f
}

func (f *Feed) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run hands out changes until ctx ends.
func (f *Feed) Run(ctx context.Context) error {
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-tick.C:
		}
		for again := true; again && ctx.Err() == nil; {
			rest(ctx, feedGather)
			var err error
			if again, err = f.step(ctx); err != nil && ctx.Err() == nil {
				f.survived("feed", "reading changes again in a moment", err)
				rest(ctx, time.Second)
				again = true
			}
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// step reads once and hands out what there is. It is true when more is there already.
func (f *Feed) step(ctx context.Context) (again bool, err error) {
	f.mu.Lock()
	r := f.reel
	f.mu.Unlock()
	if r == nil {
		return false, nil
	}
	p, err := r.next(ctx)
	if err != nil && !errors.Is(err, ErrFeedGone) {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reel != r { // the last subscriber has left meanwhile
		return f.reel != nil, nil
	}
	if err != nil {
		f.log.Warn("cutting off streams of changes, as Redis was away for longer than it keeps them", "err", err)
		f.cutAll()
		return false, nil
	}
	for _, e := range p.events {
		e.Late = e.Pos.Compare(f.at) <= 0
		for _, a := range audiences(e) {
			f.hand(e, f.subs[a])
		}
	}
	if p.upTo.Compare(f.at) > 0 {
		f.at = p.upTo
	}
	return p.more, nil
}

func (f *Feed) hand(e *FeedEvent, to map[*Subscription]struct{}) {
	for s := range to {
		if len(s.queue) == feedPending {
			f.cut(s)
			continue
		}
		s.queue = append(s.queue, e)
		s.signal()
	}
}

func (f *Feed) cutAll() {
	for _, set := range f.subs {
		for s := range set {
			f.cut(s)
		}
	}
}

func (f *Feed) cut(s *Subscription) {
	s.isCut, s.queue = true, nil
	f.remove(s)
	s.signal()
	if s.onCut != nil {
		s.onCut()
	}
}

func (f *Feed) remove(s *Subscription) {
	delete(f.subs[s.of], s)
	if len(f.subs[s.of]) == 0 {
		delete(f.subs, s.of)
	}
	if len(f.subs) == 0 {
		f.reel = nil
	}
}

// Subscription is one reader of the feed.
type Subscription struct {
	// From is where it begins: every later event arrives. What came before is Replay's.
	From FeedPos

	feed  *Feed
	of    Audience
	onCut func()
	ready chan struct{}

	// Guarded by the feed's lock.
	queue []*FeedEvent
	isCut bool
}

// Subscribe begins a reading of the changes that an audience is told of. Close ends it.
// onCut is called when it is cut off, and must not block; nil is nothing.
func (f *Feed) Subscribe(ctx context.Context, of Audience, onCut func()) (*Subscription, error) {
	s := &Subscription{feed: f, of: of, onCut: onCut, ready: make(chan struct{}, 1)}
	f.mu.Lock()
	if f.reel == nil {
		f.mu.Unlock()
		now, err := f.clock(ctx)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		if f.reel == nil {
			f.at = endOf(now - 1)
			f.reel = newReel(f.Store, f.at)
		}
	}
	defer f.mu.Unlock()
	s.From = f.at
	if f.subs[of] == nil {
		f.subs[of] = make(map[*Subscription]struct{})
	}
	f.subs[of][s] = struct{}{}
	f.rouse() // something may have changed before anybody looked
	return s, nil
}

func (s *Subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Ready says that Take may have something.
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Take takes what has arrived, and says up to where that is all there was. Error: ErrCutOff.
func (s *Subscription) Take() ([]*FeedEvent, FeedPos, error) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.isCut {
		return nil, FeedPos{}, ErrCutOff
	}
	events := s.queue
	s.queue = nil
	return events, s.feed.at, nil
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if !s.isCut {
		s.isCut, s.queue = true, nil
		s.feed.remove(s)
	}
}

// Replay tells of what the subscription came too late for: events behind from, up to where
// it begins, some hundred at a time. Error: ErrFeedGone, also when from is a time that has
// not come.
func (s *Subscription) Replay(ctx context.Context, from FeedPos, tell func([]*FeedEvent) error) error {
	if from.Compare(s.From) >= 0 {
		if from.ms > s.From.ms+time.Minute.Milliseconds() {
			return ErrFeedGone
		}
		return nil
	}
	r, looked := newReel(s.feed.Store, from), 0
	for ctx.Err() == nil {
		p, err := s.replayed(ctx, r)
		if err != nil {
			return err
		}
		if looked += p.looked; looked > replayMost {
			return ErrFeedGone
		}
		for some := range slices.Chunk(p.events, feedBatch) {
			if err := tell(some); err != nil {
				return err
			}
		}
		if p.upTo.Compare(s.From) >= 0 {
			return nil
		}
		if !p.more { // a clock was set back
			rest(ctx, feedGather)
		}
	}
	return ctx.Err()
}

// replayed reads a page when it is its turn, and keeps what the subscriber is to be told.
// The telling is no part of the turn: a reader that is slow, or pretends to be, would have
// all others wait.
func (s *Subscription) replayed(ctx context.Context, r *reel) (page, error) {
	select {
	case s.feed.replays <- struct{}{}:
		defer func() { <-s.feed.replays }()
	case <-ctx.Done():
		return page{}, ctx.Err()
	}
	p, err := r.next(ctx)
	p.looked = len(p.events)
	var wanted []*FeedEvent // not the array of all
	for _, e := range p.events {
		if e.Pos.Compare(s.From) <= 0 && s.of.wants(e) {
			wanted = append(wanted, e)
		}
	}
	p.events = wanted
	return p, err
}
