package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// dueBatch is how many schedules one look fires.
const dueBatch = 100

// fireDue makes an operation of every schedule whose time has come.
func (c *Conductor) fireDue(ctx context.Context) error {
	until := strconv.FormatInt(c.now().UnixMilli(), 10)
	due, err := c.rdb.ZRangeByScoreWithScores(ctx, c.names.due(), &redis.ZRangeBy{Min: "-inf", Max: until, Count: dueBatch}).Result()
	if err != nil {
		return fmt.Errorf("reading schedules that are due: %w", err)
	}
	var errs []error
	for _, entry := range due {
		id, _ := entry.Member.(string)
		if err := c.fire(ctx, id, time.UnixMilli(int64(entry.Score)).UTC()); err != nil { // the others go on
			errs = append(errs, fmt.Errorf("firing schedule %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// fire makes the operation first and moves the schedule on second. Whoever repeats it after a
// crash in between makes the same operation, as its id follows from the schedule and the time.
func (c *Conductor) fire(ctx context.Context, id string, at time.Time) error {
	s, err := c.Schedule(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return c.rdb.ZRem(ctx, c.names.due(), id).Err()
	}
	if err != nil {
		return err
	}
	result, op, err := c.firing(ctx, s, at)
	if err != nil {
		if Unavailable(err) || ctx.Err() != nil {
			return err // the next look tries again
		}
		c.log.Error("schedule cannot be carried out", "schedule", id, "kind", s.Kind, "err", err)
		result = FiringFailed
	}
	after := c.now()
	if at.After(after) { // the clock was set back meanwhile
		after = at
	}
	next, err := s.Schedule.Next(after)
	if err != nil {
		c.log.Error("schedule has no next time", "schedule", id, "err", err)
	}
	due := int64(0)
	if !next.IsZero() {
		due = next.UnixMilli()
	}
	moved, err := scheduleFiredScript.Run(ctx, c.rdb, []string{c.names.schedule(id), c.names.due()},
		id, at.UnixMilli(), due, string(result), op).Int()
	if err != nil {
		return fmt.Errorf("moving schedule on: %w", err)
	}
	if moved == 1 {
		c.metrics.ScheduleDue(result)
		c.log.Info("schedule was due", "schedule", id, "kind", s.Kind, "result", string(result), "op", op)
	}
	return nil
}

// firing makes the operation of one time, or says why there is none.
func (c *Conductor) firing(ctx context.Context, s ScheduleState, at time.Time) (Firing, string, error) {
	if err := c.VerifySchedule(s); err != nil {
		return FiringFailed, "", err
	}
	if at = madeUp(s, at, c.now()); at.IsZero() {
		return FiringMissed, "", nil
	}
	op := tasks.Op{Kind: s.Kind, Payload: s.Payload, KeyID: s.KeyID, RequestID: s.ID, Class: tasks.Bulk}
	op.ID = tasks.DerivedOpID(at, "", s.ID, at.Format(time.RFC3339))
	if made, err := c.running(ctx, s, op.ID); err != nil || made != "" {
		return made, "", err
	}
	sites, err := c.present(ctx, s)
	if err != nil {
		return FiringFailed, "", err
	}
	if len(sites) == 0 {
		return FiringEmpty, "", nil
	}
	refs := make([]tasks.SiteRef, len(sites))
	for i, site := range sites {
		refs[i] = site.SiteRef
	}
	plan := s.Plan
	plan.Base = at
	if plan.Waves, err = WavesOf(len(refs), 0, s.Waves); err != nil {
		return FiringFailed, "", err
	}
	op.Site.Account = s.Account
	receipt, err := c.SubmitRollout(ctx, RolloutSubmission{Op: op, Sites: refs, Plan: plan, Retention: c.retention})
	return Fired, receipt.Op.ID, err
}

// madeUp is the time that is made up for when a schedule was due at one that nobody saw: that
// one within the grace, else the first one that is still within it, else none.
func madeUp(s ScheduleState, at, now time.Time) time.Time {
	if now.Sub(at) <= DefaultGrace {
		return at
	}
	if later, err := s.Schedule.Next(now.Add(-DefaultGrace)); err == nil && !later.After(now) {
		return later
	}
	return time.Time{}
}

// present is what a schedule is for, without named installs that are gone since.
func (c *Conductor) present(ctx context.Context, s ScheduleState) ([]Site, error) {
	sites, err := c.Select(ctx, s.Account, s.Target)
	var gone *UnknownSitesError
	if !errors.As(err, &gone) {
		return sites, err
	}
	c.log.Warn("schedule names sites that are gone", "schedule", s.ID, "count", len(gone.IDs))
	left := slices.DeleteFunc(slices.Clone(s.Target.IDs), func(id string) bool { return slices.Contains(gone.IDs, id) })
	return c.Select(ctx, s.Account, Targets{IDs: left})
}

// running answers FiringOverlap while the operation that the schedule made before goes on.
func (c *Conductor) running(ctx context.Context, s ScheduleState, id string) (Firing, error) {
	if s.OpID == "" || s.OpID == id {
		return "", nil
	}
	before, err := c.Get(ctx, s.OpID)
	switch {
	case errors.Is(err, ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	case before.State.Final():
		return "", nil
	}
	return FiringOverlap, nil
}
