package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// chaosCmd breaks things on purpose and looks whether the promises hold. All parts are
// real; every proof ends in one line of figures.
type chaosCmd struct {
	Install chaosInstallCmd `cmd:"" help:"kill -9 the worker in the middle of real installs."`
	Run     chaosRunCmd     `cmd:"" default:"withargs" help:"Scenarios by name: faults under load on real processes, and a history that is held to the promises."`

	StockWorker stockWorkerCmd `cmd:"" hidden:"" help:"Stock asynq, for chaos redelivery."`
}

type chaosInstallCmd struct {
	Rounds int    `help:"Installs that are disturbed." default:"10" env:"-"`
	Seed   uint64 `help:"Of the instants of the kills; 0 takes a new one, which is printed." env:"-"`
	Keep   bool   `help:"Keep logs, journal and history also when all is well." env:"-"`
}

// chaosFigures is the last line of a proof.
type chaosFigures struct {
	Name       string       `json:"name"`
	Cases      int          `json:"cases"`
	Held       int          `json:"held"`
	Lost       int          `json:"lost"`       // installs that did not succeed
	Duplicated int          `json:"duplicated"` // installs with a second database, user or directory
	Kills      int          `json:"kills"`
	Resume     resumeMillis `json:"resume_ms"` // from the start of the next worker to the op's next change
	Met        bool         `json:"met"`
	Seed       uint64       `json:"seed"`
	Artefacts  string       `json:"artefacts,omitempty"`
}

type resumeMillis struct {
	P50 float64 `json:"p50"`
	Max float64 `json:"max"`
}

// resumeGoal is how soon after its start a worker must have taken up what the killed one left.
const resumeGoal = 2 * time.Second

// chaosPatience bounds one install, kills and restarts included.
const chaosPatience = 3 * time.Minute

// chaos is one run: the demo's servers, API and tenants, but a worker that can be killed.
type chaos struct {
	*demo
	dice    *rand.Rand
	history *history
	victim  *victim
	worker  workerArgs
	length  time.Duration // of an undisturbed install
}

// Run disturbs installs until enough of them were hit, and judges what came out.
func (cmd *chaosInstallCmd) Run(ctx context.Context, a *app) (err error) {
	if cmd.Rounds < 1 {
		return usage("--rounds must be at least 1")
	}
	if cmd.Seed == 0 {
		cmd.Seed = uint64(rand.Uint32()) + 1
	}
	c := &chaos{demo: &demo{app: a, findings: newFindings(a), root: os.Geteuid() == 0}, dice: rand.New(rand.NewPCG(cmd.Seed, 0))}
	if c.history, err = newHistory(); err != nil {
		return err
	}
	if c.state, err = newRunState(ctx, a.log); err != nil {
		return errors.Join(err, c.history.remove())
	}
	c.stack = newStack(c.state)
	c.narrate("seed %d", cmd.Seed)
	rounds, failure := c.rounds(ctx, cmd.Rounds)
	f := judge(cmd, rounds, failure == nil && c.allHeld())
	if cmd.Keep || !f.Met {
		f.Artefacts = c.history.dir
		failure = errors.Join(failure, c.keepArtefacts())
	}
	failure = errors.Join(failure, c.takeDown())
	f.Met = f.Met && failure == nil && c.allHeld()
	if f.Artefacts == "" {
		failure = errors.Join(failure, c.history.remove())
	} else {
		c.narrate("logs, journal and history.jsonl are kept in %s", f.Artefacts)
	}
	return errors.Join(a.measured(f, f.Met, "ROUND KILLED-AT RESUMED ENDED VERDICT", rows(rounds)), failure)
}

// narrate tells people what happens, beside the JSON when there is any.
func (c *chaos) narrate(format string, args ...any) {
	if c.json {
		say(c.demo.err, format, args...)
		return
	}
	say(c.out, format, args...)
}

// judge counts. Rounds in which the install was over before the kill are held to the
// same promises, but are not cases.
func judge(cmd *chaosInstallCmd, rounds []*round, whole bool) chaosFigures {
	f := chaosFigures{Name: "chaos.install", Seed: cmd.Seed}
	var resumes []float64
	wrong := false
	for _, r := range rounds {
		if r.lost {
			f.Lost++
		}
		if r.duplicated {
			f.Duplicated++
		}
		if len(r.kills) > 0 {
			f.Cases++
			f.Kills += len(r.kills)
			if len(r.broken) == 0 {
				f.Held++
			}
		}
		wrong = wrong || len(r.broken) > 0
		for _, k := range r.kills {
			resumes = append(resumes, milliseconds(k.resumed))
		}
	}
	f.Resume = resumeMillis{figure(quantile(resumes, .5)), figure(quantile(resumes, 1))}
	f.Met = whole && !wrong && f.Held == f.Cases && f.Cases == cmd.Rounds
	return f
}

func rows(rounds []*round) (rows [][]string) {
	for _, r := range rounds {
		var killed, resumed []string
		for _, k := range r.kills {
			killed = append(killed, fmt.Sprintf("%s(%s)", seconds(k.after), k.step))
			resumed = append(resumed, seconds(k.resumed))
		}
		verdict := "held"
		if len(r.broken) > 0 {
			verdict = clean(strings.Join(r.broken, "; "))
		}
		rows = append(rows, []string{strconv.Itoa(r.number), orDash(strings.Join(killed, ",")), orDash(strings.Join(resumed, ",")),
			fmt.Sprintf("%s(%s)", seconds(r.took), r.last.Status), verdict})
	}
	return rows
}

func seconds(d time.Duration) string { return digits(d.Seconds(), 2) + "s" }
