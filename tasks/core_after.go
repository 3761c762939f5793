package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wispanel/wptk/wp"
)

// CoreResult is what core.update and core.reinstall answer.
type CoreResult struct {
	From    string `json:"from" doc:"Empty when the old files did not tell their version."`
	To      string `json:"to"`
	Changed bool   `json:"changed" doc:"False: that version was there already, and its files were left alone."`
	// DBVersion is the revision of the tables, now that of the files.
	DBVersion int `json:"db_version"`
	// Before and After are nil when no files were exchanged.
	Before       *coreFiles        `json:"before,omitempty"`
	After        *coreFiles        `json:"after,omitempty"`
	Left         []string          `json:"left,omitempty" doc:"Files of the old wp-admin and wp-includes that are no part of WordPress and went with them."`
	Translations map[string]string `json:"translations,omitempty" doc:"By locale: updated, or kept where the package source has none for this version."`
	Leftover     string            `json:"leftover,omitempty" doc:"A directory of the domain with old files that do not belong to the account, which could not remove them."`
	SiteUp       bool              `json:"site_up" doc:"WordPress comes up with the site's plugins and theme."`
	Reason       string            `json:"reason,omitempty" doc:"Why it does not come up, as it did not before."`
	Safe         *SafeReport       `json:"safe,omitempty" doc:"Of a safe update: what was looked at, and what the snapshot was."`
}

// CorePreview is the result of a dry run.
type CorePreview struct {
	DryRun bool      `json:"dry_run"`
	Would  coreWould `json:"would"`
}

type coreWould struct {
	From    string    `json:"from"`
	To      string    `json:"to"`
	Files   bool      `json:"files" doc:"The files would be exchanged."`
	Before  coreFiles `json:"before"`
	Discard []string  `json:"discard,omitempty" doc:"Files that would not be taken along."`
	SiteUp  bool      `json:"site_up"`
}

func (c *coreChange) preview(ctx context.Context) error {
	p, err := c.look(ctx)
	if err != nil {
		return err
	}
	would := coreWould{From: p.From, To: p.To, Files: p.Files, Before: p.Before, SiteUp: p.Up}
	if len(p.Before.carry) == 0 {
		would.Discard = p.Before.Extra
	}
	return c.SetResult(CorePreview{DryRun: true, Would: would})
}

// translate brings the translations that are there to the new version, as far as the source
// has them. A site whose code keeps WordPress from telling them keeps what it has.
func (c *coreChange) translate(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	if p.Untranslated {
		return nil
	}
	state, err := c.Host.CLI.CoreState(ctx, site)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, wp.ErrDatabaseConnection) {
			return err
		}
		c.logf("The translations could not be told, and are kept as they are.")
		return nil // said above; the site may be one that did not work before either
	}
	rel, err := filepath.Rel(site.Docroot, state.LanguageDir)
	if err != nil || state.LanguageDir == "" || !filepath.IsLocal(rel) {
		return nil // no translations, or none of this site's own
	}
	if c.guard.on && len(state.Languages) > 0 {
		kept, err := c.Host.Files.Keep(ctx, site, state.LanguageDir, c.wordsStage())
		if err != nil {
			return fmt.Errorf("keeping the translations: %w", err)
		}
		if kept == wp.KeptLink {
			c.logf("The translations are links to somewhere else, and are kept as they are.")
			return nil
		}
		if err := c.Set(keyCoreWordsDir, state.LanguageDir); err != nil {
			return err
		}
	}
	done := map[string]string{}
	for _, locale := range state.Languages {
		tree, err := c.tree(ctx, p, locale)
		switch {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil || tree.Languages == "":
			done[locale] = "kept"
			continue
		}
		if err := c.Host.Files.CopyTree(ctx, site, tree.Languages, rel); err != nil {
			return fmt.Errorf("copying translation: %w", err)
		}
		done[locale] = "updated"
	}
	b, err := json.Marshal(done)
	if err != nil {
		return err
	}
	return c.Set(keyCoreWords, string(b))
}

// wordsStage is beside the stage of the core, which SwapCore has to itself.
func (c *coreChange) wordsStage() string { return wp.StageName(c.Op.ID + "-words") }

// dropWords puts back the translations that a safe update has kept, also when it died before
// it could say where they were: that is known from the site then.
func (c *coreChange) dropWords(ctx context.Context) error {
	if errors.Is(c.Missing, wp.ErrNoDomain) || !c.guard.on {
		return nil
	}
	site, err := c.existing()
	if err != nil {
		return err
	}
	if dir := c.Get(keyCoreWordsDir); dir != "" {
		if err := c.Host.Files.PutBack(ctx, site, dir, c.wordsStage()); err != nil {
			return err
		}
	}
	return c.Host.Files.Remove(ctx, site, c.wordsStage())
}

func (c *coreChange) upgradeTables(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	if !p.Idle {
		if err := c.guard.touch(ctx); err != nil {
			return err
		}
	}
	up, err := c.Host.CLI.UpgradeTables(ctx, site)
	switch {
	case errors.Is(err, wp.ErrNotApplied):
		return Permanent(err, Failure{Code: CodeDatabaseError, Message: "The tables could not be brought to the new version.",
			Hint: "What the database said is in the operation's log. The files are put back as they were."})
	case errors.Is(err, wp.ErrFatal) && p.Up:
		return c.broken(ctx, site, p, err)
	case err != nil && !p.Up && !errors.Is(err, wp.ErrDatabaseConnection) && ctx.Err() == nil:
		c.logf("The tables could not be looked at, since the site does not come up.")
		return nil
	case err != nil:
		return fmt.Errorf("upgrading tables: %w", err)
	}
	return c.Set(keyCoreDB, strconv.Itoa(up.DBVersion))
}

// verify looks at what stands there now. A site that came up before has to come up again; that
// its tables are those of the files was asked when they were upgraded.
func (c *coreChange) verify(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	found, err := c.Host.Files.Look(ctx, site)
	if err != nil {
		return lookError(fmt.Errorf("looking at install: %w", err))
	}
	if !sameVersion(found.Version, p.To) {
		return c.bad(fmt.Errorf("version is %q", found.Version), "The new files are not in place.")
	}
	if !p.Up || c.guard.on { // the guard's probe loads everything
		return nil
	}
	return c.broken(ctx, site, p, nil)
}

// broken asks the site itself. When it does not come up, or cause says so already, the
// answer is that the change has broken it.
func (c *coreChange) broken(ctx context.Context, site wp.Site, p corePlan, cause error) error {
	health, err := c.Host.Probe(ctx, site)
	switch {
	case err != nil:
		return err
	case !health.Up:
		return &badEffect{c.bad(errors.Join(cause, errors.New(health.Reason)),
			"The site came up before, and does not with WordPress "+p.To+": "+health.Reason+".")}
	}
	return cause
}

func (c *coreChange) bad(err error, message string) error {
	if c.guard.on {
		return c.guard.broke(err, strings.TrimSuffix(message, "."))
	}
	return Permanent(err, Failure{Code: CodeVerifyFailed, Message: message,
		Hint: "The old files are back in place; the tables stay as the new version has made them, with which the old one works. " +
			"Update the plugins and the theme first, then try again."})
}

func (c *coreChange) finish(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	if err := c.guard.open(ctx); err != nil {
		return err
	}
	result := CoreResult{From: p.From, To: p.To, Changed: p.Files, SiteUp: p.Up, Reason: p.Reason}
	result.DBVersion, _ = strconv.Atoi(c.Get(keyCoreDB)) // "" when nobody could tell
	if p.Files {
		if err := c.settleFiles(ctx, site, p, &result); err != nil {
			return err
		}
	}
	if err := c.guard.forget(ctx); err != nil {
		return err
	}
	if result.Safe, err = c.guard.report(); err != nil {
		return err
	}
	return c.SetResult(result)
}

// settleFiles removes the old files, and tells what there is now.
func (c *coreChange) settleFiles(ctx context.Context, site wp.Site, p corePlan, result *CoreResult) error {
	if c.guard.on {
		if err := c.Host.Files.Remove(ctx, site, c.wordsStage()); err != nil {
			return err
		}
	}
	switch err := c.Host.Files.DropCore(ctx, site, c.stage()); {
	case errors.Is(err, fs.ErrPermission): // some are somebody else's; the site itself is fine
		c.logf("Not all old files could be removed; what is left is in %s.", c.stage())
		result.Leftover = c.stage()
	case err != nil:
		return fmt.Errorf("removing old files: %w", err)
	}
	after, err := c.compare(ctx, site, p.To, p.To)
	if err != nil {
		return err
	}
	result.Before, result.After = &p.Before, &after
	err = errors.Join(c.recallJSON(keyCoreLeft, &result.Left), c.recallJSON(keyCoreWords, &result.Translations))
	if err != nil {
		return err
	}
	if !p.Up { // it may have been these files
		if health, err := c.Host.Probe(ctx, site); err == nil {
			result.SiteUp, result.Reason = health.Up, health.Reason
		}
	}
	return nil
}
