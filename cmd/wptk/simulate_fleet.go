package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// simFleet is many nodes in one process. Each is what a worker has of package queue, with
// connections of its own: registry, doorbell, three lanes, inventory.
type simFleet struct {
	url   string
	log   *slog.Logger
	nodes []*simNode
	work  *simWork // nil: there is none
}

// simNode is one of them.
type simNode struct {
	*queue.Node
	store *queue.Store
	end   func() error
	sites atomic.Pointer[[]queue.Site]
}

const (
	startsAtOnce = 16
	fillsAtOnce  = 64
	simScan      = 30 * time.Second // as a worker looks at its disks
	simAccount   = 10               // installs of an account
	simFew       = "few"            // the account that has smallFleet
)

// grow starts nodes until there are so many.
func (f *simFleet) grow(ctx context.Context, nodes int) error {
	first := len(f.nodes)
	f.nodes = append(f.nodes, make([]*simNode, max(0, nodes-first))...)
	return each(nodes-first, startsAtOnce, func(i int) (err error) {
		f.nodes[first+i], err = f.start(ctx, fmt.Sprintf("sim-%04d", first+i))
		return err
	})
}

// each calls fn for 0 to n-1, a few at a time, until one fails.
func each(n, atOnce int, fn func(i int) error) error {
	var mu sync.Mutex
	var errs error
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	failed := func() bool { mu.Lock(); defer mu.Unlock(); return errs != nil }
	for i := range n {
		slots <- struct{}{}
		if failed() {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := fn(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = errors.Join(errs, err)
			}
		})
	}
	wg.Wait()
	return errs
}

func (f *simFleet) start(ctx context.Context, id string) (*simNode, error) {
	store, err := queue.Open(ctx, queue.Options{URL: f.url, MaxIdle: queue.IdleConns}, f.log)
	if err != nil {
		return nil, err
	}
	n := &simNode{store: store, Node: queue.NewNode(store, queue.NodeConfig{
		ID: id, Version: boot.Version(), PHP: "8.2.29", WPCLI: "2.12.0", WordPress: []string{"6.8.3", "6.7.4", "6.6.4"},
		FastSlots: fastSlots, BulkSlots: bulkSlots})}
	if err := n.Register(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	n.end = inBackground(ctx, n.Run, n.scans, func(ctx context.Context) error { return n.Serve(ctx, queue.Handler{Run: f.run}) })
	return n, nil
}

// stop ends all nodes.
func (f *simFleet) stop() error {
	return each(len(f.nodes), len(f.nodes), func(i int) error {
		if f.nodes[i] == nil {
			return nil // it did not start
		}
		return errors.Join(f.nodes[i].end(), f.nodes[i].store.Close())
	})
}

// scans publishes what the node found, again and again, as each look at the disks does.
func (n *simNode) scans(ctx context.Context) error {
	wait := rand.N(simScan)
	for {
		if err := pause(ctx, wait); err != nil {
			return nil //nolint:nilerr // told to end
		}
		wait = simScan
		if n.sites.Load() == nil {
			continue
		}
		if err := n.publish(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (n *simNode) publish(ctx context.Context) error {
	sites := *n.sites.Load()
	domains := make([]queue.Domain, len(sites))
	for i, s := range sites {
		domains[i] = queue.Domain{Node: s.Node, Account: s.Account, Domain: s.Domain}
	}
	return errors.Join(n.PublishDomains(ctx, domains), n.PublishSites(ctx, time.Now(), sites))
}

// fill shares installs out among the nodes and has each publish its own.
func (f *simFleet) fill(ctx context.Context, installs int, tell func(done int)) error {
	shares := make([][]queue.Site, len(f.nodes))
	for i := range installs {
		at := i % len(f.nodes)
		shares[at] = append(shares[at], simSite(f.nodes[at].ID(), i))
	}
	var done atomic.Int64
	step := int64(max(1, installs/4))
	return each(len(f.nodes), fillsAtOnce, func(i int) error {
		n, share := f.nodes[i], shares[i]
		n.sites.Store(&share)
		if err := n.publish(ctx); err != nil {
			return err
		}
		now := done.Add(int64(len(share)))
		if now/step != (now-int64(len(share)))/step {
			tell(int(now))
		}
		return nil
	})
}

// simSite is a record as long as a real one.
func simSite(node string, i int) queue.Site {
	account, domain := fmt.Sprintf("u%06d", i/simAccount), fmt.Sprintf("site-%06d.example.com", i)
	if i < smallFleet {
		account = simFew
	}
	ref := tasks.SiteRef{Node: node, Account: account, Domain: domain, Path: "public_html"}
	ref.ID = tasks.SiteID(ref.Node, ref.Account, ref.Domain, ref.Path)
	return queue.Site{SiteRef: ref, Status: queue.SiteOK, Docroot: "/home/" + account + "/domains/" + domain + "/public_html",
		Version: "6.8.3", Title: fmt.Sprintf("The site with the number %d", i), URL: "https://" + domain, AdminURL: "https://" + domain + "/wp-admin/",
		DBName: account + "_wp", DBUser: account + "_wp", DBHost: "localhost", TablePrefix: "wp_", PHPVersion: "8.2.29",
		Source: queue.SourceScan, UpdatedAt: time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)}
}

// run is an executor that does nothing, in as many steps and as long as the real one.
func (f *simFleet) run(ctx context.Context, op tasks.Op, rec *queue.Recorder) (tasks.Outcome, error) {
	if f.work == nil {
		return tasks.Outcome{}, errors.New("nobody asked for this")
	}
	f.work.begun(op)
	steps, each := 4, 150*time.Millisecond
	if op.Class != tasks.Interactive {
		steps, each = 8, 400*time.Millisecond
	}
	for i := range steps {
		err := rec.Progress(ctx, tasks.Event{Progress: 100 * i / steps, Step: fmt.Sprintf("step_%d", i), StepIndex: i + 1, StepsTotal: steps, Message: "Doing what such a step does"})
		if err != nil {
			return tasks.Outcome{}, err
		}
		rec.Log("Success: what WP-CLI says at the end of a command.")
		select {
		case <-rec.Stopping():
			return tasks.Outcome{}, tasks.ErrInterrupted
		case <-time.After(each/2 + rand.N(each)):
		}
	}
	return tasks.Outcome{State: tasks.Succeeded, Result: json.RawMessage(`{"changed":true}`)}, nil
}
