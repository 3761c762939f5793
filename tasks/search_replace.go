package tasks

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wispanel/wptk/wp"
)

var searchReplaceSpec = Spec{
	Kind:     "search.replace",
	Class:    Standard,
	Deadline: 90 * time.Minute,
	New:      func() Task { return new(SearchReplace) },
}

// SearchReplace replaces a text everywhere in the database of an install. There is no undo:
// what looked like the replacement before could not be told from what was made. Text that is
// the replacement already stays, so that doing it twice, or going on after a crash, is doing
// it once; with a regular expression every table is gone through exactly once.
type SearchReplace struct {
	Search      string   `json:"search" minLength:"1" maxLength:"4096" example:"http://old.example.com" doc:"The text to look for, case and all. Where it has slashes, JSON's escaped form of it is found too."`
	Replace     string   `json:"replace" maxLength:"4096" example:"https://new.example.com" doc:"What takes its place; empty removes it."`
	DryRun      bool     `json:"dry_run,omitempty" doc:"Only count, table by table; recommended before every change, as there is no undo."`
	Tables      []string `json:"tables,omitempty" maxItems:"200" nullable:"false" example:"[\"wp_posts\"]" doc:"Only these tables; * and ? stand for any characters. All of the install when left out."`
	Regex       bool     `json:"regex,omitempty" doc:"search is a regular expression (PCRE, no delimiters) and replace may have $1."`
	Precise     bool     `json:"precise,omitempty" doc:"Changes nothing: serialized values are always taken apart and put together again."`
	IncludeGUID bool     `json:"include_guid,omitempty" doc:"Also the guid of posts, by which feed readers know what they have shown."`
	Network     bool     `json:"network,omitempty" doc:"For a network: the tables of all its sites, not only those of the main one."`
}

// SearchReplaceResult is what was changed; of a dry run, what would be.
type SearchReplaceResult struct {
	*wp.Replaced
	DryRun bool         `json:"dry_run,omitempty"`
	Would  *wp.Replaced `json:"would,omitempty"`
}

// Kind is "search.replace".
func (*SearchReplace) Kind() string { return searchReplaceSpec.Kind }

const maxSearch = 4096 // bytes

var tableWish = regexp.MustCompile(`^[A-Za-z0-9_$.*?-]{1,64}$`)

// Validate reports what is wrong with the request. Whether an expression is one, only PHP
// can tell, on the node.
func (p *SearchReplace) Validate() []Problem {
	var found []Problem
	wrong := func(field, reason string) { found = append(found, Problem{field, reason}) }
	for field, text := range map[string]string{"search": p.Search, "replace": p.Replace} {
		switch {
		case len(text) > maxSearch:
			wrong(field, fmt.Sprintf("is longer than %d bytes", maxSearch))
		case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
			wrong(field, "must be text without the character U+0000")
		}
	}
	switch {
	case p.Search == "":
		wrong("search", "is required")
	case p.Search == p.Replace && !p.Regex:
		wrong("replace", "is the same as search")
	}
	for _, table := range p.Tables {
		if !tableWish.MatchString(table) {
			wrong("tables", fmt.Sprintf("has %q, which cannot be the name of a table", table))
			break
		}
	}
	return found
}

// replacer is one replacement at work.
type replacer struct {
	*Run
	ask *SearchReplace
}

const keyFound = "found" // how many cells the count has found

// Steps lists the count and, unless that was all, the change. From the change on the op is
// neither cancelled nor undone: half of a site with a new address would be no site.
func (p *SearchReplace) Steps(r *Run) []Step {
	s := &replacer{Run: r, ask: p}
	steps := []Step{{Name: "count", Message: "Counting matches", Weight: 2, Do: s.count}}
	if p.DryRun {
		return steps
	}
	return append(steps,
		Step{Name: "replace", Message: "Replacing", Weight: 5, Commit: true, Check: s.nothing, Do: s.replace},
		Step{Name: "flush", Message: "Emptying caches", Commit: true, Check: s.nothing, Do: s.flush},
	)
}

func (s *replacer) wish() wp.Replacement {
	return wp.Replacement{
		Op: s.Op.ID, Search: s.ask.Search, Replace: s.ask.Replace, Regex: s.ask.Regex,
		Tables: s.ask.Tables, GUID: s.ask.IncludeGUID, Network: s.ask.Network,
	}
}

func (s *replacer) count(ctx context.Context) error {
	site, err := s.installed(ctx)
	if err != nil {
		return err
	}
	found, err := s.Host.CLI.CountReplacements(ctx, site, s.wish())
	if err != nil {
		return refused(fmt.Errorf("counting matches: %w", err))
	}
	s.logf("%d cells in %d tables match", found.Cells, len(found.Tables))
	if err := s.Set(keyFound, strconv.Itoa(found.Cells)); err != nil {
		return err
	}
	if s.ask.DryRun {
		return s.SetResult(SearchReplaceResult{DryRun: true, Would: &found})
	}
	return s.SetResult(SearchReplaceResult{Replaced: &found}) // stays when nothing was found
}

func refused(err error) error {
	var no *wp.RefusedError
	if errors.As(err, &no) {
		return invalidPayload(Problem{no.Field, no.Reason})
	}
	return err
}

func (s *replacer) nothing(context.Context) (bool, error) { return s.Get(keyFound) == "0", nil }

func (s *replacer) replace(ctx context.Context) error {
	site, err := s.existing()
	if err != nil {
		return err
	}
	done, err := s.Host.CLI.ApplyReplacements(ctx, site, s.wish())
	if err != nil {
		return refused(fmt.Errorf("replacing: %w", err))
	}
	if err := s.SetResult(SearchReplaceResult{Replaced: &done}); err != nil {
		return err
	}
	if done.Failed > 0 || done.Left > 0 {
		return Permanent(nil, Failure{
			Code: CodeUnconfirmed,
			Message: fmt.Sprintf("%d cells were changed, but %d could not be changed and %d came up again while others were.",
				done.Cells, done.Failed, done.Left),
			Hint: "The result names the tables. Texts that would be too long for their column, and a plugin that writes the old text anew, are the usual reasons.",
		})
	}
	return nil
}

func (s *replacer) flush(ctx context.Context) error {
	site, err := s.existing()
	if err != nil {
		return err
	}
	return s.Host.CLI.FinishReplacements(ctx, site)
}
