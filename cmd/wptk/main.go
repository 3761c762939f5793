// Command wptk is the toolkit's command line: a client of the API (install, ops,
// sites, nodes), the operator's tool for keys, and the demo.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/wispanel/wptk/wp/proc"
)

func main() {
	proc.Main() // the demo starts servers
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal asks for an orderly end, the second one has its usual effect.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], systemConsole()))
}
