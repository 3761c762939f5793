package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/rewrite"
)

// unpackedBackup is what was brought back, beside the present.
type unpackedBackup struct {
	Files     int64            `json:"files"`
	Bytes     int64            `json:"bytes"`
	Rows      map[string]int64 `json:"rows,omitempty"` // that the fresh database must have, by table
	Restored  int              `json:"restored"`       // tables out of the backup
	Rewritten int64            `json:"rewritten"`
}

const (
	keyUnpacked = "unpacked"
	keySchema   = "schema"
	configMax   = wp.MaxConfigSize
)

func (c *restorer) unpacked(context.Context) (bool, error) { return c.Get(keyUnpacked) != "", nil }

func (c *restorer) haul() (unpackedBackup, error) {
	var u unpackedBackup
	if err := json.Unmarshal([]byte(c.Get(keyUnpacked)), &u); err != nil {
		return unpackedBackup{}, fmt.Errorf("reading what was unpacked: %w", err)
	}
	return u, nil
}

// fresh is the login of the restored database.
func (c *restorer) fresh(ctx context.Context, site wp.Site) (wp.Login, error) {
	p, err := c.planned()
	if err != nil {
		return wp.Login{}, err
	}
	login, err := c.present(ctx, site, p)
	return login.In(c.Get(keySchema)), err
}

// unpack builds the saved state beside the present: files in the stage, tables in a fresh
// database. The backup is read once. A second attempt begins anew.
func (c *restorer) unpack(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	u := unpacker{restorer: c, site: site, plan: p, seen: map[string]bool{}}
	if p.Files {
		if err := c.Host.Files.OpenStage(ctx, site, c.stage()); err != nil {
			return err
		}
		if u.staged, err = site.Staged(c.stage()); err != nil {
			return err
		}
	}
	if p.Database {
		if err := u.makeSchema(ctx); err != nil {
			return err
		}
	}
	if err := u.read(ctx); err != nil {
		return err
	}
	if c.from != nil && p.Database {
		present := u.login.In(p.Schema)
		if err := c.from.keepOwn(ctx, site, present, u.login, p.Prefix, u.Rows); err != nil {
			return err
		}
	}
	if c.whole(p) {
		if err := errors.Join(u.writeConfig(ctx), u.adaptCache(ctx)); err != nil {
			return err
		}
	}
	if p.Files {
		if err := c.Host.Files.SealStage(ctx, site, c.stage()); err != nil {
			return err
		}
	}
	b, err := json.Marshal(u.unpackedBackup)
	if err != nil {
		return err
	}
	return c.Set(keyUnpacked, string(b))
}

// unpacker is unpack at work.
type unpacker struct {
	*restorer
	unpackedBackup
	site, staged wp.Site
	plan         restorePlan
	login        wp.Login // of the fresh database
	saved        wp.BackupManifest
	above        []byte
	seen         map[string]bool // paths that were asked for and found
	passed       int64           // bytes of the backup
}

// makeSchema makes the fresh database, with the present's tables in it when only some come
// out of the backup.
func (u *unpacker) makeSchema(ctx context.Context) error {
	present, err := u.present(ctx, u.site, u.plan)
	if err != nil {
		return err
	}
	host, err := u.Host.DB.UserHost(ctx, present.Host)
	if err != nil {
		return err
	}
	if old := u.Get(keySchema); old != "" { // of an attempt that was cut short
		if err := u.Host.DropSchema(ctx, u.Op.ID, old); err != nil {
			return err
		}
	}
	name, err := u.Host.FreshSchema(ctx, u.Op.ID, present.Name, present.User, host)
	if err != nil {
		return err
	}
	if err := u.Set(keySchema, name); err != nil {
		return err
	}
	u.login, u.Rows = present.In(name), map[string]int64{}
	if len(u.ask.Tables) == 0 {
		return nil
	}
	share := map[string]bool{}
	for _, table := range u.plan.Share.Tables {
		share[table] = true
	}
	// Those that will be replaced too: views of the present need them.
	stats, err := u.Host.CopyDatabase(ctx, u.site, present, u.login, rewrite.Filter{
		Skip: func(table string) bool { return !share[table] },
	}, func(done, total int64) {
		u.Report(0.4*float64(done)/float64(max(total, 1)), "Copying the tables that stay")
	})
	if err != nil {
		return err
	}
	u.count(stats)
	return nil
}

// renamed is the name that a table of the backup gets.
func (u *unpacker) renamed(table string) string {
	if rest, ok := strings.CutPrefix(table, u.plan.SavedPrefix); ok && u.plan.SavedPrefix != "" && u.prefix() != "" {
		return u.prefix() + rest
	}
	return table
}

// prefix is what the restored tables get; "" when theirs stays: it comes with the files.
func (u *unpacker) prefix() string {
	if u.whole(u.plan) && u.plan.Database && len(u.ask.Tables) == 0 {
		return ""
	}
	return u.plan.Prefix
}

func (u *unpacker) count(stats rewrite.Stats) {
	for _, t := range stats.Tables {
		u.Rows[t.Name] = t.Rows
		u.Rewritten += t.Changed
	}
}

// read goes through the backup.
func (u *unpacker) read(ctx context.Context) (err error) {
	b, err := u.open(ctx)
	if err != nil {
		return fmt.Errorf("opening backup: %w", err)
	}
	defer b.Close() //nolint:errcheck // a reader; what matters is checked at the end of the stream
	if u.saved = b.Manifest(); u.saved.Account != u.site.Account || u.saved.ID != u.plan.Backup {
		return fmt.Errorf("opening backup: it says that it is %q of %q: %w", u.saved.ID, u.saved.Account, wp.ErrBackupDamaged)
	}
	u.plan.SavedPrefix = u.saved.TablePrefix // which a list that was written anew does not know
	to := wp.BackupTarget{}
	if u.plan.Database {
		to.Database = func(r io.Reader) error { return u.importTables(ctx, u.watched(r)) }
	}
	if u.plan.Files {
		to.Files = func(r io.Reader) (err error) {
			u.Files, u.Bytes, err = u.Host.ExtractFiles(ctx, u.staged, u.watched(r), u.keep)
			return err
		}
		to.Above = func(data []byte) error { u.above = bytes.Clone(data); return nil }
	}
	sum, err := b.Unpack(ctx, to)
	if err != nil {
		return fmt.Errorf("unpacking backup: %w", err)
	}
	return u.compare(sum)
}

func (u *unpacker) open(ctx context.Context) (*wp.BackupReader, error) {
	if u.from != nil {
		return u.from.open(ctx)
	}
	return u.Host.OpenBackup(ctx, u.site.Account, u.plan.Backup)
}

// watched moves the progress bar.
func (u *unpacker) watched(r io.Reader) io.Reader {
	from := 0.0
	if len(u.ask.Tables) > 0 {
		from = 0.4
	}
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		u.passed += int64(n)
		if u.plan.Bytes > 0 {
			u.Report(from+(1-from)*min(1, float64(u.passed)/float64(u.plan.Bytes)), "")
		}
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (u *unpacker) importTables(ctx context.Context, r io.Reader) error {
	f := rewrite.Filter{
		Rewriter: u.rewriter(), Schema: [2]string{u.saved.Database, u.login.Name},
		Skip: func(table string) bool { return !u.wants(table) },
		GUID: u.from != nil, // those of a copy are made-up ones
	}
	if prefix := u.prefix(); prefix != "" {
		f.Prefix = [2]string{u.plan.SavedPrefix, prefix}
	}
	stats, err := u.Host.ImportFiltered(ctx, u.site, u.login, f, func(_ context.Context, w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
	if err != nil {
		return err
	}
	u.Restored = len(stats.Tables)
	u.count(stats)
	return nil
}

// rewriter moves what was saved elsewhere; nil when it was saved here. What the site called
// itself then is part of what is restored: an address that somebody has broken since comes
// back right.
func (u *unpacker) rewriter() *rewrite.Rewriter {
	rules := u.rules()
	if len(rules) == 0 {
		return nil
	}
	return rewrite.New(rules)
}

func (u *unpacker) rules() []rewrite.Rule {
	from, to := rewrite.Place{URL: u.saved.URL, Docroot: u.saved.Docroot}, rewrite.Place{URL: u.site.URL, Docroot: u.site.Docroot}
	if u.saved.Site == u.Op.Site.ID {
		to.URL = from.URL
	}
	if from == to {
		return nil
	}
	return rewrite.SiteRules(from, to)
}

// keep chooses files by path, with the directories above them.
func (u *unpacker) keep(name string) bool {
	if len(u.ask.Paths) == 0 {
		return true
	}
	for _, chosen := range u.ask.Paths {
		if name == chosen || inside(name, chosen) {
			u.seen[chosen] = true
			return true
		}
	}
	return false
}

// compare holds what was unpacked against what the backup says that it has.
func (u *unpacker) compare(sum wp.BackupSummary) error {
	for _, chosen := range u.ask.Paths {
		if !u.seen[chosen] {
			return refuse(CodeNotInBackup, "The backup has nothing at "+shorten(chosen)+".", "Paths are relative to the docroot: wp-content/plugins/akismet.")
		}
	}
	if u.whole(u.plan) && u.Files != sum.Files {
		return fmt.Errorf("unpacking backup: %d files of %d: %w", u.Files, sum.Files, wp.ErrBackupDamaged)
	}
	if !u.plan.Database {
		return nil
	}
	for _, chosen := range u.ask.Tables {
		if _, ok := sum.Tables[chosen]; !ok {
			return refuse(CodeNotInBackup, "The backup has no table "+shorten(chosen)+".", "GET /wordpress/backups?id=… lists the tables of each backup.")
		}
	}
	for table, rows := range sum.Tables {
		if got, ok := u.Rows[u.renamed(table)]; u.wants(table) && (!ok || got != rows) {
			return fmt.Errorf("unpacking backup: table %s has %d rows of %d: %w", table, got, rows, wp.ErrBackupDamaged)
		}
	}
	return nil
}

// writeConfig makes the saved wp-config.php fit: the present's login, the restored database.
// It is put into the docroot even where it belongs above, so that one rename brings both; the
// end moves it there.
func (u *unpacker) writeConfig(ctx context.Context) error {
	if len(u.above) > 0 {
		_, err := u.Host.Files.ReadFile(ctx, u.staged, configFile, configMax)
		if errors.Is(err, fs.ErrNotExist) {
			err = u.Host.Files.WriteFile(ctx, u.staged, configFile, u.above, configMode)
		}
		if err != nil {
			return fmt.Errorf("writing wp-config.php: %w", err)
		}
	}
	login, err := u.present(ctx, u.site, u.plan)
	if err != nil {
		return err
	}
	if u.plan.Database {
		login = u.login
	}
	restored := wp.RestoredConfig{Login: login, TablePrefix: u.prefix(), Rewrite: u.text()}
	err = u.Host.ChangeConfig(ctx, u.staged, restored.Apply)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse(CodeNotInBackup, "The backup has no wp-config.php.", "Restore the database, or paths: both leave the present configuration in place.")
	case errors.Is(err, wp.ErrLint):
		return Permanent(err, Failure{Code: CodeConfigComputed, Message: "PHP does not understand the wp-config.php of the backup.",
			Hint: "Restore the database, or paths: both leave the present configuration in place."})
	case err != nil:
		return savedConfigError(err)
	}
	return u.rewriteSettings(ctx)
}

func savedConfigError(err error) error {
	if errors.Is(err, wp.ErrUncertain) || errors.Is(err, wp.ErrNotConfig) {
		return Permanent(err, Failure{Code: CodeConfigComputed, Message: "The wp-config.php of the backup computes its database, so that it cannot be pointed at the restored one.",
			Hint: "Restore the database, or paths: both leave the present configuration in place."})
	}
	return err
}

func (u *unpacker) text() func([]byte) []byte {
	w := u.rewriter()
	if w == nil {
		return nil
	}
	return func(src []byte) []byte { out, _ := w.Text(src); return out }
}

// rewriteSettings moves the files in which servers, firewalls and caches keep addresses.
func (u *unpacker) rewriteSettings(ctx context.Context) error {
	move := u.text()
	if move == nil {
		return nil
	}
	was, err := u.site.WithURL(u.saved.URL)
	if err != nil {
		return nil //nolint:nilerr // an address that WordPress itself could not have used
	}
	for _, name := range wp.CloneSettings {
		src, err := u.Host.Files.ReadFile(ctx, u.staged, name, wp.MaxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("rewriting %s: %w", path.Base(name), err)
		}
		if next := wp.RewriteSettings(name, src, was, u.site, move); !bytes.Equal(next, src) {
			if err := u.Host.Files.WriteFile(ctx, u.staged, name, next, 0o644); err != nil {
				return fmt.Errorf("rewriting %s: %w", path.Base(name), err)
			}
		}
	}
	return nil
}

// adaptCache gives a restored drop-in of ours what this install enters the cache with now, and
// takes it out where the node has no cache any more.
func (u *unpacker) adaptCache(ctx context.Context) error {
	file := path.Join(u.staged.Docroot, objectCache)
	owner, _, err := u.Host.Files.DropIn(ctx, u.staged, file)
	if err != nil || owner != wp.DropInOurs {
		return err
	}
	if u.Host.ObjectCache == nil {
		u.logf("The object cache of the backup is not offered by the node any more, and was switched off.")
		return u.Host.Files.RemoveTree(ctx, u.staged, objectCache)
	}
	user, _, err := u.Host.ObjectCache.Admit(ctx, u.Op.Site.ID)
	if err != nil {
		return fmt.Errorf("giving the site its object cache: %w", err)
	}
	code, err := user.DropIn()
	if err != nil {
		return err
	}
	return u.Host.Files.WriteFile(ctx, u.staged, objectCache, code, configMode)
}

func (c *restorer) dropStaged(ctx context.Context) error {
	var err error
	if name := c.Get(keySchema); name != "" {
		err = c.Host.DropSchema(ctx, c.Op.ID, name)
	}
	if errors.Is(c.Missing, wp.ErrNoDomain) {
		return err // the files went with the domain
	}
	site, gone := c.existing()
	if gone != nil {
		return errors.Join(err, gone)
	}
	return errors.Join(err, c.Host.Files.DropStaged(ctx, site, c.stage()))
}
