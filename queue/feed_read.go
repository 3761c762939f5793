package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// FeedPos is a place in the one order of all changes: by millisecond of Redis' clock,
// then by shard, then by the number that the change has in both. The zero FeedPos is
// before all of them.
type FeedPos struct {
	ms    int64
	shard uint8
	seq   int64
}

// endOf is behind all changes of a millisecond.
func endOf(ms int64) FeedPos { return FeedPos{ms: ms, shard: math.MaxUint8, seq: math.MaxInt64} }

// Compare is as of cmp.Compare.
func (p FeedPos) Compare(o FeedPos) int {
	return cmp.Or(cmp.Compare(p.ms, o.ms), cmp.Compare(p.shard, o.shard), cmp.Compare(p.seq, o.seq))
}

// String is "<milliseconds>-<shard, two hex digits>-<number>".
func (p FeedPos) String() string { return fmt.Sprintf("%d-%02x-%d", p.ms, p.shard, p.seq) }

var feedPosForm = regexp.MustCompile(`^([0-9]{1,18})-([0-9a-f]{2})-([0-9]{1,19})$`)

// ParseFeedPos reads what String has written. Error: ErrBadCursor.
func ParseFeedPos(text string) (FeedPos, error) {
	parts := feedPosForm.FindStringSubmatch(text)
	if parts == nil {
		return FeedPos{}, ErrBadCursor
	}
	shard, err := strconv.ParseUint(parts[2], 16, 8)
	if err != nil {
		return FeedPos{}, ErrBadCursor
	}
	seq, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return FeedPos{}, ErrBadCursor
	}
	return FeedPos{ms: parseInt(parts[1]), shard: uint8(shard), seq: seq}, nil
}

// reel reads all feeds in order. Its next belongs to one goroutine.
type reel struct {
	store *Store
	at    [256]FeedPos // of each shard: its ms and seq are the last that was read
}

// newReel begins behind from. What is later in the same millisecond is in higher shards.
func newReel(s *Store, from FeedPos) *reel {
	r := &reel{store: s}
	for i := range r.at {
		switch shard := uint8(i); {
		case shard < from.shard:
			r.at[i] = FeedPos{from.ms, shard, math.MaxInt64}
		case shard == from.shard:
			r.at[i] = from
		default:
			r.at[i] = FeedPos{max(from.ms-1, 0), shard, math.MaxInt64}
		}
	}
	return r
}

// page is a stretch of the order.
type page struct {
	events []*FeedEvent
	looked int     // how many there were before those were left out that nobody wants here
	upTo   FeedPos // all up to here are in this page or in one before
	more   bool    // there are later ones
}

// next reads on. A millisecond is read when every master's clock says that it is over:
// no script can put a change into it any more. So what is read has no gaps that fill
// later, whichever shards its changes are of. Error: ErrFeedGone.
func (r *reel) next(ctx context.Context) (page, error) {
	now, err := r.store.clock(ctx) // before the feeds are read, not after
	if err != nil {
		return page{}, err
	}
	found, err := r.store.readFeeds(ctx, &r.at)
	if err != nil {
		return page{}, err
	}
	p := page{upTo: endOf(now - 1)}
	for shard, entries := range found {
		if len(entries) < feedBatch {
			continue
		}
		p.more = true
		if last := posOf(uint8(shard), entries[len(entries)-1].ID); last.Compare(p.upTo) < 0 {
			p.upTo = last // of this shard there is more, so of others nothing behind it yet
		}
		if err := r.store.checkKept(ctx, r.at[shard]); err != nil {
			return page{}, err
		}
	}
	for shard, entries := range found {
		for _, e := range entries {
			pos := posOf(uint8(shard), e.ID)
			if pos.Compare(p.upTo) > 0 {
				p.more = true
				break
			}
			p.events = append(p.events, feedEventOf(pos, e))
			r.at[shard] = pos
		}
	}
	slices.SortFunc(p.events, func(a, b *FeedEvent) int { return a.Pos.Compare(b.Pos) })
	return p, nil
}

func posOf(shard uint8, id string) FeedPos {
	ms, seq, _ := strings.Cut(id, "-")
	return FeedPos{ms: parseInt(ms), shard: shard, seq: parseInt(seq)}
}

func feedEventOf(pos FeedPos, e redis.XMessage) *FeedEvent {
	return &FeedEvent{
		Pos: pos, OpID: field(e, "op"), Account: field(e, "account"), Kind: field(e, "kind"),
		Site: field(e, "site"), Domain: field(e, "domain"),
		Event: tasks.Event{
			Seq:        parseInt(field(e, "seq")),
			At:         time.UnixMilli(pos.ms).UTC(),
			State:      tasks.State(field(e, "state")),
			Progress:   int(parseInt(field(e, "progress"))),
			Step:       field(e, "step"),
			StepIndex:  int(parseInt(field(e, "step_index"))),
			StepsTotal: int(parseInt(field(e, "steps_total"))),
			Message:    field(e, "message"),
		},
	}
}

// clock is the lowest time of all masters, in milliseconds.
func (s *Store) clock(ctx context.Context) (int64, error) {
	var mu sync.Mutex // masters are asked at the same time
	lowest := int64(math.MaxInt64)
	err := s.eachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		now, err := c.Time(ctx).Result()
		mu.Lock()
		defer mu.Unlock()
		lowest = min(lowest, now.UnixMilli())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reading the clock of redis: %w", err)
	}
	return lowest, nil
}

// readFeeds reads up to feedBatch entries of each shard behind a position: in one command,
// or one for each shard where they are on several servers.
func (s *Store) readFeeds(ctx context.Context, at *[256]FeedPos) (found [256][]redis.XMessage, err error) {
	size := len(at)
	if _, cluster := s.rdb.(*redis.ClusterClient); cluster {
		size = 1
	}
	pipe, shardOfKey := s.rdb.Pipeline(), make(map[string]int, len(at))
	var keys, ids []string
	var answers []*redis.XStreamSliceCmd
	for i, shard := range shards() {
		key := s.names.feed(shard)
		shardOfKey[key] = i
		keys, ids = append(keys, key), append(ids, fmt.Sprintf("%d-%d", at[i].ms, at[i].seq))
		if len(keys) == size {
			answers = append(answers, pipe.XRead(ctx, &redis.XReadArgs{Streams: append(keys, ids...), Count: feedBatch, Block: -1}))
			keys, ids = nil, nil
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return found, fmt.Errorf("reading feeds: %w", err)
	}
	for _, a := range answers {
		streams, err := a.Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return found, fmt.Errorf("reading feeds: %w", err)
		}
		for _, stream := range streams {
			found[shardOfKey[stream.Stream]] = stream.Messages
		}
	}
	return found, nil
}

// checkKept answers ErrFeedGone when a shard's feed may have lost what is behind a
// position. A feed that is not full has lost nothing yet.
func (s *Store) checkKept(ctx context.Context, at FeedPos) error {
	key := s.names.feed(fmt.Sprintf("%02x", at.shard))
	pipe := s.rdb.Pipeline()
	length, first := pipe.XLen(ctx, key), pipe.XRangeN(ctx, key, "-", "+", 1)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("looking how far back a feed goes: %w", err)
	}
	if length.Val() < feedKept || len(first.Val()) == 0 || posOf(at.shard, first.Val()[0].ID).Compare(at) <= 0 {
		return nil
	}
	return ErrFeedGone
}
