package wp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Replacement is a text to be replaced everywhere in the tables of an install
// (php/search-replace.php).
type Replacement struct {
	Op      string   `json:"op"` // names the note by which an interrupted run is gone on with
	Search  string   `json:"search"`
	Replace string   `json:"replace"`
	Regex   bool     `json:"regex"`  // PCRE, without delimiters
	Tables  []string `json:"tables"` // names or patterns with * and ?; empty: all of the install
	GUID    bool     `json:"include_guid"`
	Network bool     `json:"network"` // the tables of all sites of a network
}

// Replaced is what was changed, or would be.
type Replaced struct {
	Cells   int             `json:"cells"` // in all tables together
	Tables  []ReplacedTable `json:"tables"`
	Skipped []SkippedTable  `json:"skipped,omitempty"`
	Failed  int             `json:"failed,omitempty"` // cells that could not be changed
	Passes  int             `json:"passes,omitempty"`
	Left    int             `json:"left"` // cells that the last pass still found
}

// ReplacedTable has what was changed in one table.
type ReplacedTable struct {
	Table   string         `json:"table"`
	Cells   int            `json:"cells"`
	Columns map[string]int `json:"columns"`
	Failed  int            `json:"failed,omitempty"`
}

// SkippedTable is a table that was not changed, or not with certainty.
type SkippedTable struct {
	Table  string `json:"table"`
	Reason string `json:"reason"`
}

// RefusedError is a value that the site's PHP or its tables cannot do anything with.
type RefusedError struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

func (e *RefusedError) Error() string { return e.Field + " " + e.Reason }

// replaceTime is for the largest shops; a blog takes a second.
const replaceTime = 45 * time.Minute

// maxTables is how many tables a report names; a network of many sites has more.
const maxTables = 1000

// CountReplacements says what ApplyReplacements would change. The error is a *RefusedError
// when the request makes no sense on this site.
func (c *CLI) CountReplacements(ctx context.Context, site Site, r Replacement) (Replaced, error) {
	return c.replacements(ctx, site, r, false)
}

// ApplyReplacements replaces until nothing is left, at most five times over. Called again
// for the same operation it goes on where it was cut short, until FinishReplacements.
func (c *CLI) ApplyReplacements(ctx context.Context, site Site, r Replacement) (Replaced, error) {
	return c.replacements(ctx, site, r, true)
}

// FinishReplacements empties the caches that would show the old text, and forgets what has
// been done.
func (c *CLI) FinishReplacements(ctx context.Context, site Site) error {
	_, err := c.must(ctx, site, searchReplace(`{"finish":true}`).within(defaultTimeout))
	return err
}

func (c *CLI) replacements(ctx context.Context, site Site, r Replacement, apply bool) (Replaced, error) {
	if r.Tables == nil {
		r.Tables = []string{}
	}
	in, err := json.Marshal(struct {
		Replacement
		Apply bool `json:"apply"`
	}{r, apply})
	if err != nil {
		return Replaced{}, fmt.Errorf("encoding replacement: %w", err)
	}
	out, err := c.must(ctx, site, searchReplace(string(in)))
	if err != nil {
		return Replaced{}, err
	}
	return parseReplaced(out)
}

func searchReplace(input string) Command {
	return command("wptk", "search-replace").loading("search-replace.php").input(input).withoutPlugins().forParser().within(replaceTime)
}

func parseReplaced(out []byte) (Replaced, error) {
	var answer struct {
		Invalid *RefusedError
		Counts  map[string]map[string]int
		Skipped map[string]string
		Failed  map[string]int
		Passes  int
		Left    int
	}
	if err := parseJSON(out, &answer); err != nil {
		return Replaced{}, fmt.Errorf("reading counts of replacements: %w", err)
	}
	if answer.Invalid != nil {
		return Replaced{}, &RefusedError{cleanField(answer.Invalid.Field), cleanField(answer.Invalid.Reason)}
	}
	r := Replaced{Tables: []ReplacedTable{}, Passes: answer.Passes, Left: answer.Left}
	names := map[string]bool{}
	for name := range answer.Counts {
		names[name] = true
	}
	for name := range answer.Failed {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		t := ReplacedTable{Table: cleanField(name), Columns: map[string]int{}, Failed: answer.Failed[name]}
		for column, cells := range answer.Counts[name] {
			t.Columns[cleanField(column)] = cells
			t.Cells += cells
		}
		r.Cells, r.Failed = r.Cells+t.Cells, r.Failed+t.Failed
		if len(r.Tables) < maxTables {
			r.Tables = append(r.Tables, t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(answer.Skipped)) {
		if len(r.Skipped) < maxTables {
			r.Skipped = append(r.Skipped, SkippedTable{cleanField(name), cleanField(answer.Skipped[name])})
		}
	}
	return r, nil
}
