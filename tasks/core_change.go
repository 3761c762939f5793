package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/wispanel/wptk/wp"
)

// coreChange replaces the files of WordPress itself: what core.update and core.reinstall
// have in common. The new files are staged and exchanged by rename (wp.Files.SwapCore);
// wp-content and wp-config.php stay as they are.
type coreChange struct {
	*Run
	// want says which version is asked for, in the words of wp.Packages.Core, given the one
	// that is there, which is "" when the files do not tell.
	want   func(have string) (string, error)
	force  bool // an older version too
	again  bool // the same version too
	clean  bool // files that are no part of WordPress do not stay in its directories
	dryRun bool
	safe   bool // with snapshot, probe and rollback

	guard *safeguard
}

// corePlan is what the op has found and decided, kept for every attempt.
type corePlan struct {
	From   string `json:"from"` // "" when the files did not tell
	To     string `json:"to"`
	URL    string `json:"url"` // that the install has given itself
	Up     bool   `json:"up"`  // it came up before
	Reason string `json:"reason,omitempty"`
	Files  bool   `json:"files"`          // they have to be exchanged
	Idle   bool   `json:"idle,omitempty"` // nor have the tables to be upgraded

	Untranslated bool `json:"untranslated,omitempty"` // it says that it has no translations

	Before coreFiles `json:"before"`
}

// coreFiles is how the files compare with their package. The lists are capped; the numbers
// count all.
type coreFiles struct {
	Known      bool     `json:"-"` // the package is there to compare with
	Modified   int      `json:"modified"`
	Missing    int      `json:"missing"`
	Unexpected int      `json:"unexpected"`
	Changed    []string `json:"changed,omitempty" doc:"The modified and missing files, at most 50."`
	Extra      []string `json:"extra,omitempty" doc:"Files in wp-admin and wp-includes that are no part of WordPress, at most 50."`
	carry      []string
}

const (
	keyCorePlan     = "core_plan"
	keyCoreLeft     = "core_left"
	keyCoreWords    = "core_translations"
	keyCoreWordsDir = "core_translations_dir"
	keyCoreDB       = "core_db"

	maxListed = 50
)

func (c *coreChange) steps() []Step {
	if c.dryRun {
		return []Step{{Name: "plan", Message: "Comparing the files", Do: c.preview}}
	}
	c.guard = c.guarded(c.safe, keyCorePlan)
	c.guard.idle = func() (bool, error) { p, err := c.plan(); return p.Idle, err }
	c.guard.tellBack = c.tellBack
	same := func(context.Context) (bool, error) { p, err := c.plan(); return !p.Files, err }
	steps := []Step{
		{Name: "plan", Message: "Comparing the files", Weight: 15, Do: c.decide},
		c.guard.baseline(),
		{Name: "stage", Message: "Copying the new files", Weight: 40, Check: same, Do: c.stageFiles, Undo: c.dropStage},
		c.guard.closing(),
		c.guard.snapshot(c.kept),
		{Name: "swap", Message: "Putting the new files in place", Weight: 5, Check: same, Do: c.swap, Undo: c.swapBack},
		{Name: "translations", Message: "Bringing the translations along", Weight: 5, Check: same, Do: c.translate, Undo: c.dropWords},
		{Name: "tables", Message: "Upgrading the database", Weight: 15, Do: c.upgradeTables},
		{Name: "verify", Message: "Checking the site", Weight: 15, Verify: c.verify},
		c.guard.probe(),
		{Name: "finish", Message: "Removing the old files", Weight: 5, Commit: true, Do: c.finish},
	}
	return c.guard.only(steps)
}

func (c *coreChange) plan() (corePlan, error) {
	var p corePlan
	if err := json.Unmarshal([]byte(c.Get(keyCorePlan)), &p); err != nil {
		return corePlan{}, fmt.Errorf("reading plan: %w", err)
	}
	return p, nil
}

// site is the install under the address that it has given itself.
func (c *coreChange) site() (wp.Site, corePlan, error) {
	site, err := c.existing()
	if err != nil {
		return wp.Site{}, corePlan{}, err
	}
	p, err := c.plan()
	if err != nil {
		return wp.Site{}, corePlan{}, err
	}
	site, err = site.WithURL(p.URL)
	return site, p, err
}

func (c *coreChange) stage() string { return wp.StageName(c.Op.ID) }

func (c *coreChange) decide(ctx context.Context) error {
	_, err := c.Recall(keyCorePlan, func() (string, error) {
		p, err := c.look(ctx)
		if err != nil {
			return "", err
		}
		if err := c.startGuard(ctx, p); err != nil {
			return "", err
		}
		b, err := json.Marshal(p)
		return string(b), err
	})
	return err
}

// look finds out everything that the decision needs, and refuses what cannot be.
func (c *coreChange) look(ctx context.Context) (corePlan, error) {
	site, err := c.existing()
	if err != nil {
		return corePlan{}, err
	}
	found, err := c.Host.Files.Look(ctx, site)
	switch {
	case err != nil:
		return corePlan{}, lookError(fmt.Errorf("looking at install: %w", err))
	case found.Shut:
		return corePlan{}, Permanent(nil, shutFailure)
	}
	tree, err := c.choose(ctx, found.Version)
	if err != nil {
		return corePlan{}, err
	}
	p := corePlan{From: found.Version, To: tree.Version, Files: c.again || !sameVersion(found.Version, tree.Version)}
	if site, err = c.Host.Addressed(ctx, site); err != nil {
		return corePlan{}, lookError(err)
	}
	p.URL = site.URL
	health, err := c.Host.Probe(ctx, site)
	if err != nil {
		return corePlan{}, err
	}
	p.Up, p.Reason, p.Untranslated = health.Up, health.Reason, health.Untranslated
	if p.Files {
		p.Before, err = c.compare(ctx, site, p.From, p.To)
		return p, err
	}
	if !c.safe {
		return p, nil
	}
	state, err := c.Host.CLI.CoreState(ctx, site)
	if err != nil && ctx.Err() != nil {
		return p, err
	}
	p.Idle = err == nil && state.DBVersion == state.DBVersionWanted
	return p, nil
}

var shutFailure = Failure{Code: CodePermission, Message: "The account may not enter the directory of the site.",
	Hint: "The account or the site is suspended, or the directory's mode is wrong."}

// choose fetches the WordPress to bring in, and refuses one that this install cannot take.
func (c *coreChange) choose(ctx context.Context, have string) (wp.CoreTree, error) {
	request, err := c.want(have)
	if err != nil {
		return wp.CoreTree{}, err
	}
	tree, err := c.Host.Packages.Core(ctx, request, "")
	if err != nil {
		return wp.CoreTree{}, fmt.Errorf("fetching WordPress: %w", err)
	}
	if newer(have, tree.Version) && !c.force {
		return wp.CoreTree{}, refuse(CodeDowngrade, fmt.Sprintf("WordPress %s is older than the %s that is installed.", tree.Version, have),
			"Ask for a newer version. With force the older files are put in place all the same; the tables stay as they are.")
	}
	needs, err := tree.Needs()
	if err != nil {
		return wp.CoreTree{}, err
	}
	info, err := c.Host.CLI.Info(ctx)
	if err != nil {
		return wp.CoreTree{}, fmt.Errorf("asking for PHP's version: %w", err)
	}
	if newer(needs.PHP, info.PHP) {
		return wp.CoreTree{}, refuse(CodeRequirements, fmt.Sprintf("WordPress %s needs PHP %s; the node has %s.", tree.Version, needs.PHP, info.PHP),
			"Ask for an older version, or have the operator update PHP.")
	}
	return tree, nil
}

// compare holds the files against the package of the version that is there, or when the
// source does not have that, of the version to come.
func (c *coreChange) compare(ctx context.Context, site wp.Site, from, to string) (coreFiles, error) {
	return c.compareFiles(ctx, site, from, to, false)
}

// others is compare for what is no part of WordPress alone: nothing is read for it.
func (c *coreChange) others(ctx context.Context, site wp.Site, p corePlan) (coreFiles, error) {
	return c.compareFiles(ctx, site, p.From, p.To, true)
}

func (c *coreChange) compareFiles(ctx context.Context, site wp.Site, from, to string, namesOnly bool) (coreFiles, error) {
	next, err := c.Host.Packages.CoreSums(ctx, to)
	if err != nil {
		return coreFiles{}, err
	}
	sums, known := next, from == to
	if from != "" && from != to {
		var unavailable *wp.UnavailableError
		was, err := c.Host.Packages.CoreSums(ctx, from)
		switch {
		case err == nil:
			sums, known = was, true
		case !errors.As(err, &unavailable):
			return coreFiles{}, err
		}
	}
	found, err := c.Host.Files.Compare(ctx, site, wp.Compare{Dir: ".", Sums: sums, Closed: wp.CoreDirs(), NamesOnly: namesOnly})
	if err != nil {
		return coreFiles{}, fmt.Errorf("comparing files: %w", err)
	}
	files := coreFiles{Known: known}
	for _, f := range found.Findings {
		files.count(f, next, c.clean)
	}
	return files, nil
}

// count takes one finding. When the version that is there is not known, what it had and the
// next one has not looks like files of the owner's: then only settings of the web server and
// of PHP are taken for that.
func (f *coreFiles) count(found wp.Finding, next wp.Sums, clean bool) {
	switch {
	case found.Class == wp.Unexpected && next[found.Path] == "":
		f.Unexpected++
		f.Extra = capped(f.Extra, found.Path)
		if !clean && (f.Known || serverSettings[path.Base(found.Path)]) {
			f.carry = append(f.carry, found.Path)
		}
	case !f.Known:
	case found.Class == wp.Modified:
		f.Modified++
		f.Changed = capped(f.Changed, found.Path)
	case found.Class == wp.Missing && found.Severity != wp.SeverityNotice:
		f.Missing++
		f.Changed = capped(f.Changed, found.Path)
	}
}

var serverSettings = map[string]bool{".htaccess": true, ".htpasswd": true, ".user.ini": true, "php.ini": true, "web.config": true}

func capped(list []string, entry string) []string {
	if len(list) == maxListed {
		return list
	}
	return append(list, entry)
}

// tree provides the files of the plan, in every attempt the same.
func (c *coreChange) tree(ctx context.Context, p corePlan, locale string) (wp.CoreTree, error) {
	tree, err := c.Host.Packages.Core(ctx, wp.Exactly(p.To), locale)
	if err != nil {
		return wp.CoreTree{}, fmt.Errorf("fetching WordPress: %w", err)
	}
	return tree, nil
}

func (c *coreChange) stageFiles(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	tree, err := c.tree(ctx, p, "")
	if err != nil {
		return err
	}
	files, err := c.others(ctx, site, p) // there may be more of them by now
	if err != nil {
		return err
	}
	err = c.Host.Files.StageNewCore(ctx, site, tree.Dir, c.stage(), func(done, total int64) {
		c.Report(float64(done)/float64(total), "")
	})
	if err != nil {
		return fmt.Errorf("copying core: %w", err)
	}
	if err := c.keepLocale(ctx, site, tree); err != nil {
		return err
	}
	left, err := c.Host.Files.CarryOver(ctx, site, c.stage(), files.carry)
	if err != nil {
		return fmt.Errorf("carrying files over: %w", err)
	}
	for _, name := range files.Extra {
		if !slices.Contains(files.carry, name) {
			left = append(left, name)
		}
	}
	return c.Set(keyCoreLeft, jsonList(left))
}

func jsonList(list []string) string {
	b, _ := json.Marshal(list[:min(len(list), maxListed)]) // strings always have a JSON form
	return string(b)
}

// keepLocale keeps the line by which a translated package tells WordPress its language: a
// site that never set one would come up in English.
func (c *coreChange) keepLocale(ctx context.Context, site wp.Site, tree wp.CoreTree) error {
	was, err := c.Host.Files.ReadFile(ctx, site, versionFile, 64<<10)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.logf("version.php could not be read; the language of the package may be lost.")
		return nil // a link or a giant in its place is what is being repaired
	}
	locale := wp.LocalPackage(was)
	if locale == "" {
		return nil
	}
	src, err := os.ReadFile(filepath.Join(tree.Dir, versionFile))
	if err != nil {
		return fmt.Errorf("reading version.php: %w", err)
	}
	staged, err := site.Staged(c.stage())
	if err != nil {
		return err
	}
	if err := c.Host.Files.WriteFile(ctx, staged, versionFile, wp.WithLocalPackage(src, locale), 0o644); err != nil {
		return fmt.Errorf("keeping the language of the package: %w", err)
	}
	return nil
}

const versionFile = "wp-includes/version.php"

func (c *coreChange) dropStage(ctx context.Context) error {
	return c.undoFiles(ctx, c.Host.Files.DropStage)
}

func (c *coreChange) swap(ctx context.Context) error {
	site, p, err := c.site()
	if err != nil {
		return err
	}
	if err := c.guard.touch(ctx); err != nil {
		return err
	}
	tree, err := c.tree(ctx, p, "")
	if err != nil {
		return err
	}
	gone, err := c.gone(ctx, p)
	if err != nil {
		return err
	}
	err = c.Host.Files.SwapCore(ctx, site, tree.Dir, c.stage(), gone)
	if errors.Is(err, fs.ErrExist) {
		return Permanent(err, Failure{Code: CodeLinked,
			Message: "The files of WordPress are links to files that are kept elsewhere, or somebody is changing them right now.",
			Hint:    "Update the place that the links lead to, or try again when nobody else is at it."})
	}
	if err != nil {
		return fmt.Errorf("exchanging core: %w", err)
	}
	return nil
}

// gone are files that the old version had beside its directories and the new one has not.
func (c *coreChange) gone(ctx context.Context, p corePlan) ([]string, error) {
	if p.From == "" || p.From == p.To {
		return nil, nil
	}
	was, err := c.Host.Packages.CoreSums(ctx, p.From)
	if errors.Is(err, wp.ErrPackageUnavailable) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	next, err := c.Host.Packages.CoreSums(ctx, p.To)
	if err != nil {
		return nil, err
	}
	return was.Gone(next), nil
}

func (c *coreChange) swapBack(ctx context.Context) error {
	return c.undoFiles(ctx, c.Host.Files.SwapBack)
}

// undoFiles takes back files of the site. When the domain's directory is gone, they are
// gone with it.
func (c *coreChange) undoFiles(ctx context.Context, undo func(context.Context, wp.Site, string) error) error {
	if errors.Is(c.Missing, wp.ErrNoDomain) {
		return nil
	}
	site, err := c.existing()
	if err != nil {
		return err
	}
	return undo(ctx, site, c.stage())
}
