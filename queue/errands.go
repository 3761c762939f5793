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

// An errand is what an op on one node needs done on another: a clone, the parcel that its
// original comes in (tasks.Parcel). A node may not write into another's part of Redis, and no
// node believes another's word. So it only says which op of its own is waiting; the leading
// API process looks at that op, which an API has signed, derives from it what to order, and
// copies the answer into the asking node's part.

func (n names) errands() string         { return n.prefix + "errands" }
func (n names) errand(id string) string { return n.shardPrefix("errand:", shardOf(id)) + id }

const (
	errandBatch = 50
	errandKept  = 24 * time.Hour
)

// Errand is how far an errand is.
type Errand struct {
	Op     tasks.Op     // on the other node: ID, State and Error; zero when there is no answer yet
	Backup tasks.Backup // what it made; zero until then
}

// errandAnswer is an Errand in Redis.
type errandAnswer struct {
	ID     string         `json:"id"`
	State  tasks.State    `json:"state"`
	Error  *tasks.Failure `json:"error,omitempty"`
	Backup *tasks.Backup  `json:"backup,omitempty"`
}

// Errand asks for the errand of an op, and answers what is known of it by now. It is asked again
// until the op of the errand is final.
func (c *Client) Errand(ctx context.Context, op string) (Errand, error) {
	e, err := c.ReadErrand(ctx, op)
	if err != nil || e.Op.State.Final() {
		return e, err
	}
	return e, c.rdb.SAdd(ctx, c.names.errands(), op).Err()
}

// EndErrand calls an errand off, and has what it made taken off the lists.
func (c *Client) EndErrand(ctx context.Context, op string) error {
	_, err := c.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, c.names.errand(op), "end", 1)
		pipe.Expire(ctx, c.names.errand(op), errandKept)
		return nil
	})
	if err == nil {
		err = c.rdb.SAdd(ctx, c.names.errands(), op).Err()
	}
	if err != nil {
		return fmt.Errorf("ending errand: %w", err)
	}
	return nil
}

// ReadErrand answers what is known of an errand, and asks for nothing.
func (c *Client) ReadErrand(ctx context.Context, op string) (e Errand, err error) {
	text, err := c.rdb.HGet(ctx, c.names.errand(op), "answer").Result()
	if errors.Is(err, redis.Nil) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("reading errand: %w", err)
	}
	var a errandAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return e, fmt.Errorf("decoding errand: %w", err)
	}
	e.Op = tasks.Op{ID: a.ID, State: a.State, Error: a.Error}
	if a.Backup != nil {
		e.Backup = *a.Backup
	}
	return e, nil
}

// runErrands does what nodes wait for. What is lost in a crash is asked for again.
func (c *Conductor) runErrands(ctx context.Context) error {
	ids, err := c.rdb.SPopN(ctx, c.names.errands(), errandBatch).Result()
	if err != nil {
		return fmt.Errorf("reading errands: %w", err)
	}
	var errs []error
	for _, id := range ids {
		if err := c.runErrand(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("running the errand of %.48q: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Conductor) runErrand(ctx context.Context, id string) error {
	clone, err := c.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := c.VerifyOp(clone); err != nil {
		return err
	}
	want, err := tasks.Parcel(clone)
	if err != nil {
		return err
	}
	ends, err := c.rdb.HExists(ctx, c.names.errand(id), "end").Result()
	if err != nil {
		return fmt.Errorf("reading errand: %w", err)
	}
	if ends || clone.State.Final() {
		return c.callOff(ctx, want)
	}
	receipt, err := c.Submit(ctx, Submission{Op: want})
	if err != nil {
		return err
	}
	return c.answerErrand(ctx, id, receipt.Op)
}

func (c *Conductor) answerErrand(ctx context.Context, id string, op tasks.Op) error {
	answer := errandAnswer{ID: op.ID, State: op.State, Error: op.Error}
	if op.State == tasks.Succeeded || op.State == tasks.Unverified {
		b, err := c.Backup(ctx, tasks.BackupID(op.ID))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil {
			answer.Backup = &b
		}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encoding errand: %w", err)
	}
	_, err = c.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, c.names.errand(id), "answer", text)
		pipe.Expire(ctx, c.names.errand(id), errandKept)
		return nil
	})
	if err != nil {
		return fmt.Errorf("answering errand: %w", err)
	}
	return nil
}

// callOff ends the other node's op, or forgets what it made: the asking node has it, or does
// not need it any more.
func (c *Conductor) callOff(ctx context.Context, op tasks.Op) error {
	_, err := c.Cancel(ctx, op.ID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return c.RemoveBackup(ctx, tasks.Backup{ID: tasks.BackupID(op.ID), Site: op.Site})
}
