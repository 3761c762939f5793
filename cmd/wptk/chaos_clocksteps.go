package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wispanel/wptk/tasks"
)

const (
	clockBack  = -time.Hour
	clockAhead = time.Hour
	clockFar   = 40 * 24 * time.Hour // beyond the life of a signature
	clockGoal  = time.Minute         // how soon after clocks agree again everything that waited must have ended
	clockSeen  = 3 * time.Second     // the worker looks at its clock every second
	// clockHeld begins the message of an op that waits for clocks.
	clockHeld = "Waiting until the clocks"
)

// clockSteps gives the worker a clock of its own and sets it back by an hour, ahead by an hour
// and by forty days, and right again. What had begun goes on, also in a worker that is killed
// and started again with the wrong clock; what had not may wait, and never fails.
func clockSteps(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	clock, err := a.ownClock(0)
	if err != nil {
		return err
	}
	share := a.setting.domains / 3
	if clock, err = a.clockSetBack(ctx, w, clock, share); err != nil {
		return fmt.Errorf("set back: %w", err)
	}
	if err := a.clockSetAhead(ctx, w, clock, share); err != nil {
		return fmt.Errorf("set ahead: %w", err)
	}
	return a.clockSetFar(ctx, w, clock, a.setting.domains-2*share)
}

// ownClock gives the life of the worker that has just begun a clock.
func (a *arena) ownClock(ahead time.Duration) (*privateClock, error) {
	p := a.nodes[0].part
	p.mu.Lock()
	pid := p.process.process.Pid
	p.mu.Unlock()
	return ownClock(pid, ahead)
}

func (a *arena) clockSetBack(ctx context.Context, w *watcher, clock *privateClock, n int) (*privateClock, error) {
	ids, err := a.askAll(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := w.until(ctx, ids, min(n, a.slots)/2, installing); err != nil {
		return nil, err
	}
	a.fault("the clock of the worker is set back by an hour")
	if err := clock.set(clockBack); err != nil {
		return nil, err
	}
	if err := a.nodes[0].crash(); err != nil {
		return nil, err
	}
	if clock, err = a.ownClock(clockBack); err != nil {
		return nil, err
	}
	// Each of them either ends, for it had begun, or says what it waits for.
	if err := w.until(ctx, ids, n, func(op operation) bool { return op.Done || isHeld(op) }); err != nil {
		return nil, err
	}
	held, resumed := w.count(ids, isHeld), w.count(ids, func(op operation) bool { return op.Done && op.Attempt > 1 })
	a.marks["held_behind"], a.marks["resumed_behind"] = held, resumed
	a.goal(resumed > 0, "nothing that had begun went on with the clock set back")
	a.goal(w.count(ids, func(op operation) bool { return isHeld(op) && op.Attempt > 0 }) == 0, "an operation that had begun waits for clocks")
	a.fault("its clock is right again")
	return clock, a.clocksAgree(ctx, w, clock, ids)
}

func (a *arena) clockSetAhead(ctx context.Context, w *watcher, clock *privateClock, n int) error {
	ids, err := a.askAll(ctx, n)
	if err != nil {
		return err
	}
	if err := w.until(ctx, ids, 1, installing); err != nil {
		return err
	}
	a.fault("the clock of the worker is set ahead by an hour")
	if err := clock.set(clockAhead); err != nil {
		return err
	}
	if err := w.until(ctx, ids, n, isDone); err != nil {
		return err
	}
	a.fault("its clock is right again")
	return clock.set(0)
}

// clockSetFar has orders that are minutes old look older than signatures live. Their retries are
// dated by the clock that is then set back.
func (a *arena) clockSetFar(ctx context.Context, w *watcher, clock *privateClock, n int) error {
	a.fault("the clock of the worker is set ahead by forty days")
	if err := clock.set(clockFar); err != nil {
		return err
	}
	ids, err := a.askAll(ctx, n)
	if err != nil {
		return err
	}
	if err := w.until(ctx, ids, n, func(op operation) bool { return op.Done || isHeld(op) }); err != nil {
		return err
	}
	held := w.count(ids, isHeld)
	a.marks["held_ahead"] = held
	a.goal(held == n, "%d of %d operations wait with a clock that is forty days ahead", held, n)
	if err := pause(ctx, clockSeen); err != nil {
		return err
	}
	a.fault("its clock is right again")
	return a.clocksAgree(ctx, w, clock, ids)
}

// clocksAgree sets the clock right and waits for the end of what waited for it.
func (a *arena) clocksAgree(ctx context.Context, w *watcher, clock *privateClock, ids []string) error {
	if err := clock.set(0); err != nil {
		return err
	}
	began := time.Now()
	if err := w.until(ctx, ids, len(ids), isDone); err != nil {
		return err
	}
	took := time.Since(began)
	before, _ := a.marks["final_after_s"].(float64)
	a.marks["final_after_s"] = max(before, figure(took.Seconds()))
	a.goal(took <= clockGoal, "the last operation ended %s s after clocks agreed", digits(took.Seconds(), 1))
	return nil
}

func isHeld(op operation) bool {
	return op.Status == tasks.Queued && strings.HasPrefix(op.Message, clockHeld)
}

// count is how many ops are as asked at this moment.
func (w *watcher) count(ids []string, as func(operation) bool) (n int) {
	for _, id := range ids {
		if as(w.state(id)) {
			n++
		}
	}
	return n
}
