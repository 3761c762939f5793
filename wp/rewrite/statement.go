package rewrite

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// parsed is a statement, its edits collected in order.
type parsed struct {
	c     *copying
	s     []byte // with its delimiter
	words []lexeme
	out   []byte
	done  int // s[:done] is in out
}

// statement handles everything but rows.
func (c *copying) statement() error {
	p, err := c.parse()
	if err != nil {
		return err
	}
	c.stats.Statements++
	c.stats.Complete = false
	if len(p.words) == 0 {
		return c.write(p)
	}
	handle := map[string]func(*parsed) (bool, error){
		"SET": (*parsed).set, "CREATE": (*parsed).create, "DROP": (*parsed).drop, "ALTER": (*parsed).alter, "LOCK": (*parsed).lock,
		"UNLOCK": (*parsed).keep, "COMMIT": (*parsed).keep, "START": (*parsed).begin, "DO": (*parsed).setval,
	}[p.upper(0)]
	if handle == nil {
		return refuse(shown(p.upper(0)))
	}
	skip, err := handle(p)
	if err != nil {
		return err
	}
	if skip {
		c.in.advance(len(p.s))
		return nil
	}
	return c.write(p)
}

func (c *copying) write(p *parsed) error {
	_, err := c.out.Write(append(p.out, p.s[p.done:]...))
	c.in.advance(len(p.s))
	return err
}

// parse reads up to the delimiter.
func (c *copying) parse() (*parsed, error) {
	p := &parsed{c: c}
	for {
		l := lexer{s: c.in.b(), delimiter: c.delimiter, plain: c.plain}
		p.words = p.words[:0]
		for {
			t := l.next()
			if t.kind == lexEnd {
				p.s = c.in.b()[:t.end]
				return p, nil
			}
			if t.kind == lexMore {
				break
			}
			p.words = append(p.words, t)
		}
		if err := c.in.more(maxStatement); errors.Is(err, io.EOF) {
			return nil, refuse("one without an end")
		} else if err != nil {
			return nil, err
		}
	}
}

// text of token i; none behind the end.
func (p *parsed) text(i int) []byte {
	if i < 0 || i >= len(p.words) {
		return nil
	}
	return p.s[p.words[i].start:p.words[i].end]
}

// upper is token i as a keyword; "" when it is a name or string.
func (p *parsed) upper(i int) string {
	if i < 0 || i >= len(p.words) || p.words[i].kind == lexName || p.words[i].kind == lexString {
		return ""
	}
	return string(bytes.ToUpper(p.text(i)))
}

func (p *parsed) is(i int, word string) bool { return p.upper(i) == word }

// isName says whether token i may be a name.
func (p *parsed) isName(i int) bool {
	return i >= 0 && i < len(p.words) && (p.words[i].kind == lexName || p.words[i].kind == lexWord)
}

// edit puts text in the place of the tokens from up to and including to. Edits come in order.
func (p *parsed) edit(from, to int, text string) {
	p.out = append(append(p.out, p.s[p.done:p.words[from].start]...), text...)
	p.done = p.words[to].end
}

// table renames the table at token i, which must be of this database, and says whether it is
// one to be skipped.
func (p *parsed) table(i int) (name string, skip bool, err error) {
	if !p.isName(i) {
		return "", false, refuse("one without a table")
	}
	if p.is(i+1, ".") {
		return "", false, refuse("one about another database")
	}
	name = unquoteName(p.text(i))
	p.rename(i, name)
	return name, p.c.Skip != nil && p.c.Skip(name), nil
}

func (p *parsed) rename(i int, name string) {
	if renamed := p.c.renamed(name); renamed != name {
		p.edit(i, i, quoteName(renamed))
	}
}

func (c *copying) renamed(table string) string {
	if rest, ok := strings.CutPrefix(table, c.Prefix[0]); ok {
		return c.Prefix[1] + rest
	}
	return table
}

func (p *parsed) keep() (bool, error) { return false, nil }

func (p *parsed) begin() (bool, error) {
	if !p.is(1, "TRANSACTION") {
		return false, refuse("START")
	}
	return false, nil
}

// set lets variables of the session through.
func (p *parsed) set() (bool, error) {
	for i := range p.words {
		switch word := p.upper(i); word {
		case "GLOBAL", "@@GLOBAL", "PERSIST", "@@PERSIST", "PERSIST_ONLY", "@@PERSIST_ONLY", "PASSWORD", "ROLE", "STATEMENT", "SELECT", "(":
			return false, refuse("SET " + word)
		case "SQL_MODE", "@@SQL_MODE":
			if p.is(i+1, "=") && (i == 1 || p.is(i-1, ",") || p.is(i-1, "SESSION") || p.is(i-1, ".")) {
				p.c.plain = bytes.Contains(bytes.ToUpper(p.text(i+2)), []byte("NO_BACKSLASH_ESCAPES"))
			}
		}
	}
	return false, nil
}

func (p *parsed) lock() (bool, error) {
	if !p.is(1, "TABLES") && !p.is(1, "TABLE") {
		return false, refuse("LOCK")
	}
	skip := false
	for i := 2; i < len(p.words); i++ {
		if i > 2 && !p.is(i-1, ",") {
			continue
		}
		_, skipped, err := p.table(i)
		if err != nil {
			return false, err
		}
		skip = skip || skipped
	}
	return skip, nil
}

// setval is how the value of a sequence is dumped.
func (p *parsed) setval() (bool, error) {
	if !p.is(1, "SETVAL") || !p.is(2, "(") {
		return false, refuse("DO")
	}
	_, skip, err := p.table(3)
	return skip, err
}

func (p *parsed) drop() (bool, error) {
	what, i := p.upper(1), 2
	if p.is(i, "IF") && p.is(i+1, "EXISTS") {
		i += 2
	}
	switch what {
	case "TABLE", "VIEW", "SEQUENCE":
		_, skip, err := p.table(i)
		if err == nil && p.is(i+1, ",") {
			err = refuse("DROP of many")
		}
		return skip, err
	case "TRIGGER", "FUNCTION", "PROCEDURE", "EVENT", "PACKAGE":
		if p.is(i+1, ".") {
			return false, refuse("one about another database")
		}
		return false, nil
	}
	return false, refuse("DROP " + shown(what))
}

func (p *parsed) alter() (bool, error) {
	switch p.upper(1) {
	case "TABLE":
		_, skip, err := p.table(2)
		p.references(3)
		return skip, err
	case "DATABASE", "SCHEMA":
		// Dumped when a trigger or routine was made under another collation than the
		// database's. It names the database of the dump; without a name it means the present one.
		switch {
		case p.isOptions(2):
		case p.isName(2) && p.isOptions(3):
			p.edit(2, 2, "")
		default:
			return false, refuse("ALTER DATABASE")
		}
		return false, nil
	}
	return false, refuse("ALTER " + shown(p.upper(1)))
}

// isOptions says whether the options of a database begin at token i.
func (p *parsed) isOptions(i int) bool {
	return p.is(i, "CHARACTER") || p.is(i, "COLLATE") || p.is(i, "DEFAULT") || p.is(i, "CHARSET")
}

// shown is a keyword fit for a message: what stands in its place may be anything.
func shown(word string) string {
	if word == "" || len(word) > 20 || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "something else"
	}
	return word
}
