package tasks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/wispanel/wptk/wp"
)

const keyExchanged = "exchanged" // wp.Exchanged as JSON

func (c *restorer) staysOpen(context.Context) (bool, error) {
	p, err := c.planned()
	return err == nil && !c.apart(p), err
}

// closer is the maintenance mode of the time in which a visitor could see, or change, a part
// of both states.
func (c *restorer) closer() *closer {
	return &closer{Run: c.Run, ask: &Maintenance{Enabled: true, Minutes: int(restoreSpec.Deadline.Minutes()), Force: true}}
}

func (c *restorer) closeSite(ctx context.Context) error { return c.closer().change(ctx) }

func (c *restorer) openSite(ctx context.Context) error {
	if errors.Is(c.Missing, wp.ErrNoDomain) {
		return nil
	}
	return c.closer().restore(ctx)
}

// check looks at the saved state before anybody sees it.
func (c *restorer) check(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	u, err := c.haul()
	if err != nil {
		return err
	}
	if p.Database {
		login, err := c.fresh(ctx, site)
		if err != nil {
			return err
		}
		if err := c.checkTables(ctx, site, login, u); err != nil {
			return err
		}
		if !c.whole(p) {
			return c.checkOptions(ctx, site, login)
		}
	}
	if !c.whole(p) {
		return nil
	}
	staged, err := site.Staged(c.stage())
	if err != nil {
		return err
	}
	switch health, err := c.Host.ProbeStaged(ctx, staged); {
	case err != nil:
		return err
	case !health.Up:
		return savedBad(errors.New(health.Reason), "The saved state does not come up: "+health.Reason+".")
	}
	return nil
}

// checkTables counts what the server has, after what the backup says.
func (c *restorer) checkTables(ctx context.Context, site wp.Site, login wp.Login, u unpackedBackup) error {
	have, err := c.Host.TableCounts(ctx, site, login)
	if err != nil {
		return err
	}
	for table, rows := range u.Rows {
		if got, ok := have[table]; !ok || got != rows {
			return savedBad(fmt.Errorf("table %s has %d rows, not %d", table, got, rows), "The restored tables are not those of the backup.")
		}
	}
	return nil
}

// checkOptions asks the restored tables whether a WordPress is installed in them.
func (c *restorer) checkOptions(ctx context.Context, site wp.Site, login wp.Login) error {
	found, err := c.Host.Files.Look(ctx, site)
	if err != nil {
		return lookError(err)
	}
	found.Config.DBName = login.Name
	facts, err := wp.Inspect(ctx, c.Host, found)
	if err != nil {
		return err
	}
	if f := facts[0]; f.Status == wp.StatusBroken {
		return savedBad(errors.New(f.Reason), "There is no WordPress in the restored tables: "+f.Reason+".")
	}
	return nil
}

func savedBad(err error, message string) error {
	return Permanent(err, Failure{Code: CodeVerifyFailed, Message: message,
		Hint: "The site stays as it was, and nobody has seen anything else. Choose another backup; POST /wordpress/backups/{id}/verify tells whether one is whole."})
}

// change is the switch. Where it takes more than one rename the site is closed until all are
// done.
func (c *restorer) change(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	if p.Files {
		if err := c.exchange(ctx, site); err != nil {
			return err
		}
	}
	if p.Database && !c.whole(p) {
		if _, err := c.Host.Files.PointConfig(ctx, site, c.Get(keySchema)); err != nil {
			return configError(err)
		}
	}
	c.flush(ctx, site)
	if c.apart(p) {
		return c.openSite(ctx)
	}
	return nil
}

func (c *restorer) exchange(ctx context.Context, site wp.Site) error {
	exchange := c.Host.Files.ExchangeDocroot
	if len(c.ask.Paths) > 0 {
		exchange = func(ctx context.Context, site wp.Site, stage string) (wp.Exchanged, error) {
			return c.Host.Files.ExchangePaths(ctx, site, stage, c.ask.Paths)
		}
	}
	done, err := exchange(ctx, site, c.stage())
	switch {
	case errors.Is(err, fs.ErrExist):
		return Permanent(err, Failure{Code: CodeConflict, Message: "Somebody is changing the site's directories right now, or one of them is a link.",
			Hint: "Try again when nobody else is at it."})
	case errors.Is(err, fs.ErrInvalid):
		return Permanent(err, Failure{Code: CodeConflict, Message: "One of the paths leads over a link, or into another install.",
			Hint: "Name the place itself, or restore the other install."})
	case err != nil:
		return err
	}
	b, err := json.Marshal(done)
	if err != nil {
		return err
	}
	return c.Set(keyExchanged, string(b))
}

// changeBack is the switch back, without PHP.
func (c *restorer) changeBack(ctx context.Context) error {
	if errors.Is(c.Missing, wp.ErrNoDomain) {
		return nil
	}
	site, p, err := c.site()
	if err != nil {
		return err
	}
	if c.apart(p) {
		if err := c.closeSite(ctx); err != nil {
			return err
		}
	}
	if p.Database && !c.whole(p) {
		if _, err := c.Host.Files.PointConfig(ctx, site, p.Schema); err != nil {
			return err
		}
	}
	if p.Files {
		if err := c.Host.Files.ExchangeBack(ctx, site, c.stage()); err != nil {
			return err
		}
	}
	c.flush(ctx, site) // the marker goes with the step that has set it
	return nil
}

// flush has the site forget what it keeps of the other state. Without it pages may be old for
// a while, which is no reason to fail.
func (c *restorer) flush(ctx context.Context, site wp.Site) {
	if c.Host.ObjectCache != nil {
		if err := c.Host.ObjectCache.Flush(ctx, c.Op.Site.ID); err != nil {
			c.logf("The object cache could not be emptied: pages may be old until it is.")
		}
	}
	owner, name, err := c.Host.Files.DropIn(ctx, site, path.Join(site.Docroot, objectCache))
	if err != nil || owner != wp.DropInForeign {
		return
	}
	if state, err := c.Host.CLI.FlushCache(ctx, site); err != nil || !state.Flushed {
		c.logf("The object cache of %s could not be emptied: pages may be old until it is.", name)
	}
}

// verify looks at the site as it is now.
func (c *restorer) verify(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	addressed, err := c.Host.Addressed(ctx, site) // the saved state may have another
	if err != nil {
		return lookError(err)
	}
	if addressed.URL == "" {
		addressed = site
	}
	sight, err := c.Host.See(ctx, addressed, nil, "")
	if err != nil {
		return err
	}
	if reason := sight.Broken(); reason != "" {
		return c.siteBad(p, reason)
	}
	return nil
}

func (c *restorer) siteBad(p restorePlan, reason string) error {
	f := Failure{Code: CodeSiteBroken, Message: "With the saved state the site does not work: " + strings.TrimSuffix(reason, ".") + ".",
		Hint: "The state before is back in place. Choose another backup, or restore only parts of this one."}
	if !p.Up {
		f.Hint = "The state before is back in place; that one did not come up either. Choose another backup."
	}
	return Permanent(errors.New(reason), f)
}

// finish gives up what was there before. From here on nothing is taken back.
func (c *restorer) finish(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	u, err := c.haul()
	if err != nil {
		return err
	}
	result := RestoreResult{
		Backup: p.Backup, Created: p.Created, Type: p.Type, Files: u.Files, Bytes: u.Bytes, Tables: u.Restored,
		Rewritten: u.Rewritten, SiteUp: true, UpBefore: p.Up, URL: p.URL, Checkpoint: c.checkpointed(),
	}
	for _, rows := range u.Rows {
		result.Rows += rows
	}
	if addressed, err := c.Host.Addressed(ctx, site); err == nil && addressed.URL != "" {
		result.URL = addressed.URL
	}
	if err := c.finishFiles(ctx, site, p, &result); err != nil {
		return err
	}
	if err := c.finishDatabase(ctx, site, p, &result); err != nil {
		return err
	}
	c.flush(ctx, site) // what requests from before the switch have put there since
	return c.SetResult(result)
}

func (c *restorer) finishFiles(ctx context.Context, site wp.Site, p restorePlan, result *RestoreResult) error {
	if !p.Files {
		return nil
	}
	var done wp.Exchanged
	if err := json.Unmarshal([]byte(c.Get(keyExchanged)), &done); err != nil {
		return fmt.Errorf("reading what was exchanged: %w", err)
	}
	result.Exchanged = &done
	if c.whole(p) && p.Ground.Above {
		if err := c.Host.Files.RaiseConfig(ctx, site); err != nil {
			return err
		}
	}
	err := c.Host.Files.DropExchanged(ctx, site, c.stage())
	if errors.Is(err, fs.ErrPermission) { // some are somebody else's; the site itself is fine
		c.logf("Not all old files could be removed; what is left is in %s.", c.stage())
		result.Leftover = c.stage()
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing old files: %w", err)
	}
	return nil
}

func (c *restorer) finishDatabase(ctx context.Context, site wp.Site, p restorePlan, result *RestoreResult) error {
	if !p.Database {
		return nil
	}
	login, err := c.Host.Login(ctx, site)
	if err != nil {
		return err
	}
	result.Database = c.Get(keySchema)
	if login.Name != result.Database { // a second restore by hand, meanwhile
		return fmt.Errorf("adopting database: the site uses %s, not %s", login.Name, result.Database)
	}
	if err := c.Host.AdoptSchema(ctx, c.Op.ID, result.Database); err != nil {
		return err
	}
	err = c.Host.LeaveDatabase(ctx, site, login.In(p.Schema), p.Part)
	if err != nil && !errors.Is(err, wp.ErrNotDropped) {
		return err
	}
	if err != nil || p.Part.Kept != "" {
		if exists, err := c.Host.DB.DatabaseExists(ctx, p.Schema); err != nil || !exists {
			return err
		}
		c.logf("The tables of before stay in %s: %s.", p.Schema, cmp.Or(p.Part.Kept, "the site's database user may not remove them"))
		result.OldTables = p.Schema
	}
	return nil
}
