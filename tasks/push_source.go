package tasks

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

// pushedPaths are what a push of files takes when nothing is named: not WordPress itself, which
// has its update, nor must-use plugins, in which hosts and the toolkit keep what is the
// install's own.
var pushedPaths = []string{"wp-content/languages", "wp-content/plugins", "wp-content/themes", "wp-content/uploads"}

// people are the tables that stay the target's unless they are named: with them go accounts,
// passwords and sessions.
var people = []string{"users", "usermeta"}

// ownOptions are the target's own, whatever is pushed: whether search engines and mail are let
// through, where its login page is, what XML-RPC takes, and what it has scheduled.
var ownOptions = []string{"blog_public", "wptk_staging", "wptk_hide_login", "wptk_limit_xmlrpc", "cron"}

// tables lists what is pushed, by names in the source.
func (p pushPlan) tables() []string {
	if len(p.Rows) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(p.Rows))
}

func (x *pusher) look(ctx context.Context) (pushPlan, error) {
	target, err := x.installed(ctx)
	if err != nil {
		return pushPlan{}, err
	}
	source, err := x.find(x.ask.Source)
	if err != nil {
		return pushPlan{}, err
	}
	switch {
	case x.ask.Source.ID == x.Op.Site.ID:
		return pushPlan{}, invalidPayload(Problem{"source_id", "is the target itself"})
	case source.User != target.User:
		return pushPlan{}, refuse(CodePermission, "The two installs belong to different accounts.", "A push stays inside of one account; clone goes from one to another.")
	}
	found, err := x.Host.Files.Look(ctx, source)
	if err != nil {
		return pushPlan{}, lookError(fmt.Errorf("looking at the source: %w", err))
	}
	if err := cloneable(found); err != nil {
		return pushPlan{}, err
	}
	addressed, err := x.Host.Addressed(ctx, source)
	if err != nil {
		return pushPlan{}, lookError(err)
	}
	p := pushPlan{URL: addressed.URL, Docroot: source.Docroot, Prefix: found.Config.TablePrefix}
	files, database := x.ask.Select.halves()
	if files {
		if err := x.choosePaths(ctx, source, &p); err != nil {
			return p, err
		}
	}
	if database {
		if err := x.sameVersion(ctx, found, target); err != nil {
			return p, err
		}
		err = x.chooseTables(ctx, found, &p)
	}
	return p, err
}

// sameVersion: the tables of one version and the files of another make no site.
func (x *pusher) sameVersion(ctx context.Context, source wp.Found, target wp.Site) error {
	have, err := x.Host.Files.Look(ctx, target)
	if err != nil {
		return lookError(err)
	}
	if !sameVersion(source.Version, have.Version) {
		return refuse(CodeConflict, fmt.Sprintf("The source has WordPress %s, the target %s.", source.Version, have.Version),
			"Update one of them first, or push files only.")
	}
	return nil
}

func (x *pusher) choosePaths(ctx context.Context, source wp.Site, p *pushPlan) error {
	belongings, err := x.Host.Files.Belongings(ctx, source)
	if err != nil {
		return fmt.Errorf("looking through files: %w", err)
	}
	p.Bytes = belongings.Bytes
	if len(x.ask.Select.Paths) > 0 {
		p.Paths = x.ask.Select.Paths
		return nil
	}
	for _, path := range pushedPaths {
		there := source
		there.Docroot = filepath.Join(source.Docroot, path)
		state, err := x.Host.Files.State(ctx, there)
		if err != nil {
			return fmt.Errorf("looking for %s: %w", path, err)
		}
		if state.Kind != wp.DirAbsent {
			p.Paths = append(p.Paths, path)
		}
	}
	return nil
}

func (x *pusher) chooseTables(ctx context.Context, found wp.Found, p *pushPlan) error {
	share, err := x.Host.DatabaseShare(ctx, found)
	if err != nil {
		return err
	}
	login, err := x.Host.Login(ctx, found.Site)
	if err != nil {
		return configError(err)
	}
	rows, err := x.Host.TableCounts(ctx, found.Site, login)
	if err != nil {
		return err
	}
	p.Bytes += share.Bytes
	p.Rows = map[string]int64{}
	for table, n := range rows {
		name, own := strings.CutPrefix(table, p.Prefix)
		named := slices.Contains(x.ask.Select.Tables, table)
		if slices.Contains(share.Tables, table) && (named || len(x.ask.Select.Tables) == 0 && own && !slices.Contains(people, name)) {
			p.Rows[table] = n
		}
	}
	for _, table := range x.ask.Select.Tables {
		if _, ok := p.Rows[table]; !ok {
			return refuse(CodeNotInBackup, "The source has no table "+shorten(table)+" of its own.", "Name tables as the source has them, with its prefix: "+p.Prefix+"posts.")
		}
	}
	return nil
}

// record describes the source as if it were a backup in the list.
func (x *pusher) record(context.Context) (Backup, error) {
	p, err := x.planned()
	if err != nil {
		return Backup{}, fmt.Errorf("reading plan: %w", err)
	}
	kind := BackupFull
	switch {
	case len(p.Rows) == 0:
		kind = BackupFiles
	case len(p.Paths) == 0:
		kind = BackupDatabase
	}
	return Backup{ID: BackupID(x.Op.ID), Site: x.ask.Source, Op: x.Op.ID, Type: kind, Created: time.Now().UTC(), URL: p.URL,
		TablePrefix: p.Prefix, Bytes: p.Bytes, Tables: p.Rows}, nil
}

// open reads the source as it is now.
func (x *pusher) open(ctx context.Context) (*wp.BackupReader, error) {
	p, err := x.planned()
	if err != nil {
		return nil, fmt.Errorf("reading plan: %w", err)
	}
	source, err := x.find(x.ask.Source)
	if err != nil {
		return nil, err
	}
	if source, err = source.WithURL(p.URL); err != nil {
		return nil, fmt.Errorf("reading address of the source: %w", err)
	}
	return x.Host.StreamBackup(ctx, source, wp.BackupSelection{
		Files: len(p.Paths) > 0, Database: len(p.Rows) > 0, Paths: p.Paths, Tables: p.tables(),
	}, wp.BackupManifest{ID: BackupID(x.Op.ID), Op: x.Op.ID, Site: x.ask.Source.ID, Node: x.Host.Node, Type: BackupFull, Created: time.Now().UTC()})
}

// keepOwn gives the copied options table what is the target's own, before anybody reads it.
func (x *pusher) keepOwn(ctx context.Context, site wp.Site, present, fresh wp.Login, prefix string, rows map[string]int64) error {
	p, err := x.planned()
	if err != nil {
		return fmt.Errorf("reading plan: %w", err)
	}
	if _, pushed := p.Rows[p.Prefix+"options"]; !pushed {
		return nil
	}
	n, err := x.Host.KeepOptions(ctx, site, present, fresh, prefix, ownOptions)
	if err == nil {
		rows[prefix+"options"] = n
	}
	return err
}
