package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/rewrite"
)

// Codes of failures that clones have of their own.
const (
	CodeMultisite  = "multisite"
	CodeUnreadable = "source_unreadable"
)

// clonePlan is what the op has found out about the original, kept for every attempt. It has
// no secrets.
type clonePlan struct {
	URL     string   `json:"url"`     // home
	SiteURL string   `json:"siteurl"` // where WordPress itself is, mostly the same
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
	Nested  []string `json:"nested,omitempty"`
	Cached  bool     `json:"cached"` // it has our object cache

	Prefix     string   `json:"prefix"`
	Tables     []string `json:"tables"`
	TableBytes int64    `json:"table_bytes"`
	Whole      bool     `json:"whole"`

	// Of an original on another node, which told it together with its backup.
	Docroot string            `json:"docroot,omitempty"`
	Broken  int64             `json:"broken,omitempty"` // values that PHP cannot read there
	Debug   []wp.ConfigChange `json:"debug,omitempty"`  // to be taken back: its log is the original's
}

const (
	keyClonePlan   = "clone_plan"
	keyCloneFiles  = "clone_files"
	keyCloneTables = "clone_tables"
	keyCacheSalt   = "cache_salt"

	objectCache = "wp-content/" + wp.ObjectCacheFile
)

func (c *cloner) planned() (clonePlan, error) {
	var p clonePlan
	if err := json.Unmarshal([]byte(c.Get(keyClonePlan)), &p); err != nil {
		return clonePlan{}, fmt.Errorf("reading plan: %w", err)
	}
	return p, nil
}

// plan refuses what cannot be, while there is nothing to undo.
func (c *cloner) plan(ctx context.Context) error {
	if found := c.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...)
	}
	if c.ask.Source.ID == c.Op.Site.ID {
		return invalidPayload(Problem{"target_domain", "with this target_path is the original itself"})
	}
	site, err := c.existingAt(ctx)
	if err != nil {
		return err
	}
	_, err = c.Recall(keyClonePlan, func() (string, error) {
		p, err := c.look(ctx, site)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(p)
		return string(b), err
	})
	return err
}

func (c *cloner) look(ctx context.Context, to wp.Site) (clonePlan, error) {
	from, err := c.source()
	if err != nil {
		return clonePlan{}, err
	}
	p, err := c.original(ctx, from)
	if err != nil {
		return p, err
	}
	if err := c.roomFor(ctx, to, p); err != nil {
		return p, err
	}
	return p, c.tryConfig(ctx, from, to, p)
}

// original finds out about an install on this node what a copy has to know, and refuses one
// that cannot be copied.
func (r *Run) original(ctx context.Context, from wp.Site) (clonePlan, error) {
	found, err := r.Host.Files.Look(ctx, from)
	if err != nil {
		return clonePlan{}, lookError(fmt.Errorf("looking at the original: %w", err))
	}
	if err := cloneable(found); err != nil {
		return clonePlan{}, err
	}
	p := clonePlan{Prefix: found.Config.TablePrefix}
	if err := r.lookAtAddress(ctx, found, &p); err != nil {
		return p, err
	}
	if err := r.lookAtFiles(ctx, from, &p); err != nil {
		return p, err
	}
	share, err := r.Host.DatabaseShare(ctx, found)
	if err != nil {
		return p, err
	}
	p.Tables, p.TableBytes, p.Whole = share.Tables, share.Bytes, share.Whole
	if len(p.Tables) == 0 {
		return p, Permanent(nil, Failure{Code: CodeNotInstalled, Message: "The original has no tables: WordPress was not installed there.",
			Hint: "Install it first, or clone another site."})
	}
	return p, nil
}

// cloneable refuses what a copy cannot be made of.
func cloneable(found wp.Found) error {
	switch {
	case found.Shut:
		return Permanent(nil, shutFailure)
	case found.Version == "":
		return Permanent(nil, noWordPress)
	case found.Config.Multisite:
		return Permanent(nil, Failure{Code: CodeMultisite, Message: "The original is a network of sites, which cannot be cloned.",
			Hint: "Every site of a network has an address of its own. Back the network up and restore it where it belongs, or export single sites of it."})
	case len(found.Problems) > 0:
		return Permanent(errors.New(strings.Join(found.Problems, "; ")), Failure{Code: CodeUnreadable,
			Message: "The wp-config.php of the original does not tell its database.", Hint: "Repair it first; the list of installs says what is wrong."})
	}
	return nil
}

// lookAtAddress reads what the original is called, from files and tables: WordPress itself is not
// started there, as every start writes into the options.
func (r *Run) lookAtAddress(ctx context.Context, found wp.Found, p *clonePlan) error {
	facts, err := wp.Inspect(ctx, r.Host, found)
	if err != nil {
		return err
	}
	if f := facts[0]; f.Status == wp.StatusBroken || f.Status == wp.StatusUnreadable {
		return Permanent(errors.New(f.Reason), Failure{Code: CodeUnreadable, Message: "The original cannot be read: " + f.Reason + ".",
			Hint: "Repair it first; a copy of it would not work either."})
	}
	p.URL, p.SiteURL = facts[0].URL, strings.TrimSuffix(facts[0].AdminURL, "/wp-admin/")
	return nil
}

// spare is what a copy leaves free for others.
const spare = 100 << 20

func (r *Run) lookAtFiles(ctx context.Context, from wp.Site, p *clonePlan) error {
	belongings, err := r.Host.Files.Belongings(ctx, from)
	if err != nil {
		return fmt.Errorf("looking through files: %w", err)
	}
	if !belongings.Complete {
		return Permanent(nil, unreadableFiles)
	}
	p.Files, p.Bytes, p.Nested = belongings.Files, belongings.Bytes, belongings.Nested
	if from.Docroot == from.Home {
		r.logf("The original is in its domain's own directory: of that, only WordPress's own files and directories are copied.")
	}
	owner, _, err := r.Host.Files.DropIn(ctx, from, from.Docroot+"/"+objectCache)
	if err != nil {
		return err
	}
	p.Cached = owner == wp.DropInOurs
	return nil
}

func (c *cloner) roomFor(ctx context.Context, to wp.Site, p clonePlan) error {
	room, err := c.Host.Files.Room(ctx, to)
	if err != nil {
		return err
	}
	if need := p.Bytes + spare; room.Bytes < need || room.Files > 0 && room.Files < p.Files {
		return refuse(CodeDiskFull, fmt.Sprintf("The copy needs %d MB and %d files; the disk has room for %d MB.", need>>20, p.Files, room.Bytes>>20),
			"Free some space on the node, then try again.")
	}
	return nil
}

var unreadableFiles = Failure{Code: CodeUnreadable, Message: "The account cannot read all files of the original.",
	Hint: "Files of another user or without read permission are the usual reason. Give them back to the account, then try again."}

// tryConfig makes the configuration of the copy once for nothing: what its owner computes in
// there is known before anything is copied.
func (c *cloner) tryConfig(ctx context.Context, from, to wp.Site, p clonePlan) error {
	_, err := c.newConfig(ctx, from, to, p, "password")
	return hardeningError(err)
}

// newConfig is the wp-config.php of the copy.
func (c *cloner) newConfig(ctx context.Context, from, to wp.Site, p clonePlan, password string) ([]byte, error) {
	_, config, err := c.Host.LoadConfig(ctx, from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Permanent(err, noWordPress)
	}
	if err != nil {
		return nil, err
	}
	if p.Debug, err = c.debugging(c.ask.Source.ID); err != nil {
		return nil, err
	}
	return c.adaptConfig(config.Data, from, to, p, password)
}

// debugging is what toggle-debug has changed in an install's wp-config.php.
func (r *Run) debugging(id string) ([]wp.ConfigChange, error) {
	doc, err := r.memoryOf(id)
	return doc.Measures[wp.MeasureDebug].Config, err
}

// adaptConfig makes the original's wp-config.php the copy's.
func (c *cloner) adaptConfig(src []byte, from, to wp.Site, p clonePlan, password string) ([]byte, error) {
	salt, err := c.Recall(keyCacheSalt, func() (string, error) { return wp.NewCacheSalt(c.Op.Site.ID), nil })
	if err != nil {
		return nil, err
	}
	prefix, err := c.Recall(keyPrefix, func() (string, error) { return wp.NewTablePrefix(), nil })
	if err != nil {
		return nil, err
	}
	name := c.Get(keyDBName)
	if name == "" {
		name = "to_be_made"
	}
	return wp.ClonedConfig{
		DBName: name, DBUser: name, DBPassword: password, DBHost: c.Host.DBHost, TablePrefix: prefix, URL: to.URL, CacheSalt: salt,
		Revert:  p.Debug,
		Rewrite: p.rewrite(from, to),
	}.Apply(src)
}

// memoryOf is what the node remembers of an install.
func (r *Run) memoryOf(id string) (wp.Hardening, error) {
	if r.Host.Measures == nil {
		return wp.Hardening{}, nil
	}
	return r.Host.Measures.Load(id)
}

// rules move the original to the copy's place. Where WordPress is in a directory of its own
// below the address, both become the copy's address.
func (p clonePlan) rules(from, to wp.Site) []rewrite.Rule {
	place := rewrite.Place{URL: to.URL, Docroot: to.Docroot}
	rules := rewrite.SiteRules(rewrite.Place{URL: p.SiteURL, Docroot: from.Docroot}, place)
	if p.URL != p.SiteURL {
		rules = append(rules, rewrite.SiteRules(rewrite.Place{URL: p.URL, Docroot: from.Docroot}, place)...)
	}
	return rules
}

func (p clonePlan) rewrite(from, to wp.Site) func([]byte) []byte {
	w := rewrite.New(p.rules(from, to))
	return func(src []byte) []byte { out, _ := w.Text(src); return out }
}

// traces are the texts that the copy must not have: what the original is called by, as far as
// that is not a part of what the copy is called by.
func (p clonePlan) traces(from, to wp.Site) []string {
	var texts []string
	for _, address := range []string{p.URL, p.SiteURL} {
		u, err := url.Parse(address)
		if t, errTo := url.Parse(to.URL); err == nil && errTo == nil && u.Host != t.Host {
			texts = append(texts, u.Host)
		}
	}
	if len(texts) == 2 && texts[0] == texts[1] {
		texts = texts[:1]
	}
	if !strings.HasPrefix(to.Docroot+"/", from.Docroot+"/") {
		texts = append(texts, from.Docroot)
	}
	return texts
}
