package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

// handler runs ops: it finds the site on this node's disks, locks it, and has the
// steps executed over the journal.
type handler struct {
	state     *state
	runs      *runs
	host      *wp.Host
	journal   *tasks.FileJournal
	timed     timedJournal // the same, for running ops
	ended     *ended
	metrics   *queue.Metrics
	inventory *inventory
	catalog   *queue.Client
	keeper    *keeper
	turns     *turns
	live      live
	log       *slog.Logger
}

func (h *handler) queueHandler() queue.Handler {
	return queue.Handler{
		Run:     h.run,
		Settled: h.settled,
		Ended:   h.ended.has,
		Begun:   h.journal.Has,
		Knows:   func(kind string) bool { _, ok := tasks.Lookup(kind); return ok },
	}
}

// run is one attempt of an op. The site, its user and its paths come from this
// node's own configuration and disks; of the op only the names are taken, and
// they must lead back to the op's site id.
func (h *handler) run(ctx context.Context, op tasks.Op, rec *queue.Recorder) (tasks.Outcome, error) {
	log := h.log.With("op", op.ID, "kind", op.Kind, "site", op.Site.ID, "attempt", op.Attempt)
	defer h.live.begin(op.ID)()
	task, spec, err := tasks.Decode(op.Kind, op.Payload)
	if err != nil {
		return tasks.Outcome{}, err // a newer program's payload: retried, never guessed
	}
	lock, err := h.state.lockSite(op.Site.ID)
	if err != nil {
		return tasks.Outcome{}, err
	}
	defer lock.Close()
	keep, err := h.shareSites(task, op.Site.ID, lock)
	if err != nil {
		return tasks.Outcome{}, err
	}
	defer closeAll(keep[1:])
	defer h.inventory.inspector.pause()()
	others := fleet{h.catalog, op}
	run := &tasks.Run{Op: op, Host: h.host, Open: h.state.key.Open, Log: rec.Log, Catalog: others, Ops: others}
	run.Site, run.Missing = h.find(op)
	started := &opRuns{runs: h.runs}
	defer started.forget()
	ctx = wp.WithRun(ctx, wp.RunHooks{Log: rec.Log, Keep: keep, Started: started.started})
	began := time.Now()
	outcome, err := tasks.Execute(ctx, tasks.ExecuteConfig{
		Op: op, Spec: spec, Task: task, Journal: h.timed, Log: log,
		Run: run,
		Report: func(e tasks.Event) {
			if err := rec.Progress(ctx, e); err != nil {
				log.Warn("reporting progress", "err", err)
			}
		},
		Observe:   func(step string, took time.Duration) { h.metrics.StepEnded(op.Kind, step, took) },
		Cancelled: rec.Cancelled(),
		Stop:      rec.Stopping(),
		Turn:      h.turns.take,
	})
	log.Info("attempt ended", "state", outcome.State, "took", time.Since(began), "err", err)
	if err == nil && strings.HasPrefix(op.Kind, "backup") { // leaves the install as it is
		h.keeper.ended(op)
	} else if err == nil {
		// Before the outcome is told: who sees it may list the install. What failed may
		// have changed something as well.
		if err := h.inventory.after(ctx, op, outcome.State, run); err != nil {
			log.Warn("listing install; the next scan will", "err", err)
		}
	}
	return outcome, err
}

// find leads an op's names to a site on this node.
func (h *handler) find(op tasks.Op) (wp.Site, error) {
	site, err := h.locate(op.Site)
	if err != nil || makesSite(op.Kind) { // a new install gets the node's form of address
		return site, err
	}
	return h.inventory.memory.addressed(site), nil
}

func (h *handler) locate(ref tasks.SiteRef) (wp.Site, error) {
	if id := tasks.SiteID(h.host.Node, ref.Account, ref.Domain, ref.Path); id != ref.ID {
		return wp.Site{}, fmt.Errorf("finding site: %s is %s on this node, not %s", ref.Domain, id, ref.ID)
	}
	site, err := h.host.Find(ref.Account, ref.Domain, ref.Path)
	if err != nil {
		return wp.Site{}, err
	}
	site.ID = ref.ID
	return site, nil
}

// settled remembers that an op has ended, whose outcome is safe in the ledger, and forgets its
// journal.
func (h *handler) settled(opID string) error {
	if err := h.ended.add(opID, time.Now()); err != nil {
		return err
	}
	if err := h.journal.Remove(opID); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forgetting journal: %w", err)
	}
	return nil
}
