package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
	"pgregory.net/rapid"
)

// feed runs a feed until the test ends.
func feed(t *testing.T, s *Store) *Feed {
	t.Helper()
	f := NewFeed(s, watcher(t, s))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return f
}

func opOn(node, account string) tasks.Op {
	op := newOp("a.example")
	op.ID, op.Site.Node, op.Site.Account = tasks.NewOpID(node), node, account
	op.Site.ID = tasks.SiteID(node, account, op.ID, "")
	return op
}

// reader is a client of the feed: it remembers what it has seen and comes back from there.
type reader struct {
	feed    *Feed
	account string
	last    FeedPos
	seen    []*FeedEvent
}

// connect reads until n more events were seen.
func (r *reader) connect(ctx context.Context, n int) error {
	s, err := r.feed.Subscribe(ctx, Audience{Account: r.account}, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	if r.last == (FeedPos{}) {
		r.last = s.From
	}
	until := len(r.seen) + n
	see := func(events []*FeedEvent) error {
		for _, e := range events {
			if e.Pos.Compare(r.last) > 0 && len(r.seen) < until {
				r.last, r.seen = e.Pos, append(r.seen, e)
			}
		}
		return nil
	}
	if err := s.Replay(ctx, r.last, see); err != nil {
		return err
	}
	for len(r.seen) < until {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Ready():
		}
		events, _, err := s.Take()
		if err != nil {
			return err
		}
		if err := see(events); err != nil {
			return err
		}
	}
	return nil
}

// Two processes serve it, clients leave at any moment and come back to either: each change
// is seen once, and those of an op in their order.
func TestReaderThatComesBackMissesNoneAndSeesNoneTwice(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"server":  func(t *testing.T) string { return devstack.SharedRedis(t) },
		"cluster": func(t *testing.T) string { return devstack.RedisClusterT(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, url(t))
			feeds := []*Feed{feed(t, s), feed(t, s)}
			const ops, perOp = 300, 2 // accepted, cancelled
			begin := &reader{feed: feeds[0], account: "alice"}
			ok(t, begin.connect(t.Context(), 0))
			var wg sync.WaitGroup
			var readers []*reader
			for i := range 4 {
				r := &reader{feed: feeds[i%2], account: "alice", last: begin.last}
				readers = append(readers, r)
				wg.Go(func() {
					for left := ops * perOp; left > 0; left = ops*perOp - len(r.seen) {
						r.feed = feeds[rand.IntN(2)]
						if err := r.connect(t.Context(), min(1+rand.IntN(20), left)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			c := NewClient(s)
			for range 3 {
				wg.Go(func() {
					for i := range ops / 3 {
						for _, account := range []string{"alice", "bob"} {
							op := opOn(fmt.Sprintf("n%d", i%7), account)
							if _, err := c.Submit(t.Context(), Submission{Op: op}); err != nil {
								t.Error(err)
							}
							if _, err := c.Cancel(t.Context(), op.ID); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			wg.Wait()
			for _, r := range readers {
				r.check(t, ops, perOp)
			}
		})
	}
}

func (r *reader) check(t *testing.T, ops, perOp int) {
	t.Helper()
	seq := map[string]int64{}
	for _, e := range r.seen {
		if e.Account != r.account {
			t.Fatalf("%s is told of %s", r.account, e.Account)
		}
		if seq[e.OpID]++; e.Seq != seq[e.OpID] {
			t.Fatalf("change %d of %s comes as number %d", e.Seq, e.OpID, seq[e.OpID])
		}
	}
	if len(seq) != ops || len(r.seen) != ops*perOp {
		t.Errorf("%d changes of %d ops, not %d of %d", len(r.seen), len(seq), ops*perOp, ops)
	}
}

func TestSubscriberThatTakesNothingIsCutOffAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	f, c := feed(t, s), NewClient(s)
	cut := make(chan struct{})
	slow := must[*Subscription](t)(f.Subscribe(t.Context(), Audience{Account: "alice"}, func() { close(cut) }))
	brisk := &reader{feed: f}
	done := make(chan error, 1)
	ok(t, brisk.connect(t.Context(), 0))
	go func() { done <- brisk.connect(t.Context(), feedPending+10) }()
	for range (feedPending + 10) / 2 {
		op := opOn("n1", "alice")
		submit(t, c, op)
		must[tasks.Op](t)(c.Cancel(t.Context(), op.ID))
	}
	<-cut
	ok(t, <-done)
	if _, _, err := slow.Take(); !errors.Is(err, ErrCutOff) {
		t.Errorf("a slow subscriber got %v", err)
	}
	slow.Close()
	eventually(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.subs) == 0 && f.reel == nil })
}

func TestReplayOfWhatIsNotKeptIsRefused(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	f := feed(t, s)
	early := must[*Subscription](t)(f.Subscribe(t.Context(), Audience{}, nil))
	pipe := s.rdb.Pipeline()
	for range feedKept + 500 {
		pipe.Do(t.Context(), "XADD", s.names.feed("07"), "MAXLEN", "~", feedKept, "*", "op", "x", "account", "alice", "seq", "1")
	}
	_, err := pipe.Exec(t.Context())
	ok(t, err)
	eventually(t, func() bool { _, _, err := early.Take(); return errors.Is(err, ErrCutOff) })
	late := must[*Subscription](t)(f.Subscribe(t.Context(), Audience{}, nil))
	defer late.Close()
	none := func([]*FeedEvent) error { return nil }
	wantErr(t, late.Replay(t.Context(), early.From, none), ErrFeedGone)
	wantErr(t, late.Replay(t.Context(), endOf(late.From.ms+1e6), none), ErrFeedGone)
	ok(t, late.Replay(t.Context(), late.From, none))
}

func TestResumedReadersThatStopReadingKeepNobodyFromResuming(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	f := feed(t, s)
	early := must[*Subscription](t)(f.Subscribe(t.Context(), Audience{}, nil))
	defer early.Close()
	submit(t, NewClient(s), opOn("n1", "alice"))
	<-early.Ready()
	late := must[*Subscription](t)(f.Subscribe(t.Context(), Audience{}, nil))
	defer late.Close()
	stopped, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(release)
	for range replaysAtOnce + 1 {
		var once sync.Once
		wg.Go(func() {
			err := late.Replay(t.Context(), early.From, func([]*FeedEvent) error {
				once.Do(func() { stopped <- struct{}{}; <-release })
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-stopped // for more of them than may read Redis at a time
	}
	told := 0
	ok(t, late.Replay(t.Context(), early.From, func(events []*FeedEvent) error { told += len(events); return nil }))
	if told == 0 {
		t.Error("who resumes beside them is told of nothing")
	}
}

func TestSnapshotHasWhatIsOpenOfItsAudience(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	f, c := feed(t, s), NewClient(s)
	mine, other, ended := opOn("n1", "alice"), opOn("n2", "bob"), opOn("n3", "alice")
	for _, op := range []tasks.Op{mine, other, ended} {
		submit(t, c, op)
	}
	must[tasks.Op](t)(c.Cancel(t.Context(), ended.ID))
	for of, want := range map[Audience]int{
		{Account: "alice"}: 1, {Account: "bob"}: 1, {}: 2, {Account: "nobody"}: 0,
		{Site: mine.Site.ID}: 1, {Site: ended.Site.ID}: 0,
	} {
		ops, truncated, err := f.Open(t.Context(), of)
		if ok(t, err); len(ops) != want || truncated {
			t.Errorf("%+v has %d open ops", of, len(ops))
		}
	}
}

func TestFeedPosIsReadAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := FeedPos{rapid.Int64Range(0, 1e15).Draw(t, "ms"), rapid.Uint8().Draw(t, "shard"), rapid.Int64Min(0).Draw(t, "seq")}
		got, err := ParseFeedPos(p.String())
		if err != nil || got != p {
			t.Fatalf("%s became %s, %v", p, got, err)
		}
	})
}

func FuzzFeedPos(f *testing.F) {
	for _, seed := range []string{"1764000000000-a3-0", "", "1-0", "1-zz-1", "1-00-99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseFeedPos(text)
		if err != nil {
			return
		}
		if again, err := ParseFeedPos(p.String()); err != nil || again != p {
			t.Errorf("%q is %s and then %s", text, p, again)
		}
	})
}
