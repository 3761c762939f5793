package verdict

import (
	"fmt"
	"slices"

	"github.com/wispanel/wptk/tasks"
)

// Rule is a promise that a history is held to.
type Rule string

// The promises.
const (
	Ends          Rule = "accepted means it ends"
	Kept          Rule = "an accepted op is never forgotten"
	FinalStays    Rule = "a final state never changes"
	OnlyForward   Rule = "progress never goes back"
	OneOp         Rule = "one request is one op"
	AsExpected    Rule = "it ends as it should"
	OneEffect     Rule = "one op makes one site, one database, one user"
	NothingLeft   Rule = "nothing is left behind"
	OneAtATime    Rule = "one command at a time on a site"
	OnceOnly      Rule = "what was done is not done again"
	ChildrenLive  Rule = "running commands are not killed"
	ProcessesLive Rule = "our processes do not die by themselves"
)

// Expect is what one kind of fault may lead to, beyond what always holds.
type Expect struct {
	// Ends are the states that ops may end in; Succeeded when empty. Of an op that is in
	// Special, that state alone.
	Ends    []tasks.State
	Special map[string]tasks.State // by domain
	// Once: no command that changes something may run twice for one op.
	Once bool
	// Unkilled: every command that began has ended.
	Unkilled bool
	// MayDie: processes of ours may end by themselves and be started again, as a worker
	// does that starts while Redis is away.
	MayDie bool
	// MayForget: accepted ops may be lost, as with a Redis that does not write at once. They
	// are counted, and that is all.
	MayForget bool
	// Emptied: Redis came back with nothing. Accepted ops may be lost that no node had begun, and
	// are counted; those that had are restored, and what they show begins anew. Records of ended ones are gone.
	Emptied bool
}

// Violation is a promise that was broken.
type Violation struct {
	Rule   Rule   `json:"rule"`
	Op     string `json:"op,omitempty"`
	Domain string `json:"domain,omitempty"`
	Text   string `json:"text"`
}

// Verdict counts. Every violation is in the list, so Held says how many ops have none.
type Verdict struct {
	Cases      int // accepted ops
	Held       int
	Lost       int // ops that were forgotten or did not end
	Duplicated int // ops or requests with an effect twice
	Repeated   int // commands beyond the first, of one op; what a crash interrupts is begun again
	Faults     int
	Violations []Violation
}

// Met reports whether every promise held, and there was anything to hold.
func (v Verdict) Met() bool { return v.Cases > 0 && len(v.Violations) == 0 }

// Check holds a history, in the order in which it was recorded, to the promises.
func Check(facts []Fact, e Expect) Verdict {
	m := newModel(e)
	for _, f := range facts {
		m.apply(f)
	}
	m.judgeOps()
	m.judgeCommands()
	m.judgeRemains()
	return m.verdict()
}

func (m *model) broke(rule Rule, op, domain, format string, args ...any) {
	m.violations = append(m.violations, Violation{rule, op, domain, fmt.Sprintf(format, args...)})
}

func (m *model) verdict() Verdict {
	v := Verdict{Cases: len(m.order), Repeated: m.repeated, Faults: m.faults, Violations: m.violations}
	bad, lost := map[string]bool{}, map[string]bool{}
	duplicated := map[string]bool{}
	for _, broken := range m.violations {
		if broken.Op != "" {
			bad[broken.Op] = true
		}
		switch broken.Rule {
		case Ends, Kept:
			lost[broken.Op] = true
		case OneOp, OneEffect, OneAtATime, OnceOnly:
			duplicated[broken.Op+broken.Domain] = true
		}
	}
	v.Lost, v.Duplicated = len(lost)+len(m.forgotten), len(duplicated)
	for _, id := range m.order {
		if !bad[id] && !m.forgotten[id] {
			v.Held++
		}
	}
	return v
}

// judgeOps looks at how every accepted op stands at the end.
func (m *model) judgeOps() {
	for _, id := range m.order {
		op := m.ops[id]
		if m.forgotten[id] {
			if m.expect.Emptied && m.begun(id) {
				m.broke(Kept, id, op.domain, "it had begun, and the API does not know it any more")
			}
			continue
		}
		if !op.last.Done {
			m.broke(Ends, id, op.domain, "it is %s at the end", orUnseen(op.last.Status))
			continue
		}
		want := m.expect.Ends
		if len(want) == 0 {
			want = []tasks.State{tasks.Succeeded}
		}
		if only, ok := m.expect.Special[op.domain]; ok {
			want = []tasks.State{only}
		}
		if !slices.Contains(want, op.last.Status) {
			m.broke(AsExpected, id, op.domain, "it is %s (%s %s) and not %v", op.last.Status, op.last.Code, op.last.Step, want)
		}
	}
}

// begun reports whether a node was seen to work on an op.
func (m *model) begun(id string) bool {
	return m.ops[id].last.Attempt > 0 || slices.ContainsFunc(m.commands, func(c *command) bool { return c.Op == id })
}

// restoredSeq is what numbers of events rise by when an op is recorded again: they go on from the
// seconds since 1970.
const restoredSeq = 1_000_000_000

func orUnseen(s tasks.State) string {
	if s == "" {
		return "unseen"
	}
	return string(s)
}

// judgeRemains compares what exists with the ops that have succeeded.
func (m *model) judgeRemains() {
	owner := map[string]string{} // database -> domain
	for _, id := range m.order {
		op := m.ops[id]
		if op.last.Status != tasks.Succeeded && op.last.Status != tasks.Unverified {
			continue
		}
		at := m.sites[op.domain]
		switch {
		case len(at) != 1:
			m.broke(OneEffect, id, op.domain, "it succeeded, and the domain has %d sites", len(at))
			continue
		case op.last.Database != "" && at[0] != op.last.Database:
			m.broke(OneEffect, id, op.domain, "its database is %s, the site's is %s", op.last.Database, at[0])
		case owner[at[0]] != "":
			m.broke(OneEffect, id, op.domain, "its database %s is that of %s too", at[0], owner[at[0]])
		}
		owner[at[0]] = op.domain
		for _, thing := range []Thing{Database, User} {
			if n := m.exists[thing][at[0]]; n != 1 {
				m.broke(OneEffect, id, op.domain, "there are %d %ss %s", n, thing, at[0])
			}
		}
	}
	for domain, found := range m.sites {
		for _, database := range found {
			if owner[database] != domain {
				m.broke(NothingLeft, "", domain, "a site with the database %s that no op owns", database)
			}
		}
	}
	for thing, names := range m.exists {
		for name := range names {
			if (thing == Database || thing == User) && owner[name] != "" {
				continue
			}
			m.broke(NothingLeft, "", "", "%s %s", thing, name)
		}
	}
}
