package queue

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/deploy/devstack"
)

// BenchmarkFeed compares what a report of progress costs Redis with and without the entry
// for streams of accounts and installs (docs/decisions/0047-account-stream.md). Pipelined,
// so that the script is what takes the time.
func BenchmarkFeed(b *testing.B) {
	shared, err := luaFiles.ReadFile("lua/lib/announce.lua")
	if err != nil {
		b.Fatal(err)
	}
	body, err := luaFiles.ReadFile("lua/progress.lua")
	if err != nil {
		b.Fatal(err)
	}
	before, rest, found := strings.Cut(string(shared), "  local of = ")
	_, after, ended := strings.Cut(rest, "unpack(body, 3))\n")
	if !found || !ended {
		b.Fatal("announce.lua has no entry in the feed to leave out")
	}
	for name, announce := range map[string]string{"with": string(shared), "without": before + after} {
		b.Run(name, func(b *testing.B) {
			s := openStore(b, devstack.SharedRedis(b))
			op := newOp("a.example")
			if _, err := NewClient(s).Submit(b.Context(), Submission{Op: op}); err != nil {
				b.Fatal(err)
			}
			if err := s.rdb.HSet(b.Context(), s.names.op(op.ID), "state", "running", "attempt", 1, "n", 0).Err(); err != nil {
				b.Fatal(err)
			}
			script := redis.NewScript(strings.Replace(string(body), include, announce, 1))
			if err := script.Load(b.Context(), s.rdb).Err(); err != nil {
				b.Fatal(err)
			}
			keys := []string{s.names.op(op.ID), s.names.events(op.ID), s.names.feed(shardOf(op.ID))}
			pipe, n := s.rdb.Pipeline(), 0
			for b.Loop() {
				n++
				script.EvalSha(b.Context(), pipe, keys, op.ID, s.names.changes(), 1, n, 50, fmt.Sprintf("step_%d", n), 4, 8, "Creating database and user")
				if n%500 == 0 {
					if _, err := pipe.Exec(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
