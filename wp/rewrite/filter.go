package rewrite

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Filter rewrites a dump of one database, as mariadb-dump writes it without --databases. It
// lets through what belongs in one and refuses everything else: a dump is a tenant's text
// that is about to be run. Definers are taken out, so that whoever reads the dump in becomes
// the definer. Definitions follow the new prefix where they name tables, rows where
// WordPress keeps the prefix in a value: the option {prefix}user_roles and the keys of
// usermeta that begin with it.
//
// Only columns of text are rewritten, so that an ENUM keeps values that it has. Values of
// binary columns (0x…, _binary '…') stay as they are, and so do those that would outgrow
// their column: the server would cut them off without a word. They count as left.
type Filter struct {
	Rewriter *Rewriter // nil: values stay as they are
	// Prefix is the table prefix, old and new; both empty or the same: it stays.
	Prefix [2]string
	// Schema is the name of the database, old and new, for definitions that name it.
	Schema [2]string
	// Skip leaves out a table or view (by its name in the dump), with its rows and triggers.
	// Views that read from it are to be skipped, too.
	Skip func(table string) bool
	// GUID has posts.guid rewritten, too: as it identifies a post to feed readers it stays
	// unless asked for.
	GUID bool
}

// Stats is what Filter.Copy has seen.
type Stats struct {
	Tables     []TableStats `json:"tables"` // in the order of the dump, under their new names
	Statements int64        `json:"statements"`
	// BrokenLeft are matches that were left as they are: where a serialized length could not
	// be kept true, or the column has no room.
	BrokenLeft int64 `json:"broken_left"`
	Complete   bool  `json:"complete"` // the dump has its closing line
}

// TableStats is what was seen of one table, empty ones too. Views and sequences are none, nor
// are tables whose rows are another's (MERGE, FEDERATED): a dump has no rows of them.
type TableStats struct {
	Name    string `json:"name"`
	Rows    int64  `json:"rows"`
	Changed int64  `json:"changed"` // values
}

// ErrStatement says that a dump has something in it that does not belong there.
var ErrStatement = errors.New("dump has a statement that is not allowed")

// Bounds of memory. The server's own for a value is max_allowed_packet, 16 MiB by default.
const (
	maxValue     = 64 << 20
	maxStatement = 16 << 20 // that is not rows
)

// Copy filters a dump. Memory is bounded by the largest value, not by rows or statements.
// The error names the line, and never what stands there; errors.Is ErrStatement when that
// was refused.
func (f Filter) Copy(dst io.Writer, src io.Reader) (Stats, error) {
	c := &copying{
		Filter: f, in: window{src: src}, out: bufio.NewWriterSize(dst, 64<<10), delimiter: []byte(";"),
		columns: map[string][]column{}, known: map[string]bool{}, tables: map[string]int{},
	}
	if f.Rewriter == nil {
		c.Rewriter = New(nil)
	}
	err := c.all()
	if err == nil {
		err = c.out.Flush()
	}
	c.stats.BrokenLeft = c.left
	c.stats.Tables = slices.DeleteFunc(c.stats.Tables, func(t TableStats) bool { return t.Name == noTable })
	if err != nil {
		return c.stats, fmt.Errorf("filtering dump, line %d: %w", c.in.line+1, err)
	}
	return c.stats, nil
}

// copying is one run of a Filter.
type copying struct {
	Filter
	in        window
	out       *bufio.Writer
	delimiter []byte
	plain     bool // NO_BACKSLASH_ESCAPES: a backslash in a string is one
	stats     Stats
	left      int64

	columns map[string][]column // of tables seen, by their names in the dump
	known   map[string]bool     // tables, views and sequences, the same
	tables  map[string]int      // index into stats.Tables, the same

	text, escaped []byte // scratch
}

// noTable is the name of what was counted as a table and is none.
const noTable = ""

// counted is where a table is counted. It is good until the next one is asked for.
func (c *copying) counted(table string) *TableStats {
	index, seen := c.tables[table]
	if !seen {
		index = len(c.stats.Tables)
		c.tables[table] = index
		c.stats.Tables = append(c.stats.Tables, TableStats{Name: c.renamed(table)})
	}
	return &c.stats.Tables[index]
}

// all goes from statement to statement.
func (c *copying) all() error {
	for {
		if err := c.in.skipBlank(c.out); err != nil {
			return err
		}
		head, err := c.in.peek(64)
		switch {
		case err != nil:
			return err
		case len(head) == 0:
			return nil
		}
		switch {
		case sandboxLine(head), isLineComment(head), isWord(head, "DELIMITER"):
			err = c.line()
		case isBlockComment(head):
			err = c.blockComment()
		case isWord(head, "INSERT"), isWord(head, "REPLACE"):
			err = c.insert()
		default:
			err = c.statement()
		}
		if err != nil {
			return err
		}
	}
}

// sandboxLine is the first line of newer dumps. It is a command to the client, in the form
// of a comment without a delimiter; the client is told the same by its arguments.
func sandboxLine(s []byte) bool {
	return bytes.HasPrefix(s, []byte(`/*M!999999\- enable the sandbox mode */`)) || bytes.HasPrefix(s, []byte(`/*!999999\- enable the sandbox mode */`))
}

func isLineComment(s []byte) bool {
	return s[0] == '#' || len(s) > 1 && s[0] == '-' && s[1] == '-' && (len(s) == 2 || s[2] <= ' ')
}

func isBlockComment(s []byte) bool {
	return bytes.HasPrefix(s, []byte("/*")) && !bytes.HasPrefix(s, []byte("/*!")) && !bytes.HasPrefix(s, []byte("/*M!"))
}

func (c *copying) blockComment() error {
	for {
		if end := bytes.Index(c.in.b()[2:], []byte("*/")); end >= 0 {
			_, err := c.out.Write(c.in.b()[:end+4])
			c.in.advance(end + 4)
			return err
		}
		if err := c.in.more(maxStatement); errors.Is(err, io.EOF) {
			return refuse("a comment without an end")
		} else if err != nil {
			return err
		}
	}
}

func isWord(s []byte, word string) bool {
	return len(s) >= len(word) && bytes.EqualFold(s[:len(word)], []byte(word)) && (len(s) == len(word) || !isWordByte(s[len(word)]))
}

// line lets a line through that is no statement.
func (c *copying) line() error {
	line, err := c.in.readLine()
	if err != nil {
		return err
	}
	if isWord(line, "DELIMITER") {
		fields := bytes.Fields(line)
		if len(fields) != 2 || len(fields[1]) > 8 || bytes.IndexByte(fields[1], '\\') >= 0 || isWordByte(fields[1][0]) {
			return fmt.Errorf("%w: a delimiter that nobody uses", ErrStatement)
		}
		c.delimiter = bytes.Clone(fields[1])
	}
	c.stats.Complete = bytes.HasPrefix(line, []byte("-- Dump completed"))
	_, err = c.out.Write(line)
	c.in.advance(len(line))
	return err
}

// refuse says what kind of statement it was.
func refuse(what string) error { return fmt.Errorf("%w: %s", ErrStatement, what) }
