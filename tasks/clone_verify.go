package tasks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

// checkValues looks at everything once more while nobody sees the copy: it is called by the
// original's name nowhere, and whatever PHP could read in the original it can read here.
func (c *cloner) checkValues(ctx context.Context) error {
	from, to, p, err := c.both()
	if err != nil {
		return err
	}
	staged, err := c.staged()
	if err != nil {
		return err
	}
	stats, err := c.stats()
	if err != nil {
		return err
	}
	login, err := c.Host.Login(ctx, staged)
	if err != nil {
		return fmt.Errorf("reading database of the copy: %w", err)
	}
	// The one reads in the server and in a child, the other in PHP: neither waits for the other.
	serialized := make(chan error, 1)
	go func() { serialized <- c.checkSerialized(ctx, from, staged, login) }()
	err = c.checkTraces(ctx, p.traces(from, to), staged, login, stats.BrokenLeft)
	if err = cmp.Or(err, <-serialized); err != nil {
		return err
	}
	return c.checkAddress(to)
}

// checkTraces counts what the original is called by. expected cells may have it.
func (c *cloner) checkTraces(ctx context.Context, texts []string, staged wp.Site, login wp.Login, expected int64) error {
	if len(texts) == 0 {
		return nil
	}
	counts, err := c.Host.CountText(ctx, staged, login, texts...)
	if err != nil {
		return fmt.Errorf("counting traces of the original: %w", err)
	}
	for _, n := range counts {
		if n.Cells > expected {
			return cloneBad(fmt.Errorf("%q in %d cells, %d of them expected: %s", n.Text, n.Cells, expected, strings.Join(n.Where, ", ")),
				fmt.Sprintf("The copy still has the address or path of the original in %d places.", n.Cells))
		}
	}
	return nil
}

// checkAddress looks at what WordPress itself said of the copy when that was settled.
func (c *cloner) checkAddress(to wp.Site) error {
	var settled wp.CopySettled
	if err := json.Unmarshal([]byte(c.Get(keySettled)), &settled); err != nil {
		return fmt.Errorf("reading what the copy said: %w", err)
	}
	if settled.SiteURL != to.URL {
		return cloneBad(fmt.Errorf("siteurl is %q", settled.SiteURL), "The copy has another address than it should have.")
	}
	return nil
}

// checkSerialized counts the values that PHP cannot read. The original is only asked when
// there are any: they may have been damaged there already.
func (c *cloner) checkSerialized(ctx context.Context, from, staged wp.Site, login wp.Login) error {
	copied, err := c.Host.BrokenValues(ctx, staged, login, "")
	if err != nil || copied.Broken == 0 {
		return err
	}
	was, err := c.brokenBefore(ctx, from)
	if err != nil {
		return err
	}
	if copied.Broken > was {
		return cloneBad(fmt.Errorf("%d broken values, %d in the original: %s", copied.Broken, was, strings.Join(copied.Where, ", ")),
			"PHP cannot read values of the copy that it could read in the original.")
	}
	c.logf("%d values cannot be read by PHP, in the original neither: %s.", copied.Broken, strings.Join(copied.Where, ", "))
	return nil
}

// brokenBefore is how many values PHP cannot read in the original.
func (c *cloner) brokenBefore(ctx context.Context, from wp.Site) (int64, error) {
	if c.away() {
		p, err := c.planned()
		return p.Broken, err
	}
	return c.brokenIn(ctx, from)
}

func (r *Run) brokenIn(ctx context.Context, site wp.Site) (int64, error) {
	login, err := r.Host.Login(ctx, site)
	if err != nil {
		return 0, fmt.Errorf("reading database of the original: %w", err)
	}
	values, err := r.Host.BrokenValues(ctx, site, login, "")
	return values.Broken, err
}

// verify starts the copy where it now stands, as a visit does. Only when it does not come up
// the original is started as well: one that does not either may be copied all the same, since
// finding out why is what people make copies for.
func (c *cloner) verify(ctx context.Context) error {
	from, to, _, err := c.both()
	if err != nil {
		return err
	}
	health, err := c.Host.Probe(ctx, to)
	if err != nil {
		return notConfirmed(err)
	}
	if !health.Up && c.away() {
		return Permanent(errors.New(health.Reason), Failure{Code: CodeSiteBroken, Message: "The copy does not come up: " + health.Reason + ".",
			Hint: "Look whether the original does; from another node that cannot be told. A plugin that is bound to its domain or its path is the usual reason."})
	}
	if !health.Up {
		was, err := c.Host.Probe(ctx, from)
		if err != nil {
			return notConfirmed(err)
		}
		if was.Up {
			return Permanent(errors.New(health.Reason), Failure{Code: CodeSiteBroken, Message: "The copy does not come up, and the original does: " + health.Reason + ".",
				Hint: "A plugin that is bound to its domain or its path is the usual reason. Deactivate it in the original, or leave it out with select."})
		}
	}
	b, err := json.Marshal(health)
	if err != nil {
		return fmt.Errorf("encoding health: %w", err)
	}
	return c.Set(keyHealth, string(b))
}

const keyHealth = "health"

// finish hands the copy over: from here on it is the owner's.
func (c *cloner) finish(ctx context.Context) error {
	site, err := c.site()
	if err != nil {
		return err
	}
	result, err := c.result(site)
	if err != nil {
		return err
	}
	if result.Measures, err = c.carryMeasures(ctx); err != nil {
		return err
	}
	if err := c.SetResult(result); err != nil {
		return err
	}
	if c.away() {
		c.dropParcel(ctx)
	}
	return errors.Join(
		c.Host.DB.Unclaim(ctx, c.Get(keyDBName)),
		c.Host.Files.Commit(ctx, site, c.stage()),
	)
}

func (c *cloner) result(site wp.Site) (CloneResult, error) {
	p, err := c.planned()
	if err != nil {
		return CloneResult{}, err
	}
	stats, err := c.stats()
	if err != nil {
		return CloneResult{}, err
	}
	var files wp.TreeCopied
	var settled wp.CopySettled
	var health wp.Health
	for key, into := range map[string]any{keyCloneFiles: &files, keySettled: &settled, keyHealth: &health} {
		if text := c.Get(key); text != "" { // health is not there when it could not be told
			if err := json.Unmarshal([]byte(text), into); err != nil {
				return CloneResult{}, fmt.Errorf("reading %s: %w", key, err)
			}
		}
	}
	name := c.Get(keyDBName)
	r := CloneResult{
		ID: c.Op.Site.ID, Domain: site.Domain, Path: site.Docroot, Version: settled.Version, SiteTitle: settled.Title,
		SiteURL: site.URL, AdminURL: site.URL + "/wp-admin/",
		DBName: name, DBUser: name, DBHost: c.Host.DBHost, TablePrefix: c.Get(keyPrefix),
		SourceID: c.ask.Source.ID, SourceURL: p.URL, Staging: settled.Staging, Files: files.Files, Bytes: files.Bytes,
		Broken: stats.BrokenLeft, LeftOut: p.Nested, SiteUp: health.Up, Reason: health.Reason,
	}
	if r.Tables, err = strconv.Atoi(c.Get(keyTableCount)); err != nil {
		return r, fmt.Errorf("reading count of tables: %w", err)
	}
	for _, t := range stats.Tables {
		r.Rows += t.Rows
		r.Rewritten += t.Changed
	}
	return r, nil
}

// carryMeasures has the node remember of the copy what holds for it because its files and its
// configuration came with it. What was remembered of an earlier install in its place is gone.
func (c *cloner) carryMeasures(ctx context.Context) ([]string, error) {
	if c.Host.Measures == nil {
		return nil, nil
	}
	if err := c.Host.ForgetMeasures(ctx, c.Op.Site.ID); err != nil {
		return nil, err
	}
	doc, err := c.memoryOf(c.ask.Source.ID)
	if err != nil {
		return nil, err
	}
	ref := c.Op.Site
	carried := wp.Hardening{Account: ref.Account, Domain: ref.Domain, Path: ref.Path, Made: doc.Made, Measures: map[string]wp.Applied{}}
	var names []string
	for _, m := range wp.Measures { // in the order that people read them
		a, ok := doc.Measures[m.ID]
		// Debugging was taken back; rules in the server's own files, and lists of modes, are
		// the original's.
		if !ok || m.ID == wp.MeasureDebug || m.ID == wp.MeasurePermissions || a.Server == wp.Nginx {
			continue
		}
		a.Op, a.At, a.Until, a.Ending = c.Op.ID, time.Now().UTC(), time.Time{}, ""
		carried.Measures[m.ID] = a
		names = append(names, m.ID)
	}
	return names, c.Host.Measures.Save(ref.ID, carried)
}
