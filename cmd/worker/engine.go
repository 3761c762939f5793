package main

import (
	"context"
	"strings"

	"github.com/wispanel/wptk/tasks"
)

// prepareEngine prepares the newest WordPress, its templates where they are the node's way of
// installing, then whatever installs ask for. A node on which that fails installs the slower
// way.
func (w *worker) prepareEngine(ctx context.Context) error {
	core, err := w.host.Packages.Core(ctx, "latest", "")
	if err != nil {
		w.log.Warn("fetching the newest WordPress for the engine", "err", err)
	} else {
		w.host.Engine.Ask(core)
		if w.host.InstallMode == tasks.ModeGolden {
			address := strings.ReplaceAll(w.host.SiteURL, "{domain}", "example.com")
			w.host.Engine.HasTemplate(core, address, "")
			w.host.Engine.HasTemplate(core, address+"/below", "")
		}
	}
	return w.host.Engine.Run(ctx)
}
