package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// copyWithin is how long a replica may take to have what the master has accepted. A request
// that waits longer gets an answer before its client gives up.
const copyWithin = 2 * time.Second

// errNotCopied is an acceptance that the master has and no replica yet: a failover would
// throw it away. Submitting the same id again asks once more.
var errNotCopied = errors.New("no replica has it yet")

// accept runs a script that accepts something. Behind Sentinels it returns without an error
// only when a replica has what was written, for replication does not wait by itself: a master
// that dies, or that comes back and takes writes before the Sentinels have told it who is
// master now, takes along what it alone had. Also what an earlier call with the same id had
// written is waited for, since WAIT is about everything the master had when the script ran.
// A Cluster's answers are not waited for (docs/operations.md, "Redis").
func (s *Store) accept(ctx context.Context, script *redis.Script, keys []string, args ...any) (any, error) {
	client, single := s.rdb.(*redis.Client)
	if s.target.topology != sentinel || !single {
		return script.Run(ctx, s.rdb, keys, args...).Result()
	}
	conn := client.Conn() // WAIT is about this connection's commands
	defer conn.Close()    //nolint:errcheck // goes back to the pool
	answer, err := script.Run(ctx, conn, keys, args...).Result()
	if err != nil {
		return nil, err
	}
	switch copies, err := conn.Wait(ctx, 1, copyWithin).Result(); {
	case err != nil:
		return nil, fmt.Errorf("waiting for a replica: %w", err)
	case copies < 1:
		return nil, errNotCopied
	}
	return answer, nil
}
