package queue

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// What is rung on a node's doorbell, the channel wake.<node>. A ring that gets
// lost costs a few seconds, never an op.
const (
	ringAll    = "all"     // look at every lane
	ringTask   = "task "   // + class: that lane got a task
	ringCancel = "cancel " // + op id: it is to stop
	ringScan   = "scan"    // look at the disks again
)

func (s *Store) ring(ctx context.Context, node, what string) error {
	return s.rdb.Publish(ctx, s.names.wake(node), what).Err()
}

// listen passes on what is rung until ctx ends. The subscription reconnects by
// itself; after each connection everything is looked at, as rings were missed.
func (s *server) listen(ctx context.Context) {
	sub := s.node.rdb.Subscribe(ctx, s.node.names.wake(s.node.ID()))
	defer func() {
		if err := sub.Close(); err != nil {
			s.node.log.Debug("closing doorbell", "node", s.node.ID(), "err", err)
		}
	}()
	rings := sub.ChannelWithSubscriptions()
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-rings:
			if !ok {
				return
			}
			s.answer(ctx, m)
		}
	}
}

func (s *server) answer(ctx context.Context, m any) {
	ring, ok := m.(*redis.Message)
	if !ok { // (re)subscribed
		s.gate.ringAll()
		s.watchRuns(ctx, false)
		return
	}
	switch what := ring.Payload; {
	case strings.HasPrefix(what, ringTask):
		s.gate.ring(lanePending(lanePrefixOf(s.node.ID()) + what[len(ringTask):]))
	case strings.HasPrefix(what, ringCancel):
		s.cancel(what[len(ringCancel):])
	case what == ringScan:
		s.node.ringRescan()
	default:
		s.gate.ringAll()
	}
}
