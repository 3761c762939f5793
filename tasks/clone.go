package tasks

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

var cloneSpec = Spec{
	Kind:     "clone",
	Class:    Bulk,
	Deadline: 4 * time.Hour,
	New:      func() Task { return new(Clone) },
}

// Clone makes a new install out of another one: its files and its database under another
// address, with a database, a user, a table prefix, keys and salts of its own. The original is
// only read. Where the copy goes is in the op's SiteRef; that is empty until the copy is whole.
type Clone struct {
	Source  SiteRef   `json:"source"`
	Title   string    `json:"title,omitempty"`
	DBName  string    `json:"db_name,omitempty"`
	SSL     *bool     `json:"ssl,omitempty"`
	Staging *bool     `json:"staging,omitempty"`
	Select  Selection `json:"select,omitzero"`
}

// Selection is a part of an install. What is left out stands for all of its kind.
type Selection struct {
	Files    *bool    `json:"files,omitempty" doc:"With the files; true when left out."`
	Database *bool    `json:"database,omitempty" doc:"With the database; true when left out."`
	Paths    []string `json:"paths,omitempty" maxItems:"100" nullable:"false" example:"[\"wp-content/uploads\"]" doc:"Of wp-content only these files and directories, relative to the docroot."`
	Tables   []string `json:"tables,omitempty" maxItems:"200" nullable:"false" doc:"Only these tables, by their full names."`
}

// CloneResult is the copy. Numbers are of what was copied.
type CloneResult struct {
	ID          string `json:"id"`
	Domain      string `json:"domain"`
	Path        string `json:"path"`
	Version     string `json:"version"`
	SiteTitle   string `json:"site_title"`
	SiteURL     string `json:"site_url"`
	AdminURL    string `json:"admin_url"`
	DBName      string `json:"db_name"`
	DBUser      string `json:"db_user"`
	DBHost      string `json:"db_host"`
	TablePrefix string `json:"table_prefix"`

	SourceID  string `json:"source_id"`
	SourceURL string `json:"source_url"`
	Staging   bool   `json:"staging" doc:"It sends no mail, and asks search engines to stay away."`
	Files     int64  `json:"files"`
	Bytes     int64  `json:"bytes"`
	Tables    int    `json:"tables"`
	Rows      int64  `json:"rows"`
	Rewritten int64  `json:"rewritten" doc:"Values in which an address or a path was replaced."`
	// Broken values have the old address because replacing it would have made them worse.
	Broken   int64    `json:"broken" doc:"Addresses left in values that were damaged before; PHP cannot read them in the original either."`
	LeftOut  []string `json:"left_out,omitempty" doc:"Other installs below the original, which are not part of it."`
	SiteUp   bool     `json:"site_up"`
	Reason   string   `json:"reason,omitempty" doc:"Why it does not come up, as the original does not."`
	Measures []string `json:"measures,omitempty" doc:"Hardening that holds for the copy, too."`
}

// Kind is "clone".
func (*Clone) Kind() string { return cloneSpec.Kind }

// Reads names the install that must not change while the op runs.
func (p *Clone) Reads() []SiteRef { return []SiteRef{p.Source} }

var tablePattern = regexp.MustCompile(`^[A-Za-z0-9_$-]{1,64}$`)

// Validate names every problem.
func (p *Clone) Validate() []Problem {
	var found problems
	found.add("source_id", validSource(p.Source))
	found.add("title", validTitle(p.Title))
	found.optional("db_name", p.DBName, validDBName)
	for _, half := range []*bool{p.Select.Files, p.Select.Database} {
		if half != nil && !*half {
			found.add("select", "needs both files and database: without one of them the copy would be no WordPress; push copies parts onto an install")
			break
		}
	}
	return append(found, p.Select.problems()...)
}

func validSource(ref SiteRef) string {
	if !IsSiteID(ref.ID) {
		return "must be the id of an install"
	}
	return ""
}

// problems judges the lists, whatever they are for.
func (s Selection) problems() []Problem {
	var found problems
	for _, path := range s.Paths {
		reason := wp.ExchangeablePath(path)
		if reason == "" && !strings.HasPrefix(path, "wp-content/") {
			reason = "must be below wp-content/"
		}
		if reason != "" {
			found.add("select.paths", fmt.Sprintf("has %q, which %s", shorten(path), reason))
		}
	}
	for _, table := range s.Tables {
		if !tablePattern.MatchString(table) {
			found.add("select.tables", fmt.Sprintf("has %q, which is no table name that WordPress can have", shorten(table)))
		}
	}
	return found
}

// staging decides what was not asked for: a copy beside or below the address of its original
// is there to try things, one under another name may be there to stay.
func (p *Clone) staging(domain string) bool {
	if p.Staging != nil {
		return *p.Staging
	}
	source := strings.TrimPrefix(p.Source.Domain, "www.")
	return domain == source || strings.HasSuffix(domain, "."+source)
}

// Steps lists what a clone does. All of it is built in a stage beside the docroot, checked
// there, and appears by one rename; the original is never written to. From another node it
// comes as a backup, which is read once.
func (p *Clone) Steps(r *Run) []Step {
	c := &cloner{installer: installer{Run: r, ask: &Install{DBName: p.DBName, SSL: p.SSL, Title: p.Title}}, ask: p}
	steps := []Step{
		{Name: "plan", Message: "Looking at both sites", Weight: 2, Do: c.plan},
		{Name: "database", Message: "Creating the database", Weight: 2, Do: c.makeDatabase, Undo: c.dropDatabase},
		{Name: "files", Message: "Copying files and database", Weight: 60, Do: c.copyFiles, Undo: c.removeStage},
		{Name: "config", Message: "Writing the configuration", Weight: 2, Do: c.writeConfig, Verify: c.readConfig},
		{Name: "tables", Message: "Copying the database", Weight: 10, Check: c.haveTables, Do: c.copyTables, Verify: c.checkTables},
	}
	if c.away() {
		steps = []Step{
			{Name: "plan", Message: "Looking at the target", Weight: 1, Do: c.planAway},
			{Name: "backup", Message: "Waiting for a backup of the original", Weight: 30, Do: c.awaitParcel, Undo: c.callParcelOff},
			{Name: "database", Message: "Creating the database", Weight: 2, Do: c.makeDatabase, Undo: c.dropDatabase},
			{Name: "unpack", Message: "Unpacking files and database", Weight: 40, Do: c.unpack, Verify: c.checkUnpacked, Undo: c.removeStage},
		}
	}
	return append(steps,
		Step{Name: "cache", Message: "Giving the copy a cache of its own", Check: c.needsNoCache, Do: c.giveCache, Undo: c.takeCache},
		Step{Name: "settle", Message: "Making the copy a site of its own", Weight: 3, Do: c.settle},
		Step{Name: "check", Message: "Checking every value", Weight: 10, Verify: c.checkValues},
		Step{Name: "publish", Message: "Putting the copy in place", Weight: 2, Check: c.isPublished, Do: c.publish, Undo: c.unpublish},
		Step{Name: "verify", Message: "Checking the copy", Weight: 8, Verify: c.verify},
		Step{Name: "finish", Message: "Finishing", Commit: true, Do: c.finish},
	)
}

// cloner is one clone at work: an install whose WordPress comes from another install.
type cloner struct {
	installer
	ask *Clone
}

// source is the original, under the address that the plan has found.
func (c *cloner) source() (wp.Site, error) {
	if c.away() {
		return c.sourceAway()
	}
	site, err := c.find(c.ask.Source)
	if err != nil {
		return wp.Site{}, err
	}
	if p, err := c.planned(); err == nil {
		return site.WithURL(p.URL)
	}
	return site, nil
}

// find leads names to a site on this node, which must lead back to the id.
func (r *Run) find(ref SiteRef) (wp.Site, error) {
	if SiteID(r.Host.Node, ref.Account, ref.Domain, ref.Path) != ref.ID {
		return wp.Site{}, refuse(CodeNoWordPress, "The original is not on this node.", "Send the request again: the API finds the way to another node.")
	}
	site, err := r.Host.Find(ref.Account, ref.Domain, ref.Path)
	if err != nil {
		return wp.Site{}, Permanent(err, noWordPress)
	}
	site.ID = ref.ID
	return site, nil
}

// coreTableNames are the tables of every WordPress, without prefix. A copy always has them.
var coreTableNames = []string{
	"commentmeta", "comments", "links", "options", "postmeta", "posts", "termmeta", "terms",
	"term_relationships", "term_taxonomy", "usermeta", "users",
}

// tables are those that are copied: nil for the whole database, with routines and events.
func (p clonePlan) tables(chosen []string) []string {
	if len(chosen) == 0 {
		if p.Whole {
			return nil
		}
		return p.Tables
	}
	var list []string
	for _, table := range p.Tables {
		name, own := strings.CutPrefix(table, p.Prefix)
		if own && slices.Contains(coreTableNames, name) || slices.Contains(chosen, table) {
			list = append(list, table)
		}
	}
	return list
}

func (c *cloner) existingAt(ctx context.Context) (wp.Site, error) {
	site, err := c.site()
	if err != nil {
		return wp.Site{}, err
	}
	state, err := c.Host.Files.State(ctx, site)
	if err != nil {
		return wp.Site{}, fmt.Errorf("looking at target: %w", err)
	}
	return site, refuseOccupied(state)
}
