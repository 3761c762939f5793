package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// read reads one op by its id or its install's; how is readProgress or readAll.
func (s *Store) read(ctx context.Context, id string, how *redis.Script) (tasks.Op, error) {
	key, args, ok := s.readArgs(id)
	if !ok {
		return tasks.Op{}, ErrNotFound
	}
	return opOf(how.Run(ctx, s.rdb, []string{key}, args...))
}

// readCmd queues the reading of an op's progress in a pipeline, where the script
// must be known to Redis.
func (s *Store) readCmd(ctx context.Context, pipe redis.Pipeliner, id string) *redis.Cmd {
	key, args, ok := s.readArgs(id)
	if !ok {
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(redis.Nil)
		return cmd
	}
	return readProgress.EvalSha(ctx, pipe, []string{key}, args...)
}

func (s *Store) readArgs(id string) (key string, args []any, ok bool) {
	shard, ok := tasks.Shard(id)
	if !ok {
		return "", nil, false
	}
	key = s.names.op(id)
	if id[:3] == "wp_" {
		key = s.names.last(id)
	}
	return key, []any{id, s.names.shardPrefix("op:", shard), s.names.shardPrefix("fifo:", shard)}, true
}

func opOf(answer *redis.Cmd) (tasks.Op, error) {
	packed, err := answer.Text()
	if errors.Is(err, redis.Nil) {
		return tasks.Op{}, ErrNotFound
	}
	if err != nil {
		return tasks.Op{}, fmt.Errorf("reading op: %w", err)
	}
	return decodeRecord(packed)
}

// readMany reads ops in one pipeline; what does not exist is left out.
func (s *Store) readMany(ctx context.Context, ids []string) ([]tasks.Op, error) {
	answers, err := s.readEach(ctx, ids)
	if err != nil {
		return nil, err
	}
	ops := make([]tasks.Op, 0, len(ids))
	for i := range ids {
		op, err := opOf(answers[i])
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func (s *Store) readEach(ctx context.Context, ids []string) ([]*redis.Cmd, error) {
	answers := make([]*redis.Cmd, len(ids))
	for again := false; ; again = true {
		pipe := s.rdb.Pipeline()
		for i, id := range ids {
			answers[i] = s.readCmd(ctx, pipe, id)
		}
		_, err := pipe.Exec(ctx)
		if err == nil || errors.Is(err, redis.Nil) {
			return answers, nil
		}
		if again || !redis.HasErrorPrefix(err, "NOSCRIPT") {
			return nil, fmt.Errorf("reading ops: %w", err)
		}
		if err := loadScripts(ctx, s.rdb); err != nil {
			return nil, err
		}
	}
}
