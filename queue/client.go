package queue

import (
	"github.com/hibiken/asynq"
)

// Client is the API's side of the queue. It is safe for concurrent use and
// needs no closing: the connections are the Store's.
type Client struct {
	*Store
	publisher
	keys  *keyCache
	polls *carpool
}

// NewClient makes a client of a store.
func NewClient(s *Store) *Client {
	return &Client{Store: s, publisher: newPublisher(s), keys: newKeyCache(), polls: newCarpool(s.rdb)}
}

// publisher hands ops of the ledger to asynq. The API, the workers and the
// reconciler all have one.
type publisher struct {
	store     *Store
	asynq     *asynq.Client
	inspector *asynq.Inspector
}

func newPublisher(s *Store) publisher {
	return publisher{
		store:     s,
		asynq:     asynq.NewClientFromRedisClient(s.rdb),
		inspector: asynq.NewInspectorFromRedisClient(s.rdb),
	}
}
