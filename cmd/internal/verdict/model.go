package verdict

import (
	"slices"

	"github.com/wispanel/wptk/tasks"
)

// model is what a history adds up to.
type model struct {
	expect   Expect
	ops      map[string]*opModel
	order    []string          // accepted ops
	requests map[string]string // Idempotency-Key -> op

	forgotten map[string]bool // ops that may be

	commands []*command
	running  map[string]*command // by run

	sites  map[string][]string // domain -> database of each WordPress found there
	exists map[Thing]map[string]int

	faults, repeated int
	violations       []Violation
}

type opModel struct {
	domain string
	last   Fact // the newest answer
}

// command is one run of a command on a site.
type command struct {
	Fact
	end float64 // 0 when it has none: it was killed
}

func newModel(e Expect) *model {
	return &model{expect: e, ops: map[string]*opModel{}, requests: map[string]string{}, forgotten: map[string]bool{}, running: map[string]*command{},
		sites: map[string][]string{}, exists: map[Thing]map[string]int{}}
}

func (m *model) apply(f Fact) {
	switch f.What {
	case Accepted:
		m.accepted(f)
	case Seen:
		m.seen(f)
	case Missing:
		if m.expect.Emptied && m.ops[f.Op] != nil && m.ops[f.Op].last.Done { // its end was told
			return
		}
		if m.expect.MayForget || m.expect.Emptied {
			m.forgotten[f.Op] = true
			return
		}
		m.broke(Kept, f.Op, f.Domain, "the API does not know it any more")
	case Fault:
		m.faults++
	case Died:
		if !m.expect.MayDie {
			m.broke(ProcessesLive, "", "", "%s", f.Note)
		}
	case Begin:
		c := &command{Fact: f}
		m.commands = append(m.commands, c)
		m.running[f.Run] = c
	case End:
		if c := m.running[f.Run]; c != nil {
			c.end = f.Millis
			delete(m.running, f.Run)
		}
	case Site:
		m.sites[f.Domain] = append(m.sites[f.Domain], f.Database)
	case Exists:
		if m.exists[f.Thing] == nil {
			m.exists[f.Thing] = map[string]int{}
		}
		m.exists[f.Thing][f.Name]++
	}
}

func (m *model) accepted(f Fact) {
	if before, ok := m.requests[f.Request]; ok && before != f.Op {
		m.broke(OneOp, f.Op, f.Domain, "the same request was answered with %s before", before)
	}
	m.requests[f.Request] = f.Op
	if m.ops[f.Op] == nil {
		m.ops[f.Op] = &opModel{domain: f.Domain}
		m.order = append(m.order, f.Op)
	}
}

// seen compares an answer with the one before. Answers are recorded in the order in
// which they were asked for, each after the one before had come.
func (m *model) seen(f Fact) {
	op := m.ops[f.Op]
	if op == nil { // nobody was told of it, such as the op of a request that died
		op = &opModel{domain: f.Domain}
		m.ops[f.Op] = op
		m.order = append(m.order, f.Op)
	}
	last := op.last
	switch {
	case last.Done && (f.Status != last.Status || f.Seq != last.Seq || !f.Finished.Equal(last.Finished)):
		m.broke(FinalStays, f.Op, op.domain, "it was %s and is %s", last.Status, f.Status)
	case m.expect.Emptied && f.Seq-last.Seq >= restoredSeq && !last.Done: // its progress was lost
	case f.Progress < last.Progress:
		m.broke(OnlyForward, f.Op, op.domain, "from %d to %d %%", last.Progress, f.Progress)
	case f.Attempt < last.Attempt:
		m.broke(OnlyForward, f.Op, op.domain, "from attempt %d to %d", last.Attempt, f.Attempt)
	case f.Seq < last.Seq:
		m.broke(OnlyForward, f.Op, op.domain, "from event %d to %d", last.Seq, f.Seq)
	case f.Done && f.Status == tasks.Succeeded && f.Progress != 100:
		m.broke(FinalStays, f.Op, op.domain, "it succeeded at %d %%", f.Progress)
	}
	op.last = f
}

// judgeCommands looks at what ran on the sites.
func (m *model) judgeCommands() {
	before := map[string]*command{} // the last one that ended, by domain
	runs := map[string]int{}        // by op and verb
	slices.SortStableFunc(m.commands, func(a, b *command) int {
		switch {
		case a.Millis < b.Millis:
			return -1
		case a.Millis > b.Millis:
			return 1
		}
		return 0
	})
	for _, c := range m.commands {
		if c.Contended {
			m.broke(OneAtATime, c.Op, c.Domain, "wp %s began while another command held the site", c.Verb)
		} else if b := before[c.Domain]; b != nil && c.Millis < b.end {
			m.broke(OneAtATime, c.Op, c.Domain, "wp %s began before wp %s had ended", c.Verb, b.Verb)
		}
		if b := before[c.Domain]; c.end != 0 && (b == nil || b.end < c.end) {
			before[c.Domain] = c
		}
		if c.end == 0 && m.expect.Unkilled {
			m.broke(ChildrenLive, c.Op, c.Domain, "wp %s (process %d) did not end", c.Verb, c.PID)
		}
		if c.Op == "" {
			continue
		}
		key := c.Op + " " + c.Verb
		if runs[key]++; runs[key] > 1 {
			m.repeated++
			if m.expect.Once {
				m.broke(OnceOnly, c.Op, c.Domain, "wp %s ran again", c.Verb)
			}
		}
	}
}
