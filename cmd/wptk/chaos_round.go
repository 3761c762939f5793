package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"syscall"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// round is one install and what was done to it.
type round struct {
	number     int
	kills      []kill
	took       time.Duration
	last       operation
	broken     []string // promises
	lost       bool
	duplicated bool
	witness    *witness
}

// kill is one kill of the worker while the op was open.
type kill struct {
	after   time.Duration // since the op was accepted
	step    string        // that it was in
	resumed time.Duration // from the start of the next worker to the op's next change
}

const (
	measured    = 2 // undisturbed installs; the last of them, with warm caches, is the measure
	secondKill  = .3
	spareRounds = 3 // per round, for kills that came too late
)

// rounds brings everything up and goes on until n installs were hit.
func (c *chaos) rounds(ctx context.Context, n int) ([]*round, error) {
	most := measured + n*spareRounds
	if err := c.up(ctx, most); err != nil {
		return nil, err
	}
	var all []*round
	for number, hit := 0, 0; number < most && hit < n; number++ {
		r, err := c.round(ctx, number, number >= measured)
		if r != nil && number >= measured {
			all = append(all, r)
		}
		if err != nil {
			return all, fmt.Errorf("round %d: %w", number, err)
		}
		if number < measured && len(r.broken) > 0 {
			return all, fmt.Errorf("an install that nobody disturbed failed: %v", r.broken)
		}
		if len(r.kills) > 0 {
			hit++
		} else {
			c.length = r.took // also of one that was over before its kill: the machine is faster now
		}
		c.narrate("round %d: %s", number, c.history.of(number))
	}
	return all, c.stillFinal(ctx, all)
}

// stillFinal reads every op once more: what was final has to be so still.
func (c *chaos) stillFinal(ctx context.Context, all []*round) error {
	for _, r := range all {
		if _, err := r.witness.ask(ctx, url.Values{}); err != nil {
			return err
		}
		r.broken = append(r.broken, r.witness.broken...)
	}
	return nil
}

// round makes one install, kills its worker at random instants, and looks at the end.
func (c *chaos) round(ctx context.Context, number int, disturb bool) (*round, error) {
	ctx, cancel := context.WithTimeout(ctx, chaosPatience)
	defer cancel()
	r, site := &round{number: number}, c.sites[number]
	before, err := c.databases(ctx)
	if err != nil {
		return nil, err
	}
	c.history.note(happening{Round: number, What: "post"})
	var took accepted
	_, err = c.stack.client.post(ctx, "/wordpress/install", installBody{
		Domain: site.domain, Path: demoPath, Title: site.title, AdminUser: demoAdmin, AdminEmail: demoEmail}, &took)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	c.history.note(happening{Round: number, What: "accepted", Op: took.OperationID})
	r.witness = c.watch(ctx, number, took.OperationID)
	if disturb {
		if err := c.disturb(ctx, r, began); err != nil {
			return r, err
		}
	}
	var at time.Time
	r.last, at, err = r.witness.until(ctx, c.victim.ended, func(op operation) bool { return op.Done })
	if err != nil {
		r.lost = true
		r.broken = append(r.broken, err.Error())
		return r, err
	}
	r.took = at.Sub(began)
	c.history.note(happening{Round: number, What: "final", Op: r.last.OperationID})
	return r, c.inspect(ctx, r, site, before)
}

// disturb kills the worker at an instant of the install, sometimes the next one too.
func (c *chaos) disturb(ctx context.Context, r *round, began time.Time) error {
	instants := []time.Duration{time.Duration(c.dice.Float64() * float64(c.length))}
	second := time.Duration(c.dice.Float64() * float64(c.length)) // drawn always, so that a seed means the same
	if c.dice.Float64() < secondKill {
		instants = append(instants, second)
	}
	for _, instant := range instants {
		wait, cancel := context.WithTimeout(ctx, instant)
		op, _, err := r.witness.until(wait, c.victim.ended, func(op operation) bool { return op.Done })
		cancel()
		if op.Done {
			return nil
		}
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
		if err := c.kill(ctx, r, began); err != nil {
			return err
		}
	}
	return nil
}

// kill ends the worker with SIGKILL, starts the next one, and waits until that has taken
// the op up.
func (c *chaos) kill(ctx context.Context, r *round, began time.Time) error {
	after := time.Since(began)
	if err := c.victim.end(syscall.SIGKILL); err != nil {
		return err
	}
	strays, err := c.phpProcesses()
	if err != nil {
		return err
	}
	c.history.note(happening{Round: r.number, What: "kill", PID: c.victim.process.Pid, Strays: strays})
	// Not from the witness, who may be an answer behind: nobody writes now.
	dead, err := r.witness.ask(ctx, url.Values{})
	if err != nil {
		return err
	}
	if err := c.startWorker(); err != nil {
		return err
	}
	c.history.note(happening{Round: r.number, What: "start", PID: c.victim.process.Pid})
	if dead.Done {
		return nil // it was over a moment before the kill
	}
	_, at, err := r.witness.until(ctx, c.victim.ended, func(op operation) bool { return op.Seq > dead.Seq })
	if err != nil {
		return err
	}
	k := kill{after: after, step: dead.Step, resumed: at.Sub(c.victim.began)}
	if dead.Status == tasks.Queued {
		k.step = string(tasks.Queued)
	}
	r.kills = append(r.kills, k)
	if k.resumed > resumeGoal {
		r.broken = append(r.broken, fmt.Sprintf("resumed %s after the start", seconds(k.resumed)))
	}
	return nil
}
