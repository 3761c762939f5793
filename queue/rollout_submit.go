package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

var (
	rolloutSubmitScript = lua("rollout_submit")
	rolloutWriteScript  = lua("rollout_write")
	rolloutFlagScript   = lua("rollout_flag")
)

// RolloutSubmission is one task for many installs. Of Op, these fields count: ID (NewRolloutID,
// or made likewise), Kind, Payload (without secrets, as all nodes get the same), KeyID, RequestID
// and Site.Account, whose op it is; "" is the operator's.
type RolloutSubmission struct {
	Op        tasks.Op
	Sites     []tasks.SiteRef // in the order in which they are taken; each once
	Plan      RolloutPlan
	Retention time.Duration
}

// NewRolloutID makes the id of a new rollout.
func NewRolloutID() string { return tasks.NewOpID("") }

// rolloutFields are those of the op's hash that only a rollout has.
type rolloutFields struct {
	Plan  RolloutPlan `json:"plan"`
	Total int         `json:"total"`
}

// SubmitRollout accepts a rollout; the leading API process carries it out. Like Submit it may be
// repeated with the same id: what was accepted first stays.
func (c *Client) SubmitRollout(ctx context.Context, sub RolloutSubmission) (Receipt, error) {
	op := sub.Op
	op.Class, op.Site = tasks.Bulk, tasks.SiteRef{Account: op.Site.Account}
	args, err := c.rolloutArgs(op, sub)
	if err != nil {
		return Receipt{}, err
	}
	n := c.names
	keys := []string{n.op(op.ID), n.events(op.ID), n.targets(op.ID), n.states(op.ID), n.openRollouts(), n.feed(shardOf(op.ID))}
	created, err := c.accept(ctx, rolloutSubmitScript, keys, args...)
	if err != nil {
		return Receipt{}, fmt.Errorf("recording rollout: %w", err)
	}
	if err := c.indexRollout(ctx, op); err != nil {
		c.survived("publish", "leaving a rollout's place in the index to the leader", err, "op", op.ID)
	}
	got, err := c.Get(ctx, op.ID)
	return Receipt{Op: got, Created: created == int64(1)}, err
}

func (c *Client) rolloutArgs(op tasks.Op, sub RolloutSubmission) ([]any, error) {
	if shard, ok := tasks.Shard(op.ID); !ok || shard != tasks.NodeShard("") {
		return nil, fmt.Errorf("submitting rollout: %q is no id of a rollout", op.ID)
	}
	if len(sub.Sites) == 0 || len(sub.Sites) > MaxChildren || op.Kind == "" {
		return nil, fmt.Errorf("submitting rollout: %d sites", len(sub.Sites))
	}
	if sub.Retention <= 0 {
		sub.Retention = DefaultRetention
	}
	plan, err := json.Marshal(rolloutFields{sub.Plan, len(sub.Sites)})
	if err != nil {
		return nil, fmt.Errorf("encoding rollout: %w", err)
	}
	counts := Counts{Total: len(sub.Sites), Queued: len(sub.Sites), Waves: len(sub.Plan.Waves)}
	op.Signature = c.sign(signedRollout, rolloutParts(op, string(plan), sub.Sites)...)
	fields := append(recordFields(op, sub.Retention), "plan", plan, "result", counts.json())
	states := make([]byte, len(sub.Sites))
	args := append([]any{op.ID, states, c.names.changes(), len(fields)}, fields...)
	seen := make(map[string]bool, len(sub.Sites))
	for i, site := range sub.Sites {
		if seen[site.ID] || !tasks.IsSiteID(site.ID) {
			return nil, errors.New("submitting rollout: a site is in it twice, or is none")
		}
		states[i], seen[site.ID] = byte(childWaiting), true
		text, err := json.Marshal(site)
		if err != nil {
			return nil, fmt.Errorf("encoding site of rollout: %w", err)
		}
		args = append(args, text)
	}
	return args, nil
}

// indexRollout puts a rollout into the lists of ops. Repeating it changes nothing.
func (c *Client) indexRollout(ctx context.Context, op tasks.Op) error {
	_, err := c.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		member := redis.Z{Member: op.ID}
		pipe.ZAdd(ctx, c.names.allOps(), member)
		if op.Site.Account != "" {
			pipe.ZAdd(ctx, c.names.accountOps(op.Site.Account), member)
			pipe.SAdd(ctx, c.names.opAccounts(), op.Site.Account)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("indexing rollout: %w", err)
	}
	return nil
}

// RolloutPlan reads how a rollout goes on. Errors: ErrNotFound, ErrNoRollout.
func (c *Client) RolloutPlan(ctx context.Context, id string) (RolloutPlan, error) {
	if _, ok := tasks.Shard(id); !ok {
		return RolloutPlan{}, ErrNotFound
	}
	text, err := c.rdb.HGet(ctx, c.names.op(id), "plan").Result()
	if errors.Is(err, redis.Nil) {
		return RolloutPlan{}, ErrNoRollout
	}
	if err != nil {
		return RolloutPlan{}, fmt.Errorf("reading plan of rollout: %w", err)
	}
	var fields rolloutFields
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return RolloutPlan{}, fmt.Errorf("decoding plan of rollout: %w", err)
	}
	return fields.Plan, nil
}

// ErrEnded answers a pause, or its end, of a rollout that has ended.
var ErrEnded = errors.New("operation has ended")

// ErrNoRollout says that an op is about one install only.
var ErrNoRollout = errors.New("operation is no rollout")

// PauseRollout lets nothing more of a rollout begin, or lets it go on; what runs is finished.
// Errors: ErrNotFound, ErrNoRollout, ErrEnded.
func (c *Client) PauseRollout(ctx context.Context, id string, paused bool) (tasks.Op, error) {
	message := "Going on"
	if paused {
		message = "Paused"
	}
	return c.flagRollout(ctx, id, "paused", paused, message)
}

// cancelRollout ends what waits of a rollout and asks what runs to stop and undo.
func (c *Client) cancelRollout(ctx context.Context, id string) (tasks.Op, error) {
	op, err := c.flagRollout(ctx, id, "cancel", true, "Cancelling")
	if errors.Is(err, ErrEnded) {
		return c.Get(ctx, id)
	}
	return op, err
}

func (c *Client) flagRollout(ctx context.Context, id, field string, value bool, message string) (tasks.Op, error) {
	op, err := c.Get(ctx, id)
	if err != nil {
		return tasks.Op{}, err
	}
	if !op.Rollout() {
		return op, ErrNoRollout
	}
	keys := []string{c.names.op(op.ID), c.names.events(op.ID), c.names.feed(shardOf(op.ID))}
	code, err := rolloutFlagScript.Run(ctx, c.rdb, keys, op.ID, c.names.changes(), field, bit(value), message).Int()
	switch {
	case err != nil:
		return tasks.Op{}, fmt.Errorf("changing rollout: %w", err)
	case code == 0:
		return op, ErrEnded
	case code < 0:
		return tasks.Op{}, ErrNotFound
	}
	return c.Get(ctx, op.ID)
}
