package wp

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// configDoc is a wp-config.php read for being edited: where its top-level
// statements and the values of the watched constants stand.
type configDoc struct {
	text       string
	tokens     []phpToken
	spans      []phpSpan
	constants  map[string]phpValue
	prefix     phpValue          // of $table_prefix, as last assigned in a plain statement
	statements []configStatement // up to and including the one that loads WordPress
}

// configStatement is tokens[from:to].
type configStatement struct{ from, to int }

// readConfig reads a file for constants. It refuses with ErrUncertain where code in
// front of wp-settings.php may define one of them in a way that cannot be seen.
func readConfig(text string, names ...string) (*configDoc, error) {
	if len(text) > MaxConfigSize {
		return nil, fmt.Errorf("%w: larger than %d KiB", ErrNotConfig, MaxConfigSize>>10)
	}
	tokens, spans, err := lexPHPSpans(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotConfig, err)
	}
	d := &configDoc{text: text, tokens: tokens, spans: spans}
	r := &configReader{tokens: tokens, watch: setOf(names...), lenient: true, constants: map[string]phpValue{}}
	for r.peek(0).kind != phpEnd && !r.done {
		from := r.pos
		r.statement()
		if r.pos == from {
			return nil, fmt.Errorf("%w: a statement that cannot be read", ErrNotConfig)
		}
		d.statements = append(d.statements, configStatement{from, r.pos})
	}
	d.constants, d.prefix = r.constants, r.prefix
	switch {
	case r.why != "":
		return nil, fmt.Errorf("%w: it %s", ErrUncertain, predicate(r.why))
	case !r.done:
		return nil, fmt.Errorf("%w: it does not load wp-settings.php in a plain statement", ErrUncertain)
	case !loads(tokens[d.last().from]):
		return nil, fmt.Errorf("%w: it loads wp-settings.php under a condition", ErrUncertain)
	}
	return d, nil
}

// predicate makes the reader's reasons continue "it …".
func predicate(why string) string {
	for _, verb := range []string{"uses ", "calls ", "defines "} {
		if strings.HasPrefix(why, verb) {
			return why
		}
	}
	return "cannot be read for certain: " + why
}

func loads(t phpToken) bool {
	return t.word("require") || t.word("require_once") || t.word("include") || t.word("include_once")
}

func (d *configDoc) last() configStatement { return d.statements[len(d.statements)-1] }

// statementOf finds the top-level statement that a value stands in.
func (d *configDoc) statementOf(v phpValue) configStatement {
	for _, s := range d.statements {
		if s.from <= v.from && v.to <= s.to {
			return s
		}
	}
	return d.last() // not reached: values come from statements
}

// stopEditing is the line that WordPress's sample, and ours, ask to stay above of.
var stopEditing = regexp.MustCompile(`(?i)(that's all,? stop editing|stop editing!|own settings go above this line)`)

// anchor is where a new constant goes: in front of the last "stop editing" comment,
// else of the statement that loads WordPress, at the beginning of the line if
// nothing else is on it.
func (d *configDoc) anchor() int {
	for i := len(d.statements) - 1; i >= 0; i-- {
		first := d.statements[i].from
		if t := d.tokens[first]; t.word("else") || t.word("elseif") || t.kind == phpClose {
			continue
		}
		gap := d.text[d.behind(first):d.spans[first].start]
		if at := lastStopComment(gap); at >= 0 {
			return d.lineStart(d.behind(first), d.behind(first)+at)
		}
	}
	first := d.last().from
	return d.lineStart(d.behind(first), d.spans[first].start)
}

// behind is where the blank space and comments in front of a token begin.
func (d *configDoc) behind(token int) int {
	if token == 0 {
		return 0
	}
	return d.spans[token-1].end
}

// lastStopComment finds the last comment of a gap between two tokens that says so,
// as an offset into the gap; -1 when there is none.
func lastStopComment(gap string) int {
	found := -1
	for at := 0; at < len(gap); {
		end := at + 1
		if rest := gap[at:]; strings.HasPrefix(rest, "/*") {
			if end = len(gap); strings.Contains(rest[2:], "*/") {
				end = at + 4 + strings.Index(rest[2:], "*/")
			}
		} else if strings.HasPrefix(rest, "//") || rest[0] == '#' {
			if n := strings.IndexAny(rest, "\r\n"); n >= 0 {
				end = at + n
			} else {
				end = len(gap)
			}
		}
		if stopEditing.MatchString(gap[at:end]) {
			found = at
		}
		at = end
	}
	return found
}

// lineStart moves a place back to the beginning of its line, if there is nothing but
// blanks in between and it does not leave the gap that begins at floor.
func (d *configDoc) lineStart(floor, at int) int {
	start := at
	for start > floor && (d.text[start-1] == ' ' || d.text[start-1] == '\t') {
		start--
	}
	if start > floor && d.text[start-1] == '\n' {
		return start
	}
	// On the line of <?php itself the tag's own blank has to stay in front.
	return at
}

// lineBreak is what lines of the file end with.
func (d *configDoc) lineBreak() string {
	if at := strings.IndexByte(d.text, '\n'); at > 0 && d.text[at-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// remove takes out a statement that does nothing but define one constant, with its
// line if it had that to itself.
func (d *configDoc) remove(s configStatement) (string, error) {
	first := d.tokens[s.from]
	plain := first.word("define") || first.word("defined")
	if first.word("const") {
		plain = true
		for _, t := range d.tokens[s.from:s.to] {
			plain = plain && !t.is(",")
		}
	}
	if !plain {
		return "", errors.New("is defined together with other things")
	}
	start, end := d.spans[s.from].start, d.spans[s.to-1].end
	if line := d.lineStart(d.behind(s.from), start); line < start || line > 0 && d.text[line-1] == '\n' {
		rest := d.text[end:]
		if n := strings.IndexByte(rest, '\n'); n >= 0 && strings.TrimSpace(rest[:n]) == "" {
			start, end = line, end+n+1
		}
	}
	return d.text[:start] + d.text[end:], nil
}
