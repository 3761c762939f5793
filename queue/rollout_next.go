package queue

import (
	"slices"
	"time"
)

// rolloutView is a rollout at one moment: all that the decision about its next move needs.
// It is pure, so that every order of ends, crashes and pauses can be tried out in memory.
type rolloutView struct {
	plan      RolloutPlan
	states    []childState
	nodes     []uint16 // of each child, as an index
	delays    []uint32 // of each child, in seconds after plan.Base
	paused    bool
	cancelled bool
	stopped   bool // the rate of failures was too high before
}

// rolloutMove is what is to be done now.
type rolloutMove struct {
	Start  []int      // children to begin, in this order
	Drop   childState // what all that wait become; 0 is nothing
	Reason string     // … and why
	Wave   int        // the one at work, from 1
	Why    string     // why nothing begins, for people; "" when something does or runs
	Ended  bool       // all children have
}

// next decides. up says whether a node takes work.
func (v rolloutView) next(now time.Time, up func(node uint16) bool) rolloutMove {
	wave, from, to := v.wave()
	m := rolloutMove{Wave: wave}
	switch {
	case !slices.ContainsFunc(v.states, func(s childState) bool { return !s.ended() }):
		m.Ended = true
	case v.cancelled:
		m.Drop, m.Reason = childCancelled, SkippedCancelled
	case v.stopped || v.tooBad(v.judged(from, to)):
		m.Drop, m.Reason = childSkipped, SkippedStopped
	case v.paused:
		m.Why = "Paused"
	case !v.plan.Window.Open(now):
		m.Why = "Waiting for " + v.plan.Window.From
	default:
		m.Start, m.Why = v.starts(now, up, from, to)
	}
	return m
}

// wave is the first one that has not ended, from 1, and its children from, to.
func (v rolloutView) wave() (number, from, to int) {
	for i, size := range v.plan.Waves {
		number, from, to = i+1, to, min(to+size, len(v.states))
		if slices.ContainsFunc(v.states[from:to], func(s childState) bool { return !s.ended() }) {
			return number, from, to
		}
	}
	return number, from, to
}

// judged is the end of the waves that have begun, when the wave from, to is the first that has
// not ended: as long as nothing of it has begun, those before it are judged by themselves.
func (v rolloutView) judged(from, to int) int {
	if slices.ContainsFunc(v.states[from:to], func(s childState) bool { return s.open() || s.ran() }) {
		return to
	}
	return from
}

// tooBad reports whether too many failed among the children before to, which are those of
// the waves that have begun: as soon as the others cannot make up for it, or as enough have
// ended to tell.
func (v rolloutView) tooBad(to int) bool {
	begun, ran, bad := 0, 0, 0
	for _, s := range v.states[:to] {
		if s == childSkipped || s == childCancelled {
			continue
		}
		begun++
		if s.ran() {
			ran++
		}
		if s.bad() {
			bad++
		}
	}
	return float64(bad) > v.plan.StopRate*float64(begun) ||
		ran >= min(judgedFrom, begun) && float64(bad) > v.plan.StopRate*float64(ran)
}

// starts picks what begins, in order, within the limits. A child whose node is full or away
// lets others pass, but none of a later wave.
func (v rolloutView) starts(now time.Time, up func(uint16) bool, from, to int) (start []int, why string) {
	open, perNode := 0, map[uint16]int{}
	for i, s := range v.states {
		if s.open() {
			open++
			perNode[v.nodes[i]]++
		}
	}
	away := false
	for i := from; i < to && open < v.plan.MaxParallel; i++ {
		node := v.nodes[i]
		switch {
		case v.states[i] != childWaiting || perNode[node] >= v.plan.PerNode:
		case now.Before(v.plan.Base.Add(time.Duration(v.delays[i]) * time.Second)):
			why = "Waiting for the time of the next site"
		case !up(node):
			away = true
		default:
			start = append(start, i)
			open++
			perNode[node]++
		}
	}
	switch {
	case open > 0:
		return start, ""
	case away:
		return nil, "Waiting for a node that takes no work now"
	}
	return nil, why
}
