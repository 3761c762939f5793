package tasks

import (
	"context"
	"errors"
	"time"
)

// checkpointLife is how long the backup of the state before a restore or push is kept.
const checkpointLife = 14 * 24 * time.Hour

// checkpoint backs up what the restore will change of the present. The result names it.
func (c *restorer) checkpoint(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	saved, err := c.save(ctx, site, saving{
		Type: p.Type, Reason: BackupCheckpoint, Label: "before the restore of " + p.Created.UTC().Format(time.DateOnly),
		KeepUntil: time.Now().UTC().Truncate(time.Second).Add(checkpointLife), Database: true, Expect: p.Bytes,
	})
	if err != nil {
		return checkpointError(ctx, err)
	}
	return c.list(ctx, saved)
}

// checkpointError adds how to do without.
func checkpointError(ctx context.Context, err error) error {
	if ctx.Err() != nil || !lasting(err) {
		return err
	}
	f := FailureOf(err)
	f.Message = "The present state could not be backed up first: " + f.Message
	f.Hint = "Nothing was changed. " + f.Hint + " Or send checkpoint=false to restore without a way back."
	return Permanent(err, f)
}

// dropCheckpoint: a restore that has changed nothing needs none.
func (c *restorer) dropCheckpoint(ctx context.Context) error {
	return errors.Join(c.unlist(ctx), c.unsave(ctx))
}

// checkpointed is the id of the backup of the state before, "" when none was made.
func (c *restorer) checkpointed() string {
	if c.Get(keyBackup) == "" {
		return ""
	}
	return BackupID(c.Op.ID)
}
