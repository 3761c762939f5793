// Command wptk-api serves the HTTP API: it validates requests, records operations
// durably, queues them for the node that owns the site, and reports progress.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/wispanel/wptk/cmd/internal/boot"
)

func main() {
	cfg := &settings{}
	os.Exit(boot.Main("wptk-api", "HTTP API of the WisPanel WordPress Toolkit.", cfg,
		func(ctx context.Context, log *slog.Logger) error { return run(ctx, log, cfg) }))
}
