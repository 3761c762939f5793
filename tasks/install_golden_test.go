package tasks

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// withTemplate gives a node an engine that has a template for a version, at the top of a domain.
func (n *node) withTemplate(t *testing.T, version string) *node {
	t.Helper()
	n.withEngine(t, version)
	core, err := n.host.Packages.Core(t.Context(), version, "")
	must(t, err)
	tick, late := time.NewTicker(20*time.Millisecond), time.After(2*time.Minute)
	defer tick.Stop()
	for !n.host.Engine.HasTemplate(core, "http://any.test", "") {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("there is no template")
		}
	}
	return n
}

func (o *order) mustBeMadeBy(out Outcome, mode, reason string) {
	o.t.Helper()
	if r := o.result(out); r.Mode != mode || !strings.Contains(r.ModeReason, reason) || (reason == "") != (r.ModeReason == "") {
		o.t.Errorf("made by %q because of %q", r.Mode, r.ModeReason)
	}
}

// A site that was filled from a template is whole, and the administrator gets in by WordPress
// itself. Dying at any boundary changes nothing about it.
func TestInstallFromATemplateSurvivesADeathAtEveryBoundary(t *testing.T) {
	t.Parallel()
	n := newNode(t).withTemplate(t, "6.5")
	const shares = 3
	for i, after := range []bool{false, true} {
		for _, share := range some(shares) {
			o := n.order(t, fmt.Sprintf("gold%d%d", i, share), "golden.test", "public_html", Install{DBName: "wp", Version: "6.5", Mode: ModeGolden})
			r := &reaper{order: o, share: share, shares: shares, after: after, seen: map[string]bool{}}
			o.fail = r.entry
			out, err := r.live()
			must(t, err)
			o.mustBe(out, Succeeded)
			o.mustBeWhole(out)
			o.mustBeMadeBy(out, ModeGolden, "")
			if r.deaths < 5 {
				t.Errorf("after=%t share %d: %d deaths only", after, share, r.deaths)
			}
		}
	}
}

// Whenever an install from a template is cancelled, and however often the worker dies while it
// takes back what was made, nothing is left.
func TestCancelledInstallFromATemplateLeavesNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t).withTemplate(t, "6.5")
	steps := []string{"target", "database", "core_files", "config", "publish", "verify"}
	for i, step := range steps {
		if i < len(steps)/2 && len(some(2)) == 1 { // the later it is, the more there is to take back
			continue
		}
		o := n.order(t, fmt.Sprint("gone", i), "golden.test", "public_html", Install{Version: "6.5", Mode: ModeGolden})
		cancelled := make(chan struct{})
		var once sync.Once
		o.cfg.Cancelled = cancelled
		o.cfg.Report = func(e Event) {
			if e.Step == step {
				once.Do(func() { close(cancelled) })
			}
		}
		r := &reaper{order: o, share: i % 3, shares: 3, after: i%2 == 0, seen: map[string]bool{}}
		o.fail = r.entry
		out, err := r.live()
		must(t, err)
		if out.State != Cancelled {
			t.Errorf("%s: %s %+v", step, out.State, out.Error)
		}
		o.mustBeGone(nil)
	}
}

// Where there is no template the install is made by WP-CLI, and says why.
func TestInstallWithoutATemplateSaysWhyItHasNone(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.host.InstallMode = ModeGolden
	o := n.order(t, "none", "golden.test", "public_html", Install{Version: "6.5"})
	out := o.mustEnd(Succeeded)
	o.mustBeWhole(out)
	o.mustBeMadeBy(out, ModeWPCLI, "the node makes none")
	if !slices.ContainsFunc(o.log, func(line string) bool { return strings.Contains(line, "by WP-CLI instead") }) {
		t.Error("its log does not say so")
	}
	n.host.Engine = n.engine(t)
	o = n.order(t, "cold", "golden.test", "public_html", Install{Version: "6.5"})
	out = o.mustEnd(Succeeded)
	o.mustBeWhole(out)
	o.mustBeMadeBy(out, ModeWPCLI, "no template is ready yet")

	o = n.order(t, "plain", "golden.test", "public_html", Install{Version: "6.5", Mode: ModeWPCLI})
	o.mustBeMadeBy(o.mustEnd(Succeeded), ModeWPCLI, "")
}
