package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
	"pgregory.net/rapid"
)

// fleet is two nodes with installs that run ops by h.
func fleet(t *testing.T, s *Store, sites int, h func(tasks.Op) tasks.Outcome) []Site {
	t.Helper()
	var all []Site
	for i := range sites {
		all = append(all, testSite(fmt.Sprintf("n%d", i%2+1), "alice", fmt.Sprintf("s%02d.example", i), ""))
	}
	for _, id := range []string{"n1", "n2"} {
		n := NewNode(s, NodeConfig{ID: id, FastSlots: 2, BulkSlots: 2})
		ok(t, n.Register(t.Context()))
		ok(t, n.PublishSites(t.Context(), time.Now(), slices.DeleteFunc(slices.Clone(all), func(s Site) bool { return s.Node != id })))
		background(t, func(ctx context.Context) error {
			return n.Serve(ctx, Handler{Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) { return h(op), nil }})
		})
	}
	return all
}

func background(t *testing.T, fn func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); ok(t, <-done) })
	t.Cleanup(stop)
	return stop
}

func rolloutOf(sites []Site, plan RolloutPlan) RolloutSubmission {
	sub := RolloutSubmission{Plan: plan, Op: tasks.Op{ID: NewRolloutID(), Kind: "site.inspect", Payload: []byte(`{}`), KeyID: "k1", Site: tasks.SiteRef{Account: "alice"}}}
	for _, site := range sites {
		sub.Sites = append(sub.Sites, site.SiteRef)
	}
	return sub
}

func countsOf(t *testing.T, op tasks.Op) (c Counts) {
	t.Helper()
	ok(t, json.Unmarshal(op.Result, &c))
	return c
}

func TestRolloutRunsOnTwoNodesWaveByWave(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	var mu sync.Mutex
	var order []string
	sites := fleet(t, s, 12, func(op tasks.Op) tasks.Outcome {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, op.Site.ID)
		return succeeded
	})
	background(t, NewConductor(c, 0).Run)
	sub := rolloutOf(sites, RolloutPlan{Waves: []int{1, 5, 6}, MaxParallel: 6, PerNode: 2, StopRate: .2})
	receipt := must[Receipt](t)(c.SubmitRollout(t.Context(), sub))
	if !receipt.Created || receipt.Op.State != tasks.Queued || countsOf(t, receipt.Op).Total != 12 {
		t.Fatalf("accepted as %+v", receipt)
	}
	op := final(t, s, sub.Op.ID)
	want := Counts{Total: 12, Succeeded: 12, Wave: 3, Waves: 3}
	if diff := cmp.Diff(want, countsOf(t, op)); op.State != tasks.Succeeded || op.Progress != 100 || diff != "" {
		t.Errorf("%s %d%% %s", op.State, op.Progress, diff)
	}
	if order[0] != sites[0].ID || slices.Index(order, sites[6].ID) < 6 {
		t.Errorf("the order of the waves was not kept: %v", order)
	}
	events := must[[]tasks.Event](t)(c.Events(t.Context(), op.ID, 0))
	if last := events[len(events)-1]; last.State != tasks.Succeeded || last.Progress != 100 {
		t.Errorf("last event %+v", last)
	}
	if page := must[Page[tasks.Op]](t)(c.List(t.Context(), OpFilter{Account: "alice", Rollouts: true})); len(page.Items) != 1 || page.Items[0].ID != op.ID {
		t.Errorf("listed: %+v", page.Items)
	}
}

func TestRolloutStopsAtTheErrorRateAndSkipsTheRest(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	sites := fleet(t, s, 8, func(tasks.Op) tasks.Outcome { return tasks.Outcome{State: tasks.Failed} })
	background(t, NewConductor(c, 0).Run)
	sub := rolloutOf(sites, RolloutPlan{Waves: []int{2, 6}, MaxParallel: 6, PerNode: 6, StopRate: .5})
	must[Receipt](t)(c.SubmitRollout(t.Context(), sub))
	op := final(t, s, sub.Op.ID)
	want := Counts{Total: 8, Failed: 2, Skipped: 6, Wave: 2, Waves: 2, Stopped: true}
	if diff := cmp.Diff(want, countsOf(t, op)); op.State != tasks.Failed || op.Error.Code != "error_rate" || diff != "" {
		t.Errorf("%s %+v %s", op.State, op.Error, diff)
	}
	page := must[Page[Child]](t)(c.Children(t.Context(), op.ID, ChildFilter{States: []tasks.State{Skipped}, Limit: 4}))
	if len(page.Items) != 4 || page.Items[0].Reason != SkippedStopped || page.Next == "" {
		t.Errorf("children: %+v", page)
	}
	page = must[Page[Child]](t)(c.Children(t.Context(), op.ID, ChildFilter{States: []tasks.State{Skipped}, Cursor: page.Next}))
	if len(page.Items) != 2 || page.Next != "" {
		t.Errorf("second page: %+v", page)
	}
}

func TestRolloutSkipsWhatIsSuspendedBrokenOrGone(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c, n := NewClient(s), NewNode(s, NodeConfig{ID: "n1", FastSlots: 1, BulkSlots: 1})
	sites := fleet(t, s, 4, func(tasks.Op) tasks.Outcome { return succeeded })
	sites[0].Status, sites[2].Status = SiteSuspended, SiteBroken
	ok(t, n.PutSite(t.Context(), sites[0]))
	ok(t, n.PutSite(t.Context(), sites[2]))
	sites[1] = testSite("n1", "alice", "gone.example", "")
	background(t, NewConductor(c, 0).Run)
	for _, broken := range []bool{false, true} {
		sub := rolloutOf(sites, RolloutPlan{Waves: []int{4}, MaxParallel: 4, PerNode: 4, Broken: broken})
		must[Receipt](t)(c.SubmitRollout(t.Context(), sub))
		op := final(t, s, sub.Op.ID)
		page := must[Page[Child]](t)(c.Children(t.Context(), op.ID, ChildFilter{}))
		var reasons []string
		for _, child := range page.Items {
			reasons = append(reasons, child.Reason)
		}
		want := []string{SkippedSuspended, SkippedGone, SkippedBroken, ""}
		if broken {
			want[2] = ""
		}
		if diff := cmp.Diff(want, reasons); diff != "" || op.State != tasks.Succeeded {
			t.Errorf("%s %s", op.State, diff)
		}
	}
}

func TestPausedRolloutBeginsNothingUntilItIsResumedOrCancelled(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	release := make(chan struct{})
	sites := fleet(t, s, 6, func(tasks.Op) tasks.Outcome { <-release; return succeeded })
	background(t, NewConductor(c, 0).Run)
	sub := rolloutOf(sites, RolloutPlan{Waves: []int{6}, MaxParallel: 2, PerNode: 1, StopRate: 1})
	must[Receipt](t)(c.SubmitRollout(t.Context(), sub))
	awaitOp(t, s, sub.Op.ID, func(op tasks.Op) bool { return countsOf(t, op).Running == 2 })
	must[tasks.Op](t)(c.PauseRollout(t.Context(), sub.Op.ID, true))
	close(release)
	op := awaitOp(t, s, sub.Op.ID, func(op tasks.Op) bool { return countsOf(t, op).Succeeded == 2 })
	if got := countsOf(t, op); !got.Paused || got.Queued != 4 || op.Message != "Paused" {
		t.Errorf("%+v %q", got, op.Message)
	}
	if op.Progress != 33 {
		t.Errorf("progress %d", op.Progress)
	}
	must[tasks.Op](t)(c.PauseRollout(t.Context(), sub.Op.ID, false))
	if op = final(t, s, sub.Op.ID); op.State != tasks.Succeeded {
		t.Errorf("%s", op.State)
	}
	if _, err := c.PauseRollout(t.Context(), op.ID, true); err == nil {
		t.Error("an ended rollout was paused")
	}
}

func TestCancelledRolloutStopsWhatRunsAndEndsTheRest(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	n := NewNode(s, NodeConfig{ID: "n1", FastSlots: 1, BulkSlots: 1})
	ok(t, n.Register(t.Context()))
	sites := []Site{testSite("n1", "alice", "a.example", ""), testSite("n1", "alice", "b.example", ""), testSite("n1", "alice", "c.example", "")}
	ok(t, n.PublishSites(t.Context(), time.Now(), sites))
	background(t, func(ctx context.Context) error {
		return n.Serve(ctx, Handler{Run: func(_ context.Context, _ tasks.Op, rec *Recorder) (tasks.Outcome, error) {
			<-rec.Cancelled()
			return tasks.Outcome{State: tasks.Cancelled}, nil
		}})
	})
	background(t, NewConductor(c, 0).Run)
	sub := rolloutOf(sites, RolloutPlan{Waves: []int{3}, MaxParallel: 2, PerNode: 2})
	must[Receipt](t)(c.SubmitRollout(t.Context(), sub))
	awaitOp(t, s, sub.Op.ID, func(op tasks.Op) bool { return countsOf(t, op).Running == 1 })
	must[tasks.Op](t)(c.Cancel(t.Context(), sub.Op.ID))
	op := final(t, s, sub.Op.ID)
	if got := countsOf(t, op); op.State != tasks.Cancelled || got.Cancelled != 3 {
		t.Errorf("%s %+v", op.State, got)
	}
}

func TestRolloutWorksOnACluster(t *testing.T) {
	t.Parallel()
	s := openStore(t, devstack.RedisClusterT(t).URL)
	c := NewClient(s)
	sites := fleet(t, s, 4, func(tasks.Op) tasks.Outcome { return succeeded })
	background(t, NewConductor(c, 0).Run)
	sub := rolloutOf(sites, RolloutPlan{Waves: []int{4}, MaxParallel: 4, PerNode: 4})
	must[Receipt](t)(c.SubmitRollout(t.Context(), sub))
	if op := final(t, s, sub.Op.ID); op.State != tasks.Succeeded {
		t.Errorf("%s", op.State)
	}
	sched := Schedule{ID: NewScheduleID(""), Account: "alice", Kind: "site.inspect", Cron: "@hourly", Enabled: true}
	must[ScheduleState](t)(c.CreateSchedule(t.Context(), sched, time.Now()))
	if all := must[[]ScheduleState](t)(c.Schedules(t.Context(), "alice")); len(all) != 1 {
		t.Errorf("schedules: %+v", all)
	}
	ok(t, c.DeleteSchedule(t.Context(), sched))
}

func TestWavesHoldEveryInstallOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		total, canary int
		shares        []Share
		want          []int
	}{
		{10, 0, nil, []int{10}}, {10, 1, nil, []int{1, 9}}, {10, 20, nil, []int{10}},
		{10, 1, []Share{"25%"}, []int{1, 3, 3, 3}}, {10, 0, []Share{"2", "50%"}, []int{2, 5, 3}}, {3, 0, []Share{"3", "5"}, []int{3}},
	} {
		got, err := WavesOf(c.total, c.canary, c.shares)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%+v: %v %s", c, err, diff)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, MaxChildren).Draw(t, "total")
		shares := rapid.SliceOfN(rapid.SampledFrom([]Share{"1", "7", "1%", "33%", "100%"}), 0, 5).Draw(t, "shares")
		waves, err := WavesOf(total, rapid.IntRange(0, 50).Draw(t, "canary"), shares)
		sum := 0
		for _, n := range waves {
			sum += n
		}
		if err != nil || sum != total || slices.Contains(waves, 0) {
			t.Fatalf("%v of %d: %v", waves, total, err)
		}
	})
}

func FuzzShare(f *testing.F) {
	for _, text := range []string{"5", "10%", "0", "-1", "101%", "", "%", "1e3", "+5"} {
		f.Add(text, 100)
	}
	f.Fuzz(func(t *testing.T, text string, total int) {
		total = max(1, min(total, MaxChildren))
		if n, err := Share(text).Of(total); err == nil && (n < 1 || n > MaxChildren) {
			t.Fatalf("%q of %d is %d", text, total, n)
		}
	})
}

func TestWindowIsOpenFromItsStartToItsEnd(t *testing.T) {
	t.Parallel()
	night := &Window{From: "22:00", To: "05:00", TZ: "Europe/Berlin"}
	day := &Window{From: "09:30", To: "17:00"}
	for _, c := range []struct {
		w    *Window
		at   string
		open bool
	}{
		{night, "2026-07-01T20:00:00Z", true}, {night, "2026-07-01T19:59:59Z", false}, // CEST
		{night, "2026-12-01T20:00:00Z", false}, {night, "2026-12-01T21:00:00Z", true}, {night, "2026-12-01T04:00:00Z", false}, // CET
		{day, "2026-07-01T09:30:00Z", true}, {day, "2026-07-01T17:00:00Z", false}, {nil, "2026-07-01T17:00:00Z", true},
	} {
		at := must[time.Time](t)(time.Parse(time.RFC3339, c.at))
		if got := c.w.Open(at); got != c.open {
			t.Errorf("%+v at %s: %v", c.w, c.at, got)
		}
	}
	for _, bad := range []*Window{{From: "25:00", To: "1:00"}, {From: "01:00", To: "01:00"}, {From: "01:00", To: "02:00", TZ: "Mars/Olympus"}, {From: "01:00", To: "02:00", TZ: "Local"}} {
		if len(bad.Problems("window")) == 0 {
			t.Errorf("%+v is fine", bad)
		}
	}
}
