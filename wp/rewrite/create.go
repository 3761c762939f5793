package rewrite

import (
	"strconv"
	"unicode/utf8"
)

// create handles definitions.
func (p *parsed) create() (bool, error) {
	i := 1
	for ; ; i++ {
		switch word := p.upper(i); word {
		case "OR", "REPLACE", "AGGREGATE":
		case "ALGORITHM":
			i += 2
		case "SQL": // SECURITY DEFINER or INVOKER
			i += 2
		case "DEFINER":
			i = p.definer(i)
		case "TABLE", "SEQUENCE":
			return p.createTable(p.existing(i+1), word == "TABLE")
		case "VIEW":
			return p.createView(p.existing(i + 1))
		case "TRIGGER":
			return p.createTrigger(p.existing(i + 1))
		case "FUNCTION", "PROCEDURE", "EVENT", "PACKAGE":
			i = p.existing(i + 1)
			if p.is(i+1, ".") {
				return false, refuse("one about another database")
			}
			p.body(i + 1)
			return false, nil
		default:
			return false, refuse("CREATE " + shown(word))
		}
	}
}

// existing passes IF NOT EXISTS.
func (p *parsed) existing(i int) int {
	if p.is(i, "IF") && p.is(i+1, "NOT") && p.is(i+2, "EXISTS") {
		return i + 3
	}
	return i
}

// definer takes DEFINER=`user`@`host` out and answers its last token.
func (p *parsed) definer(i int) int {
	last := min(i+2, len(p.words)-1)
	switch {
	case p.is(last+1, "@"): // `user`@`host`
		last += 2
	case p.is(last+1, "(") && p.is(last+2, ")"): // CURRENT_USER()
		last += 2
	case len(p.text(last)) > 0 && p.text(last)[len(p.text(last))-1] == '@': // user@`host`
		last++
	}
	last = min(last, len(p.words)-1)
	p.edit(i, last, "")
	return last
}

// createTable counts a table that has no rows yet, unless it is a sequence.
func (p *parsed) createTable(i int, counts bool) (bool, error) {
	name, skip, err := p.table(i)
	if err != nil {
		return false, err
	}
	p.c.known[name] = true
	p.c.columns[name] = p.columnsOf(i + 1)
	p.references(i + 1)
	if counts && !skip && !p.rowsElsewhere(i+1) {
		p.c.counted(name)
	}
	return skip, nil
}

// rowsElsewhere says whether a table has rows that are not its own: mariadb-dump leaves those
// out (check_if_ignore_table in client/mysqldump.cc).
func (p *parsed) rowsElsewhere(i int) bool {
	for ; i < len(p.words); i++ {
		if !p.is(i, "ENGINE") {
			continue
		}
		switch p.upper(i + 2) { // behind the =
		case "MRG_MYISAM", "MRG_ISAM", "CONNECT", "OQGRAPH", "SPIDER", "VP", "FEDERATED":
			return true
		}
	}
	return false
}

// column is what of a column decides about its values.
type column struct {
	name  string
	text  bool
	chars int // room in characters; 0: as bytes say
	bytes int // room in bytes; 0: any
}

// columnsOf lists the columns of a table in their order: what begins a part of the list and
// is in quotes, as keys and constraints are not.
func (p *parsed) columnsOf(i int) []column {
	var columns []column
	depth := 0
	for ; i < len(p.words); i++ {
		switch p.upper(i) {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return columns
			}
		case "":
			if depth == 1 && p.words[i].kind == lexName && (p.is(i-1, "(") || p.is(i-1, ",")) {
				columns = append(columns, p.column(i))
			}
		}
	}
	return columns
}

// column reads "`name` varchar(191)".
func (p *parsed) column(i int) column {
	c := column{name: unquoteName(p.text(i)), text: true}
	switch p.upper(i + 1) {
	case "CHAR", "VARCHAR":
		n, err := strconv.Atoi(p.upper(i + 3))
		if p.is(i+2, "(") && err == nil {
			c.chars = n
		}
	case "TINYTEXT":
		c.bytes = 1<<8 - 1
	case "TEXT":
		c.bytes = 1<<16 - 1
	case "MEDIUMTEXT":
		c.bytes = 1<<24 - 1
	case "LONGTEXT", "JSON":
	default:
		c.text = false
	}
	return c
}

// fits says whether a value has room in the column.
func (c column) fits(s []byte) bool {
	return (c.bytes == 0 || len(s) <= c.bytes) && (c.chars == 0 || len(s) <= c.chars || utf8.RuneCount(s) <= c.chars)
}

// references renames the tables that foreign keys, and MERGE tables, point at.
func (p *parsed) references(i int) {
	union := false
	for ; i < len(p.words); i++ {
		switch {
		case p.is(i, "UNION"):
			union = true
		case p.is(i, ")"):
			union = false
		case p.words[i].kind != lexName:
		case p.is(i-1, "REFERENCES") && p.is(i+1, "."):
			p.schema(i)
		case p.is(i-1, "REFERENCES"), p.is(i-1, ".") && p.is(i-3, "REFERENCES"), union && (p.is(i-1, "(") || p.is(i-1, ",")):
			p.rename(i, unquoteName(p.text(i)))
		}
	}
}

// schema renames the database that token i names in front of a dot, if it is the old one.
func (p *parsed) schema(i int) bool {
	old, renamed := p.c.Schema[0], p.c.Schema[1]
	if old == "" || unquoteName(p.text(i)) != old {
		return false
	}
	p.edit(i, i, quoteName(renamed))
	return true
}

func (p *parsed) createView(i int) (bool, error) {
	name, skip, err := p.table(i)
	if err != nil {
		return false, err
	}
	p.c.known[name] = true
	// Older servers hold a view's place with a table until all that it reads from is there.
	if index, counted := p.c.tables[name]; counted {
		p.c.stats.Tables[index].Name = noTable
	}
	p.body(i + 1)
	return skip, nil
}

// createTrigger reads `TRIGGER name BEFORE INSERT ON table FOR EACH ROW …`.
func (p *parsed) createTrigger(i int) (bool, error) {
	if p.is(i+1, ".") {
		return false, refuse("one about another database")
	}
	for on := i + 1; on < len(p.words); on++ {
		if !p.is(on, "ON") || !p.isName(on+1) {
			continue
		}
		table := on + 1
		if p.is(table+1, ".") && p.schema(table) {
			table += 2
		}
		_, skip, err := p.table(table)
		if err != nil {
			return false, err
		}
		p.body(table + 1)
		return skip, nil
	}
	return false, refuse("CREATE TRIGGER")
}

// body renames in what people have written: the tables that a view, trigger or routine
// reads from and writes to, and texts. Names of columns and variables stay, however they
// begin, so a name is only taken for a table's where a table stands.
func (p *parsed) body(i int) {
	isTable := p.tablesIn(i)
	for ; i < len(p.words); i++ {
		switch t := p.words[i]; {
		case t.kind == lexString:
			p.literal(i)
		case t.kind == lexPunct:
		case p.is(i+1, ".") && !p.is(i-1, ".") && p.schema(i):
		case isTable[i]:
			p.rename(i, unquoteName(p.text(i)))
		}
	}
}

// tablesIn finds the tokens behind i that name tables.
func (p *parsed) tablesIn(i int) map[int]bool {
	found, names := map[int]bool{}, map[string]bool{}
	from := i
	list := false // in a list of tables
	for ; i < len(p.words); i++ {
		switch word := p.upper(i); word {
		case "FROM", "JOIN", "STRAIGHT_JOIN", "TABLE", "TRUNCATE":
			list = true
		case "UPDATE":
			list = !p.is(i-1, "KEY")
		case "INTO":
			list = p.is(i-1, "INSERT") || p.is(i-1, "REPLACE") || p.is(i-1, "IGNORE") || p.is(i-1, "DELAYED") || p.is(i-1, "LOW_PRIORITY") || p.is(i-1, "HIGH_PRIORITY")
		case "WHERE", "SET", "ON", "USING", "GROUP", "ORDER", "LIMIT", "HAVING", "VALUES", "VALUE", "SELECT", "END", "DO", "THEN", ";":
			list = false
		default:
			if !list || !p.isName(i) || p.is(i+1, ".") || !p.beginsTable(i) {
				continue
			}
			found[i], names[unquoteName(p.text(i))] = true, true
			// What follows the table of an INSERT in parentheses are columns.
			list = !p.is(i-1, "INTO")
		}
	}
	for i := from; i < len(p.words); i++ { // table.column
		if p.isName(i) && p.is(i+1, ".") && !p.is(i-1, ".") {
			name := unquoteName(p.text(i))
			found[i] = found[i] || names[name] || p.c.known[name]
		}
	}
	return found
}

// beginsTable says whether a table may stand at token i, by what stands in front of it.
func (p *parsed) beginsTable(i int) bool {
	if p.is(i-1, ".") {
		return p.c.Schema[0] != "" && unquoteName(p.text(i-2)) == p.c.Schema[0]
	}
	switch p.upper(i - 1) {
	case "FROM", "JOIN", "STRAIGHT_JOIN", "TABLE", "TRUNCATE", "UPDATE", "INTO", "IGNORE", "LOW_PRIORITY", ",", "(":
		return true
	}
	return false
}

// literal rewrites a text in a definition.
func (p *parsed) literal(i int) {
	raw := p.text(i)
	if !p.c.Rewriter.mayMatch(raw) {
		return
	}
	text, changed := p.c.Rewriter.Text(unescape(nil, raw[1:len(raw)-1], raw[0], !p.c.plain))
	if changed == 0 || p.c.plain {
		return
	}
	p.edit(i, i, "'"+string(escape(nil, text))+"'")
}
