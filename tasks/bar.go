package tasks

import "sync"

// progressBar turns steps and their weights into a number that only grows. It
// is safe for steps that report from goroutines of their own.
type progressBar struct {
	mu      sync.Mutex
	steps   []Step
	total   int
	before  int // weight of what is complete
	index   int // current step, 0-based
	percent int
	frozen  bool
}

func newProgressBar(steps []Step) *progressBar {
	b := &progressBar{steps: steps}
	for _, s := range steps {
		b.total += weight(s)
	}
	return b
}

func weight(s Step) int { return max(s.Weight, 1) }

// complete puts the bar to the end of step i.
func (b *progressBar) complete(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index, b.before = i, 0
	for _, s := range b.steps[:i+1] {
		b.before += weight(s)
	}
	b.moveTo(float64(b.before))
}

// freeze keeps the bar where it is: work that is taken back is no progress.
func (b *progressBar) freeze() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frozen = true
}

// moveTo reports whether the bar got further. The last percent is kept for the
// outcome.
func (b *progressBar) moveTo(weight float64) bool {
	percent := min(int(weight*100/float64(b.total)), 99)
	if b.frozen || percent <= b.percent {
		return false
	}
	b.percent = percent
	return true
}

func (b *progressBar) event(message string) Event {
	if message == "" {
		message = b.steps[b.index].Message
	}
	return Event{
		State: Running, Progress: b.percent, Message: message,
		Step: b.steps[b.index].Name, StepIndex: b.index + 1, StepsTotal: len(b.steps),
	}
}

// show makes i the current step and reports it.
func (x *execution) show(i int, message string) {
	x.bar.mu.Lock()
	defer x.bar.mu.Unlock()
	x.bar.index = i
	x.emit(message)
}

// within reports progress inside the current step, when there is any to see.
func (x *execution) within(fraction float64, message string) {
	if !(fraction > 0) { // also what 0/0 gives
		fraction = 0
	}
	b := x.bar
	b.mu.Lock()
	defer b.mu.Unlock()
	share := float64(weight(b.steps[b.index])) * min(fraction, 1)
	if b.moveTo(float64(b.before)+share) || message != "" {
		x.emit(message)
	}
}

// emit is called with the bar locked, so that events leave in their order.
func (x *execution) emit(message string) {
	e := x.bar.event(message)
	e.At = x.Now().UTC()
	x.Report(e)
}
