package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

// baseline is the step that looks at the site before anything is done.
func (g *safeguard) baseline() Step {
	return Step{Name: "baseline", Message: "Looking at the site's pages", Weight: 5, Check: g.skip, Do: g.lookFirst}
}

func (g *safeguard) lookFirst(ctx context.Context) error {
	site, err := g.existing()
	if err != nil || g.Get(keySafeBefore) != "" {
		return err
	}
	mark, err := g.Host.Files.Maintenance(ctx, site, time.Now())
	if err != nil {
		return err
	}
	if mark.On(time.Now()) {
		return nil // whoever asks now sees the maintenance page: close has a door
	}
	return g.lookBefore(ctx)
}

func (g *safeguard) lookBefore(ctx context.Context) error {
	sight, err := g.see(ctx, nil)
	if err != nil {
		return err
	}
	for _, trouble := range sight.Troubles() {
		g.logf("before the update: %s", trouble)
	}
	return g.setJSON(keySafeBefore, sight)
}

// see looks at the site through our own door, if it is closed by us.
func (g *safeguard) see(ctx context.Context, before *wp.Sight) (wp.Sight, error) {
	site, err := g.addressed()
	if err != nil {
		return wp.Sight{}, err
	}
	if err := g.enter(ctx, site); err != nil {
		return wp.Sight{}, err
	}
	if err := g.Host.Web.Settle(ctx, g.changed); err != nil {
		return wp.Sight{}, err
	}
	sight, err := g.Host.See(ctx, site, before, g.door)
	if err != nil {
		return wp.Sight{}, fmt.Errorf("looking at the site: %w", err)
	}
	return sight, nil
}

// probe is the step that compares.
func (g *safeguard) probe() Step {
	return Step{Name: "probe", Message: "Comparing the site's pages", Weight: 10, Check: g.skip, Do: g.compare}
}

// compare looks at the updated site. What is worse is looked at a second time before it
// counts: the first visitor of a new version may meet a cache that is being built.
func (g *safeguard) compare(ctx context.Context) error {
	var before wp.Sight
	if err := json.Unmarshal([]byte(g.Get(keySafeBefore)), &before); err != nil {
		return fmt.Errorf("reading baseline: %w", err)
	}
	after, err := g.see(ctx, &before)
	if err != nil {
		return err
	}
	if after.Shut() && !before.Shut() {
		// The web server itself looks at the marker. The site is whole by now, so it may open.
		g.logf("the web server lets no probe in while the site is closed, so it is opened for it")
		if err := g.open(ctx); err != nil {
			return err
		}
		if after, err = g.see(ctx, &before); err != nil {
			return err
		}
	}
	if len(after.Worse(before)) > 0 {
		if after, err = g.see(ctx, &before); err != nil {
			return err
		}
	}
	if err := g.setJSON(keySafeAfter, after); err != nil {
		return err
	}
	if reasons := after.Worse(before); len(reasons) > 0 {
		return g.broke(errors.New(strings.Join(reasons, "; ")), reasons...)
	}
	return nil
}

// broke is the failure of an update that the site did not take, with the reasons for people.
func (g *safeguard) broke(err error, reasons ...string) error {
	for _, reason := range reasons {
		g.logf("with the update: %s", reason)
	}
	if err := g.setJSON(keySafeReasons, reasons); err != nil {
		return err
	}
	message := "The site did not take the update, which is taken back"
	if len(reasons) > 0 {
		message += ": " + reasons[0]
	}
	if n := len(reasons) - 1; n > 0 {
		message += fmt.Sprintf("; and %d more", n)
	}
	return &badEffect{Permanent(err, Failure{Code: CodeUpdateBrokeSite, Message: message + ".",
		Hint: "Files and tables are as before the update. The result and the operation's log have the reasons. " +
			"Look for a version of the plugins and the theme that fits, then try again."})}
}

// reopen is the end of taking back: it looks whether the site is as before, opens it, and
// throws away what is not needed any more.
func (g *safeguard) reopen(ctx context.Context) error {
	if errors.Is(g.Missing, wp.ErrNoDomain) {
		return nil // gone with the domain
	}
	if !g.mustRestore() {
		return errors.Join(g.open(ctx), g.forget(ctx))
	}
	var before, again wp.Sight
	if err := json.Unmarshal([]byte(g.Get(keySafeBefore)), &before); err != nil {
		return fmt.Errorf("reading baseline: %w", err)
	}
	again, err := g.see(ctx, &before)
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil { // the database server is away: the site cannot be what it was
		again = wp.Sight{By: before.By, Health: wp.Health{Reason: strings.TrimSuffix(FailureOf(err).Message, ".")}}
	}
	if err := g.setJSON(keySafeAgain, again); err != nil {
		return err
	}
	if err := g.open(ctx); err != nil {
		return err
	}
	worse := again.Worse(before)
	if len(worse) == 0 {
		err = g.forget(ctx)
	} else {
		err = g.keepFor(keptLife)
	}
	if err := errors.Join(err, g.tellResult()); err != nil {
		return err
	}
	if len(worse) == 0 {
		return nil
	}
	return Unconfirmable(errors.New(strings.Join(worse, "; ")), Failure{Code: CodeUnconfirmed,
		Message: "Files and tables are put back, but the site does not look as before the update: " + worse[0] + ".",
		Hint:    "Look at the site. The tables of the update are kept for a day; the result says where."})
}

func (g *safeguard) tellResult() error {
	report, err := g.report()
	if err != nil || report == nil || g.tellBack == nil {
		return err
	}
	result, err := g.tellBack(*report)
	if err != nil {
		return err
	}
	return g.tell(result)
}
