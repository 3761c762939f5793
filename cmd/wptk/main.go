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
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	// The first signal asks for an orderly end, the second one has its usual effect.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], systemConsole()))
}
