package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/wispanel/wptk/cmd/internal/verdict"
	"github.com/wispanel/wptk/tasks/failpoint"
)

// Steps of an install, as its journal names them, and those that are taken back.
var (
	installSteps = []string{"target", "core_files", "database", "config", "install", "publish", "verify", "finish"}
	undoneSteps  = []string{"publish", "database", "core_files"}
)

// boundaries lists every place at which an install writes to its journal, before and
// after it does, and the two around the word to the ledger.
func boundaries(backwards bool) (points []string) {
	around := func(parts string) { points = append(points, "journal.before."+parts, "journal.after."+parts) }
	if backwards {
		around("rollback.")
		for _, step := range undoneSteps {
			around("undo." + step)
			around("undone." + step)
		}
	} else {
		for _, step := range installSteps {
			around("begin." + step)
			around("done." + step)
		}
		for _, key := range []string{"version", "db_name", "db_host", "db_intent", "prefix", "result"} {
			around("set." + key)
		}
	}
	around("outcome.")
	return append(points, "settle.before", "settle.after")
}

// journalBoundaries kills the worker at each of them, once forwards and once on the way
// back, and lets the next one go on.
func journalBoundaries(ctx context.Context, a *arena, cmd *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	forwards, backwards := chosenBoundaries(cmd)
	for _, n := range a.nodes {
		for i := range backwards { // the last domains of each node
			a.shim.Faults[n.domains[len(n.domains)-1-i/len(a.nodes)]] = verdict.BadCheck
		}
	}
	if err := a.tellShim(); err != nil {
		return err
	}
	errs := make([]error, len(a.nodes))
	var wg sync.WaitGroup
	for lane, n := range a.nodes {
		wg.Go(func() {
			for i := lane; i < len(forwards) && errs[lane] == nil; i += len(a.nodes) {
				errs[lane] = a.dieAt(ctx, w, n, forwards[i], n.next())
			}
			for i := lane; i < len(backwards) && errs[lane] == nil; i += len(a.nodes) {
				errs[lane] = a.dieAt(ctx, w, n, backwards[i], n.domains[len(n.domains)-1-i/len(a.nodes)])
			}
		})
	}
	wg.Wait()
	a.marks["boundaries"] = len(forwards) + len(backwards)
	return errors.Join(errs...)
}

// chosenBoundaries are all of them, or a few in the short run.
func chosenBoundaries(cmd *chaosRunCmd) (forwards, backwards []string) {
	forwards, backwards = boundaries(false), boundaries(true)
	if cmd.Short {
		return every(7, forwards), every(5, backwards)
	}
	return forwards, backwards
}

func every(n int, all []string) (some []string) {
	for i := n / 2; i < len(all); i += n {
		some = append(some, all[i])
	}
	return some
}

// dieAt starts a worker that dies at a point, asks for a site, and starts the next one.
func (a *arena) dieAt(ctx context.Context, w *watcher, n *hostNode, point, domain string) error {
	if err := errors.Join(n.stop(), n.start(failpoint.Variable+"="+point+"=kill")); err != nil {
		return err
	}
	ended := n.expectEnd()
	a.fault("%s killed at %s", n.name, point)
	id, err := a.insist(ctx, domain)
	if err != nil {
		return err
	}
	if err := n.untilEnded(ctx, ended); err != nil {
		return fmt.Errorf("%s: %w", point, err)
	}
	if err := n.start(); err != nil {
		return err
	}
	if err := w.until(ctx, []string{id}, 1, isDone); err != nil {
		return fmt.Errorf("%s: %w", point, err)
	}
	return nil
}
