package main

import (
	"context"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// fleet is what an op knows of the rest of the fleet (tasks.Ops, tasks.Catalog). What it needs
// of another node goes through an API.
type fleet struct {
	*queue.Client
	op tasks.Op
}

// Ensure has the op's errand run. Which op that is, follows from this one.
func (f fleet) Ensure(ctx context.Context, want tasks.Op) (tasks.Op, error) {
	e, err := f.Errand(ctx, f.op.ID)
	if err != nil || e.Op.ID == want.ID {
		return e.Op, err
	}
	want.State = tasks.Queued // not answered yet
	return want, nil
}

// Cancel calls the errand off.
func (f fleet) Cancel(ctx context.Context, id string) (tasks.Op, error) {
	return tasks.Op{ID: id}, f.EndErrand(ctx, f.op.ID)
}

// Backup reads a record of this node's, or the one that an errand has made.
func (f fleet) Backup(ctx context.Context, id string) (tasks.Backup, error) {
	if e, err := f.ReadErrand(ctx, f.op.ID); err != nil || e.Backup.ID == id {
		return e.Backup, err
	}
	return f.Client.Backup(ctx, id)
}

// RemoveBackup takes a backup off the list; one of another node by ending the errand.
func (f fleet) RemoveBackup(ctx context.Context, b tasks.Backup) error {
	if b.Site.Node != f.op.Site.Node {
		return f.EndErrand(ctx, f.op.ID)
	}
	return f.Client.RemoveBackup(ctx, b)
}
