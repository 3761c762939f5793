package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// recheck is how often a waiter looks for itself. Pub/sub may lose a message
// without anybody noticing.
const recheck = 10 * time.Second

// Watcher waits for changes of ops. A process has one: it holds one subscription,
// however many clients wait.
type Watcher struct {
	store *Store

	mu      sync.Mutex
	waiters map[string]map[chan int64]struct{} // by op id
	heeds   []func(Change)
}

// Change is an announced change of an op. The zero Change says that some may have
// been missed.
type Change struct {
	OpID  string
	Seq   int64
	State tasks.State
}

// Heed calls fn for every change of any op. fn must not block, and not wait for
// changes itself.
func (w *Watcher) Heed(fn func(Change)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heeds = append(w.heeds, fn)
}

// NewWatcher makes a watcher; it works while Run does.
func NewWatcher(s *Store) *Watcher {
	return &Watcher{store: s, waiters: make(map[string]map[chan int64]struct{})}
}

// Run receives announcements until ctx ends. It reconnects by itself.
func (w *Watcher) Run(ctx context.Context) error {
	sub := w.store.rdb.Subscribe(ctx, w.store.names.changes())
	messages := sub.ChannelWithSubscriptions(redis.WithChannelSize(1000))
	for {
		select {
		case <-ctx.Done():
			if err := sub.Close(); err != nil {
				return fmt.Errorf("closing subscription: %w", err)
			}
			return nil
		case m, ok := <-messages:
			if !ok {
				return errors.New("watching changes: subscription closed")
			}
			if change, ok := m.(*redis.Message); ok {
				w.announce(change.Payload)
			} else {
				w.wakeAll() // (re)subscribed: what happened meanwhile is unknown
			}
		}
	}
}

// announce passes on "<op id> <seq> <state>".
func (w *Watcher) announce(payload string) {
	id, rest, _ := strings.Cut(payload, " ")
	number, state, _ := strings.Cut(rest, " ")
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return // not one of ours
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.waiters[id] {
		signal(c, seq)
	}
	for _, fn := range w.heeds {
		fn(Change{OpID: id, Seq: seq, State: tasks.State(state)})
	}
}

// lookYourself tells a waiter to read the ledger.
const lookYourself = -1

func (w *Watcher) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, set := range w.waiters {
		for c := range set {
			signal(c, lookYourself)
		}
	}
	for _, fn := range w.heeds {
		fn(Change{})
	}
}

// signal never blocks. A waiter that has one signal waiting is told to look for
// itself instead, as the older signal may be the lower one.
func signal(c chan int64, seq int64) {
	select {
	case c <- seq:
	default:
		select {
		case <-c:
		default:
		}
		select {
		case c <- lookYourself:
		default:
		}
	}
}

// Wait returns when the op has changed beyond since (nil), or when ctx ends (its
// error). Error: ErrNotFound. The id is an op's, not an install's.
func (w *Watcher) Wait(ctx context.Context, opID string, since int64) error {
	c := w.join(opID)
	defer w.leave(opID, c)
	// Joined first and looked second: a change in between is in the channel.
	for {
		seq, err := w.seq(ctx, opID)
		if err != nil || seq > since {
			return err
		}
		if err := w.await(ctx, c, since); !errors.Is(err, errLook) {
			return err
		}
	}
}

var errLook = errors.New("look at the ledger")

func (w *Watcher) await(ctx context.Context, c <-chan int64, since int64) error {
	again := time.NewTimer(recheck)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
			return errLook
		case seq := <-c:
			if seq == lookYourself {
				return errLook
			}
			if seq > since {
				return nil
			}
		}
	}
}

func (w *Watcher) seq(ctx context.Context, opID string) (int64, error) {
	seq, err := w.store.rdb.HGet(ctx, w.store.names.op(opID), "seq").Int64()
	if errors.Is(err, redis.Nil) {
		return 0, ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("reading seq of op: %w", err)
	}
	return seq, nil
}

func (w *Watcher) join(opID string) chan int64 {
	c := make(chan int64, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiters[opID] == nil {
		w.waiters[opID] = make(map[chan int64]struct{})
	}
	w.waiters[opID][c] = struct{}{}
	return c
}

func (w *Watcher) leave(opID string, c chan int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiters[opID], c)
	if len(w.waiters[opID]) == 0 {
		delete(w.waiters, opID)
	}
}
