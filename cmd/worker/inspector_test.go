package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"testing"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

func siteOf(domain string) queue.Site {
	return queue.Site{SiteRef: tasks.SiteRef{ID: tasks.SiteID("n1", "alice", domain, "public_html"), Node: "n1", Account: "alice", Domain: domain, Path: "public_html"},
		Status: queue.SiteOK, Version: "6.5", URL: "https://" + domain, Docroot: "/home/alice/domains/" + domain + "/public_html"}
}

// bench is an inspector whose installs answer through channels.
type bench struct {
	*inspector
	asked   chan tasks.SiteRef
	answer  chan error // one for each that was asked
	kept    chan string
	stopped chan struct{}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{inspector: newInspector(slog.New(slog.DiscardHandler)), asked: make(chan tasks.SiteRef), answer: make(chan error),
		kept: make(chan string, 10), stopped: make(chan struct{}, 10)}
	b.draining = func() bool { return false }
	b.recall = func(string) remembered { return remembered{} }
	b.examine = func(ctx context.Context, ref tasks.SiteRef) (wp.Details, error) {
		select {
		case b.asked <- ref:
		case <-ctx.Done():
			return wp.Details{}, ctx.Err()
		}
		select {
		case err := <-b.answer:
			return wp.Details{Status: wp.StatusOK, ReadAt: time.Now()}, err
		case <-ctx.Done():
			b.stopped <- struct{}{}
			return wp.Details{}, ctx.Err()
		}
	}
	b.keep = func(_ context.Context, site queue.Site, d wp.Details) error {
		b.done(site, d.ReadAt)
		b.kept <- site.Domain
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestNewInstallsAreInspectedAtOnceAndOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	sites := []queue.Site{siteOf("a.test"), siteOf("b.test")}
	b.schedule(sites)
	seen := map[string]bool{}
	for range sites {
		seen[(<-b.asked).Domain] = true
		b.answer <- nil
		<-b.kept
	}
	b.schedule(sites) // the next scan
	if _, wait := b.next(time.Now()); len(seen) != 2 || wait < inspectEvery/2 {
		t.Errorf("%v, next in %v", seen, wait)
	}
	sites[1].Version = "6.6" // updated by hand
	b.schedule(sites)
	if got := <-b.asked; got.Domain != "b.test" {
		t.Errorf("%+v", got)
	}
	b.answer <- fs.ErrNotExist
}

func TestAnOpEndsTheInspectionThatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.schedule([]queue.Site{siteOf("a.test")})
	<-b.asked
	resume := b.pause()
	<-b.stopped
	if _, wait := b.next(time.Now()); wait <= 0 {
		t.Error("inspects beside an op")
	}
	resume()
	<-b.asked // taken up again
	b.answer <- nil
	if got := <-b.kept; got != "a.test" {
		t.Error(got)
	}
}

func TestInspectionThatFailsIsTriedLater(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.schedule([]queue.Site{siteOf("a.test")})
	<-b.asked
	b.answer <- errors.New("no PHP")
	b.schedule([]queue.Site{siteOf("a.test"), siteOf("b.test")})
	if got := <-b.asked; got.Domain != "b.test" {
		t.Errorf("%+v", got)
	}
	b.answer <- nil
	<-b.kept
	if a, wait := b.next(time.Now()); a.site.Domain != "a.test" || wait < inspectFailed/2 || wait > inspectFailed {
		t.Errorf("%s in %v", a.site.Domain, wait)
	}
}

func TestRhythmOfAnEarlierWorkerGoesOn(t *testing.T) {
	t.Parallel()
	now := time.Now()
	broken := queue.Site{Status: queue.SiteBroken}
	for name, c := range map[string]struct {
		r        remembered
		from, to time.Duration
	}{
		"never":  {remembered{}, 0, time.Second},
		"recent": {remembered{at: now, seen: queue.Site{Status: queue.SiteOK}}, 4 * time.Hour, 8 * time.Hour},
		"stale":  {remembered{at: now, stale: true}, 0, time.Second},
		"broken": {remembered{at: now, seen: broken}, 20 * time.Minute, 40 * time.Minute},
		"old":    {remembered{at: now.Add(-24 * time.Hour)}, -24 * time.Hour, 0},
	} {
		if d := firstTime(c.r).Sub(now); d < c.from || d > c.to {
			t.Errorf("%s: in %v", name, d)
		}
	}
}

func TestListShowsWhatOnlyAStartOfWordPressTells(t *testing.T) {
	t.Parallel()
	m := newMemory()
	scan := siteOf("a.test")
	if got := m.complete(scan); got.Status != queue.SiteOK || got.Source != queue.SourceScan {
		t.Errorf("%+v", got)
	}
	seen := scan
	seen.Status, seen.Reason = queue.SiteBroken, "PHP ends"
	if got := m.saw(seen); got.Status != queue.SiteBroken || got.Reason != "PHP ends" {
		t.Errorf("after the inspection: %+v", got)
	}
	if got := m.complete(scan); got.Status != queue.SiteBroken {
		t.Errorf("after the next scan: %+v", got)
	}
	mended := scan
	if got := m.saw(mended); got.Status != queue.SiteOK || got.Reason != "" {
		t.Errorf("mended: %+v", got)
	}
	m.made(scan.ID)
	scan.Status, scan.Reason, scan.Title = queue.SiteUnreadable, "computed", ""
	mended.Title, mended.URL = "Seen", "https://seen.test"
	m.saw(mended)
	if got := m.complete(scan); got.Status != queue.SiteOK || got.Title != "Seen" || got.Source != queue.SourceInstall || got.Docroot != scan.Docroot {
		t.Errorf("computed configuration: %+v", got)
	}
	if r := m.get(scan.ID); r.url != "https://seen.test" {
		t.Errorf("address %q", r.url)
	}
	scan.Status, scan.Reason = queue.SiteSuspended, "closed"
	if got := m.complete(scan); got.Status != queue.SiteSuspended {
		t.Errorf("suspended: %+v", got)
	}
	began := time.Now()
	other := siteOf("b.test")
	m.made(other.ID) // by an op, while the scan went on
	m.only(nil, began)
	if m.get(other.ID).source != queue.SourceInstall || m.get(scan.ID).source != "" {
		t.Errorf("%+v", m.sites)
	}
}

func TestInstallsBehindAClosedDirectoryStayListed(t *testing.T) {
	t.Parallel()
	a, below, other := siteOf("a.test"), siteOf("a.test"), siteOf("a.test")
	below.Path, other.Path = "public_html/blog", "public_html2"
	home := homeOf(a)
	v := &inventory{known: map[string][]queue.Site{home: {a, below, other}}}
	if home != "/home/alice/domains/a.test" {
		t.Error(home)
	}
	domain := wp.DomainDir{Dir: home}
	got := v.behind(wp.ClosedDir{Domain: domain, Path: "public_html", Suspended: true})
	if len(got) != 2 || got[0].Status != queue.SiteSuspended || got[1].Path != "public_html/blog" {
		t.Errorf("%+v", got)
	}
	if got := v.behind(wp.ClosedDir{Domain: domain}); len(got) != 3 || got[0].Status != queue.SiteUnreadable {
		t.Errorf("%+v", got)
	}
}
