package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// hostileCmd attacks a real stack as a customer who is an enemy would: through the API with
// a customer's key, and with whatever a customer can put into a site of its own. From outside
// it then looks at what is not the attacker's.
type hostileCmd struct {
	Groups []string `arg:"" optional:"" help:"Groups of attacks; all of them when none is named." placeholder:"GROUP"`
	Short  bool     `help:"Some of each group, in less than a minute; then not all is proved." env:"-"`
}

// hostilePatience bounds the whole run, which takes a few minutes on two idle cores.
const hostilePatience = 25 * time.Minute

// hostileCase is one attack. It holds when nothing failed in it, and when all that is
// somebody else's is as it was before.
type hostileCase struct {
	group, name string
	attack      func(*attack)
	short       bool // it is quick, and one of those for Short
}

// hostileGroups are the groups in the order of their running, with what they hold.
var hostileGroups = []struct {
	name  string
	cases func(*hostile) []hostileCase
}{
	{"arguments", argumentCases},
	{"names", nameCases},
	{"tokens", tokenCases},
	{"strangers", strangerCases},
	{"identity", identityCases},
	{"urls", urlCases},
	{"wp-cli", wpcliCases},
	{"code", codeCases},
	{"sql", sqlCases},
	{"links", linkCases},
	{"archives", archiveCases},
	{"restore", restoreCases},
	{"race", raceCases},
}

// hostileFigures is the last line of a run.
type hostileFigures struct {
	Name    string  `json:"name"`
	Cases   int     `json:"cases"`
	Held    int     `json:"held"`
	Met     bool    `json:"met"`
	Groups  []tally `json:"groups"`
	Skipped int     `json:"skipped"` // cases that were not asked for
	Seconds float64 `json:"seconds"`
	Tries   int64   `json:"tries,omitempty"` // what the node was asked for while names changed places
	Swaps   int64   `json:"swaps,omitempty"` // how often they did
}

// tally is what came of one group.
type tally struct {
	Group string `json:"group"`
	Cases int    `json:"cases"`
	Held  int    `json:"held"`
}

// Run runs the attacks one after the other.
func (cmd *hostileCmd) Run(ctx context.Context, a *app) (err error) {
	if os.Geteuid() != 0 {
		return usage("hostile: needs root, since the enemies are Unix users of their own")
	}
	for _, name := range cmd.Groups {
		if !slices.Contains(groupNames(), name) {
			return usage("hostile: there is no group %q; there are %s", name, strings.Join(groupNames(), ", "))
		}
	}
	h := &hostile{e2e: &e2e{demo: &demo{app: a, findings: newFindings(a), root: true}, cmd: &e2eCmd{}}}
	if h.state, err = newRunState(ctx, a.log); err != nil {
		return err
	}
	h.stack = newStack(h.state)
	limited, cancel := context.WithTimeoutCause(ctx, hostilePatience, fmt.Errorf("not all attacks were made after %s", short(hostilePatience)))
	defer cancel()
	f := hostileFigures{Name: "hostile"}
	failure := h.furnished(limited)
	if failure == nil {
		failure = h.attacked(limited, cmd, &f)
	}
	failure = whyEnded(limited, failure)
	bad := failure != nil || f.Held < f.Cases
	if bad {
		h.showLogs(failure)
	}
	failure = errors.Join(failure, h.razed(bad))
	f.Met = failure == nil && f.Held == f.Cases && f.Cases > 0 && h.allHeld()
	f.Seconds, f.Tries, f.Swaps = inSeconds(h.since()), h.tries.Load(), h.swaps.Load()
	rows := make([][]string, len(f.Groups))
	for i, g := range f.Groups {
		rows[i] = []string{g.Group, fmt.Sprint(g.Cases), fmt.Sprint(g.Held)}
	}
	return errors.Join(h.measured(f, f.Met, "GROUP CASES HELD", rows), failure)
}

func groupNames() (names []string) {
	for _, g := range hostileGroups {
		names = append(names, g.name)
	}
	return names
}

// attacked makes the attacks; the first that could not be made ends the run, those that
// succeeded do not.
func (h *hostile) attacked(ctx context.Context, cmd *hostileCmd, f *hostileFigures) error {
	for _, g := range hostileGroups {
		all := g.cases(h)
		wanted := all
		if len(cmd.Groups) > 0 && !slices.Contains(cmd.Groups, g.name) {
			wanted = nil
		}
		if cmd.Short {
			wanted = slices.DeleteFunc(slices.Clone(wanted), func(c hostileCase) bool { return !c.short })
		}
		f.Skipped += len(all) - len(wanted)
		t := tally{Group: g.name, Cases: len(wanted)}
		for _, c := range wanted {
			c.group = g.name
			if h.try(ctx, c) {
				t.Held++
			}
			if err := errors.Join(ctx.Err(), h.stack.ended()); err != nil {
				return fmt.Errorf("after %s, %s: %w", c.group, c.name, err)
			}
		}
		if len(wanted) > 0 {
			f.Groups = append(f.Groups, t)
			h.tell("%s: %d of %d held", t.Group, t.Held, t.Cases)
		}
		f.Cases, f.Held = f.Cases+t.Cases, f.Held+t.Held
	}
	return nil
}

// try makes one attack and says what came of it.
func (h *hostile) try(ctx context.Context, c hostileCase) bool {
	began := time.Now()
	x := &attack{exam: &exam{e2eSite: h.mallory, ctx: ctx}, hostile: h}
	before, err := h.sentinels(ctx)
	if err == nil {
		err = x.made(c, before)
	}
	line := struct {
		Group   string  `json:"group"`
		Case    string  `json:"case"`
		OK      bool    `json:"ok"`
		Seconds float64 `json:"seconds"`
		Error   string  `json:"error,omitempty"`
	}{Group: c.group, Case: c.name, OK: err == nil, Seconds: inSeconds(time.Since(began))}
	if err != nil {
		line.Error = clean(err.Error())
		h.tell("  %s %s, %s: %s", h.paint(red, "FAIL"), c.group, c.name, line.Error)
	}
	h.emit(line)
	return err == nil
}

// made makes the attack, looks at the sentinels, and only then clears up: clearing up could
// put right what the attack has done.
func (x *attack) made(c hostileCase, before map[string]string) error {
	x.baseline = before
	c.attack(x)
	failure := x.exam.err
	after, err := x.hostile.sentinels(x.ctx)
	failure = errors.Join(failure, err)
	for name, was := range x.baseline {
		if err == nil && after[name] != was {
			failure = errors.Join(failure, fmt.Errorf("%s: %s", name, difference(was, after[name])))
		}
	}
	for _, undo := range slices.Backward(x.undos) {
		x.exam.err = nil
		undo()
		if x.exam.err != nil {
			failure = errors.Join(failure, fmt.Errorf("clearing up: %w", x.exam.err))
		}
	}
	return failure
}
