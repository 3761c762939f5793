package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/wispanel/wptk/tasks/failpoint"
)

// cutFor is how long Redis is away: with stock asynq an op that ends in that time runs
// again a minute later.
const cutFor = 6 * time.Second

// redisCut holds ops at the moment at which their success is to be told to the ledger,
// cuts the connection, and lets them go. Every second batch loses only the replies: the
// ledger knows, and the worker cannot.
func redisCut(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	for batch := 0; a.nodes[0].used < a.setting.domains; batch++ {
		n := min(a.slots, a.setting.domains-a.nodes[0].used)
		if err := a.cutBatch(ctx, w, n, batch%2 == 1); err != nil {
			return fmt.Errorf("batch %d: %w", batch, err)
		}
	}
	return nil
}

func (a *arena) cutBatch(ctx context.Context, w *watcher, n int, repliesOnly bool) error {
	gate := a.state.dir(fmt.Sprintf("gate-%d", a.nodes[0].used))
	if err := os.Mkdir(gate, 0o700); err != nil {
		return fmt.Errorf("making gate: %w", err)
	}
	if err := errors.Join(a.nodes[0].stop(), a.nodes[0].start(failpoint.Variable+"=settle.before=gate:"+gate)); err != nil {
		return err
	}
	ids, err := a.askAll(ctx, n)
	if err != nil {
		return err
	}
	if err := waiting(ctx, gate, n); err != nil {
		return err
	}
	if err := a.cut(repliesOnly); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(gate, "open"), nil, 0o600); err != nil {
		return fmt.Errorf("opening gate: %w", err)
	}
	if err := pause(ctx, cutFor); err != nil {
		return err
	}
	if err := a.mend(ctx, repliesOnly); err != nil {
		return err
	}
	rest, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return w.until(rest, ids, n, isDone)
}

// waiting returns when n have come to a gate.
func waiting(ctx context.Context, gate string, n int) error {
	for {
		marks, err := filepath.Glob(filepath.Join(gate, "*-*"))
		if err != nil {
			return fmt.Errorf("looking at gate: %w", err)
		}
		if len(marks) >= n {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for %d at the gate, have %d: %w", n, len(marks), err)
		}
	}
}

const swallow = "swallow"

func (a *arena) cut(repliesOnly bool) error {
	if !repliesOnly {
		a.fault("Redis cut off for %s", short(cutFor))
		a.proxy.Stop()
		return nil
	}
	a.fault("Redis's replies lost for %s", short(cutFor))
	// timeout 0: the data goes nowhere, and the connection stays; see toxiproxy's README.
	_, err := a.proxy.Toxics.AddToxicJson(bytes.NewBufferString(`{"name":"` + swallow + `","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`))
	if err != nil {
		return fmt.Errorf("losing replies: %w", err)
	}
	return nil
}

func (a *arena) mend(ctx context.Context, repliesOnly bool) error {
	if repliesOnly {
		if err := a.proxy.Toxics.RemoveToxic(ctx, swallow); err != nil {
			return fmt.Errorf("ending the loss of replies: %w", err)
		}
		return nil
	}
	if err := a.proxy.Start(); err != nil {
		return fmt.Errorf("mending the connection: %w", err)
	}
	return nil
}
