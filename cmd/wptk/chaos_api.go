package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/wispanel/wptk/tasks/failpoint"
)

// apiKill lets an API die between the record of an op and its way into the queue, or
// between that and its answer. A third of the clients never ask again: then the other
// API's sweep is all there is.
func apiKill(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	domains := a.nodes[0].domains
	lanes := min(4, len(domains))
	errs := make([]error, lanes)
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for i := lane; i < len(domains) && errs[lane] == nil; i += lanes {
				errs[lane] = a.dieWhileAsked(ctx, i, domains[i])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	began := time.Now()
	if err := a.untilListed(ctx, len(domains)); err != nil {
		return err
	}
	a.marks["swept_within_s"] = figure(time.Since(began).Seconds())
	return nil
}

// dieWhileAsked starts an API that dies of its first request.
func (a *arena) dieWhileAsked(ctx context.Context, i int, domain string) error {
	point, again := "submit.recorded", true
	switch i % 3 {
	case 0:
		again = false
	case 1:
		point = "submit.delivered"
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return err
	}
	p := a.newPart(fmt.Sprintf("api-%d", i%8), a.bins.api, a.apiArgs(addrs[0], ""))
	if err := p.start(failpoint.Variable + "=" + point + "=kill"); err != nil {
		return err
	}
	defer p.end(syscall.SIGKILL) //nolint:errcheck // it is dead, or the run fails anyway
	ended := p.expectEnd()
	mortal, err := newClient("http://"+addrs[0], a.key)
	if err != nil {
		return err
	}
	if err := a.await(ctx, "an API", func(ctx context.Context) error {
		_, err := mortal.once(ctx, request{method: "GET", path: "/nodes"}, nil, "")
		return err
	}); err != nil {
		return err
	}
	key := uuid.NewString()
	a.fault("API killed at %s", point)
	if _, err := a.askAt(ctx, mortal, key, domain); err == nil {
		return errors.New("an API answered that should have died")
	}
	if err := p.untilEnded(ctx, ended); err != nil {
		return err
	}
	if again {
		_, err = a.ask(ctx, key, domain)
	}
	return err
}

// untilListed waits until the API lists n ops and all of them have ended.
func (a *arena) untilListed(ctx context.Context, n int) error {
	return a.await(ctx, fmt.Sprintf("%d operations to end", n), func(ctx context.Context) error {
		var page struct {
			Operations []operation `json:"operations"`
		}
		if _, err := a.stack.client.get(ctx, "/wordpress/operations", url.Values{"limit": {"1000"}}, &page); err != nil {
			return err
		}
		done := 0
		for _, op := range page.Operations {
			if op.Done {
				done++
			}
		}
		if done < n {
			return fmt.Errorf("%d of %d have", done, n)
		}
		return nil
	})
}
