package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// rows is an INSERT on its way through. Its rows are never held as a whole.
type rows struct {
	*copying
	table   string
	skip    bool
	stats   *TableStats
	columns []column // nil: not known
	guid    int      // column that is not rewritten, -1 for none
	key     int      // column that the prefix stands in, -1 for none
	rekey   func(string) string
	flushed int   // b[:flushed] has been written
	hits    []int // where each of the rewriter's anchors is found next
}

// insert reads INSERT INTO table [(columns)] VALUES (…),(…);
func (c *copying) insert() error {
	if c.plain {
		return refuse("rows under NO_BACKSLASH_ESCAPES")
	}
	r, err := c.insertHead()
	if err != nil {
		return err
	}
	c.stats.Statements++
	c.stats.Complete = false
	return r.values()
}

func (c *copying) insertHead() (*rows, error) {
	for {
		p := &parsed{c: c, s: c.in.b()}
		l := lexer{s: p.s, delimiter: c.delimiter}
		for {
			t := l.next()
			if t.kind == lexEnd {
				return nil, refuse("INSERT without rows")
			}
			if t.kind == lexMore {
				break
			}
			p.words = append(p.words, t)
			if last := len(p.words) - 1; p.is(last, "VALUES") || p.is(last, "VALUE") {
				return c.insertInto(p, t.end)
			}
			if t.kind == lexString || len(p.words) > 10_000 {
				return nil, refuse("INSERT without rows")
			}
		}
		if err := c.in.more(maxStatement); errors.Is(err, io.EOF) {
			return nil, refuse("one without an end")
		} else if err != nil {
			return nil, err
		}
	}
}

func (c *copying) insertInto(p *parsed, end int) (*rows, error) {
	i := 1
	for p.is(i, "IGNORE") || p.is(i, "DELAYED") || p.is(i, "LOW_PRIORITY") {
		i++
	}
	if !p.is(i, "INTO") {
		return nil, refuse("INSERT")
	}
	table, skip, err := p.table(i + 1)
	if err != nil {
		return nil, err
	}
	columns := c.columns[table]
	if p.is(i+2, "(") {
		columns = p.listed(i+3, columns)
	}
	r := &rows{copying: c, table: table, skip: skip, guid: -1, key: -1, hits: make([]int, len(c.Rewriter.anchors))}
	for n := range r.hits {
		r.hits[n] = -1
	}
	r.columns = columns
	r.choose()
	if !skip {
		r.stats = c.counted(table)
		if _, err := c.out.Write(append(p.out, p.s[p.done:end]...)); err != nil {
			return nil, err
		}
	}
	c.in.advance(end)
	return r, nil
}

// listed are the columns that an INSERT names itself, beginning at token i.
func (p *parsed) listed(i int, known []column) (columns []column) {
	for ; i < len(p.words) && !p.is(i, ")"); i++ {
		if !p.isName(i) {
			continue
		}
		c := column{name: unquoteName(p.text(i)), text: true}
		if n := slices.IndexFunc(known, func(k column) bool { return k.name == c.name }); n >= 0 {
			c = known[n]
		}
		columns = append(columns, c)
	}
	return columns
}

// choose finds the columns that are treated in their own way.
func (r *rows) choose() {
	old := r.Prefix[0]
	below, ours := strings.CutPrefix(r.table, old)
	for i, c := range r.columns {
		switch column := c.name; {
		case column == "guid" && strings.HasSuffix(r.table, "posts") && !r.GUID:
			r.guid = i
		case !ours || old == r.Prefix[1]:
		case column == "option_name" && isBlogTable(below, "options"):
			blog := strings.TrimSuffix(r.table, "options") // wp_ or, of a network's other sites, wp_2_
			r.key, r.rekey = i, func(name string) string {
				if name == blog+"user_roles" {
					return r.renamed(name)
				}
				return name
			}
		case column == "meta_key" && below == "usermeta":
			r.key, r.rekey = i, r.renamed
		}
	}
}

// isBlogTable says whether a table's name without the prefix is name, or 2_name.
func isBlogTable(below, name string) bool {
	number, ok := strings.CutSuffix(below, name)
	return ok && (number == "" || strings.Trim(number[:len(number)-1], "0123456789") == "" && number[len(number)-1] == '_' && len(number) > 1)
}

// values goes through the rows. Only literals may stand in them.
func (r *rows) values() error {
	depth, column := 0, 0
	marked := false // something stands in front of the literal: b'…', x'…', _binary '…'
	for at := 0; ; {
		b := r.in.b()
		if at >= len(b) {
			var err error
			if at, err = r.refill(at, at); err != nil {
				return err
			}
			continue
		}
		switch c := b[at]; {
		case c == '\'' || c == '"':
			if depth != 1 {
				return refuse("a value outside of a row")
			}
			end, err := r.literalEnd(&at)
			if err != nil {
				return err
			}
			if !marked {
				err = r.literal(at, end, column)
			}
			if err != nil {
				return err
			}
			at, marked = end, false
		case c == '(':
			if depth++; depth > 1 {
				return refuse("an expression in a row")
			}
			column, marked = 0, false
			if r.stats != nil {
				r.stats.Rows++
			}
			at++
		case c == ')':
			if depth--; depth < 0 {
				return refuse("a row without a beginning")
			}
			at++
		case c == ',':
			column++
			marked = false
			at++
		case depth == 0 && !isBlank(c):
			return r.end(at)
		case c == '`' || c == '#' || c == '/' || c == ';' || c == '\\':
			return refuse("an expression in a row")
		default:
			marked = marked || !isBlank(c)
			at++
		}
	}
}

// end wants the delimiter at b[at].
func (r *rows) end(at int) error {
	for len(r.in.b())-at < len(r.delimiter) {
		var err error
		if at, err = r.refill(at, at); err != nil {
			return err
		}
	}
	if !bytes.HasPrefix(r.in.b()[at:], r.delimiter) {
		return refuse("something behind the rows")
	}
	return r.flush(at + len(r.delimiter))
}

// flush passes everything in front of to.
func (r *rows) flush(to int) error {
	if !r.skip {
		if _, err := r.out.Write(r.in.b()[r.flushed:to]); err != nil {
			return err
		}
	}
	r.in.advance(to)
	r.flushed = 0
	return nil
}

// refill passes what is in front of keep, reads on, and answers where at is then.
func (r *rows) refill(keep, at int) (int, error) {
	if err := r.flush(keep); err != nil {
		return 0, err
	}
	if err := r.in.more(maxValue); errors.Is(err, io.EOF) {
		return 0, refuse("one without an end")
	} else if err != nil {
		return 0, err
	}
	for i := range r.hits {
		r.hits[i] = -1 // they were places in the old window
	}
	return at - keep, nil
}

// literalEnd finds the end of the literal at b[*at]; it moves *at when it must read on.
func (r *rows) literalEnd(at *int) (int, error) {
	quote := r.in.b()[*at]
	for i := *at + 1; ; {
		b := r.in.b()
		for i < len(b) && b[i] != quote && b[i] != '\\' {
			i++
		}
		switch {
		case i+1 >= len(b): // the next byte decides
			n, err := r.refill(*at, i)
			if err != nil {
				return 0, err
			}
			i, *at = n, 0
		case b[i] == '\\', b[i+1] == quote:
			i += 2
		default:
			return i + 1, nil
		}
	}
}

// literal rewrites the value b[at:end].
func (r *rows) literal(at, end, column int) error {
	if r.skip || column != r.key && (column == r.guid || !r.hit(at, end)) {
		return nil
	}
	into := columnOrText(r.columns, column)
	if !into.text {
		return nil
	}
	b := r.in.b()
	r.text = unescape(r.text[:0], b[at+1:end-1], b[at], true)
	run := run{w: r.Rewriter}
	text := r.text
	if column == r.key {
		text = []byte(r.rekey(string(text)))
	}
	text = run.text(text, 0)
	r.left += int64(run.left)
	if bytes.Equal(text, r.text) {
		return nil
	}
	if !into.fits(text) {
		r.left += int64(max(run.changed, 1))
		return nil
	}
	r.stats.Changed++
	r.escaped = append(escape(append(r.escaped[:0], '\''), text), '\'')
	if len(r.escaped) > maxValue {
		return fmt.Errorf("a value that grows to more than %d MiB", maxValue>>20)
	}
	if _, err := r.out.Write(b[r.flushed:at]); err != nil {
		return err
	}
	r.flushed = end
	_, err := r.out.Write(r.escaped)
	return err
}

func columnOrText(columns []column, i int) column {
	if i < len(columns) {
		return columns[i]
	}
	return column{text: true}
}

// hit says whether an anchor of the rewriter is in b[at:end]. Each stretch of the window is
// searched once for each anchor, however many values are in it.
func (r *rows) hit(at, end int) bool {
	if r.Rewriter.always {
		return true
	}
	b := r.in.b()
	for i, a := range r.Rewriter.anchors {
		if r.hits[i] < at {
			if n := bytes.Index(b[at:], a); n >= 0 {
				r.hits[i] = at + n
			} else {
				r.hits[i] = len(b)
			}
		}
		if r.hits[i]+len(a) <= end {
			return true
		}
	}
	return false
}
