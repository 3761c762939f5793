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

// restorer is one restore at work.
type restorer struct {
	*Run
	ask  *Restore
	from liveSource // what is restored, when that is not in the store: nil

	saved []byte // the wp-config.php of the backup, once it was needed
}

// liveSource is an install in the place of a backup.
type liveSource interface {
	record(ctx context.Context) (Backup, error)
	open(ctx context.Context) (*wp.BackupReader, error)
	// keepOwn gives the fresh tables what is not to be brought along, and corrects rows.
	keepOwn(ctx context.Context, site wp.Site, present, fresh wp.Login, prefix string, rows map[string]int64) error
}

// restorePlan is what the op has found and decided, kept for every attempt. It has no secrets.
type restorePlan struct {
	Backup  string    `json:"backup"`
	Created time.Time `json:"created"`
	Type    string    `json:"type"` // of what is restored
	Bytes   int64     `json:"bytes"`
	Saved   int64     `json:"saved"` // regular files in the backup; 0 when the list does not know
	// SavedPrefix is the table prefix in the backup.
	SavedPrefix string `json:"saved_prefix,omitempty"`

	Files    bool `json:"files"`
	Database bool `json:"database"`
	Lost     bool `json:"lost,omitempty"` // the present has no wp-config.php; the backup's tells the database
	Up       bool `json:"up"`             // the present came up

	// Of the present: its address, tables and database.
	URL    string           `json:"url"`
	Schema string           `json:"schema"`
	Prefix string           `json:"prefix"`
	Share  wp.DatabaseShare `json:"share"`
	Part   wp.DatabasePart  `json:"part"` // what goes with it once the site has left it

	Ground wp.ExchangeGround `json:"ground"`
	Rows   map[string]int64  `json:"rows,omitempty"` // by table of the backup, as far as chosen
}

const keyRestorePlan = "restore_plan"

// Codes of failures that restores have of their own.
const (
	CodeNotInBackup    = "not_in_backup"
	CodeConfigComputed = "config_computed"
)

// whole: the docroot changes as a whole, and wp-config.php with it.
func (c *restorer) whole(p restorePlan) bool { return p.Files && len(c.ask.Paths) == 0 }

// apart: files and database do not change in the same rename, or others write to the tables
// that are kept while they are copied. Meanwhile the site is closed.
func (c *restorer) apart(p restorePlan) bool {
	return p.Database && (len(c.ask.Tables) > 0 || p.Files && !c.whole(p))
}

func (c *restorer) stage() string { return wp.StageName(c.Op.ID) }

func (c *restorer) planned() (restorePlan, error) {
	var p restorePlan
	if err := json.Unmarshal([]byte(c.Get(keyRestorePlan)), &p); err != nil {
		return restorePlan{}, fmt.Errorf("reading plan: %w", err)
	}
	return p, nil
}

// site is the install under the address that it had, with the plan.
func (c *restorer) site() (wp.Site, restorePlan, error) {
	site, err := c.existing()
	if err != nil {
		return wp.Site{}, restorePlan{}, err
	}
	p, err := c.planned()
	if err != nil {
		return wp.Site{}, restorePlan{}, err
	}
	site, err = site.WithURL(p.URL)
	return site, p, err
}

func (c *restorer) plan(ctx context.Context) error {
	if found := c.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...)
	}
	_, err := c.Recall(keyRestorePlan, func() (string, error) {
		p, err := c.look(ctx)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(p)
		return string(b), err
	})
	if err != nil || !c.ask.DryRun {
		return err
	}
	p, err := c.planned()
	if err != nil {
		return err
	}
	would := RestoreWould{Files: p.Files, Database: p.Database, Nested: p.Ground.Nested, Rows: p.Rows, OneStep: !c.apart(p)}
	if c.whole(p) && (len(p.Ground.Nested) > 0 || c.Site.Path == "") || len(c.ask.Paths) > 1 {
		would.OneStep = false
	}
	return c.SetResult(RestoreResult{DryRun: true, Backup: p.Backup, Created: p.Created, Type: p.Type, UpBefore: p.Up, URL: p.URL, Would: &would})
}

// look finds out everything that the decision needs, and refuses what cannot be.
func (c *restorer) look(ctx context.Context) (restorePlan, error) {
	site, err := c.existing()
	if err != nil {
		return restorePlan{}, err
	}
	p, err := c.choose(ctx)
	if err != nil {
		return p, err
	}
	found, err := c.Host.Files.Look(ctx, site)
	switch {
	case err != nil:
		return p, lookError(fmt.Errorf("looking at install: %w", err))
	case found.Shut:
		return p, Permanent(nil, shutFailure)
	}
	if p.Ground, err = c.Host.Files.ExchangeGround(ctx, site); err != nil {
		return p, err
	}
	if err := c.lookAtFiles(ctx, site, p); err != nil {
		return p, err
	}
	if err := c.lookAtDatabase(ctx, site, found, &p); err != nil {
		return p, err
	}
	return p, c.lookAtSite(ctx, found, &p)
}

// choose finds the backup in the list, and decides what of it is wanted.
func (c *restorer) choose(ctx context.Context) (restorePlan, error) {
	saved, err := c.savedAs(ctx)
	if err != nil {
		return restorePlan{}, err
	}
	p := restorePlan{Backup: saved.ID, Created: saved.Created, Bytes: saved.Bytes, Saved: saved.Files, SavedPrefix: saved.TablePrefix}
	p.Files, p.Database = c.ask.parts(saved.Type)
	switch {
	case p.Files && p.Database:
		p.Type = BackupFull
	case p.Files:
		p.Type = BackupFiles
	case p.Database:
		p.Type = BackupDatabase
	default:
		return p, refuse(CodeNotInBackup, "The backup has "+saved.Type+" only, not what was asked for.", "Choose another backup, or another type.")
	}
	if !p.Database {
		return p, nil
	}
	p.Rows = map[string]int64{}
	for table, rows := range saved.Tables {
		if c.wants(table) {
			p.Rows[table] = rows
		}
	}
	for _, table := range c.ask.Tables {
		if _, ok := saved.Tables[table]; !ok && !saved.Incomplete {
			return p, refuse(CodeNotInBackup, "The backup has no table "+shorten(table)+".", "GET /wordpress/backups?id=… lists the tables of each backup.")
		}
	}
	return p, nil
}

// savedAs is the list's record of the backup, if it may be restored here.
func (c *restorer) savedAs(ctx context.Context) (Backup, error) {
	if c.from != nil {
		return c.from.record(ctx)
	}
	saved, err := c.ownBackup(ctx, c.ask.BackupID)
	if err != nil {
		return Backup{}, err
	}
	if saved.Site.ID != c.Op.Site.ID && !c.ask.OtherSite {
		return Backup{}, refuse(CodeConflict, "The backup is of another install: "+saved.Site.Domain+".",
			"Restore it there, or send other_site=true to bring it to this one, with its addresses rewritten.")
	}
	return saved, nil
}

// wants reports whether a table of the backup is to be restored.
func (c *restorer) wants(table string) bool {
	for _, t := range c.ask.Tables {
		if t == table {
			return true
		}
	}
	return len(c.ask.Tables) == 0
}

func (c *restorer) lookAtFiles(ctx context.Context, site wp.Site, p restorePlan) error {
	if !p.Files {
		return nil
	}
	if len(p.Ground.Mounts) > 0 && (len(c.ask.Paths) == 0 || p.Ground.Mounts[0] == ".") {
		return refuse(CodeLinked, "Another file system is mounted in the site's directory: "+strings.Join(p.Ground.Mounts, ", ")+".",
			"Restore single paths beside it, or have the operator unmount it first.")
	}
	if c.whole(p) && p.Ground.Shared {
		return refuse(CodeConflict, "The site shares its wp-config.php with another install.", "Restore paths and tables, or give each of them a configuration of its own.")
	}
	room, err := c.Host.Files.Room(ctx, site)
	if err != nil {
		return err
	}
	if need := p.Bytes + spare; room.Bytes < need || room.Files > 0 && room.Files < p.Saved {
		return refuse(CodeDiskFull, fmt.Sprintf("The restore needs %d MB and %d files beside the present ones; the disk has room for %d MB.", need>>20, p.Saved, room.Bytes>>20),
			"Free some space on the node, or restore only the paths that you need.")
	}
	return nil
}

// lookAtDatabase refuses an install whose database cannot be left for another one.
func (c *restorer) lookAtDatabase(ctx context.Context, site wp.Site, found wp.Found, p *restorePlan) (err error) {
	p.Prefix = found.Config.TablePrefix
	if _, err := c.Host.Login(ctx, site); c.whole(*p) && lostConfig(err) {
		p.Lost = true
	}
	login, err := c.present(ctx, site, *p)
	if err != nil {
		return err
	}
	p.Schema = login.Name
	if p.Lost {
		if found.Config, err = wp.ParseConfig(c.saved); err != nil {
			return savedConfigError(err)
		}
		p.Prefix = found.Config.TablePrefix
		if c.ask.checkpoints() {
			return refuse(CodeBackupFailed, "The site has no wp-config.php that tells its database, so the present cannot be backed up first.",
				"Nothing was changed. Send checkpoint=false to restore without a way back.")
		}
	}
	if !p.Database {
		return nil
	}
	if p.Ground.Shared {
		return refuse(CodeConflict, "The site shares its wp-config.php with another install.", "Give each of them a configuration of its own.")
	}
	if !c.whole(*p) {
		if err := c.Host.Files.CanPointConfig(ctx, site); err != nil {
			return configError(err)
		}
	}
	if p.Part, err = c.planDatabase(ctx, site, found); err != nil {
		return err
	}
	if len(c.ask.Tables) > 0 {
		p.Share, err = c.Host.DatabaseShare(ctx, found)
	}
	return err
}

// configError names what is wrong with a wp-config.php that would have to be changed.
func configError(err error) error {
	const hint = "Repair wp-config.php first, so that it gives DB_NAME, DB_USER, DB_PASSWORD and DB_HOST as plain texts."
	switch {
	case errors.Is(err, wp.ErrElsewhere):
		return Permanent(err, Failure{Code: CodeConfigComputed, Message: "The site's database is on another server.", Hint: "It can be restored only where the node's own database server keeps it."})
	case errors.Is(err, wp.ErrFixed):
		return Permanent(err, Failure{Code: CodePermission, Message: "The account may not change wp-config.php.", Hint: "Give the file back to the account."})
	case errors.Is(err, wp.ErrConfigComputed), errors.Is(err, wp.ErrUncertain), errors.Is(err, wp.ErrNotConfig):
		return Permanent(err, Failure{Code: CodeConfigComputed, Message: "The site's wp-config.php computes its database, so that it cannot be pointed at a restored one.", Hint: hint})
	}
	return lookError(err)
}

// lookAtSite reads the address, and whether the site comes up. One that does not is what
// people restore.
func (c *restorer) lookAtSite(ctx context.Context, found wp.Found, p *restorePlan) error {
	facts, err := wp.Inspect(ctx, c.Host, found)
	if err != nil {
		return err
	}
	p.URL = facts[0].URL
	site, err := found.Site.WithURL(p.URL)
	if err != nil {
		return fmt.Errorf("reading address: %w", err)
	}
	health, err := c.Host.Probe(ctx, site)
	if errors.Is(err, wp.ErrDatabaseConnection) && ctx.Err() == nil {
		return nil // its database is damaged, or gone
	}
	p.Up = health.Up
	return err
}
