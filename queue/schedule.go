package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

var (
	schedulePutScript   = lua("schedule_put")
	scheduleFiredScript = lua("schedule_fired")
)

const (
	// MaxSchedules is how many an account may have; the operator's count as one account's.
	MaxSchedules = 200
	// DefaultGrace is for how long a time that passed unseen is made up for.
	DefaultGrace = time.Hour
)

// ErrManySchedules says that an account has as many schedules as it may have.
var ErrManySchedules = errors.New("too many schedules")

// ErrBadSchedule wraps what is wrong with an expression or a time zone, for people.
var ErrBadSchedule = errors.New("malformed schedule")

// Schedule asks for a task again and again.
type Schedule struct {
	ID      string          `json:"id"` // sc_…
	Name    string          `json:"name"`
	Account string          `json:"account"` // whose installs it may touch; "" is all, the operator's
	KeyID   string          `json:"key"`     // who made it
	Kind    string          `json:"kind"`
	Payload json.RawMessage `json:"payload"`
	Target  Targets         `json:"target"`
	Cron    string          `json:"cron"`
	TZ      string          `json:"tz,omitempty"`
	Plan    RolloutPlan     `json:"plan"` // Waves and Base are decided when it fires
	Waves   []Share         `json:"waves,omitempty"`
	Enabled bool            `json:"enabled"`
	Created time.Time       `json:"created"`
}

// ScheduleState is a schedule with what has come of it.
type ScheduleState struct {
	Schedule
	Next   time.Time // zero when it is off
	Last   time.Time // the last time that was due
	Result Firing    // what came of that
	OpID   string    // the newest op that it made
	Fired  int64     // how often it made one
	Missed int64     // how often it did not

	record, signature string // Schedule as it stands in Redis
}

// Firing is what came of a time at which a schedule was due.
type Firing string

// What can come of it.
const (
	Fired         Firing = "fired"
	FiringMissed  Firing = "missed"  // no API was up, for longer than the grace
	FiringOverlap Firing = "overlap" // the operation before it has not ended
	FiringEmpty   Firing = "empty"   // its target has no install now
	FiringFailed  Firing = "failed"  // it is not possible any more
)

var firingResults = []Firing{Fired, FiringMissed, FiringOverlap, FiringEmpty, FiringFailed}

// Next is the first time after another one at which the schedule is due.
func (s Schedule) Next(after time.Time) (time.Time, error) {
	c, err := parseCron(s.Cron, s.TZ)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", ErrBadSchedule, err)
	}
	return c.next(after), nil
}

// CronProblems says what is wrong with an expression and a time zone.
func CronProblems(expression, tz string) []tasks.Problem {
	if _, err := zone(tz); err != nil {
		return []tasks.Problem{{Field: "tz", Reason: err.Error()}}
	}
	if _, err := parseCron(expression, tz); err != nil {
		return []tasks.Problem{{Field: "cron", Reason: err.Error()}}
	}
	return nil
}

// NewScheduleID makes the id of a new schedule; with the id of a reserved op, it follows from it.
func NewScheduleID(reserved string) string {
	if reserved == "" {
		reserved = uuid.NewString()
	}
	return "sc_" + uuid.NewSHA1(uuid.NameSpaceOID, []byte(reserved)).String()
}

// CreateSchedule keeps a new schedule; one with the same id that was there stays.
// Errors: ErrManySchedules, ErrBadSchedule.
func (c *Client) CreateSchedule(ctx context.Context, s Schedule, now time.Time) (ScheduleState, error) {
	return c.putSchedule(ctx, s, now, true)
}

// ChangeSchedule replaces a schedule. Its next time is counted from now.
// Errors: ErrNotFound, ErrBadSchedule.
func (c *Client) ChangeSchedule(ctx context.Context, s Schedule, now time.Time) (ScheduleState, error) {
	return c.putSchedule(ctx, s, now, false)
}

func (c *Client) putSchedule(ctx context.Context, s Schedule, now time.Time, created bool) (ScheduleState, error) {
	next, err := s.Next(now)
	if err != nil {
		return ScheduleState{}, err
	}
	due := int64(0)
	if s.Enabled {
		due = next.UnixMilli()
	}
	text, err := json.Marshal(s)
	if err != nil {
		return ScheduleState{}, fmt.Errorf("encoding schedule: %w", err)
	}
	n := c.names
	keys := []string{n.schedule(s.ID), n.schedules(), n.accountSchedules(s.Account), n.due()}
	code, err := schedulePutScript.Run(ctx, c.rdb, keys, s.ID, text, due, bit(created), MaxSchedules, s.Account,
		c.sign(signedSchedule, s.ID, string(text))).Int()
	switch {
	case err != nil:
		return ScheduleState{}, fmt.Errorf("writing schedule: %w", err)
	case code == 0:
		return ScheduleState{}, ErrNotFound
	case code == -1:
		return ScheduleState{}, ErrManySchedules
	}
	return c.Schedule(ctx, s.ID)
}

// Schedule reads one schedule; ErrNotFound.
func (c *Client) Schedule(ctx context.Context, id string) (ScheduleState, error) {
	all, err := c.readSchedules(ctx, []string{id})
	if err != nil {
		return ScheduleState{}, err
	}
	if len(all) == 0 {
		return ScheduleState{}, ErrNotFound
	}
	return all[0], nil
}

// Schedules lists the schedules of an account, or all of them with "", by the time they are due.
func (c *Client) Schedules(ctx context.Context, account string) ([]ScheduleState, error) {
	index := c.names.schedules()
	if account != "" {
		index = c.names.accountSchedules(account)
	}
	ids, err := c.rdb.ZRange(ctx, index, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("listing schedules: %w", err)
	}
	all, err := c.readSchedules(ctx, ids)
	slices.SortStableFunc(all, func(a, b ScheduleState) int { return a.Created.Compare(b.Created) })
	return all, err
}

// VerifySchedule tells whether a schedule, as it was read, is one that a trusted API has made.
func (c *Client) VerifySchedule(s ScheduleState) error {
	_, err := c.verify(signedSchedule, s.signature, s.ID, s.record)
	return c.disbelieved(signedSchedule, err)
}

// DeleteSchedule forgets a schedule; what it has made goes on.
func (c *Client) DeleteSchedule(ctx context.Context, s Schedule) error {
	n := c.names
	_, err := c.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Del(ctx, n.schedule(s.ID))
		for _, index := range []string{n.schedules(), n.accountSchedules(s.Account), n.due()} {
			pipe.ZRem(ctx, index, s.ID)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting schedule: %w", err)
	}
	return nil
}

func (c *Client) readSchedules(ctx context.Context, ids []string) ([]ScheduleState, error) {
	pipe := c.rdb.Pipeline()
	hashes, due := make([]*redis.MapStringStringCmd, len(ids)), make([]*redis.FloatCmd, len(ids))
	for i, id := range ids {
		hashes[i] = pipe.HGetAll(ctx, c.names.schedule(id))
		due[i] = pipe.ZScore(ctx, c.names.due(), id)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading schedules: %w", err)
	}
	all := make([]ScheduleState, 0, len(ids))
	for i := range ids {
		h := hashes[i].Val()
		if h["def"] == "" {
			continue
		}
		s := ScheduleState{record: h["def"], signature: h["sig"], Result: Firing(h["result"]), OpID: h["op"], Fired: parseInt(h["n_"+string(Fired)])}
		if err := json.Unmarshal([]byte(h["def"]), &s.Schedule); err != nil {
			return nil, fmt.Errorf("decoding schedule: %w", err)
		}
		for _, result := range firingResults[1:] {
			s.Missed += parseInt(h["n_"+string(result)])
		}
		if ms := parseInt(h["last"]); ms > 0 {
			s.Last = time.UnixMilli(ms).UTC()
		}
		if ms := int64(due[i].Val()); ms > 0 {
			s.Next = time.UnixMilli(ms).UTC()
		}
		all = append(all, s)
	}
	return all, nil
}
