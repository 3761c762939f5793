package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

const (
	maxLogLines = 1000    // per op, approximately; older lines go first
	maxLogLine  = 2 << 10 // bytes; longer ones are cut
	maxEvents   = 500     // per op, as the scripts trim them
)

// LogLine is one line of an op's log.
type LogLine struct {
	At   time.Time
	Text string
}

// Events lists an op's changes with a Seq above afterSeq, oldest first; at most
// the newest 500 or so are kept. A final event is the last one there will be.
func (c *Client) Events(ctx context.Context, id string, afterSeq int64) ([]tasks.Event, error) {
	if _, ok := tasks.Shard(id); !ok {
		return nil, ErrNotFound
	}
	from := behind(strconv.FormatInt(max(afterSeq, 0), 10) + "-0")
	entries, err := c.rdb.XRangeN(ctx, c.names.events(id), from, "+", maxEvents*2).Result()
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	events := make([]tasks.Event, len(entries))
	for i, e := range entries {
		events[i] = eventOf(e)
	}
	return events, nil
}

// eventOf reads a stream entry; its id is "<seq>-0".
func eventOf(e redis.XMessage) tasks.Event {
	seq, _, _ := strings.Cut(e.ID, "-")
	return tasks.Event{
		Seq:        parseInt(seq),
		At:         time.UnixMilli(parseInt(field(e, "at"))).UTC(),
		State:      tasks.State(field(e, "state")),
		Progress:   int(parseInt(field(e, "progress"))),
		Step:       field(e, "step"),
		StepIndex:  int(parseInt(field(e, "step_index"))),
		StepsTotal: int(parseInt(field(e, "steps_total"))),
		Message:    field(e, "message"),
	}
}

func field(e redis.XMessage, name string) string {
	s, _ := e.Values[name].(string)
	return s
}

// parseInt reads a number that our own scripts wrote; 0 for a missing one.
func parseInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Log lists up to n lines of an op's log behind a cursor ("" = from the start),
// and the cursor to go on with. Error: ErrBadCursor.
func (c *Client) Log(ctx context.Context, id, after string, n int) ([]LogLine, string, error) {
	if _, ok := tasks.Shard(id); !ok {
		return nil, "", ErrNotFound
	}
	from := "-"
	if after != "" {
		if !streamID(after) {
			return nil, "", ErrBadCursor
		}
		from = behind(after)
	}
	n = max(1, min(n, maxLogLines))
	entries, err := c.rdb.XRangeN(ctx, c.names.log(id), from, "+", int64(n)).Result()
	if err != nil {
		return nil, "", fmt.Errorf("reading log: %w", err)
	}
	lines := make([]LogLine, len(entries))
	for i, e := range entries {
		ms, _, _ := strings.Cut(e.ID, "-")
		lines[i] = LogLine{At: time.UnixMilli(parseInt(ms)).UTC(), Text: field(e, "t")}
		after = e.ID
	}
	return lines, after, nil
}

// behind is the least id of a stream after id: Redis before 6.2 knows no "(id".
func behind(id string) string {
	ms, n, _ := strings.Cut(id, "-")
	seq, err := strconv.ParseUint(n, 10, 64)
	if err != nil || seq == math.MaxUint64 {
		return "(" + id
	}
	return ms + "-" + strconv.FormatUint(seq+1, 10)
}

func streamID(s string) bool {
	ms, n, ok := strings.Cut(s, "-")
	_, errA := strconv.ParseUint(ms, 10, 64)
	_, errB := strconv.ParseUint(n, 10, 64)
	return ok && errors.Join(errA, errB) == nil
}

// appendLog queues log lines of an op. The stream leaves with the op, or a month
// after the last line of an op that never ends.
func (s *Store) appendLog(ctx context.Context, pipe redis.Pipeliner, id string, lines []string) {
	key := s.names.log(id)
	for _, line := range lines {
		pipe.XAdd(ctx, &redis.XAddArgs{
			Stream: key, MaxLen: maxLogLines, Approx: true,
			Values: []any{"t", line},
		})
	}
	pipe.Expire(ctx, key, DefaultRetention)
}
