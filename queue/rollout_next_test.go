package queue

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Children that end in any way, in any order: what begins keeps the limits, and nothing begins
// once more failed than are allowed among enough of those that ended.
func TestDecisionsKeepTheLimitsAndTheErrorRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 60).Draw(t, "total")
		canary := rapid.IntRange(0, 3).Draw(t, "canary")
		waves, err := WavesOf(total, canary, nil)
		if err != nil {
			t.Fatal(err)
		}
		v := rolloutView{
			plan: RolloutPlan{Waves: waves, MaxParallel: rapid.IntRange(1, 20).Draw(t, "parallel"), PerNode: rapid.IntRange(1, 5).Draw(t, "node"),
				StopRate: rapid.Float64Range(0, 1).Draw(t, "rate")},
			states: slices.Repeat([]childState{childWaiting}, total), delays: make([]uint32, total),
			nodes: rapid.SliceOfN(rapid.Uint16Range(0, 3), total, total).Draw(t, "nodes"),
		}
		ends := rapid.SampledFrom([]childState{childSucceeded, childSucceeded, childFailed, childRolledBack, childUnverified, childCancelled})
		for turn := 0; ; turn++ {
			if turn > 10*total {
				t.Fatal("it does not end")
			}
			m := v.next(time.Now(), func(uint16) bool { return true })
			if m.Ended {
				return
			}
			for i, s := range v.states {
				if s == childWaiting && m.Drop != 0 {
					v.states[i] = m.Drop
				}
			}
			checkStarts(t, v, m)
			for _, i := range m.Start {
				v.states[i] = childOpen
			}
			var open []int
			for i, s := range v.states {
				if s.open() {
					open = append(open, i)
				}
			}
			if len(open) == 0 {
				continue
			}
			for range rapid.IntRange(1, len(open)).Draw(t, "ends") {
				v.states[rapid.SampledFrom(open).Draw(t, "child")] = ends.Draw(t, "end")
			}
		}
	})
}

func checkStarts(t *rapid.T, v rolloutView, m rolloutMove) {
	open, ran, bad, perNode := len(m.Start), 0, 0, map[uint16]int{}
	for i, s := range v.states {
		if s.open() || slices.Contains(m.Start, i) {
			if perNode[v.nodes[i]]++; perNode[v.nodes[i]] > v.plan.PerNode {
				t.Fatalf("%d on one node", perNode[v.nodes[i]])
			}
		}
		if s.open() {
			open++
		}
		if s.ran() {
			ran++
		}
		if s.bad() {
			bad++
		}
	}
	if open > v.plan.MaxParallel {
		t.Fatalf("%d at a time", open)
	}
	if len(m.Start) > 0 && ran >= judgedFrom && float64(bad) > v.plan.StopRate*float64(ran) {
		t.Fatalf("%d of %d failed, and %d more begin", bad, ran, len(m.Start))
	}
	if first := v.plan.Waves[0]; len(m.Start) > 0 && slices.Max(m.Start) >= first {
		for _, s := range v.states[:first] {
			if !s.ended() {
				t.Fatal("the second wave begins before the first has ended")
			}
		}
	}
}
