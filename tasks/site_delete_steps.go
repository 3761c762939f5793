package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wispanel/wptk/wp"
)

// deleter is one deletion at work.
type deleter struct {
	*Run
	ask *SiteDelete
}

const keyDeletion = "deletion" // the SiteDeletion, as the plan has decided and the steps have done it

func (d *deleter) stage() string { return wp.StageName(d.Op.ID) }

// staged is the install where it waits for its end.
func (d *deleter) staged() (wp.Site, error) {
	site, err := d.existing()
	if err != nil {
		return wp.Site{}, err
	}
	return site.Staged(d.stage())
}

// plan decides what goes, while there is nothing to undo. What it decides is written down:
// later steps find less and less to look at.
func (d *deleter) plan(ctx context.Context) error {
	site, err := d.existing()
	if err != nil {
		return err
	}
	found, err := d.Host.Files.Look(ctx, site)
	if err != nil {
		return lookError(fmt.Errorf("looking at install: %w", err))
	}
	if found.Shut {
		return Permanent(nil, Failure{Code: CodePermission, Message: "The account may not enter the site's directory.",
			Hint: "Give the directory back to the account, or delete it by hand."})
	}
	belongings, err := d.Host.Files.Belongings(ctx, site)
	if err != nil {
		return fmt.Errorf("looking through files: %w", err)
	}
	plan := SiteDeletion{
		Docroot: site.Docroot, KeepsDirectory: belongings.Keeps, Files: belongings.Files, Bytes: belongings.Bytes,
		Complete: belongings.Complete, Nested: append([]string{}, belongings.Nested...),
	}
	if plan.Cron, err = d.Host.CronLines(ctx, site); err != nil {
		return err
	}
	plan.Cron = shown(plan.Cron)
	if plan.Database, err = d.planDatabase(ctx, site, found); err != nil {
		return err
	}
	if d.ask.archives() {
		plan.Archive = &DeletionArchive{Until: time.Now().Add(ArchiveLife).UTC().Truncate(time.Second), Database: len(plan.Database.Tables) > 0}
	}
	if d.ask.KeepDatabase {
		plan.Database.Kept = "as asked for"
	}
	if d.ask.DryRun {
		return d.SetResult(SiteDeleteResult{DryRun: true, Would: &plan})
	}
	if len(plan.Nested) > 0 && !d.ask.IncludeNested {
		return nestedInstalls(plan.Nested)
	}
	return d.keep(plan)
}

// shown makes lines of a tenant's fit for a result.
func shown(lines []string) []string {
	const most = 20
	out := make([]string, 0, min(len(lines), most))
	for _, line := range lines[:min(len(lines), most)] {
		out = append(out, strings.ToValidUTF8(line[:min(len(line), 300)], "�"))
	}
	return out
}

func nestedInstalls(nested []string) error {
	return Permanent(nil, Failure{
		Code:    CodeConflict,
		Message: "There are other installs below this one: " + strings.Join(nested[:min(len(nested), 10)], ", ") + ".",
		Hint:    "Delete or move them first, or send include_nested=true to delete their files as well.",
	})
}

// planDatabase looks at the database beside all other installs of the account, any of which
// may be in it too.
func (r *Run) planDatabase(ctx context.Context, site wp.Site, found wp.Found) (wp.DatabasePart, error) {
	others, err := r.others(ctx, site)
	if err != nil {
		return wp.DatabasePart{}, err
	}
	part, err := r.Host.PlanDatabase(ctx, found, others)
	if err != nil {
		return part, fmt.Errorf("looking at database: %w", err)
	}
	return part, nil
}

// others are the other installs of the account.
func (r *Run) others(ctx context.Context, site wp.Site) (wp.ScanReport, error) {
	census, err := r.Host.Layout.Census()
	if err != nil {
		return wp.ScanReport{}, err
	}
	domains := slices.DeleteFunc(census.Domains, func(dir wp.DomainDir) bool { return dir.Account != site.Account })
	others := r.Host.Files.Scan(ctx, domains)
	if ctx.Err() != nil {
		return wp.ScanReport{}, ctx.Err()
	}
	others.Found = slices.DeleteFunc(others.Found, func(f wp.Found) bool { return f.Site.Docroot == site.Docroot })
	return others, nil
}

// keep writes down how far the deletion is, for the next attempt and for the result.
func (d *deleter) keep(state SiteDeletion) error {
	b, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encoding plan: %w", err)
	}
	if err := d.Set(keyDeletion, string(b)); err != nil {
		return err
	}
	return d.SetResult(SiteDeleteResult{SiteDeletion: &state})
}

func (d *deleter) decided() (SiteDeletion, error) {
	var state SiteDeletion
	if err := json.Unmarshal([]byte(d.Get(keyDeletion)), &state); err != nil {
		return SiteDeletion{}, fmt.Errorf("reading plan: %w", err)
	}
	return state, nil
}

func (d *deleter) takeAway(ctx context.Context) error {
	site, err := d.existing()
	if err != nil {
		return err
	}
	err = d.Host.Files.Retire(ctx, site, d.stage())
	if errors.Is(err, fs.ErrExist) {
		return Permanent(err, Failure{Code: CodeConflict, Message: "The site's directory is a link, or something of the name that it should get for now is in the way.",
			Hint: "Put a directory in the place of the link, then try again."})
	}
	return err
}

func (d *deleter) bringBack(ctx context.Context) error {
	if errors.Is(d.Missing, wp.ErrNoDomain) {
		return nil // gone with the domain
	}
	site, err := d.existing()
	if err != nil {
		return err
	}
	return d.Host.Files.Unretire(ctx, site, d.stage())
}

// retired reads the install in its stage: its wp-config.php has the credentials, which are
// written down nowhere else.
func (d *deleter) retired(ctx context.Context) (wp.Found, error) {
	staged, err := d.staged()
	if err != nil {
		return wp.Found{}, err
	}
	found, err := d.Host.Files.Look(ctx, staged)
	if errors.Is(err, fs.ErrNotExist) {
		return wp.Found{Site: staged}, nil // the files step has begun: nothing is needed any more
	}
	return found, err
}

func (d *deleter) archiveName() string { return d.Op.Site.ID + "-" + d.Op.ID }

func (d *deleter) archive(ctx context.Context) error {
	state, err := d.decided()
	if err != nil {
		return err
	}
	if d.Host.Backups != nil && d.Catalog != nil {
		return d.finalBackup(ctx, state)
	}
	found, err := d.retired(ctx)
	if err != nil {
		return err
	}
	file, size, err := d.Host.Archive(ctx, found, state.Database, d.archiveName())
	switch {
	case errors.Is(err, syscall.ENOSPC) || ctx.Err() != nil:
		return err
	case err != nil:
		return Permanent(err, Failure{Code: CodeBackupFailed, Message: "The final archive of the site could not be written, so nothing was deleted.",
			Hint: "A file that the account cannot read is the usual reason. Repair that, or send keep_backup=false."})
	}
	state.Archive.File, state.Archive.Bytes = file, size
	return d.keep(state)
}

// finalBackup stores the install where it waits for its end, in the node's backup store: it
// can be listed, downloaded and restored like all others.
func (d *deleter) finalBackup(ctx context.Context, state SiteDeletion) error {
	staged, err := d.staged()
	if err != nil {
		return err
	}
	s := saving{Type: BackupFull, Reason: BackupFinal, KeepUntil: state.Archive.Until, Docroot: state.Docroot,
		Nested: true, Database: state.Archive.Database, Expect: state.Bytes + state.Database.Bytes}
	if !s.Database {
		s.Type = BackupFiles
	}
	b, err := d.save(ctx, staged, s)
	if err == nil {
		err = d.list(ctx, b)
	}
	var step *StepError
	switch {
	case errors.As(err, &step), errors.Is(err, syscall.ENOSPC), ctx.Err() != nil:
		return err
	case err != nil:
		return Permanent(err, Failure{Code: CodeBackupFailed, Message: "The final backup of the site could not be stored, so nothing was deleted.",
			Hint: "Try again; when it stays so, the operator should look at the backup store. keep_backup=false deletes without one."})
	}
	state.Archive.Backup, state.Archive.Bytes = b.ID, b.Bytes
	return d.keep(state)
}

func (d *deleter) removeArchive(ctx context.Context) error {
	return errors.Join(d.unlist(ctx), d.unsave(ctx), d.Host.RemoveArchive(d.archiveName()))
}

func (d *deleter) dropDatabase(ctx context.Context) error {
	state, err := d.decided()
	if err != nil || state.Database.Kept != "" {
		return err
	}
	found, err := d.retired(ctx)
	if err != nil {
		return err
	}
	err = d.Host.DropDatabase(ctx, found, state.Database)
	if errors.Is(err, wp.ErrNotDropped) {
		return Permanent(err, Failure{Code: CodeDatabaseError,
			Message: fmt.Sprintf("The files of the site are gone, but its database %s could not be removed.", state.Database.Name),
			Hint:    "The site's database user may not drop it. Have the operator do it."})
	}
	return err
}

func (d *deleter) removeCron(ctx context.Context) error {
	site, err := d.existing()
	if err != nil {
		return err
	}
	return d.Host.RemoveCron(ctx, site)
}

// leaveCache removes the site's user and keys from the object cache. A cache that is
// away keeps a user that no site has the password of, which is no reason to fail.
func (d *deleter) leaveCache(ctx context.Context) error {
	if d.Host.ObjectCache == nil {
		return nil
	}
	err := d.Host.ObjectCache.Dismiss(ctx, d.Op.Site.ID)
	if errors.Is(err, wp.ErrObjectCacheAway) {
		d.logf("The object cache is not reachable; what the site has there stays until it is emptied.")
		return nil
	}
	return err
}

func (d *deleter) removeFiles(ctx context.Context) error {
	site, err := d.existing()
	if err != nil {
		return err
	}
	return d.Host.Files.Remove(ctx, site, d.stage())
}

// verify looks once more: neither in its place nor in the stage may there be a WordPress.
func (d *deleter) verify(ctx context.Context) error {
	site, err := d.existing()
	if err != nil {
		return err
	}
	staged, err := d.staged()
	if err != nil {
		return err
	}
	for _, place := range []wp.Site{site, staged} {
		switch state, err := d.Host.Files.State(ctx, place); {
		case err != nil:
			return fmt.Errorf("looking at what is left: %w", err)
		case state.Kind == wp.DirWordPress:
			return Permanent(nil, Failure{Code: CodeUnconfirmed, Message: "There is a WordPress in the site's directory again.",
				Hint: "Something has put it there while the site was being deleted."})
		}
	}
	return nil
}
