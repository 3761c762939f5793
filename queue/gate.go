package queue

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// pollEvery is asynq's pause after it found its lanes empty. It can be this
	// short, as finding them empty waits for the doorbell.
	pollEvery = time.Millisecond
	// lookAnyway is how long a lane may go unlooked at without a ring.
	lookAnyway = 5 * time.Second
	// restAfterError keeps asynq, which does not pause after a failed dequeue,
	// from asking a sick Redis thousands of times a second.
	restAfterError = time.Second
	ackTimeout     = 5 * time.Second
)

// gate is a hook on the Redis client that asynq's servers use. It mends three
// things of asynq v0.26.0, told by the key names of its scripts:
//
//   - asynq polls its lanes; the gate lets a look through only when the doorbell
//     rang for the lane, and holds the look at a server's last lane until one of
//     them rings. An op starts at once, and an idle node asks nothing;
//   - an acknowledgement that failed is repeated by asynq with a context that is
//     already cancelled (processor.go, markAsDone), so it never succeeds and the
//     finished task runs again; the gate gives it a live one;
//   - a failed dequeue is repeated without a pause (processor.go, exec).
type gate struct {
	log     *slog.Logger
	metrics *Metrics
	closed  chan struct{}

	mu    sync.Mutex
	lanes map[string]*look // by pending key
}

// look is what the gate knows of a lane.
type look struct {
	rung bool
	next time.Time // look anyway
	door *door
	last bool // of its server, in the order in which asynq looks
}

// door is where a server waits for its lanes.
type door struct {
	lanes []*look
	bell  chan struct{}
}

// newGate makes a gate for servers, each given by its lanes in asynq's order.
func newGate(log *slog.Logger, m *Metrics, servers ...[]string) *gate {
	g := &gate{log: log, metrics: m, closed: make(chan struct{}), lanes: make(map[string]*look)}
	for _, queues := range servers {
		d := &door{bell: make(chan struct{}, 1)}
		for i, q := range queues {
			l := &look{rung: true, door: d, last: i == len(queues)-1}
			d.lanes = append(d.lanes, l)
			g.lanes[lanePending(q)] = l
		}
	}
	return g
}

// ring lets the next look at a lane through.
func (g *gate) ring(pendingKey string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.lanes[pendingKey]; l != nil {
		l.ring()
	}
}

func (g *gate) ringAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.lanes {
		l.ring()
	}
}

func (l *look) ring() {
	l.rung = true
	select {
	case l.door.bell <- struct{}{}:
	default: // has rung
	}
}

// take decides about one look. It forgets the ring before the look is made, so
// that one that comes meanwhile is kept.
func (g *gate) take(pendingKey string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[pendingKey]
	if l == nil {
		return true // not a lane of ours
	}
	now := time.Now()
	if !l.rung && now.Before(l.next) {
		return false
	}
	l.rung, l.next = false, now.Add(lookAnyway)
	return true
}

// hold waits, at the last lane of a server, until one of its lanes is worth a look.
func (g *gate) hold(pendingKey string) {
	g.mu.Lock()
	l := g.lanes[pendingKey]
	if !l.last {
		g.mu.Unlock()
		return
	}
	due := time.Now().Add(lookAnyway)
	for _, lane := range l.door.lanes {
		if lane.rung {
			due = time.Time{}
		} else if lane.next.Before(due) {
			due = lane.next
		}
	}
	g.mu.Unlock()
	wait := time.NewTimer(time.Until(due))
	defer wait.Stop()
	select {
	case <-l.door.bell:
	case <-wait.C:
	case <-g.closed:
	}
}

// DialHook changes nothing.
func (g *gate) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessPipelineHook changes nothing.
func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds) }
}

// ProcessHook tells asynq's scripts apart by their first two keys.
func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		k1, k2, ok := scriptKeys(cmd)
		switch {
		case !ok:
			return next(ctx, cmd)
		case strings.HasSuffix(k1, "}:pending") && strings.HasSuffix(k2, "}:paused"):
			return g.dequeue(ctx, cmd, next, k1)
		case strings.HasSuffix(k1, "}:active") || strings.HasSuffix(k2, "}:active"):
			return acknowledge(ctx, cmd, next)
		}
		err := next(ctx, cmd)
		if strings.HasSuffix(k2, "}:pending") && forwarded(cmd, err) {
			g.ring(k2)
		}
		return err
	}
}

// scriptKeys answers the first two keys of EVAL(SHA) script numkeys key1 key2 ….
func scriptKeys(cmd redis.Cmder) (k1, k2 string, ok bool) {
	if name := cmd.Name(); name != "evalsha" && name != "eval" {
		return "", "", false
	}
	args := cmd.Args()
	if len(args) < 5 {
		return "", "", false
	}
	k1, ok1 := args[3].(string)
	k2, ok2 := args[4].(string)
	return k1, k2, ok1 && ok2
}

func (g *gate) dequeue(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook, lane string) error {
	// After NOSCRIPT asynq repeats the call as EVAL, which must not be held up.
	if cmd.Name() == "evalsha" && !g.take(lane) {
		g.hold(lane)
		cmd.SetErr(redis.Nil)
		return redis.Nil
	}
	err := next(ctx, cmd)
	if errors.Is(err, redis.Nil) {
		return err
	}
	g.ring(lane) // a task or an error: there may be more, so look again
	if err != nil && !redis.HasErrorPrefix(err, "NOSCRIPT") {
		g.metrics.RedisError("dequeue")
		g.log.Warn("taking tasks from lane", "queue", lane, "err", err)
		select {
		case <-time.After(restAfterError):
		case <-g.closed:
		}
	}
	return err
}

func acknowledge(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
	if !errors.Is(context.Cause(ctx), context.Canceled) {
		return next(ctx, cmd)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
	defer cancel()
	return next(ctx, cmd)
}

// forwarded reports whether asynq's forwarder moved due tasks into a lane.
func forwarded(cmd redis.Cmder, err error) bool {
	c, ok := cmd.(*redis.Cmd)
	if !ok || err != nil {
		return false
	}
	n, err := c.Int64()
	return err == nil && n > 0
}
