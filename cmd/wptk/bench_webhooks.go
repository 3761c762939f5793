package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// benchWebhooksCmd has receivers of webhooks be down for an hour, as the API counts it, hang,
// refuse, and point inside, while events come; and looks what that is to those that answer.
type benchWebhooksCmd struct {
	Events   int           `help:"Operations that end during the outage." default:"240" env:"-"`
	Accounts int           `help:"Accounts that they are of, each with a webhook of every sort." default:"4" env:"-"`
	Hour     time.Duration `help:"How long an hour of the API's pauses takes here." default:"30s" env:"-"`
}

// webhooksGoal is the least of the ratio: an outage of others may not double how long it
// takes to be told.
const webhooksGoal = .5

// webhooksFigures also show what became of every sort of receiver.
type webhooksFigures struct {
	figures
	Events      int     `json:"events"`       // during the outage
	Webhooks    int     `json:"webhooks"`     // of all sorts
	OutageS     float64 `json:"outage_s"`     // an hour, as the API counts
	Lost        int     `json:"lost"`         // events that a receiver which came back was never told of
	Twice       int     `json:"twice"`        // that one was told of again; may happen, as receivers tell by the id
	Attempts    int     `json:"attempts"`     // in vain, during the outage
	Recovered   float64 `json:"recovered_s"`  // from the receivers' return to their last event
	Forged      int     `json:"forged"`       // deliveries whose signature was wrong
	SwitchedOff int     `json:"switched_off"` // webhooks whose receiver answered 410; one for each account
	Inside      int     `json:"inside"`       // connections to loopback, which nobody may make
	Kept        int     `json:"kept"`         // events for webhooks that lead inside, or away: not delivered, and not forgotten
	OpsCalm     float64 `json:"ops_calm_ms"`  // median from asked to ended, without an outage
	OpsOutage   float64 `json:"ops_outage_ms"`
}

// Run measures and prints.
func (cmd *benchWebhooksCmd) Run(ctx context.Context, a *app) (err error) {
	if cmd.Accounts < 1 || cmd.Events < 4*cmd.Accounts || cmd.Events > 150*cmd.Accounts || cmd.Hour < 10*time.Second {
		return usage("--accounts must be at least 1, --events 4 to 150 for each of them, and --hour at least 10s")
	}
	s, err := openHookStage(ctx, cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	f := webhooksFigures{Events: cmd.Events, OutageS: figure(cmd.Hour.Seconds())}
	if err := s.hook(ctx, hookAnswers); err != nil {
		return err
	}
	calm, err := s.phase(ctx, cmd.Events/2, cmd.Hour/2)
	if err != nil {
		return err
	}
	if err := s.hook(ctx, hookDown, hookHangs, hookGone, hookLeadsAway, hookLeadsInside); err != nil {
		return err
	}
	s.away.Store(true)
	outage, err := s.phase(ctx, cmd.Events, cmd.Hour)
	if err != nil {
		return err
	}
	f.Attempts = s.failed()
	s.comeBack()
	back := time.Now()
	if f.Lost, err = s.missing(ctx, 3*cmd.Hour+time.Minute); err != nil {
		return err
	}
	f.Recovered = figure(time.Since(back).Seconds())
	if err := s.judge(ctx, &f); err != nil {
		return err
	}
	f.OpsCalm, f.OpsOutage = figure(quantile(calm.ops, .5)), figure(quantile(outage.ops, .5))
	value, baseline := quantile(outage.told, .5), quantile(calm.told, .5)
	f.figures = figures{
		Name: "bench.webhooks", Value: figure(value), Unit: "ms from an end to a receiver that answers, while others are down", Baseline: figure(baseline),
		BaselineName: "the same while none is down", Ratio: figure(baseline / value), Goal: webhooksGoal, N: len(outage.told),
		Spread: [2]float64{figure(quantile(outage.told, .1)), figure(quantile(outage.told, .9))},
	}
	f.Met = f.Ratio >= webhooksGoal && f.Lost+f.Forged+f.Inside == 0 && f.SwitchedOff == cmd.Accounts && f.Kept == 2*cmd.Events
	return a.measured(f, f.Met, "PHASE EVENTS TOLD-P50-MS TOLD-P90-MS OPS-P50-MS", [][]string{calm.row("calm"), outage.row("outage")})
}

// hookPhase is what was measured while some events came.
type hookPhase struct{ told, ops []float64 } // ms

func (p hookPhase) row(name string) []string {
	return []string{name, fmt.Sprint(len(p.ops)), digits(quantile(p.told, .5), 0), digits(quantile(p.told, .9), 0), digits(quantile(p.ops, .5), 0)}
}
