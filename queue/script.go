package queue

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua lua/lib/*.lua
var luaFiles embed.FS

// Each script is one file in lua/, whose head lists KEYS, ARGV and the answer.
var (
	submitScript   = lua("submit")
	publishScript  = lua("published")
	beginScript    = lua("begin")
	progressScript = lua("progress")
	finishScript   = lua("finish")
	cancelScript   = lua("cancel")
	pauseScript    = lua("pause")
	watchScript    = lua("watch")
	revealScript   = lua("reveal")
	sweepScript    = lua("sweep")
	leadScript     = lua("lead")
)

// Reading is one script for each set of fields, so that a poll does not send
// and box two dozen names each time.
var (
	readProgress = luaFields("read", progressFields)
	readAll      = luaFields("read", allFields)
)

// scripts are all of them, as lua makes them, also those of other files.
var scripts []*redis.Script

func lua(name string) *redis.Script { return luaFields(name, nil) }

// include is the line of a script where the shared function goes.
const include = "-- include announce\n"

// luaFields reads an embedded script and puts the names of hash fields in place
// of FIELDS. A missing file is a broken build, which the first test and the first
// start show.
func luaFields(name string, fields []string) *redis.Script {
	src, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	text := strings.Replace(string(src), "FIELDS", `"`+strings.Join(fields, `", "`)+`"`, 1)
	if strings.Contains(text, include) {
		shared, err := luaFiles.ReadFile("lua/lib/announce.lua")
		if err != nil {
			panic(err)
		}
		text = strings.Replace(text, include, string(shared), 1)
	}
	s := redis.NewScript(text)
	scripts = append(scripts, s)
	return s
}

// loadScripts makes sure that the pipelined EVALSHA calls, which cannot fall
// back to EVAL, find their scripts.
func loadScripts(ctx context.Context, c redis.UniversalClient) error {
	for _, s := range scripts {
		if err := s.Load(ctx, c).Err(); err != nil {
			return fmt.Errorf("loading lua scripts: %w", err)
		}
	}
	return nil
}
