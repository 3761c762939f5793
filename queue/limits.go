package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

var limitScript = lua("limit")

// limitWindow is how long a bucket counts, from its first request on.
const limitWindow = time.Minute

// Limit is where a bucket stands after the request that was just counted.
type Limit struct {
	Max        int           // requests per window
	Remaining  int           // how many more there may be; 0 when none
	Reset      time.Time     // when the window ends, the same in every process
	Allowed    bool          // whether this request was within Max
	RetryAfter time.Duration // until Reset; 0 when allowed
}

// Limit counts one request in a bucket: a fixed window of 60 s that starts at
// the first request, shared by all processes. Requests over the limit count
// too, and change nothing. When Redis is away the error is the caller's to
// judge; nothing is let through in silence.
func (c *Client) Limit(ctx context.Context, bucket string, max int) (Limit, error) {
	cmd := limitScript.Run(ctx, c.rdb, limitKeys(c.names, bucket), limitWindow.Milliseconds())
	return readLimit(cmd, max)
}

// limitCmd queues the same in a pipeline. It goes by the script's hash, which
// Open has loaded; after a NOSCRIPT the caller runs Limit instead.
func limitCmd(ctx context.Context, pipe redis.Pipeliner, n names, bucket string) *redis.Cmd {
	return limitScript.EvalSha(ctx, pipe, limitKeys(n, bucket), limitWindow.Milliseconds())
}

func limitKeys(n names, bucket string) []string { return []string{n.limit(bucket)} }

// readLimit reads the answer of the limit script.
func readLimit(cmd *redis.Cmd, max int) (Limit, error) {
	v, err := cmd.Int64Slice()
	if err != nil {
		return Limit{}, fmt.Errorf("counting request: %w", err)
	}
	if len(v) != 3 {
		return Limit{}, fmt.Errorf("counting request: %d values in answer", len(v))
	}
	l := Limit{
		Max:       max,
		Remaining: max - int(min(v[0], int64(max))),
		Reset:     time.UnixMilli(v[1]),
		Allowed:   v[0] <= int64(max),
	}
	if !l.Allowed {
		l.RetryAfter = time.Duration(v[2]) * time.Millisecond
	}
	return l, nil
}
