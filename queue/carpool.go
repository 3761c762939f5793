package queue

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	maxCars  = 2   // pipelines under way at once: one is on the wire while the other's answers are read
	maxSeats = 128 // callers in a pipeline
	rideTime = 5 * time.Second
)

// carpool takes callers that ask Redis at the same time along in one pipeline. Nobody waits
// for company: who finds a car free leaves at once, and those who come while all are under
// way share the next one. Writing to a socket and reading from it costs more than the
// commands of a poll, so many pollers cost little more than a few.
//
// On a Cluster everybody drives alone: a pipeline would wait for its slowest node.
type carpool struct {
	rdb   redis.UniversalClient
	alone bool

	mu      sync.Mutex
	driving int
	waiting []*passenger
}

// passenger is a caller's commands. What they answer, errors too, is in the commands.
type passenger struct {
	load func(context.Context, redis.Pipeliner)
	turn chan bool // true: drive the next car; false: you have been there
}

// ride runs the commands that load queues, and returns when they have their answers. How
// long that takes is bounded by Redis' own time limits and rideTime; a caller that goes away
// does not stop a pipeline that carries others.
func (c *carpool) ride(load func(context.Context, redis.Pipeliner)) {
	p := &passenger{load: load}
	if c.alone {
		c.send([]*passenger{p})
		return
	}
	c.mu.Lock()
	if c.driving < maxCars { // then nobody is waiting
		c.driving++
		c.mu.Unlock()
		c.drive(p)
		return
	}
	p.turn = make(chan bool, 1)
	c.waiting = append(c.waiting, p)
	c.mu.Unlock()
	if <-p.turn {
		c.drive(p)
	}
}

// drive takes everybody along who waits, and gives the wheel to one of those who came since.
func (c *carpool) drive(p *passenger) {
	c.mu.Lock()
	n := min(len(c.waiting), maxSeats-1)
	others := c.waiting[:n:n]
	if c.waiting = c.waiting[n:]; len(c.waiting) == 0 {
		c.waiting = nil // and not the end of an ever longer array
	}
	c.mu.Unlock()
	defer c.park(others) // also when something panics: nobody is left standing
	c.send(append(others, p))
}

func (c *carpool) send(all []*passenger) {
	ctx, cancel := context.WithTimeout(context.Background(), rideTime)
	defer cancel()
	pipe := c.rdb.Pipeline()
	for _, p := range all {
		p.load(ctx, pipe)
	}
	pipe.Exec(ctx) //nolint:errcheck // each command has its own error
}

// newCarpool makes one for a client of Redis.
func newCarpool(rdb redis.UniversalClient) *carpool {
	_, cluster := rdb.(*redis.ClusterClient)
	return &carpool{rdb: rdb, alone: cluster}
}

func (c *carpool) park(others []*passenger) {
	for _, other := range others {
		other.turn <- false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.driving--
		return
	}
	next := c.waiting[0]
	c.waiting = c.waiting[1:]
	next.turn <- true
}
