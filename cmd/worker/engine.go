package main

import "context"

// prepareEngine prepares the newest WordPress, then whatever installs ask for. A node on
// which that fails installs the slower way.
func (w *worker) prepareEngine(ctx context.Context) error {
	core, err := w.host.Packages.Core(ctx, "latest", "")
	if err != nil {
		w.log.Warn("fetching the newest WordPress for the engine", "err", err)
	} else {
		w.host.Engine.Ask(core)
	}
	return w.host.Engine.Run(ctx)
}
