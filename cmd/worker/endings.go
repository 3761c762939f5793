package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

// endEvery is how often the node looks for measures whose time is over.
const endEvery = time.Minute

// endings submits the ops that end measures by themselves, such as debugging after so
// many hours. They are ops like all others: queued, journalled, readable.
type endings struct {
	host   *wp.Host
	state  *state
	ledger *queue.Client
	log    *slog.Logger
}

// run looks until ctx ends. What fails is tried again at the next look.
func (e *endings) run(ctx context.Context) error {
	tick := time.NewTicker(endEvery)
	defer tick.Stop()
	for {
		e.look(ctx, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (e *endings) look(ctx context.Context, now time.Time) {
	due, err := e.host.Measures.Due(now)
	if err != nil {
		e.log.Error("looking for measures to end", "err", err)
	}
	for _, d := range due {
		if err := e.end(ctx, d); err != nil && ctx.Err() == nil {
			e.log.Error("ending a measure", "site", d.Site, "measure", d.Measure, "err", err)
		}
	}
}

// end submits the op of a due measure. Its id is on disk before it is submitted, so
// that no crash makes two of it; when that op has ended and the measure is still
// there, the next look takes a new one.
func (e *endings) end(ctx context.Context, d wp.Due) error {
	id, err := e.claim(d, "")
	if err != nil || id == "" {
		return err
	}
	spec, ok := tasks.Lookup("security." + d.Measure)
	if !ok {
		return fmt.Errorf("ending measure: %w: %s", tasks.ErrUnknownKind, d.Measure)
	}
	h := d.Hardening
	receipt, err := e.ledger.Submit(ctx, queue.Submission{Op: tasks.Op{
		ID: id, Kind: spec.Kind, Class: spec.Class, Payload: []byte(`{"enabled":false}`), RequestID: "timer",
		Site: tasks.SiteRef{ID: d.Site, Node: e.host.Node, Account: h.Account, Domain: h.Domain, Path: h.Path},
	}})
	if err != nil {
		return err
	}
	if receipt.Op.State.Final() {
		_, err = e.claim(d, id)
		return err
	}
	e.log.Info("a measure is over", "op", id, "site", d.Site, "measure", d.Measure)
	return nil
}

// claim gives the op that is to end a measure; spent is one that has ended without
// effect. Empty when there is nothing to end any more, or an op has the install.
func (e *endings) claim(d wp.Due, spent string) (string, error) {
	lock, err := e.state.lockSite(d.Site)
	var later *tasks.LaterError
	if errors.As(err, &later) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer lock.Close()
	doc, err := e.host.Measures.Load(d.Site)
	if err != nil {
		return "", err
	}
	a, ok := doc.Measures[d.Measure]
	if !ok || !a.Until.Equal(d.Hardening.Measures[d.Measure].Until) {
		return "", nil
	}
	if a.Ending != "" && a.Ending != spent {
		return a.Ending, nil
	}
	a.Ending = tasks.NewOpID(e.host.Node)
	doc.Measures[d.Measure] = a
	return a.Ending, e.host.Measures.Save(d.Site, doc)
}
