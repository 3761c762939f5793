package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

// How often an install is inspected without anybody asking.
const (
	inspectEvery  = 6 * time.Hour
	inspectBroken = 30 * time.Minute // it may have been mended
	inspectFailed = 10 * time.Minute // after an inspection that came to nothing
	lookAgain     = 5 * time.Second  // while the node drains
)

// inspector inspects the node's installs in the background: one at a time, never beside
// an op, and resting as long as it has worked. An op that begins ends the inspection
// that is under way; it is taken up again when the node is idle.
type inspector struct {
	examine  func(context.Context, tasks.SiteRef) (wp.Details, error)
	keep     func(context.Context, queue.Site, wp.Details) error
	recall   func(id string) remembered
	draining func() bool
	log      *slog.Logger

	mu   sync.Mutex
	ops  int
	stop context.CancelFunc // of the inspection under way; nil = none
	due  map[string]appointment
	bell chan struct{} // something to look at
}

// appointment is when an install is inspected next.
type appointment struct {
	site queue.Site
	at   time.Time
}

func newInspector(log *slog.Logger) *inspector {
	return &inspector{log: log, due: map[string]appointment{}, bell: make(chan struct{}, 1)}
}

// pause keeps the node to an op until resume is called.
func (i *inspector) pause() (resume func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ops++
	if i.stop != nil {
		i.stop()
	}
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.ops--
		i.ring()
	}
}

// schedule learns which installs there are now. A new one, or one that was changed by
// hand, is inspected at once.
func (i *inspector) schedule(sites []queue.Site) {
	i.mu.Lock()
	defer i.mu.Unlock()
	next := make(map[string]appointment, len(sites))
	for _, site := range sites {
		a, known := i.due[site.ID]
		switch {
		case !known:
			a.at = firstTime(i.recall(site.ID))
		case a.site.Version != site.Version || a.site.URL != site.URL:
			a.at = time.Now()
		}
		a.site = site
		next[site.ID] = a
	}
	i.due = next
	i.ring()
}

// firstTime goes on with the rhythm of an earlier worker.
func firstTime(r remembered) time.Time {
	if r.at.IsZero() || r.stale {
		return time.Now()
	}
	return r.at.Add(period(r.seen.Status))
}

// period is jittered, so that installs that were found together drift apart.
func period(status queue.SiteStatus) time.Duration {
	every := inspectEvery
	if status == queue.SiteBroken {
		every = inspectBroken
	}
	return time.Duration(float64(every) * (0.75 + rand.Float64()/2))
}

// soon inspects an install as soon as the node is idle.
func (i *inspector) soon(site queue.Site) { i.arrange(site, time.Now()) }

// done notes an inspection.
func (i *inspector) done(seen queue.Site, at time.Time) { i.arrange(seen, at.Add(period(seen.Status))) }

func (i *inspector) arrange(site queue.Site, at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.due[site.ID] = appointment{site, at}
	i.ring()
}

func (i *inspector) forget(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.due, id)
}

// ring wakes run. i.mu is held.
func (i *inspector) ring() {
	select {
	case i.bell <- struct{}{}:
	default:
	}
}

// run inspects until ctx ends.
func (i *inspector) run(ctx context.Context) error {
	for ctx.Err() == nil {
		a, wait := i.next(time.Now())
		if wait <= 0 {
			began := time.Now()
			i.inspect(ctx, a.site)
			i.pauseFor(ctx, time.Since(began), nil)
			continue
		}
		i.pauseFor(ctx, wait, i.bell)
	}
	return nil
}

func (i *inspector) pauseFor(ctx context.Context, d time.Duration, bell <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-bell:
	case <-t.C:
	}
}

// next is the earliest appointment, and how long it is until then.
func (i *inspector) next(now time.Time) (appointment, time.Duration) {
	if i.draining() {
		return appointment{}, lookAgain
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	first, wait := appointment{}, inspectEvery
	if i.ops > 0 {
		return first, wait // the bell rings when the last op has ended
	}
	for _, a := range i.due {
		if d := a.at.Sub(now); d < wait {
			first, wait = a, d
		}
	}
	return first, wait
}

func (i *inspector) inspect(ctx context.Context, site queue.Site) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !i.begin(cancel) {
		return
	}
	defer i.end()
	log := i.log.With("site", site.ID)
	d, err := i.examine(ctx, site.SiteRef)
	if err == nil {
		err = i.keep(ctx, site, d)
	}
	switch {
	case err == nil:
		log.Debug("inspected an install", "status", d.Status)
	case ctx.Err() != nil: // an op came in between; the appointment stands
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, wp.ErrNoDomain):
		i.forget(site.ID) // the next scan takes it from the list
	default:
		log.Warn("inspecting an install", "err", err)
		i.arrange(site, time.Now().Add(inspectFailed))
	}
}

// begin reports whether the node is still idle.
func (i *inspector) begin(cancel context.CancelFunc) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ops > 0 {
		return false
	}
	i.stop = cancel
	return true
}

func (i *inspector) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stop = nil
}
