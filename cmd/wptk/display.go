package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/wispanel/wptk/tasks"
)

// display shows operations while they run. show may be called for several ops at once.
type display interface {
	show(op operation, raw []byte) error
	close() // leaves the last state on the screen
}

// display picks the form: JSON for programs, bars on a terminal, lines elsewhere.
func (a *app) display() display {
	switch {
	case a.json:
		return &jsonDisplay{app: a}
	case a.terminal:
		return newBars(a.console, mpb.WithOutput(a.out))
	}
	return &lines{console: a.console, last: map[string]string{}}
}

// jsonDisplay passes the API's answers on.
type jsonDisplay struct {
	mu  sync.Mutex
	app *app
}

func (d *jsonDisplay) show(_ operation, raw []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.app.line(raw)
}

func (d *jsonDisplay) close() {}

// lines prints a line when an op enters another step, not for every percent.
type lines struct {
	*console
	mu   sync.Mutex
	last map[string]string // by op
}

func (d *lines) show(op operation, _ []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	what := fmt.Sprint(op.Status, op.StepIndex, op.Step, op.QueuePosition, op.Stalled, op.Cancelling)
	if d.last[op.OperationID] == what {
		return nil
	}
	d.last[op.OperationID] = what
	text := op.stage()
	switch {
	case op.Error != nil:
		text = op.failure()
	case op.Stalled:
		text += " (stalled: no news from node " + clean(op.Node) + ")"
	}
	line := fmt.Sprintf("%s  %-9s %3d%%  %s  %s", op.label(), op.Status, op.Progress, clock(op.elapsed(d.now())), text)
	say(d.out, "%s", strings.TrimSpace(line))
	return nil
}

func (d *lines) close() {}

// bars draws one progress bar per op.
type bars struct {
	*console
	area *mpb.Progress
	mu   sync.Mutex
	byOp map[string]*bar
}

type bar struct {
	*mpb.Bar
	now atomic.Pointer[operation]
}

func newBars(c *console, options ...mpb.ContainerOption) *bars {
	return &bars{console: c, byOp: map[string]*bar{}, area: mpb.New(append([]mpb.ContainerOption{
		mpb.WithAutoRefresh(), mpb.WithRefreshRate(120 * time.Millisecond)}, options...)...)}
}

const barWidth = 24

func (d *bars) show(op operation, _ []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.byOp[op.OperationID]
	if b == nil {
		b = &bar{}
		b.now.Store(&op)
		b.Bar = d.area.New(100, mpb.BarStyle().Lbound("").Rbound("").Filler("█").Tip("█").Padding("░"), mpb.BarWidth(barWidth), mpb.BarFillerTrim(),
			mpb.PrependDecorators(decor.Name(op.label()+" ", decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return d.beside(b.now.Load()) })))
		d.byOp[op.OperationID] = b
	}
	b.now.Store(&op)
	switch {
	case !op.Done:
		b.SetCurrent(int64(min(op.Progress, 99))) // 100 would end the bar
	case op.Status == tasks.Succeeded:
		b.SetCurrent(100)
	default:
		b.SetCurrent(int64(min(op.Progress, 99)))
		b.Abort(false)
	}
	return nil
}

// beside is the text behind a bar.
func (d *bars) beside(op *operation) string {
	text := fmt.Sprintf(" %3d%% %s", op.Progress, clock(op.elapsed(d.now())))
	switch {
	case op.Done && op.Status == tasks.Succeeded:
		return text + "  " + d.status(string(op.Status))
	case op.Done:
		return text + "  " + d.status(string(op.Status)) + " " + op.failure()
	case op.Stalled:
		return text + "  " + d.status("stalled") + " no news from node " + clean(op.Node)
	}
	if op.ETASeconds != nil {
		text += " eta " + clock(time.Duration(*op.ETASeconds)*time.Second)
	}
	return text + "  " + op.stage()
}

func (d *bars) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.byOp {
		b.Abort(false) // no effect on a bar that has ended
	}
	d.area.Wait()
}

// Write prints above the bars.
func (d *bars) Write(p []byte) (int, error) { return d.area.Write(p) }

var _ io.Writer = (*bars)(nil)
