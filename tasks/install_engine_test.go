package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// engine is one that knows no WordPress.
func (n *node) engine(t *testing.T) *wp.Engine {
	t.Helper()
	e, err := wp.NewEngine(n.host.CLI, n.host.DB, wptest.Dir(t), n.host.DBHost, slog.New(slog.DiscardHandler))
	must(t, err)
	return e
}

// withEngine gives a node an engine that is prepared for a version.
func (n *node) withEngine(t *testing.T, version string) *node {
	t.Helper()
	n.host.Engine = n.engine(t)
	core, err := n.host.Packages.Core(t.Context(), version, "")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.host.Engine.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-ended) })
	tick, late := time.NewTicker(20*time.Millisecond), time.After(2*time.Minute)
	defer tick.Stop()
	for !n.host.Engine.Ready(core) {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the engine is not prepared")
		}
	}
	return n
}

// A worker that dies while the database has the engine's password, and wp-config.php another,
// goes on to a site whose wp-config.php opens its database, by the engine or without it.
func TestInstallByEngineSurvivesADeath(t *testing.T) {
	t.Parallel()
	n := newNode(t).withEngine(t, "6.5")
	warm := n.host.Engine
	for i, cold := range []bool{false, true} {
		n.host.Engine = warm
		o := n.order(t, fmt.Sprint("eng", i), "engine.test", "public_html", Install{DBName: "wp", Version: "6.5"})
		uses, dead := 0, false
		o.fail = func(e Entry) error {
			switch {
			case dead:
				return errDead
			case e.Key != keyEngine:
				return nil
			}
			if uses++; uses > 1 {
				return nil
			}
			dead = true
			return errors.Join(o.journal.Append(o.op.ID, e), errDead)
		}
		if _, err := o.attempt(); !errors.Is(err, errDead) {
			t.Fatalf("the engine was not used: %v", err)
		}
		dead = false
		for _, name := range n.databases(t, o.op.Site.Account) { // what the engine would have done next
			if user, host, isUser := strings.Cut(name, "@"); isUser {
				must(t, n.host.DB.SetPassword(t.Context(), user, host, wp.NewPassword(32)))
			}
		}
		if cold {
			n.host.Engine = n.engine(t)
		}
		out, err := o.attempt()
		must(t, err)
		o.mustBe(out, Succeeded)
		o.mustBeWhole(out)
		if (uses == 2) == cold {
			t.Errorf("cold %t: the engine was used %d times", cold, uses)
		}
	}
}
