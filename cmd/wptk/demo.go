package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// demoCmd shows the whole toolkit on one machine: private Redis and MariaDB, one
// API, two nodes, a real WordPress on each.
type demoCmd struct {
	Once bool `help:"Check everything, then take it down again." env:"-"`
	Keep bool `help:"Keep the logs." env:"-"`
}

// demoPatience bounds the time from the first server to the last check; building
// the programs is not in it.
const demoPatience = 3 * time.Minute

// demo is one run.
type demo struct {
	*app
	*findings
	state *runState
	root  bool // tenants have Unix users of their own
	stack *stack
	sites []*demoSite
	key   string
}

// Run starts everything, checks it, and takes it down again at the end.
func (cmd *demoCmd) Run(ctx context.Context, a *app) (err error) {
	d := &demo{app: a, findings: newFindings(a), root: os.Geteuid() == 0}
	state, err := newRunState(ctx, a.log)
	if err != nil {
		return err
	}
	d.state = state
	d.stack = newStack(state)
	failure := d.upAndChecked(ctx)
	if failure == nil && d.allHeld() && !cmd.Once {
		d.guide()
		failure = d.stack.untilDone(ctx)
	}
	interrupted := errors.Is(failure, context.Canceled) && ctx.Err() != nil
	bad := !interrupted && (failure != nil || !d.allHeld())
	if bad {
		d.showLogs(failure)
	}
	if err := d.down(cmd.Keep || bad); err != nil {
		failure = errors.Join(failure, err)
	}
	if err := d.figures(failure == nil); err != nil {
		return err
	}
	switch {
	case interrupted:
		return &exitError{exitInterrupted, nil}
	case failure != nil:
		return failure
	case !d.allHeld():
		return &exitError{exitFailed, nil}
	}
	return nil
}

// upAndChecked brings everything up and fills in the findings.
func (d *demo) upAndChecked(ctx context.Context) error {
	bins, err := d.programs(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, demoPatience, fmt.Errorf("the demo was not up after %s", short(demoPatience)))
	defer cancel()
	if err := d.start(ctx, bins); err != nil {
		return whyEnded(ctx, err)
	}
	if err := d.install(ctx); err != nil {
		return whyEnded(ctx, err)
	}
	return whyEnded(ctx, d.serve(ctx))
}

// whyEnded names the reason when the time is over; the deadline alone tells nobody.
func whyEnded(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// start brings up servers, tenants, the API and the nodes.
func (d *demo) start(ctx context.Context, bins binaries) error {
	d.tell("Starting Redis, MariaDB, the API and two nodes in %s.", d.state.dir())
	if err := d.makeSites(ctx); err != nil {
		return err
	}
	if err := d.phase("redis_and_mariadb", func() error { return d.stack.servers(ctx) }); err != nil {
		return err
	}
	err := d.phase("api_and_nodes", func() error {
		key, err := d.stack.makeKey(ctx, d.log)
		if err != nil {
			return err
		}
		d.key = key
		return d.stack.processes(ctx, bins, d.sites, !d.root)
	})
	if err != nil {
		return err
	}
	c, err := newClient(d.stack.apiURL(), d.key)
	if err != nil {
		return err
	}
	d.stack.client = c
	return d.phase("readiness", func() error { return d.ready(ctx) })
}

// ready waits for the API and both nodes.
func (d *demo) ready(ctx context.Context) error {
	err := d.stack.await(ctx, "the API", func(ctx context.Context) error { return d.stack.readyz(ctx) })
	d.check("api_ready", "", err)
	if err != nil {
		return err
	}
	err = d.stack.await(ctx, "the nodes", func(ctx context.Context) error { return d.stack.nodesUp(ctx, d.sites) })
	d.check("nodes_up", "", err)
	return err
}

// install asks the API for a site on each node at the same time and follows both.
func (d *demo) install(ctx context.Context) error {
	d.tell("Installing WordPress on both nodes through %s:", d.stack.apiURL())
	show := display(silent{})
	if !d.json {
		show = d.display()
	}
	err := d.phase("installs", func() error {
		return d.eachSite(func(s *demoSite) error {
			err := s.install(ctx, d.stack.client, show)
			d.operation(s)
			d.check("install_succeeded", s.node, err)
			return err
		})
	})
	show.close()
	return err
}

// serve puts PHP's web server in front of each site and looks at what it answers.
func (d *demo) serve(ctx context.Context) error {
	err := d.phase("sites", func() error {
		return d.eachSite(func(s *demoSite) error {
			php, err := d.stack.startSite(ctx, s)
			if err != nil {
				return err
			}
			page, err := s.front(ctx)
			d.check("site_http_200", s.url(), err)
			if err != nil {
				return err
			}
			d.check("site_shows_its_title", s.url(), s.showsTitle(page))
			d.check("site_runs_as_its_tenant", s.url(), s.runsAsTenant(php.PID()))
			return nil
		})
	})
	if err != nil {
		return err
	}
	d.servingAfter = d.since()
	return d.phase("checks", func() error {
		return d.eachSite(func(s *demoSite) error {
			d.check("password_logs_in", s.url(), s.login(ctx))
			d.check("files_belong_to_tenant", s.url(), s.ownsFiles())
			d.check("listed_in_inventory", s.url(), s.listed(ctx, d.stack.client))
			if d.root { // else the databases cannot be read
				d.check("password_is_nowhere", s.url(), s.keepsPassword(d.state.dir()))
			}
			return nil
		})
	})
}

// eachSite runs fn for all sites at once; one site's failure does not stop another's.
func (d *demo) eachSite(fn func(*demoSite) error) error {
	errs := make([]error, len(d.sites))
	var wg sync.WaitGroup
	for i, s := range d.sites {
		wg.Go(func() {
			if err := fn(s); err != nil {
				errs[i] = fmt.Errorf("%s: %w", s.node, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// silent shows nothing.
type silent struct{}

func (silent) show(operation, []byte) error { return nil }
func (silent) close()                       {}
