package queue

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/tasks"
	"pgregory.net/rapid"
)

// timed is a conductor with a clock of the test's, and two installs of alice.
func timed(t *testing.T) (c *Conductor, clock *time.Time, sites []Site) {
	t.Helper()
	s := registryStore(t)
	n := testNode(t, s, "n1")
	sites = []Site{testSite("n1", "alice", "a.example", ""), testSite("n1", "alice", "b.example", "")}
	ok(t, n.PublishSites(t.Context(), time.Now(), append(sites, testSite("n1", "bob", "c.example", ""))))
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c = NewConductor(NewClient(s), 0)
	c.now = func() time.Time { return now }
	return c, &now, sites
}

func (c *Conductor) create(t *testing.T, s Schedule) ScheduleState {
	t.Helper()
	s.ID, s.Account, s.Kind, s.Payload, s.Enabled = NewScheduleID(""), "alice", "site.inspect", []byte(`{}`), true
	s.Plan.MaxParallel, s.Plan.PerNode = 5, 5
	if s.Target.IDs == nil && s.Target.Filter == nil {
		s.Target.Filter = &FleetFilter{All: true}
	}
	return must[ScheduleState](t)(c.CreateSchedule(t.Context(), s, c.now()))
}

func (c *Conductor) ops(t *testing.T) []tasks.Op {
	t.Helper()
	return must[Page[tasks.Op]](t)(c.List(t.Context(), OpFilter{Rollouts: true})).Items
}

func TestScheduleFiresOnceAtItsTime(t *testing.T) {
	t.Parallel()
	c, now, _ := timed(t)
	s := c.create(t, Schedule{Cron: "0 3 * * *", TZ: "Europe/Berlin"})
	if want := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC); !s.Next.Equal(want) {
		t.Fatalf("due at %s, want %s", s.Next, want)
	}
	*now = s.Next.Add(-time.Second)
	ok(t, c.fireDue(t.Context()))
	if ops := c.ops(t); len(ops) != 0 {
		t.Fatalf("%d ops too early", len(ops))
	}
	*now = s.Next.Add(time.Second)
	other := NewConductor(c.Client, 0) // which takes itself for the leader too
	other.now = c.now
	for _, leader := range []*Conductor{c, other, c} {
		ok(t, leader.fireDue(t.Context()))
		ok(t, leader.fire(t.Context(), s.ID, s.Next)) // with what it has read before the other moved it on
	}
	ops := c.ops(t)
	got := must[ScheduleState](t)(c.Schedule(t.Context(), s.ID))
	if len(ops) != 1 || got.OpID != ops[0].ID || got.Fired != 1 || got.Missed != 0 || got.Result != Fired || !got.Next.Equal(s.Next.AddDate(0, 0, 1)) {
		t.Errorf("%d ops, %+v", len(ops), got)
	}
	if counts := countsOf(t, ops[0]); counts.Total != 2 { // not bob's
		t.Errorf("%+v", counts)
	}
}

func TestClockThatIsSetBackByAnHourMakesNoSecondOp(t *testing.T) {
	t.Parallel()
	for name, backBefore := range map[string]bool{"after the firing": false, "between reading what is due and firing it": true} {
		c, now, _ := timed(t)
		s := c.create(t, Schedule{Cron: "@hourly"})
		first := s.Next
		*now = first
		if backBefore {
			*now = first.Add(-time.Hour)
		}
		ok(t, c.fire(t.Context(), s.ID, first))
		*now = first.Add(-time.Hour)
		for now.Before(first.Add(time.Hour)) { // the same hour again
			ok(t, c.fireDue(t.Context()))
			*now = now.Add(10 * time.Minute)
		}
		got := must[ScheduleState](t)(c.Schedule(t.Context(), s.ID))
		if len(c.ops(t)) != 1 || got.Fired != 1 || got.Missed != 0 || !got.Next.Equal(first.Add(time.Hour)) {
			t.Errorf("%s: %d ops, %+v", name, len(c.ops(t)), got)
		}
	}
}

func TestFiringThatCrashedBeforeItWasNotedMakesTheSameOp(t *testing.T) {
	t.Parallel()
	c, now, _ := timed(t)
	s := c.create(t, Schedule{Cron: "@hourly"})
	*now = s.Next
	result, op, err := c.firing(t.Context(), s, s.Next) // and dies
	ok(t, err)
	*now = now.Add(time.Minute)
	ok(t, c.fireDue(t.Context()))
	got := must[ScheduleState](t)(c.Schedule(t.Context(), s.ID))
	if result != Fired || got.OpID != op || len(c.ops(t)) != 1 {
		t.Errorf("made %s and %s, %d ops", op, got.OpID, len(c.ops(t)))
	}
}

func TestTimesThatNobodySawAreMadeUpForOnceWithinTheGrace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, cron string
		away       time.Duration
		want       Firing
	}{
		{"half an hour late", "0 13 * * *", 90 * time.Minute, Fired},
		{"too late", "0 13 * * *", 3 * time.Hour, FiringMissed},
		{"a newer one is within the grace", "@hourly", 5*time.Hour + 10*time.Minute, Fired},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k, now, _ := timed(t)
			s := k.create(t, Schedule{Cron: c.cron})
			*now = now.Add(c.away)
			ok(t, k.fireDue(t.Context()))
			ok(t, k.fireDue(t.Context()))
			got := must[ScheduleState](t)(k.Schedule(t.Context(), s.ID))
			wantOps := map[Firing]int{Fired: 1}[c.want]
			if got.Result != c.want || len(k.ops(t)) != wantOps || !got.Next.After(*now) {
				t.Errorf("%s with %d ops, next %s at %s", got.Result, len(k.ops(t)), got.Next, now)
			}
		})
	}
}

func TestScheduleWaitsForItsOperationBefore(t *testing.T) {
	t.Parallel()
	c, now, _ := timed(t)
	s := c.create(t, Schedule{Cron: "@hourly"})
	for range 2 {
		*now = must[ScheduleState](t)(c.Schedule(t.Context(), s.ID)).Next
		ok(t, c.fireDue(t.Context()))
	}
	got := must[ScheduleState](t)(c.Schedule(t.Context(), s.ID))
	if got.Result != FiringOverlap || got.Fired != 1 || got.Missed != 1 || len(c.ops(t)) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestScheduleGoesOnWithoutInstallsThatAreGone(t *testing.T) {
	t.Parallel()
	c, now, sites := timed(t)
	gone := testSite("n1", "alice", "gone.example", "").ID
	s, empty := c.create(t, Schedule{Cron: "@hourly", Target: Targets{IDs: []string{gone, sites[0].ID}}}), c.create(t, Schedule{Cron: "@hourly", Target: Targets{IDs: []string{gone}}})
	*now = s.Next
	ok(t, c.fireDue(t.Context()))
	ops := c.ops(t)
	if len(ops) != 1 || countsOf(t, ops[0]).Total != 1 {
		t.Errorf("%d ops", len(ops))
	}
	if got := must[ScheduleState](t)(c.Schedule(t.Context(), empty.ID)); got.Result != FiringEmpty || got.Next.IsZero() {
		t.Errorf("%+v", got)
	}
}

func TestChangedOrDeletedScheduleIsDueAsItIsNow(t *testing.T) {
	t.Parallel()
	c, now, _ := timed(t)
	s := c.create(t, Schedule{Cron: "@hourly"})
	off := s.Schedule
	off.Enabled = false
	if got := must[ScheduleState](t)(c.ChangeSchedule(t.Context(), off, *now)); !got.Next.IsZero() {
		t.Errorf("due at %s", got.Next)
	}
	*now = s.Next
	ok(t, c.fireDue(t.Context()))
	ok(t, c.DeleteSchedule(t.Context(), s.Schedule))
	ok(t, c.fireDue(t.Context()))
	if _, err := c.ChangeSchedule(t.Context(), s.Schedule, *now); !errors.Is(err, ErrNotFound) {
		t.Errorf("changing a deleted one: %v", err)
	}
	if len(c.ops(t)) != 0 {
		t.Errorf("%d ops", len(c.ops(t)))
	}
}

func TestAccountHasABoundedNumberOfSchedules(t *testing.T) {
	t.Parallel()
	c, now, _ := timed(t)
	for range MaxSchedules {
		c.create(t, Schedule{Cron: "@hourly"})
	}
	_, err := c.CreateSchedule(t.Context(), Schedule{ID: NewScheduleID(""), Account: "alice", Cron: "@hourly"}, *now)
	wantErr(t, err, ErrManySchedules)
	if again := must[ScheduleState](t)(c.CreateSchedule(t.Context(), Schedule{ID: NewScheduleID(""), Account: "bob", Cron: "@hourly"}, *now)); again.ID == "" {
		t.Error("bob has none")
	}
}

func TestJitterOfAnInstallIsAlwaysTheSameAndWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		site, seconds := rapid.String().Draw(t, "site"), rapid.IntRange(-1, 86400).Draw(t, "seconds")
		got := jitterOf(site, seconds)
		if got != jitterOf(site, seconds) || got != 0 && int(got) >= seconds {
			t.Fatalf("%d of %d", got, seconds)
		}
	})
	v := rolloutView{plan: RolloutPlan{Waves: []int{2}, MaxParallel: 5, PerNode: 5, Base: time.Unix(1000, 0)},
		states: []childState{childWaiting, childWaiting}, nodes: []uint16{0, 0}, delays: []uint32{60, 0}}
	up := func(uint16) bool { return true }
	if m := v.next(time.Unix(1030, 0), up); len(m.Start) != 1 || m.Start[0] != 1 {
		t.Errorf("after 30 s: %+v", m)
	}
	if m := v.next(time.Unix(1060, 0), up); len(m.Start) != 2 {
		t.Errorf("after 60 s: %+v", m)
	}
}

// Whatever an expression says, reading it fails or gives times that move on.
func FuzzCron(f *testing.F) {
	for _, text := range []string{"0 3 * * *", "@daily", "@every 1s", "TZ=0", "CRON_TZ=UTC * * * * *", "0 0 31 2 *", "*/5 1-3 * * MON", "* * * *", "60 * * * *", "0-59/0 * * * *"} {
		f.Add(text, "Europe/Berlin")
	}
	f.Fuzz(func(t *testing.T, expression, tz string) {
		if strings.ContainsAny(tz, "/\\.") && !strings.HasPrefix(tz, "Europe/") {
			return // names of files, which is not what is tried out here
		}
		c, err := parseCron(expression, tz)
		if err != nil {
			return
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		next := c.next(now)
		if !next.After(now) || next.Sub(now) < time.Second {
			t.Fatalf("%q is next at %s after %s", expression, next, now)
		}
	})
}
