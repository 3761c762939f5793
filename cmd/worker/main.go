// Command wptk-worker is the node's process: it takes this node's ops from Redis,
// runs them as the sites' own users, and keeps the inventory of installs true.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/wp/proc"
)

const about = "Worker of one hosting node of the WisPanel WordPress Toolkit."

func main() {
	proc.Main() // the same binary is the supervisor of every child
	cfg := new(Config)
	os.Exit(boot.Main("wptk-worker", about, cfg, func(ctx context.Context, log *slog.Logger) error {
		return run(ctx, log, cfg)
	}))
}
