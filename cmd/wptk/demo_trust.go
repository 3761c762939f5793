package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/cmd/internal/signing"
	"github.com/wispanel/wptk/queue"
)

// signingKey makes the key that the API signs with, once; its public half is all that the
// nodes believe.
func (s *stack) signingKey() (signing.Signer, error) {
	who := signing.Signer{SigningKeyFile: s.state.dir("signing", "api"), Trust: signing.Trust{SigningKeys: s.state.dir("signing"), RequireSigned: true}}
	if _, err := os.Stat(who.SigningKeyFile); err == nil {
		return who, nil
	}
	if err := os.Mkdir(who.SigningKeys, 0o700); err != nil {
		return who, fmt.Errorf("making the folder for public keys: %w", err)
	}
	_, err := signing.New(who.SigningKeyFile)
	return who, err
}

// open opens Redis as the API does.
func (s *stack) open(ctx context.Context, url string, log *slog.Logger) (*queue.Store, error) {
	who, err := s.signingKey()
	if err != nil {
		return nil, err
	}
	options := queue.Options{URL: url}
	if err := who.Identify(&options, log); err != nil {
		return nil, err
	}
	store, err := queue.Open(ctx, options, log)
	if err != nil {
		return nil, fmt.Errorf("opening Redis: %w", err)
	}
	return store, nil
}

// signs and believes are the flags of an API and of a worker.
func (s *stack) signs() []string {
	return append(s.believes(), "--signing-key-file", s.state.dir("signing", "api"))
}

func (s *stack) believes() []string { return []string{"--signing-keys", s.state.dir("signing")} }

// login makes a user of Redis for one of the processes, with the server's password: what it may
// do is what is of interest here.
func (s *stack) login(ctx context.Context, l queue.Login) error {
	options, err := redis.ParseURL(s.redis.URL(0))
	if err != nil {
		return fmt.Errorf("opening Redis: %w", err)
	}
	server := redis.NewClient(options)
	defer server.Close() //nolint:errcheck // it was asked for one thing
	args := []any{"ACL", "SETUSER"}
	for _, word := range strings.Fields(l.Rules(aclVersion(ctx, server)) + " >" + s.redis.Password) {
		args = append(args, word)
	}
	if err := server.Do(ctx, args...).Err(); err != nil {
		return fmt.Errorf("making the login %s of Redis: %w", l.Name, err)
	}
	return nil
}

// aclVersion is what the server's rules may be written for.
func aclVersion(ctx context.Context, server *redis.Client) string {
	version := server.InfoMap(ctx, "server").Item("Server", "redis_version")
	switch {
	case strings.HasPrefix(version, "6.0."):
		return queue.ACL60
	case strings.HasPrefix(version, "6."):
		return queue.ACL62
	}
	return queue.ACL70
}

func (s *stack) redisArgs(login string) []string {
	return []string{"--redis-url", "redis://" + s.redis.Addr + "/0", "--redis-username", login, "--redis-password-file", s.state.dir("redis-password")}
}
